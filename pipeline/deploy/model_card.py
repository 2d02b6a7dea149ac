"""The model card as text, beside its JSON: what an artefact predicts, its figures, what it carries, and how to use it in five
lines.

Names of classes, columns and runs come from the user or a stranger, and so do a store's figures. So each value goes through
:func:`literal`, or is a number that is written as one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from pipeline.deploy import agreement, formats
from pipeline.runs import metrics

SHOWN = 12
NO_FIGURE = "–"
# Characters with a meaning in Markdown, GitHub's included. As references: those that end a cell or begin an element even behind
# a backslash, or that readers turn into links (addresses, @names and #numbers). With a backslash: the other marks.
_REFERENCES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", **{one: f"&#{ord(one)};" for one in "\\|#:"}}
_REFERENCES["@"] = "&#64;&#8203;"  # with a zero-width space: GitHub makes a link of an address in either spelling
_MARKS = {one: f"\\{one}" for one in "`*_[]!~$^."}
_BACKSLASH = _REFERENCES["\\"]
_UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")  # controls, characters that change the direction of text, and line ends
_JOINERS = "\u200c\u200d"  # needed to write Persian, Indian scripts and emoji


_HOST = re.compile("www", re.IGNORECASE)  # before a full stop, some readers of Markdown make a link of it


def literal(given: Any) -> str:
    """Markdown that shows anything literally, on one line. Characters that are invisible, or change how others look, are shown by
    their code."""
    text = str(given)
    shown = "".join(map(_character, text, [*text[1:], " "]))
    return _HOST.sub(lambda found: f"{found[0][:2]}&#{ord(found[0][2])};", shown)


def _character(one: str, following: str) -> str:
    if (one in ".:" and following.isspace()) or (one == ":" and following.isdigit()):  # else maybe an address
        return one
    if one in _REFERENCES or one in _MARKS:
        return _REFERENCES.get(one) or _MARKS[one]
    if unicodedata.category(one) in _UNSEEN and one not in _JOINERS:
        return _BACKSLASH + (f"u{ord(one):04x}" if ord(one) < 0x10000 else f"U{ord(one):08x}")
    return one


def text(card: Mapping[str, Any]) -> str:
    """The card as Markdown."""
    height, width = map(int, card["size"])
    return "\n".join(
        [
            f"# {literal(card['run_id'])}",
            "",
            f"A classifier of pictures into {len(card['classes'])} classes: {literal(card['network'])} with the head "
            + literal(card["head"])
            + (", its last layers fine-tuned" if card["kind"] == "finetuned" else "")
            + f". Trained on {_number(card['training_images'])} images. Made by coldframe {literal(card['coldframe'])} on "
            f"{literal(card['created_at'])}.",
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
            "$ coldframe predict /full/path/to/this/folder photo.jpg",
            "```",
            "",
            "or from Python, without coldframe:",
            "",
            "```python",
            formats.use(card["format"], (height, width)),
            "```",
            "",
            "Put the full path of this folder into it, save it in another folder, and run it there with `python -P`: otherwise "
            "Python imports from the working folder, or that of the script, and whoever gave you this folder could have put a "
            "module of any name into it.",
            "",
            "The line with `runpy` runs `decoding.py`, a program that came with this folder: read it first. Or, where coldframe "
            "is installed, write `from pipeline.ingest.decoding import decode, resize` in place of that line: the same code, "
            "from a source of your own.",
            "",
            "`taxonomy` in `card.json` gives the classes that occur with each value of a column of the catalogue"
            + (f" ({_some(list(card['taxonomy']))})" if card["taxonomy"] else " (there is none)")
            + ": set the probabilities of the others to 0 where a value is known (`coldframe predict --where COLUMN=VALUE`).",
            "",
            "## What it carries",
            "",
            *_carried(card),
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
        f"Loaded in a fresh process, this file gave what the run's network gives in float32 on "
        f"{_number(card['compared_images'])} images: the largest difference in probability was "
        f"{_number(card['largest_difference'], '.2g')}.",
        *_agreement(card.get("agreement")),
    ]
    own = card["artefact"]
    if own is None:
        lines.append("It was not evaluated: the split asked for had no row.")
    else:
        lines.append(
            f"This file itself, on the {_number(own['rows'])} {literal(own['split'])} rows: accuracy "
            f"{_figure(own['accuracy'])}, macro F1 {_figure(own['f1_macro'])} over the {_number(own['classes'])} classes that "
            "occur there."
        )
    tuned = card["finetuned"]
    if tuned and tuned["helped"] is not None:
        helped = (
            "" if tuned["helped"] else f": it did not help, and {literal(tuned['finetuned_from'])} is the better model"
        )
        accuracy, loss = (
            f"{_figure(tuned[f'val_{one}_before'])} to {_figure(tuned[f'val_{one}_after'])}"
            for one in ("accuracy", "loss")
        )
        lines.append(
            f"Fine-tuning took accuracy on the validation rows, which chose its epoch, from {accuracy}, loss from {loss}{helped}."
        )
    if card["evaluations"]:
        lines += [
            "",
            f"Figures of the run in the store it comes from ({metrics.METHOD}):",
            "",
            "| evaluation | split | rows | accuracy | macro F1 | top 5 |",
            "|---|---|---|---|---|---|",
        ]
    for row in card["evaluations"]:
        accuracy, f1 = (
            _figure(row[name])
            + (
                ""
                if row[f"{name}_low"] is None or row[f"{name}_high"] is None
                else f" ({_figure(row[f'{name}_low'])} to {_figure(row[f'{name}_high'])})"
            )
            for name in ("accuracy", "f1_macro")
        )
        is_seen = row["rows_trained_on"] or row["rows_selected_on"]
        seen = " (some seen in training or selection: too optimistic)" if is_seen else ""
        lines.append(
            f"| {literal(row['evaluation'])} | {literal(row['split'])}{seen} | {_number(row['rows'])} | {accuracy} | {f1} | "
            f"{_figure(row['top5'])} |"
        )
    return lines


def _agreement(given: Mapping[str, Any] | None) -> list[str]:
    """How it agrees with the run's own answers; cards of earlier versions do not say."""
    return [] if given is None else [agreement.tell(given, _number, literal)]


