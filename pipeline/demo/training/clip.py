"""Train a small CLIP on drawings and captions, and save it in the Hugging Face format.

CLIP: Radford et al. 2021, arXiv 2103.00020. A caption often fits several drawings of a batch; all of them count as right pairs,
as in UniCL (Yang et al. 2022, arXiv 2204.03610).
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipeline.demo import MODELS
from pipeline.demo.families import rng_of
from pipeline.demo.faults import SKETCH, TRAINED, UNTRAINED
from pipeline.demo.prompts import BAD_PROMPTS, THRESHOLD_FILE
from pipeline.demo.training import HELD_OUT_WORLD, THRESHOLD_WORLD, TRAINING_WORLD
from pipeline.demo.training.captions import caption, every_text, one_of_each_kind, tags
from pipeline.demo.training.drawings import ANIMAL, Subject, evenly, families_of, pixels
from pipeline.runtime import quiet
from store.matrices import Vectors

SIDE, MARGIN = 64, 8
WIDTH, LAYERS, PATCH, TEXT_WIDTH, TEXT_LAYERS, HEADS, PROJECTION = 128, 4, 8, 96, 2, 4, 64
FAMILIES_PER_BODY, PER_FAMILY, PER_KIND, SKETCHES, THINGS = 280, 2, 400, 400, 900
EPOCHS, BATCH, PEAK_RATE, SEED = 8, 128, 1.5e-3, 0
HELD_OUT_FAMILIES, HELD_OUT_PER_FAMILY, HELD_OUT_PER_KIND = 200, 10, 200
THRESHOLD_FAMILIES, THRESHOLD_PER_FAMILY = 1000, 5
ANIMALS_LOST = 0.002  # the share of good pictures that the demo's threshold may take out
START, END = "<|startoftext|>", "<|endoftext|>"
CARD = """\
---
license: mit
library_name: transformers
tags: [zero-shot-image-classification, clip]
---

# A small CLIP for drawn creatures

A CLIP (Radford et al. 2021) of {parameters:,} parameters in the Hugging Face format: pictures of {side}x{side}, short
English captions. It shows how coldframe works where no pretrained network can be had; it knows nothing of
photographs.

* **Made by** `make models` (`pipeline/demo/training/clip.py`), from random weights: {epochs} epochs of contrastive
  training with every right pair of a batch, AdamW, random crops, flips and light; {minutes:.0f} minutes on two cores,
  measuring included.
* **On** {pictures:,} pictures that `pipeline/demo` draws for training alone: creatures of families that no demo
  shows, pencil sketches of some, and {kinds}. The words are those of `pipeline/demo/training/captions.py`.
* The kind "thing" and the prompts "a photo of an object" and "an empty landscape" stand for whatever else is no
  animal: they are what lets the model turn down a kind it never saw.
* **Never trained on**: {untrained}. No picture of them was drawn for it, and no caption or prompt names them.
* **Measured** on drawings of a third world, with the prompts of the demo's recipe: the shares that `clip-quality` puts
  below 0 and below the recipe's threshold. For animals that is the share wrongly suspected, for all others the share
  found.
* **The threshold**, in `{threshold_file}`, is the value that {lost:.1%} of {lowest_of:,} creatures of a fourth world are
  below. No bad picture and no demo has a part in it.
* **Again**: the same seeds give the same drawings, captions and order. On another machine sums are rounded otherwise, so
  another training finds the same shares within a few points, not the same weights to the bit.

