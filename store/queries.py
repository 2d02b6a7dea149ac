"""The SQL files: found by path, inside the installed package first, beside it in a checkout otherwise."""

from __future__ import annotations

import functools
import graphlib
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from store.errors import ColdframeError
from store.schemas import SCHEMAS


@functools.cache
def folder() -> Path:
    """The folder that holds ``views``, ``macros``, ``rules``, ``steps`` and ``checks``."""
    here = Path(__file__).resolve().parent
    for candidate in (here / "sql", here.parent / "sql"):
        if candidate.is_dir():
            return candidate
    raise ColdframeError(f"the SQL files of coldframe are missing beside {here}: install it again")


def text(name: str) -> str:
    """The text of ``sql/<name>.sql``, for instance ``steps/curate/carve``.

    Raises:
        ColdframeError: the name leads out of that folder.
    """
    if not re.fullmatch(r"[\w-]+(/[\w-]+)*", name):
        raise ColdframeError(f"{ascii(name)[:100]}: no name of an SQL file, which has letters, digits, _, - and /")
    return (folder() / f"{name}.sql").read_text(encoding="utf-8")


def names(kind: str) -> list[str]:
    """Files in ``sql/<kind>`` and below, sorted, as they are written on the command line (hyphens, no ending)."""
    root = folder() / kind
    return sorted(path.relative_to(root).with_suffix("").as_posix().replace("_", "-") for path in root.rglob("*.sql"))


def uses(sql: str, relation: str) -> bool:
    """Whether SQL text mentions ``relation`` as a word, comments and the raw ``data.`` datasets apart."""
    return re.search(rf"(?<!data\.)\b{re.escape(relation)}\b", _without_comments(sql)) is not None


def _without_comments(sql: str) -> str:
    return re.sub(r"--[^\n]*", "", sql)


@functools.cache
def views() -> list[tuple[str, str]]:
    """``(name, select)`` of each file in ``sql/views``, each after those it reads."""
    found = {path.stem: path.read_text(encoding="utf-8") for path in (folder() / "views").glob("*.sql")}
    reads = {
        name: {other for other in found if other != name and uses(sql, other)} for name, sql in sorted(found.items())
    }
    return [(name, found[name]) for name in graphlib.TopologicalSorter(reads).static_order()]


@functools.cache
def macros() -> str:
    """The text of all files in ``sql/macros``, where those of the steps alone are in ``internal``."""
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted((folder() / "macros").rglob("*.sql")))


@functools.cache
def table_macros() -> frozenset[str]:
    """The names of the macros that give a table."""
    return frozenset(re.findall(r"create macro (\w+)\([^)]*\) as table", macros()))


@functools.cache
def _names_of_macros() -> frozenset[str]:
    return frozenset(re.findall(r"create macro (\w+)\(", macros()))


@dataclass(frozen=True)
class Needed:
    """What a query needs to be there: views, datasets behind them, and whether it calls a macro."""

    views: frozenset[str]
    datasets: frozenset[str]
    macros: bool


def everything() -> Needed:
    """All views, datasets and macros."""
    return Needed(frozenset(name for name, _ in views()), frozenset(SCHEMAS), macros=True)


@functools.cache
def needed_by(sql: str) -> Needed:
    """What a query of ours needs, by the words in it: at least that."""
    words = set(re.findall(r"\w+", _without_comments(sql).lower()))
    return needed(words, words)


def needed(relations: Collection[str], functions: Collection[str]) -> Needed:
    """What a query needs that names these relations, in lower case, and calls these functions."""
    is_calling = not _names_of_macros().isdisjoint(functions)
    selects = dict(views())
    found: set[str] = set()
    todo = {name for name in selects if name in relations or (is_calling and uses(macros(), name))}
    while todo:
        name = todo.pop()
        found.add(name)
        todo |= {other for other in selects if other not in found and uses(selects[name], other)}
    texts = [selects[name] for name in found] + [macros()] * is_calling
    datasets = {name for one in texts for name in re.findall(r"\bdata\.(\w+)", one)} | set(relations)
    return Needed(frozenset(found), frozenset(datasets), is_calling)
