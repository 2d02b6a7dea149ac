"""The model card in words, beside its JSON: what an artefact predicts, what it is worth, and how to use it in five lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline import formats

SHOWN = 12


def text(card: Mapping[str, Any]) -> str:
    """The card as Markdown."""
    height, width = card["size"]
    return "\n".join(
        [
            f"# {card['run_id']}",
            "",
            f"A classifier of pictures into {len(card['classes'])} classes: {card['network']} with the head {card['head']}"
            + (", its last layers fine-tuned" if card["kind"] == "finetuned" else "")
            + f". Trained on {card['training_images']} images. Made by coldframe {card['coldframe']} on {card['created_at']}.",
            "",
            f"* **In:** uint8 RGB, shape (n, {height}, {width}, 3), as `decode` and `resize` of `decoding.py` here give it.",
            f"* **Out:** probabilities, float32, shape (n, {len(card['classes'])}), in the order of `classes` in `card.json`.",
            f"* **Classes:** {_some(card['classes'])}.",
            "",
            "## What it is worth",
            "",
            *_worth(card),
            "",
            "## How to use it",
            "",
            "```console",
            "$ coldframe predict . photo.jpg",
            "```",
            "",
            "or without coldframe, in this folder:",
            "",
            "```python",
            formats.use(card["format"], (height, width)),
            "```",
            "",
            "`taxonomy` in `card.json` gives the classes that occur with each value of a column of the catalogue"
            + (f" ({_some(list(card['taxonomy']))})" if card["taxonomy"] else " (there is none)")
            + ": set the probabilities of the others to 0 where a value is known (`coldframe predict --where COLUMN=VALUE`).",
            "",
            "## Licences",
            "",
            f"* Weights: {_weights(card['weights'])}",
            "* Training images: " + _licences(card["image_licences"]),
            "* `decoding.py` is coldframe's, under the MIT License.",
            "",
        ]
    )


def _worth(card: Mapping[str, Any]) -> list[str]:
    lines = [
        f"Loaded in a fresh process, this file gave what the run gives on {card['compared_images']} images: the largest "
        f"difference in probability was {card['largest_difference']:.2g}."
    ]
    own = card["artefact"]
    if own is None:
        lines.append("It was not evaluated: the split asked for had no row.")
    else:
        lines.append(
            f"This file itself, on the {own['rows']} {own['split']} rows: accuracy {own['accuracy']:.4f}, macro F1 "
            f"{own['f1_macro']:.4f} over the {own['classes']} classes that occur there."
        )
    tuned = card["finetuned"]
    if tuned and tuned["helped"] is not None:
        helped = "" if tuned["helped"] else f": it did not help, and {tuned['finetuned_from']} is the better model"
        accuracy, loss = (
            f"{tuned[f'val_{one}_before']:.4f} to {tuned[f'val_{one}_after']:.4f}" for one in ("accuracy", "loss")
        )
        lines.append(
            f"Fine-tuning took accuracy on the validation rows, which chose its epoch, from {accuracy}, loss from {loss}{helped}."
        )
    if card["evaluations"]:
        lines += [
            "",
            "Figures of the run in the store it comes from (95 % intervals by bootstrap):",
            "",
            "| evaluation | split | rows | accuracy | macro F1 | top 5 |",
            "|---|---|---|---|---|---|",
        ]
    for row in card["evaluations"]:
        accuracy, f1 = (
            f"{row[name]:.4f} ({row[f'{name}_low']:.4f} to {row[f'{name}_high']:.4f})"
            for name in ("accuracy", "f1_macro")
        )
        flattered = (row["rows_trained_on"] or 0) + (row["rows_selected_on"] or 0)
        seen = " (some seen in training or selection: they flatter)" if flattered else ""
        lines.append(
            f"| {row['evaluation']} | {row['split']}{seen} | {row['rows']} | {accuracy} | {f1} | {row['top5']:.4f} |"
        )
    return lines


def _licences(count_of: Mapping[str, int]) -> str:
    if not count_of:
        return "the catalogue does not state their licences."
    return "as the catalogue states: " + ", ".join(f"{name} ({count})" for name, count in count_of.items()) + "."


def _some(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f", … ({len(names)})" if len(names) > SHOWN else "")


def _weights(name: str) -> str:
    if name == "random":
        return "begun from random numbers."
    return (
        f"begun from {'those of Keras Applications' if name == 'imagenet' else name}. Keras Applications' own code is under the "
        "Apache License 2.0; its ImageNet weights, if that is what these are, were trained on pictures that ImageNet gives out "
        "for non-commercial research and education."
    )