def _figure(given: Any) -> str:
    """A figure; stores of earlier versions lack some."""
    return NO_FIGURE if given is None else _number(given, ".4f")


def _number(given: Any, form: str = "") -> str:
    """A number as it is written; anything else literally."""
    return format(given, form) if type(given) in (int, float) else literal(given)


def _carried(card: Mapping[str, Any]) -> list[str]:
    """What the folder holds of the catalogue: whoever passes the folder on passes this on."""
    columns, images = card["carries"]["columns"], card["carries"]["training_images"]
    return [
        "* Columns of the catalogue: "
        + (
            f"{', '.join(map(literal, columns))}. `card.json` has their values, with the classes that occur with each, and not "
            "which image has which."
            if columns
            else "none."
        ),
        "* Training images: "
        + (
            f"{_number(images)}, each with its id, its label and its vector, in `neighbours.npz`. Ids may be paths, or names of "
            "people; a vector says something of what its picture shows. `--no-neighbours` leaves them out."
            if images
            else "none, neither ids nor vectors."
        ),
        "* The names of the classes, figures, and how many training images have which licence where the catalogue states them. "
        "No picture, and no other column.",
    ]


def _licences(count_of: Mapping[str, int]) -> str:
    if not count_of:
        return "the catalogue does not state their licences."
    return (
        "as the catalogue states: "
        + ", ".join(f"{literal(name)} ({_number(count)})" for name, count in count_of.items())
        + "."
    )


def _some(names: list[str]) -> str:
    return ", ".join(map(literal, names[:SHOWN])) + (f", … ({len(names)})" if len(names) > SHOWN else "")


def _weights(name: str) -> str:
    if name == "random":
        return "begun from random numbers."
    begun = "those of Keras Applications" if name == "imagenet" else literal(name)
    return (
        f"begun from {begun}. Keras Applications' own code is under the Apache License 2.0; its ImageNet weights, if that is "
        "what these are, were trained on pictures that ImageNet gives out for non-commercial research and education."
    )
