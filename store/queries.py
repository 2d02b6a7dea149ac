"""The SQL files: found by path, inside the installed package first, beside it in a checkout otherwise."""

from __future__ import annotations

import functools
import graphlib
import re
from pathlib import Path

from store.errors import ColdframeError


@functools.cache
def folder() -> Path:
    """The folder that holds ``views``, ``rules``, ``steps`` and ``checks``."""
    here = Path(__file__).resolve().parent
    for candidate in (here / "sql", here.parent / "sql"):
        if candidate.is_dir():
            return candidate
    raise ColdframeError(f"the SQL files of coldframe are missing beside {here}: install it again")


def text(name: str) -> str:
    """The text of ``sql/<name>.sql``, for instance ``steps/curate/carve``."""
    return (folder() / f"{name}.sql").read_text(encoding="utf-8")


def names(kind: str) -> list[str]:
    """Files in ``sql/<kind>`` and below, sorted, as they are written on the command line (hyphens, no ending)."""
    root = folder() / kind
    return sorted(path.relative_to(root).with_suffix("").as_posix().replace("_", "-") for path in root.rglob("*.sql"))


def uses(sql: str, relation: str) -> bool:
    """Whether SQL text mentions ``relation`` as a word, comments and the raw ``data.`` datasets apart."""
    return re.search(rf"(?<!data\.)\b{re.escape(relation)}\b", re.sub(r"--[^\n]*", "", sql)) is not None


@functools.cache
def views() -> list[tuple[str, str]]:
    """``(name, select)`` of each file in ``sql/views``, each after those it reads."""
    found = {path.stem: path.read_text(encoding="utf-8") for path in (folder() / "views").glob("*.sql")}
    reads = {
        name: {other for other in found if other != name and uses(sql, other)} for name, sql in sorted(found.items())
    }
    return [(name, found[name]) for name in graphlib.TopologicalSorter(reads).static_order()]


@functools.cache
def table_macros() -> frozenset[str]:
    """The names of the macros in ``sql/macros.sql`` that give a table."""
    return frozenset(re.findall(r"create macro (\w+)\([^)]*\) as table", text("macros")))
