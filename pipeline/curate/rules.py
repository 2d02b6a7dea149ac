"""Rules: one SQL file each in ``sql/rules``. The file also declares the rule's settings.

A setting is a named parameter, such as ``$bits``. Its type and default come from its first ``coalesce($bits::integer, 4)``.
Without a coalesce, its type is text or what it is cast to, and it is NULL if not given. A comment line describes it::

    -- setting bits (0 to 7): Most of the 64 bits of the hashes that may differ.

The brackets are optional. They hold bounds, or the allowed values as in ``train | all``. A ``threshold`` without a default has
to be given. A rule with the setting
``percentile`` is passed once for each of its values.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pipeline.curate.relations import RELATIONS
from pipeline.steps.settings import Declared, Setting, declared
from store import queries
from store.errors import ColdframeError

PASSES = "percentile"  # the setting with a value for each pass
NEEDED = "threshold"  # the setting that has to be given where it has no default
_TYPES = {"double": float, "float": float, "integer": int, "bigint": int, "boolean": bool}
_HELP = re.compile(r"^-- setting (?P<name>\w+)(?: \((?P<values>[^)\n]*)\))?: (?P<help>.*)\n", re.MULTILINE)
_PARAMETER = re.compile(
    r"(?P<coalesce>coalesce\(\s*)?\$(?P<name>[a-z_]\w*)(?:::(?P<type>\w+))?(?:\s*,\s*(?P<default>'[^']*'|-?[\d.]+|true|false)\s*\))?"
)


def relations(name: str) -> list[str]:
    """The relations made from vectors that a rule reads."""
    return [relation for relation in RELATIONS if queries.uses(text(name), relation)]


def names() -> list[str]:
    """The available rules, as written on the command line."""
    return queries.names("rules")


def file(name: str) -> str:
    """The SQL file of a rule, in the form that :func:`store.queries.text` takes."""
    return f"rules/{name.replace('-', '_')}"


def text(name: str) -> str:
    """The SQL of a rule that a replay depends on, without the descriptions of its settings."""
    return _HELP.sub("", queries.text(file(name)))


def describe(name: str) -> str:
    """What a rule takes out: the first sentence of its file."""
    comment = re.match(r"(?:--[^\n]*\n)*", queries.text(file(name)))
    told = " ".join(line.removeprefix("--").strip() for line in (comment[0] if comment else "").splitlines())
    return f"Takes out each {told.removeprefix('One row per ').split('. ', 1)[0].rstrip('.')}."


def settings(name: str) -> tuple[Declared, ...]:
    """The settings of a rule.

    Raises:
        ColdframeError: there is no such rule.
    """
    if name not in names():
        raise ColdframeError(f"no rule {name!r}; available: {', '.join(names())}")
    whole = queries.text(file(name))
    told = {found["name"]: found for found in _HELP.finditer(whole)}
    sql = re.sub(r"--[^\n]*", "", whole)
    found: dict[str, Declared] = {}
    for one in _PARAMETER.finditer(sql):
        if one["name"] not in found:
            found[one["name"]] = _declared(one, told.get(one["name"]))
    for relation in relations(name):
        for of_relation in declared(RELATIONS[relation].settings):
            found.setdefault(of_relation.name, of_relation)
    return tuple(found.values())


def check(name: str, given: Mapping[str, Any]) -> None:
    """Check the settings of a stage.

    Raises:
        ColdframeError: there is no such rule or setting, or a value is not allowed.
    """
    known = {one.name: one for one in settings(name)}
    if NEEDED in known and known[NEEDED].default is None and given.get(NEEDED) is None:
        about = known[NEEDED].setting.help
        raise ColdframeError(f"rule {name}: it takes out nothing by itself: give --threshold NUMBER. {about}")
    for key, value in given.items():
        if key not in known:
            has = f"settings: {', '.join(sorted(known))}" if known else "it has none"
            raise ColdframeError(f"rule {name}: no setting {key!r}; {has}")
        values = value if known[key].takes_several and isinstance(value, list | tuple) else [value]
        for single in values:
            if not known[key].fits(single) or not known[key].setting.is_right(single):
                raise ColdframeError(f"rule {name}: {key} = {single!r}, expected {known[key].expected}")


def doubts(name: str, given: Iterable[float | None]) -> list[str]:
    """A sentence for each percentile that is likely a share: as percent it takes out nearly all rows."""
    return [
        f"rule {name}: {PASSES} = {one:g} is in percent, and takes out nearly all: did you mean {100 * one:g}?"
        for one in given
        if one is not None and one < 1
    ]


def _declared(found: re.Match[str], told: re.Match[str] | None) -> Declared:
    literal = found["default"] if found["coalesce"] else None
    kind = _TYPES.get(found["type"] or "", str)
    default: Any = None
    if literal is not None:
        is_text = literal.startswith("'")
        kind = kind if found["type"] or is_text else bool if literal in ("true", "false") else float
        default = literal.strip("'") if is_text else literal == "true" if kind is bool else kind(literal)
    facts = _facts(told["values"] or "" if told else "")
    if found["name"] == PASSES:
        facts = {"above": 0, "below": 100, **facts}
        return Declared(PASSES, tuple[float, ...] | None, default, Setting(_help(told), **facts))
    return Declared(found["name"], kind | None, default, Setting(_help(told), **facts))


def _help(told: re.Match[str] | None) -> str:
    return told["help"] if told else ""


def _facts(values: str) -> dict[str, Any]:
    """``0 to 7`` as bounds, ``train | all`` as choices."""
    bounds = re.fullmatch(r"(-?[\d.]+) to (-?[\d.]+)", values.strip())
    if bounds:
        return {"least": float(bounds[1]), "most": float(bounds[2])}
    return {"choices": tuple(one.strip() for one in values.split("|"))} if values.strip() else {}
