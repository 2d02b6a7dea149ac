"""CLIP, from the Hugging Face hub or a local folder in its format: maps pictures and texts into one space."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipeline.embed import architecture, pretrained, tokenizing
from pipeline.embed.embedders import Embedder, FloatArray, Options, Run, weights_digest
from pipeline.embed.pretrained import Pretrained
from pipeline.runtime import openvino, quiet
from store.errors import ColdframeError
from store.matrices import unit_length
from store.parts import sha256_of

DEFAULT_WEIGHTS = "openai/clip-vit-base-patch32"
RANDOM = "random"
MOST_SIDE = 2048  # pixels on one side of a processor's output
BACKENDS = ("torch", openvino.NAME)
# Of a longer strip, only the middle is used, as with any picture that is not square: the processor would first enlarge it all.
LONGEST_SIDES = 32
Texts = Callable[[Sequence[str]], FloatArray]


class Clip(Embedder):
    """Projected image and text features of unit length: their inner product is the cosine.

    ``run`` maps the output of :meth:`prepare` to projected features of any length. ``facts`` are the ``dimensions``, the
    digest of the ``weights`` and the ``architecture``. ``texts`` gives features of texts, if there is a text side.
    """

    def __init__(
        self,
        run: Run,
        processor: Any,
        facts: dict[str, Any],
        options: Options,
        *,
        backend: str,
        precision: str,
        texts: Texts | None = None,
    ) -> None:
        self._run, self._processor, self._texts = run, processor, texts
        self._overrides = _overrides(options.size)
        self.dimensions, self.architecture = facts["dimensions"], facts["architecture"]
        self.settings = {
            "size": list(options.size) if options.size else "processor",
            "weights": facts["weights"],
            "processor": _jsonable(processor.to_dict()),
            "backend": backend,
            "precision": precision,
        }

    def prepare(self, image: Image.Image) -> npt.NDArray[Any]:
        """The picture as the processor's own settings prepare it, float32 (3, height, width)."""
        middle = _middle(image)
        if middle != image.size:
            left, top = (image.width - middle[0]) // 2, (image.height - middle[1]) // 2
            image = image.crop((left, top, left + middle[0], top + middle[1]))
        inputs = self._processor(images=image, return_tensors="np", **self._overrides)
        pixels: npt.NDArray[Any] = inputs["pixel_values"][0]
        return pixels

    def working_size(self, image: Image.Image) -> tuple[int, int]:
        """Twice what the processor resizes to before it crops, so that its own bicubic filter does the shrinking."""
        size = self._overrides.get("size") or self._processor.size
        if size.get("height") and size.get("width"):
            return 2 * size["height"], 2 * size["width"]
        if not size.get("shortest_edge"):
            return image.height, image.width
        width, height = _middle(image)
        scale = 2 * size["shortest_edge"] / min(width, height)
        return round(scale * height), round(scale * width)

    def forward(self, batch: npt.NDArray[Any]) -> FloatArray:
        """Image features of unit length."""
        return unit_length(self._run(batch))

    def embed_texts(self, texts: Sequence[str]) -> FloatArray:
        """Text features of unit length, shape (len(texts), dimensions), float32.

        Raises:
            ColdframeError: there is no text side: random weights have no tokenizer, OpenVINO's network has only the image side.
        """
        if self._texts is None:
            raise ColdframeError(
                "clip: nothing here reads text: random weights have no tokenizer, and OpenVINO's network only sees: give real "
                "weights with --weights"
            )
        return unit_length(self._texts(texts))


def _overrides(size: tuple[int, int] | None) -> dict[str, Any]:
    """What the processor is told when a (height, width) was asked for."""
    side = {"height": size[0], "width": size[1]} if size is not None else None
    return {"size": side, "crop_size": side} if side else {}


def _middle(image: Image.Image) -> tuple[int, int]:
    """Width and height of the part that is used: the whole picture, or the middle of a long strip."""
    longest = LONGEST_SIDES * min(image.size)
    return min(image.width, longest), min(image.height, longest)


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
    openvino.check_precision(options.precision)
    place = _place(name, options)
    if options.backend == openvino.NAME:
        processor = _processor(place, options.size)
        to_convert = partial(_to_convert, place, options.size, options.seed)
        source = _source(place, options.seed)
        found = openvino.converted(to_convert, source=source, kind=[name, options.size])
        precision = options.precision or openvino.best_precision()
        run = found.network(precision)
        return Clip(run, processor, found.facts, options, backend=openvino.NAME, precision=precision)

    import torch

    device = _device(options.device)
    precision = options.precision or ("bfloat16" if device == "cuda" else "float32")
    processor, model = _processor(place, options.size), _model(place, options.seed)
    facts = _facts(model)
    model.to(device, getattr(torch, precision))

    def images(batch: npt.NDArray[Any]) -> FloatArray:
        with torch.inference_mode():
            pixels = torch.from_numpy(np.ascontiguousarray(batch)).to(device, model.dtype)
            features = model.visual_projection(model.vision_model(pixel_values=pixels).pooler_output)
            vectors: FloatArray = features.float().cpu().numpy()
            return vectors

    tokenizer = None if place is None else tokenizing.Tokenizer(place, model.config.text_config)

    def texts(given: Sequence[str]) -> FloatArray:
        assert tokenizer is not None
        words, mask = (torch.from_numpy(one).to(device) for one in tokenizer(given))
        with torch.inference_mode():
            text = model.text_model(input_ids=words, attention_mask=mask)
            vectors: FloatArray = model.text_projection(text.pooler_output).float().cpu().numpy()
            return vectors

    return Clip(
        images,
        processor,
        facts,
        options,
        backend="torch",
        precision=precision,
        texts=None if tokenizer is None else texts,
    )


