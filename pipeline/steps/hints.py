"""Commands that a message names: they work when they are pasted."""

from __future__ import annotations

import shlex

from store.schemas import DEFAULT_PLAN


def split(plan: str, name: str, share: str) -> str:
    """The command that carves a split out of a plan."""
    on = "" if plan == DEFAULT_PLAN else f" --plan {shlex.quote(plan)}"
    return f"'coldframe split {name} {share}{on}'"