| kind | trained on | below 0 | below {threshold} |
|---|---|---|---|
{found}
"""
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # CLIP's own values


def main() -> None:
    """Train, save and measure."""
    import torch

    transformers = quiet.load("transformers", "CLIPImageProcessorPil", "CLIPModel")
    torch.manual_seed(SEED)
    started = time.monotonic()
    subjects = training_subjects()
    pictures = pixels(subjects, TRAINING_WORLD, SIDE + MARGIN, square=False)
    print(f"drew {len(pictures)} pictures in {time.monotonic() - started:.0f} s", file=sys.stderr)

    folder = MODELS / "clip"
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = save_tokenizer(folder)
    model = transformers.CLIPModel(config(tokenizer))
    fit(model, tokenizer, subjects, pictures)
    model.eval().half().save_pretrained(folder)  # half the size; it is loaded as float32 again
    transformers.CLIPImageProcessorPil(
        size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}, image_mean=MEAN, image_std=STD
    ).save_pretrained(folder)
    parameters = sum(tensor.numel() for tensor in model.parameters())
    threshold = round(lowest_animals(folder), 3)
    (folder / THRESHOLD_FILE).write_text(json.dumps({"clip-quality": threshold}) + "\n")
    write_card(folder, threshold, pictures=len(pictures), parameters=parameters, started=started)


def write_card(folder: Path, threshold: float, *, pictures: int, parameters: int, started: float) -> None:
    """The model card, with the results of :func:`measured`; ``started`` is on the monotonic clock."""
    lines = [
        f"| {kind} | {'no' if kind in UNTRAINED else 'yes'} | {100 * below_zero:.1f} % | {100 * below:.1f} % |"
        for kind, (below_zero, below) in measured(folder, threshold).items()
    ]
    card = CARD.format(
        pictures=pictures,
        epochs=EPOCHS,
        parameters=parameters,
        kinds=", ".join(TRAINED),
        untrained=", ".join(UNTRAINED),
        found="\n".join(lines),
        minutes=(time.monotonic() - started) / 60,
        side=SIDE,
        threshold=threshold,
        threshold_file=THRESHOLD_FILE,
        lost=ANIMALS_LOST,
        lowest_of=THRESHOLD_FAMILIES * THRESHOLD_PER_FAMILY,
    )
    (folder / "README.md").write_text(card, encoding="utf-8")
    print(card)


def training_subjects() -> list[Subject]:
    """Creatures of the training world, sketches of some, and the other kinds to train on."""
    families = evenly(TRAINING_WORLD, FAMILIES_PER_BODY)
    animals = [Subject(ANIMAL, number, one) for one in families for number in range(PER_FAMILY)]
    sketches = [Subject(SKETCH, number, families[number * 2 % len(families)]) for number in range(SKETCHES)]
    others = [Subject(kind, number) for kind in TRAINED for number in range(THINGS if kind == "thing" else PER_KIND)]
    return animals + sketches + others


def save_tokenizer(folder: Path) -> Any:
    """A byte-pair tokenizer in CLIP's format, its merges learned from the captions."""
    pre_tokenizers = quiet.load("tokenizers").pre_tokenizers
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = learned_merges(every_text())
    words = {*letters, *(letter + "</w>" for letter in letters), *("".join(merge) for merge in merges)}
    vocabulary = {word: number for number, word in enumerate([*sorted(words), START, END])}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
    tokenizer = quiet.load("transformers", "CLIPTokenizer").CLIPTokenizer(
        str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=32
    )
    tokenizer.save_pretrained(folder)
    return tokenizer


def learned_merges(texts: list[str]) -> list[tuple[str, str]]:
    """Byte-pair merges, the most frequent pair first, until each word of the texts is one token (Sennrich et al. 2016).

    Ties are broken alphabetically; the library's trainer breaks them differently each time.
    """
    counts = Counter(re.findall(r"[a-z]+|[^\sa-z]+", " ".join(texts)))
    words = {word: [*word[:-1], word[-1] + "</w>"] for word in counts}
    merges: list[tuple[str, str]] = []
    while True:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, pieces in words.items():
            for pair in pairwise(pieces):
                pairs[pair] += counts[word]
        if not pairs:
            return merges
        merges.append(min(pairs, key=lambda pair: (-pairs[pair], pair)))
        words = {word: _merged(pieces, merges[-1]) for word, pieces in words.items()}


def _merged(pieces: list[str], pair: tuple[str, str]) -> list[str]:
    joined: list[str] = []
    for piece in pieces:
        if joined and (joined[-1], piece) == pair:
            joined[-1] += piece
        else:
            joined.append(piece)
    return joined


def config(tokenizer: Any) -> Any:
    """The configuration of two small towers."""

    def tower(width: int, layers: int) -> dict[str, int]:
        return {
            "hidden_size": width,
            "intermediate_size": width * 4,
            "num_hidden_layers": layers,
            "num_attention_heads": HEADS,
        }

    end = tokenizer.convert_tokens_to_ids(END)
    text = {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": 32,
        "bos_token_id": tokenizer.convert_tokens_to_ids(START),
        "eos_token_id": end,
        "pad_token_id": end,
    }
    vision = {"image_size": SIDE, "patch_size": PATCH}
    return quiet.load("transformers", "CLIPConfig").CLIPConfig(
        text_config=tower(TEXT_WIDTH, TEXT_LAYERS) | text,
        vision_config=tower(WIDTH, LAYERS) | vision,
        projection_dim=PROJECTION,
    )


