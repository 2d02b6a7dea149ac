"""Commands that a message names: they work when they are pasted."""

from __future__ import annotations

import shlex

from store.schemas import DEFAULT_PLAN


def line(verb: str, name: str, *options: object) -> str:
    """A command as a shell reads it. The name may come from a stranger's store, and is no option and no second command."""
    told = [str(one) for one in options]
    words = [verb, *told, "--", name] if name.startswith("-") else [verb, name, *told]
    return shlex.join(["coldframe", *words])


def command(verb: str, name: str, *options: object) -> str:
    """Such a command in quotation marks."""
    return f"'{line(verb, name, *options)}'"


def split(plan: str, name: str, share: str) -> str:
    """The command that carves a split out of a plan."""
    return command("split", name, share, *([] if plan == DEFAULT_PLAN else ["--plan", plan]))
