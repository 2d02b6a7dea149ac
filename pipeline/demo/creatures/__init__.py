"""Creatures by body plan, one file per phylum, each drawn from the traits of its family in a pose of its own.

A plan is a function of a layer, a family and a random generator. Traits define what the family looks like; the generator
defines this creature's pose. ``STANCES`` names the plans and says how far each may turn and where it lives.
"""

from __future__ import annotations

from pipeline.demo.creatures import arthropods, cnidarians, echinoderms, molluscs, vertebrates
from pipeline.demo.creatures.stance import Stance

STANCES: dict[str, Stance] = {
    **vertebrates.STANCES,
    **arthropods.STANCES,
    **molluscs.STANCES,
    **cnidarians.STANCES,
    **echinoderms.STANCES,
}