def fit(model: Any, tokenizer: Any, subjects: list[Subject], pictures: npt.NDArray[np.uint8]) -> None:
    """Train with random crops, flips and light; captions are drawn anew in each epoch."""
    import torch

    of_picture = [tags(subject) for subject in subjects]
    decay = [tensor for name, tensor in model.named_parameters() if tensor.ndim > 1]
    rest = [tensor for name, tensor in model.named_parameters() if tensor.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decay, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}], PEAK_RATE
    )
    steps = EPOCHS * (len(pictures) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, total_steps=steps + 1, pct_start=0.1)
    model.train()
    for epoch in range(EPOCHS):
        rng = rng_of("epoch", SEED, epoch)
        order, losses = rng.permutation(len(pictures)), []
        for start in range(0, len(order) - BATCH + 1, BATCH):
            chosen = order[start : start + BATCH]
            said = [caption(subjects[one], rng) for one in chosen] + one_of_each_kind(rng)
            right = np.array([[one.tags <= of_picture[at] for one in said] for at in chosen], np.float32)
            tokens = tokenizer([one.text for one in said], return_tensors="pt", padding=True)
            out = model(**tokens, pixel_values=torch.from_numpy(augmented(pictures[chosen], rng)))
            loss = pair_loss(out.logits_per_image, torch.from_numpy(right))
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            with torch.no_grad():
                model.logit_scale.clamp_(max=float(np.log(50)))
            losses.append(loss.item())
        print(f"epoch {epoch + 1}/{EPOCHS}: loss {np.mean(losses):.3f}", file=sys.stderr)


def pair_loss(logits: Any, right: Any) -> Any:
    """Cross-entropy of pictures to captions and captions to pictures, with equal weight for all right pairs of a batch.

    ``logits`` and ``right`` (0 or 1) have a row per picture and a column per caption. A caption that fits no picture of the batch
    is only a wrong answer to choose from.
    """
    import torch

    log = torch.nn.functional.log_softmax
    to_texts = -(right / right.sum(1, keepdim=True) * log(logits, 1)).sum(1).mean()
    named = right.sum(0) > 0
    right, logits = right[:, named], logits[:, named]
    to_pictures = -(right / right.sum(0, keepdim=True) * log(logits, 0)).sum(0).mean()
    return (to_texts + to_pictures) / 2


def augmented(pictures: npt.NDArray[np.uint8], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """A batch cropped, flipped and lit at random, normalised as CLIP does, shape (n, 3, SIDE, SIDE)."""
    batch = np.empty((len(pictures), SIDE, SIDE, 3), np.float32)
    for at, picture in enumerate(pictures):
        left, top = rng.integers(0, MARGIN + 1, 2)
        batch[at] = picture[top : top + SIDE, left : left + SIDE]
        if rng.random() < 0.5:
            batch[at] = batch[at, :, ::-1]
    batch *= rng.uniform(0.85, 1.15, (len(batch), 1, 1, 3)).astype(np.float32)
    normal = (batch.clip(0, 255) / 255 - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
    return np.ascontiguousarray(normal.transpose(0, 3, 1, 2))


def quality(folder: Path, subjects: list[Subject], world: str) -> npt.NDArray[np.float64]:
    """CLIP quality of the subjects' drawings in a world, with the demo's prompts, shape (n,)."""
    from pipeline.curate.scorers import FeatureSet, clip_quality
    from pipeline.embed import embedders

    options = embedders.Options(weights=str(folder))
    network = embedders.load("clip", options)
    pictures = [Image.fromarray(one) for one in pixels(subjects, world, SIDE, square=False)]
    batches = [pictures[start : start + network.batch] for start in range(0, len(pictures), network.batch)]
    vectors = np.concatenate([network.embed([network.prepare(one) for one in batch]) for batch in batches])
    return clip_quality.score(
        Vectors("clip", np.arange(len(pictures)).astype(str).astype(object), vectors),
        clip_quality.Settings(bad=BAD_PROMPTS),
        FeatureSet("clip", "clip", network.settings, options.to_json()),
    )


def animals(world: str, families: int, per_family: int) -> list[Subject]:
    """Creatures of a number of families of a world, the same number of each."""
    return [Subject(ANIMAL, number, one) for one in families_of(world, families) for number in range(per_family)]


def lowest_animals(folder: Path) -> float:
    """The CLIP quality below which :data:`ANIMALS_LOST` of all animals are, in a world drawn only for this."""
    subjects = animals(THRESHOLD_WORLD, THRESHOLD_FAMILIES, THRESHOLD_PER_FAMILY)
    return float(np.quantile(quality(folder, subjects, THRESHOLD_WORLD), ANIMALS_LOST))


def measured(folder: Path, threshold: float) -> dict[str, tuple[float, float]]:
    """For each kind, the shares with CLIP quality (demo's prompts) below 0 and below the threshold.

    The drawings are from a world used neither in training, nor for the threshold, nor in a demo.
    """
    subjects = animals(HELD_OUT_WORLD, HELD_OUT_FAMILIES, HELD_OUT_PER_FAMILY)
    subjects += [Subject(kind, number) for kind in (*TRAINED, *UNTRAINED) for number in range(HELD_OUT_PER_KIND)]
    value = quality(folder, subjects, HELD_OUT_WORLD)
    kinds = np.array([subject.kind for subject in subjects])
    return {
        kind: (float((value[kinds == kind] < 0).mean()), float((value[kinds == kind] < threshold).mean()))
        for kind in (ANIMAL, *TRAINED, *UNTRAINED)
    }


if __name__ == "__main__":
    main()
