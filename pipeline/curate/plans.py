"""Plans: named, ordered lists of stages. A stage is a rule that takes images out, or a split carved out of train.

If ``coldframe.toml`` defines a plan, it holds the list of stages; otherwise the store keeps the list last replayed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import tomlkit
from tomlkit.items import AoT, Array

from pipeline.curate import rules
from pipeline.curate.units import BURST
from pipeline.steps.config import Config
from store import whole
from store.errors import ColdframeError, StoreDamaged
from store.rows import json_of, not_ours
from store.schemas import TRAIN
from store.store import Snapshot

MOST_SECONDS = 86_400  # between two pictures of one burst


@dataclass(frozen=True)
class Stage:
    """One stage: ``kind`` is ``rule`` or ``split``, ``name`` the rule's file or the split's name."""

    kind: str
    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    def to_table(self) -> dict[str, Any]:
        """The stage as written in ``coldframe.toml``."""
        return {self.kind: self.name, **self.settings}

    def __str__(self) -> str:
        told = ", ".join(f"{key} = {value}" for key, value in self.settings.items())
        return f"{self.kind} {self.name}" + (f" ({told})" if told else "")


@dataclass(frozen=True)
class Plan:
    """A named list of stages, and the seed that orders units in its splits."""

    name: str
    stages: tuple[Stage, ...] = ()
    seed: int = 0

    def with_stage(self, stage: Stage) -> Plan:
        """The plan with ``stage`` in place of the one of its kind and name, or at the end."""
        stages = list(self.stages)
        for position, present in enumerate(stages):
            if (present.kind, present.name) == (stage.kind, stage.name):
                stages[position] = stage
                return replace(self, stages=tuple(stages))
        return replace(self, stages=(*stages, stage))


def rule_stage(name: str, settings: Mapping[str, Any]) -> Stage:
    """A stage for a rule file.

    Raises:
        ColdframeError: there is no such rule or setting, or a value is not allowed.
    """
    rules.check(name, settings)
    return Stage("rule", name, dict(settings))


def split_stage(name: str, settings: Mapping[str, Any]) -> Stage:
    """A stage that carves ``name`` out of train: a share of it, or the rows where a condition holds.

    Raises:
        ColdframeError: the share is not between 0 and 1, the name is ``train``, a setting is unknown, or there is both a share
            and a condition, or neither.
    """
    unknown = sorted(set(settings) - {"share", "by", "seconds", "where"})
    if unknown:
        raise ColdframeError(f"split {name}: no setting {unknown[0]!r}; settings: share, by, seconds, where")
    share, by, where = settings.get("share"), settings.get("by"), settings.get("where")
    if by is not None and not isinstance(by, str):
        raise ColdframeError(f"split {name}: by = {by!r}, expected the name of one column")
    seconds = settings.get("seconds")
    if seconds is not None:
        if by != BURST:
            raise ColdframeError(f"split {name}: seconds are of bursts: say by = '{BURST}' too, or leave them out")
        if not _is_number(seconds) or not 0 < seconds <= MOST_SECONDS:
            raise ColdframeError(
                f"split {name}: seconds = {seconds!r}, expected more than 0 and at most {MOST_SECONDS}"
            )
    if where is not None:
        if not isinstance(where, str) or not where.strip():
            raise ColdframeError(f"split {name}: where = {where!r}, expected a condition such as \"subset = 'test'\"")
        if share is not None or by is not None:
            raise ColdframeError(f"split {name}: with where, the rows are given: leave out share and by")
    elif share is None or not _is_number(share) or not 0 < share < 1:
        raise ColdframeError(f"split {name}: share {share!r}, expected a number between 0 and 1, such as 0.15")
    if "/" in name:  # it separates the names of an evaluation and its split
        raise ColdframeError(f"split {name!r}: a name with a slash: choose another")
    if name == TRAIN or not name:
        raise ColdframeError(f"split {name!r}: splits are carved out of train: choose another name")
    return Stage("split", name, {key: value for key, value in settings.items() if value is not None})


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def with_seed(plan: Plan, seed: Any) -> Plan:
    """The plan with another seed.

    Raises:
        ColdframeError: not a whole number of at most 63 bits.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or not -(2**63) <= seed < 2**63:
        raise ColdframeError(f"plan {plan.name}: seed = {seed!r}, expected a whole number of at most 63 bits")
    return replace(plan, seed=seed)