def _device(asked: str) -> str:
    import torch

    if asked == "cpu" or not (asked == "gpu" or torch.cuda.is_available()):
        return "cpu"
    if not torch.cuda.is_available():
        raise ColdframeError("--device gpu: torch sees none here; leave it out, or install torch with CUDA")
    return "cuda"


def _facts(model: Any) -> dict[str, Any]:
    arrays = (tensor.detach().cpu().numpy() for _, tensor in sorted(model.state_dict().items()))
    return {
        "dimensions": int(model.config.projection_dim),
        "weights": weights_digest(arrays),
        "architecture": architecture.of_transformers(model.config),
    }


def _place(name: str, options: Options) -> Pretrained | None:
    """Where the weights are; None for random ones. Our own default may be fetched: nobody else chose it."""
    weights = options.weights or DEFAULT_WEIGHTS
    if weights == RANDOM:
        return None
    is_own = weights == DEFAULT_WEIGHTS
    return pretrained.find(name, weights, fetch=options.fetch or is_own, is_own=is_own)


def _source(place: Pretrained | None, seed: int) -> dict[str, Any]:
    """What identifies the weights before they are loaded."""
    if place is None:
        return {"weights": RANDOM, "seed": seed, "transformers": version("transformers")}
    settings = [file for file in sorted(place.folder.iterdir()) if file.suffix == ".json"]
    return {file.name: sha256_of(file) for file in (*settings, *place.weight_files())}


def _to_convert(
    place: Pretrained | None, size: tuple[int, int] | None, seed: int
) -> tuple[dict[str, Any], Callable[[], Any]]:
    """The facts that :class:`Clip` needs, and a function that converts the image side for OpenVINO."""
    import torch

    ov = quiet.load(openvino.NAME)
    model = _model(place, seed).requires_grad_(False)

    class ImageSide(torch.nn.Module):  # type: ignore[misc]
        def forward(self, pixels: Any) -> Any:
            return model.visual_projection(model.vision_model(pixel_values=pixels).pooler_output)

    side = model.config.vision_config.image_size
    example = torch.zeros(openvino.PIECE, 3, *(size or (side, side)))

    def convert() -> Any:
        with torch.inference_mode():
            return ov.convert_model(ImageSide(), example_input=example, input=list(example.shape))

    return _facts(model), convert


def _model(place: Pretrained | None, seed: int) -> Any:
    transformers = _transformers("CLIPConfig", "CLIPModel")
    if place is None:
        import torch

        torch.manual_seed(seed)
        return transformers.CLIPModel(transformers.CLIPConfig()).eval()
    place.check_config(transformers.CLIPConfig, transformers.CLIPModel)
    # Float32 whatever the file holds: half precision would be slow here, and its numbers make another network. This attention
    # whatever the file asks for: another kind is code from elsewhere, and so is a pickle of anything but tensors.
    model, loaded = place.load(
        transformers.CLIPModel,
        dtype="float32",
        attn_implementation="sdpa",
        weights_only=True,
        output_loading_info=True,
    )
    if loaded["missing_keys"]:  # transformers only warns of them, and leaves them random
        raise ColdframeError(
            f"{place.name}: {place.weights} lacks weights of the network, such as {sorted(loaded['missing_keys'])[0]}; "
            "expected a whole CLIP"
        )
    return model.eval()


def _processor(place: Pretrained | None, size: tuple[int, int] | None) -> Any:
    """What prepares pictures.

    Args:
        size: (height, width) if one was asked for.
    """
    kind = _transformers("CLIPImageProcessorPil").CLIPImageProcessorPil
    if place is None:
        return kind()
    made = place.load(kind)
    for what in ("size", "crop_size", "pad_size"):
        sides = dict(getattr(made, what, None) or {})
        if what == "size" and not sides:
            raise _unprepared(place, "it says no size to bring pictures to")
        for side, pixels in sides.items():
            if not isinstance(pixels, int) or not 0 < pixels <= MOST_SIDE:
                raise _unprepared(place, f"{what}: {side} = {pixels}, expected at most {MOST_SIDE} pixels")
    _try(place, made, size)
    return made


def _try(place: Pretrained, processor: Any, size: tuple[int, int] | None) -> None:
    """Prepare two small pictures.

    Raises:
        ColdframeError: the settings of the processor make no sense.
    """
    shapes = set()
    for small in ((12, 8), (8, 12)):
        try:
            with np.errstate(all="ignore"):
                given = processor(images=Image.new("RGB", small), return_tensors="np", **_overrides(size))
                pixels = np.asarray(given["pixel_values"][0], np.float32)
        except MemoryError:
            raise
        except Exception as error:  # wrong settings raise many kinds
            raise _unprepared(place, f"pictures cannot be prepared as it says ({_short(error)})") from error
        if pixels.ndim != 3 or len(pixels) != 3 or not np.isfinite(pixels).all():
            raise _unprepared(place, "pictures prepared as it says are no finite numbers in three colours")
        shapes.add(pixels.shape)
    if len(shapes) > 1:
        raise _unprepared(place, "pictures prepared as it says have different sizes")


def _unprepared(place: Pretrained, why: str) -> ColdframeError:
    return ColdframeError(f"{place.name}: {place.weights}: preprocessor_config.json: {why}")


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]


def _transformers(*parts: str) -> Any:
    """Import the library with its messages turned off."""
    transformers = quiet.load("transformers", *parts)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return transformers
