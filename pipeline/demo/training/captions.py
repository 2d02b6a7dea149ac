"""The captions of a drawing, and which other drawings they fit.

A caption carries the tags that a drawing must have for it to be true. So a batch has all of its right pairs, not just one per
row. The kinds in ``faults.UNTRAINED`` have no captions: no word for them is ever seen.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

from pipeline.demo.canvas import Colour, Rng
from pipeline.demo.creatures import STANCES
from pipeline.demo.families import PATTERNS
from pipeline.demo.faults import SKETCH
from pipeline.demo.training.drawings import ANIMAL, Subject

INSECTS = ("beetle", "butterfly", "spider")  # a spider is not an insect, but people take it for one
WET = ("water", "seabed")

OF_KIND: dict[str, tuple[str, ...]] = {
    ANIMAL: (
        "a photo of an animal in the wild",
        "a wildlife photograph",
        "a close-up photo of an animal",
        "a photo of a wild animal",
        "a nature photograph of a creature",
    ),
    SKETCH: ("a pencil sketch of an animal", "a black and white drawing", "a grey line drawing of a creature"),
    "xray": ("an x-ray image", "an x-ray image of bones", "an x-ray of a skeleton"),
    "diagram": ("a scientific diagram", "a diagram with arrows and labels", "a chart with bars and lines"),
    "document": ("a page of text", "a scanned page of text", "a document with lines of text"),
    "food": ("a photo of food on a plate", "a plate of food on a table", "a photo of a meal"),
    "person": ("a photo of a person", "a portrait of a person", "a photo of a man or a woman"),
    "landscape": ("an empty landscape", "a photo of a landscape without an animal", "an empty scene"),
    "thing": ("a photo of an object", "a photo of a thing", "a photo of an object without an animal"),
    "sign": ("a sign with writing on it", "a board with writing on a post", "a photo of a sign"),
}


@dataclass(frozen=True)
class Caption:
    """Words, and the tags of the drawings that they fit."""

    text: str
    tags: frozenset[str]


# Words for hues, each up to a bound on the colour wheel; after the last bound it is red again.
HUES = (
    (0.04, "red"),
    (0.11, "orange"),
    (0.19, "yellow"),
    (0.45, "green"),
    (0.7, "blue"),
    (0.85, "purple"),
    (0.96, "pink"),
)
COLOURS = ("dark", "pale", "brown", *(word for _, word in HUES))


def colour_word(colour: Colour) -> str:
    """The plain word for a colour."""
    hue, saturation, value = colorsys.rgb_to_hsv(*(channel / 255 for channel in colour))
    if value < 0.3:
        return "dark"
    if saturation < 0.25:
        return "pale"
    word = next((word for bound, word in HUES if hue < bound), "red")
    return "brown" if word == "orange" and value < 0.65 else word


def tags(subject: Subject) -> frozenset[str]:
    """Everything that captions may say about a drawing."""
    if subject.family is None or subject.kind == SKETCH:
        return frozenset({subject.kind})
    family = subject.family
    found = {ANIMAL, family.plan, colour_word(family.base), family.pattern}
    found |= {"insect"} if family.plan in INSECTS else set()
    found |= {"underwater"} if STANCES[family.plan].habitat in WET else {"outside"}
    return frozenset(found)


def caption(subject: Subject, rng: Rng) -> Caption:
    """One of the captions of a drawing."""
    if subject.family is None or subject.kind == SKETCH or rng.random() < 0.4:
        return Caption(str(rng.choice(OF_KIND[subject.kind])), frozenset({subject.kind}))
    family, place = subject.family, STANCES[subject.family.plan].habitat
    plan, colour = family.plan, colour_word(family.base)
    said = [
        Caption(f"a photo of a {plan}", frozenset({plan})),
        Caption(f"a photo of a {colour} {plan}", frozenset({plan, colour})),
        Caption(f"a {colour} {plan} with {family.pattern} in the wild", frozenset({plan, colour, family.pattern})),
    ]
    if plan in INSECTS:
        said += [Caption("a photo of an insect", frozenset({"insect"}))] * 2
    if place in WET:
        said += [
            Caption("an underwater photo of a sea animal", frozenset({"underwater"})),
            Caption(f"an underwater photo of a {colour} {plan}", frozenset({plan, colour})),
        ]
    return said[int(rng.integers(len(said)))]


def one_of_each_kind(rng: Rng) -> list[Caption]:
    """A caption of every kind, so that each picture of a batch chooses among all kinds, as in use."""
    return [Caption(str(rng.choice(texts)), frozenset({kind})) for kind, texts in OF_KIND.items()]


def every_text() -> list[str]:
    """Text with every word that a caption may use, for the tokenizer."""
    plain = [text for texts in OF_KIND.values() for text in texts]
    return plain + [
        f"an underwater photo of a {colour} {plan} with {pattern} in the wild, an insect, a sea animal"
        for plan in STANCES
        for colour in COLOURS
        for pattern in PATTERNS
    ]
