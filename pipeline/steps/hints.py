"""Commands that a message names: they work when they are pasted, and do no more than they say, whatever names are in them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable

from store.schemas import DEFAULT_PLAN

_OURS = "coldframe "
_EXPANDED = re.compile(r'["$`\\!\n\r]')  # by a shell, within double quotes


def joined(words: Iterable[str]) -> str:
    """Words of ``coldframe`` as a shell reads them. What looks like a command of ours within a word is taken for none."""
    # such a word has a blank in it, so it is quoted; quotation marks that end and begin again change nothing for a shell
    return " ".join(["coldframe", *(shlex.quote(word).replace(_OURS, "coldframe'' ") for word in words)])


def line(verb: str, name: str, *options: object) -> str:
    """A command as a shell reads it. The name may come from a stranger's store, and is no option and no second command."""
    told = [str(one) for one in options]
    return joined([verb, *told, "--", name] if name.startswith("-") else [verb, name, *told])


def command(verb: str, name: str, *options: object) -> str:
    """Such a command in quotation marks."""
    return _in_marks(line(verb, name, *options))


def _in_marks(line: str) -> str:
    """A command in quotation marks, of which a shell takes none for the end of one that is within it."""
    return f"“{line}”" if "'" in line else f"'{line}'"


def split(plan: str, name: str, share: str) -> str:
    """The command that carves a split out of a plan."""
    return command("split", name, share, *([] if plan == DEFAULT_PLAN else ["--plan", plan]))


def replay(plan: str) -> str:
    """The command that replays a plan."""
    return _in_marks(joined(["curate", *([] if plan == DEFAULT_PLAN else [f"--plan={plan}"])]))


def sql(query: str, **names: str) -> str:
    """The command that asks a query, with names in it as SQL's texts."""
    asked = query.format_map({key: "'" + name.replace("'", "''") + "'" for key, name in names.items()})
    return joined(["sql", asked]) if _EXPANDED.search(asked) or _OURS in asked else f'coldframe sql "{asked}"'
