"""Families of invented creatures: a body plan and traits, drawn from the family's name."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass

import numpy as np

from pipeline.demo.canvas import Colour, Rng, hsv

# Body plans by phylum, the more frequent ones first.
PLANS: dict[str, tuple[str, ...]] = {
    "chordata": ("quadruped", "bird", "lizard", "fish", "frog", "snake"),
    "arthropoda": ("beetle", "butterfly", "spider"),
    "mollusca": ("snail", "clam", "octopus"),
    "cnidaria": ("coral", "anemone", "jellyfish"),
    "echinodermata": ("starfish", "urchin"),
}
PATTERNS = ("plain", "stripes", "bands", "spots", "saddle", "speckles", "rings")
# The typical hues of a phylum, as (centre, spread) of a turn: families of one phylum look alike.
HUES: dict[str, tuple[float, float]] = {
    "chordata": (0.09, 0.5),
    "arthropoda": (0.12, 0.45),
    "mollusca": (0.06, 0.25),
    "cnidaria": (0.93, 0.3),
    "echinodermata": (0.03, 0.2),
}


@dataclass(frozen=True)
class Family:
    """What every picture of a family has in common. ``traits`` are numbers from 0 to 1 that the body plan reads."""

    name: str
    phylum: str
    plan: str
    pattern: str
    base: Colour
    accent: Colour
    belly: Colour
    habitats: tuple[int, int]
    traits: tuple[float, ...]


def rng_of(*words: object) -> Rng:
    """A random generator that depends only on the words, on any machine."""
    digest = hashlib.sha256("/".join(map(str, words)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little"))


@functools.lru_cache(maxsize=4096)
def family(name: str, phylum: str, world: object) -> Family:
    """The family of that name in a world (a seed or a name); the same every time."""
    rng = rng_of("family", world, phylum, name)
    plans = PLANS.get(phylum) or [plan for group in PLANS.values() for plan in group]
    share = 1 / (np.arange(len(plans)) + 2.0)
    plan = str(rng.choice(plans, p=share / share.sum()))
    centre, spread = HUES.get(phylum, (0.0, 1.0))
    hue = centre + spread * (rng.random() - 0.5)
    value = rng.uniform(0.38, 0.92)
    saturation = rng.uniform(0.35, 0.85)
    base = hsv(hue, saturation, value)
    contrast = value - 0.45 if value > 0.65 else value + 0.4
    accent = hsv(hue + rng.choice([0.0, 0.07, -0.07, 0.45]), rng.uniform(0.2, 0.9), contrast)
    belly = hsv(hue + 0.02, saturation * 0.45, min(value + 0.3, 0.98))
    first, second = rng.choice(4, 2, replace=False)
    return Family(
        name=name,
        phylum=phylum,
        plan=plan,
        pattern=str(rng.choice(PATTERNS)),
        base=base,
        accent=accent,
        belly=belly,
        habitats=(int(first), int(second)),
        traits=tuple(rng.random(10).tolist()),
    )


BEGINNINGS = (
    "Al",
    "Bre",
    "Cor",
    "Del",
    "Em",
    "Fal",
    "Gri",
    "Hel",
    "Is",
    "Jun",
    "Kal",
    "Lor",
    "Mar",
    "Nel",
    "Or",
    "Pel",
)
MIDDLES = ("ba", "ci", "do", "fe", "go", "li", "mo", "na", "pu", "ra", "so", "ti", "va", "xi")
ENDS = ("lidae", "nidae", "ridae", "tidae", "sidae")


def invented_names(count: int, rng: Rng) -> list[str]:
    """``count`` different names that sound like families, lower case."""
    names: dict[str, None] = {}
    while len(names) < count:
        middle = "".join(rng.choice(MIDDLES, rng.integers(1, 3)))
        names[f"{rng.choice(BEGINNINGS)}{middle}{rng.choice(ENDS)}".lower()] = None
    return list(names)
