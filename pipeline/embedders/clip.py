"""CLIP, from the Hugging Face hub or a local folder in its format: pictures and texts into one space."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipeline.embedders import Embedder, FloatArray, Options, weights_digest
from store.errors import ColdframeError
from store.matrices import unit_length

DEFAULT_WEIGHTS = "openai/clip-vit-base-patch32"


class Clip(Embedder):
    """Projected image and text features, each of unit length: their inner product is the cosine."""

    def __init__(self, model: Any, processor: Any, tokenizer: Any, size: tuple[int, int] | None) -> None:
        self._model, self._processor, self._tokenizer = model, processor, tokenizer
        self._overrides: dict[str, Any] = {}
        if size is not None:
            side = {"height": size[0], "width": size[1]}
            self._overrides = {"size": side, "crop_size": side}
        self.dimensions = int(model.config.projection_dim)
        arrays = (tensor.detach().cpu().numpy() for _, tensor in sorted(model.state_dict().items()))
        self.settings = {
            "size": list(size) if size else "processor",
            "weights": weights_digest(arrays),
            "processor": _jsonable(processor.to_dict()),
            "backend": "torch",
            "precision": "float32",
        }

    def prepare(self, image: Image.Image) -> npt.NDArray[Any]:
        """The picture as the processor's own settings have it, float32 (3, height, width)."""
        inputs = self._processor(images=image, return_tensors="np", **self._overrides)
        pixels: npt.NDArray[Any] = inputs["pixel_values"][0]
        return pixels

    def forward(self, batch: npt.NDArray[Any]) -> FloatArray:
        """Image features of unit length."""
        import torch

        with torch.inference_mode():
            vision = self._model.vision_model(pixel_values=torch.from_numpy(np.ascontiguousarray(batch)))
            return unit_length(self._model.visual_projection(vision.pooler_output).numpy())

    def embed_texts(self, texts: Sequence[str]) -> FloatArray:
        """Text features of unit length, shape (len(texts), dimensions), float32."""
        import torch

        if self._tokenizer is None:
            raise ColdframeError(
                "clip: random weights have no tokenizer, so they read no text: give real ones with --weights"
            )
        tokens = self._tokenizer(list(texts), return_tensors="pt", padding=True, truncation=True)
        with torch.inference_mode():
            text = self._model.text_model(**{key: tokens[key] for key in ("input_ids", "attention_mask")})
            return unit_length(self._model.text_projection(text.pooler_output).numpy())


def _jsonable(settings: dict[str, Any]) -> dict[str, Any]:
    """The processor's settings that change a pixel."""
    wanted = (
        "resample",
        "size",
        "crop_size",
        "do_resize",
        "do_center_crop",
        "do_rescale",
        "rescale_factor",
        "do_normalize",
        "image_mean",
        "image_std",
    )
    return {
        name: settings[name] if not hasattr(settings[name], "value") else settings[name].value
        for name in wanted
        if settings.get(name) is not None
    }


def load(name: str, options: Options) -> Embedder:
    """Weights: a hub name (default :data:`DEFAULT_WEIGHTS`), a local folder in Hugging Face format, or ``random``."""
    from transformers import AutoTokenizer, CLIPConfig, CLIPImageProcessorPil, CLIPModel
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # says each of its retries otherwise
    weights = options.weights or DEFAULT_WEIGHTS
    if weights == "random":
        import torch

        torch.manual_seed(options.seed)
        return Clip(CLIPModel(CLIPConfig()).eval(), CLIPImageProcessorPil(), None, options.size)
    if Path(weights).is_file():
        raise ColdframeError(
            f"{name}: {weights} is a file; expected a folder in Hugging Face format (config.json, model.safetensors, "
            "tokenizer and preprocessor files) or a hub name"
        )
    try:
        # whatever the file holds: half precision would be slow here, and another network by its numbers
        model, loaded = CLIPModel.from_pretrained(weights, dtype="float32", output_loading_info=True)
        processor = CLIPImageProcessorPil.from_pretrained(weights)
        tokenizer = AutoTokenizer.from_pretrained(weights)
    except Exception as error:  # the hub client, safetensors and JSON each raise their own kinds
        where = "the local folder" if Path(weights).is_dir() else "the Hugging Face hub"
        raise ColdframeError(
            f"{name}: weights {weights!r} cannot be had from {where} ({' '.join(str(error).split())[:200]}). Give a local copy "
            "of the model's folder (config.json, model.safetensors, tokenizer and preprocessor files): --weights DIR"
        ) from error
    if loaded["missing_keys"]:  # transformers only warns of them, and leaves them random
        raise ColdframeError(
            f"{name}: {weights} lacks weights of the network, such as {sorted(loaded['missing_keys'])[0]}; expected a whole CLIP"
        )
    return Clip(model.eval(), processor, tokenizer, options.size)
