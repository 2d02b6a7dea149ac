"""A CLIP of two one-layer towers with random weights, saved in the Hugging Face format, and what transformers makes of it.

Torch is the framework of the tests' own process, so CLIP can run in it.
"""

from __future__ import annotations

import json
import string
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image


def save(folder: Path) -> Path:
    """The model with its tokenizer and processor in a new folder."""
    import torch
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

    folder.mkdir()
    letters = list(string.ascii_lowercase)
    words = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tower = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {**tower, "vocab_size": len(words), "bos_token_id": 52, "eos_token_id": 53, "pad_token_id": 53}
    config = CLIPConfig(text_config=text, vision_config={**tower, "image_size": 32, "patch_size": 8}, projection_dim=12)
    torch.manual_seed(0)
    CLIPModel(config).eval().save_pretrained(folder)
    CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt")).save_pretrained(folder)
    processor = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    processor.save_pretrained(folder)
    return folder


def similarities(folder: Path, texts: Sequence[str], files: Sequence[Path]) -> npt.NDArray[np.float64]:
    """The cosine of each picture with each text, by transformers alone; shape (pictures, texts)."""
    import torch
    from transformers import AutoTokenizer, CLIPImageProcessorPil, CLIPModel

    model, processor = CLIPModel.from_pretrained(folder).eval(), CLIPImageProcessorPil.from_pretrained(folder)
    tokens = AutoTokenizer.from_pretrained(folder)(list(texts), return_tensors="pt", padding=True)
    with torch.inference_mode():
        pixels = processor(images=[Image.open(file).convert("RGB") for file in files], return_tensors="pt")
        logits = model(**tokens, **pixels).logits_per_image / model.logit_scale.exp()
    found: npt.NDArray[np.float64] = logits.numpy().astype(np.float64)
    return found