def percentiles(settings: Mapping[str, Any]) -> list[float | None]:
    """The percentile of each pass of a rule; one pass without a percentile if none is set."""
    given = settings.get(rules.PASSES)
    listed = list(given) if isinstance(given, list | tuple) else [given]
    return listed or [None]


def _stage_from_table(where: str, table: Mapping[str, Any]) -> Stage:
    kinds = [kind for kind in ("rule", "split") if kind in table]
    if len(kinds) != 1:
        raise ColdframeError(
            f"{where}: a stage is {{ rule = NAME, … }}, {{ split = NAME, share = … }} or {{ split = NAME, where = … }}, got "
            f"{dict(table)}"
        )
    settings = {key: value for key, value in table.items() if key != kinds[0]}
    make = rule_stage if kinds[0] == "rule" else split_stage
    return make(str(table[kinds[0]]), settings)


def from_config(config: Config, name: str) -> Plan | None:
    """The plan as the file defines it, or None."""
    if name not in config.section("plans"):
        return None
    table = config.section("plans", name)
    where = f"{config.path} [plans.{name}]"
    unknown = sorted(set(table) - {"seed", "stages"})
    if unknown:
        raise ColdframeError(f"{where}: no setting {unknown[0]!r}; settings: seed, stages")
    stages, seed = table.get("stages", []), table.get("seed", 0)
    if not isinstance(stages, list) or not all(isinstance(one, Mapping) for one in stages):
        raise ColdframeError(f"{where}: stages should be a list of tables such as {{ rule = 'greyscale' }}")
    plan = with_seed(Plan(name, tuple(_stage_from_table(where, one) for one in stages)), seed)
    counts = Counter((one.kind, one.name) for one in plan.stages)
    doubled = next((one for one in plan.stages if counts[one.kind, one.name] > 1), None)
    if doubled is not None:
        raise ColdframeError(f"{where}: {doubled} is listed twice; a plan lists each rule or split once")
    return plan


def from_store(snapshot: Snapshot, name: str) -> Plan | None:
    """The plan as it was last replayed, or None.

    Raises:
        StoreDamaged: its rows were not written by coldframe, such as a stage whose rule is a file from elsewhere.
    """
    rows = snapshot.rows("steps/curate/plan_stages", plan=name)
    if not rows:
        return None
    record = snapshot.rows("steps/steps/step", step="curate", name=name)
    where = f"plan {name!r}"
    seed = json_of(record[0]["settings"], f"the settings of the last replay of {where}").get("seed") if record else 0
    stages = []
    try:
        for position, row in enumerate(rows, start=1):
            settings = json_of(row["settings"], f"the settings of stage {position} of {where}")
            stages.append(_stage_from_table(where, {**settings, row["kind"]: row["name"]}))
        return with_seed(Plan(name, tuple(stages)), seed)
    except StoreDamaged:
        raise
    except ColdframeError as error:
        raise not_ours(f"the rows of {where} in the store", str(error)) from error


def current(config: Config, snapshot: Snapshot, name: str) -> Plan | None:
    """The plan in force: the file's if the file defines it, else the store's."""
    return from_config(config, name) or from_store(snapshot, name)


def write_to_config(config: Config, plan: Plan) -> bool:
    """Update the file's copy of a plan, keeping its comments; return False if the file does not define the plan."""
    if config.path is None or from_config(config, plan.name) in (None, plan):
        return False
    document = tomlkit.parse(config.path.read_text(encoding="utf-8"))
    table: Any = document["plans"][plan.name]
    if plan.seed != table.get("seed", 0):
        table["seed"] = plan.seed
    if "stages" not in table:
        table["stages"] = tomlkit.array()
    _update_stages(table["stages"], plan.stages)
    whole.replace(config.path, lambda file: file.write(tomlkit.dumps(document).encode()))
    return True


def _update_stages(listed: AoT | Array, stages: tuple[Stage, ...]) -> None:
    """Change only the entries that differ: a plan grows by a stage, or one stage changes."""
    is_array = isinstance(listed, Array)
    for position, stage in enumerate(stages):
        entry: Any = tomlkit.inline_table() if is_array else tomlkit.table()
        entry.update(_plain(stage.to_table()))
        if position >= len(listed):
            if isinstance(listed, Array):
                listed.add_line(entry)
            else:
                listed.append(entry)
        elif listed[position].unwrap() != entry.unwrap():
            listed[position] = entry


def _plain(table: Mapping[str, Any]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in table.items()}
