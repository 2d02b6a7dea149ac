"""Runs: the trained models in a store, each with everything that made it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.steps import names
from pipeline.steps.settings import is_size
from store import digests
from store.errors import ColdframeError
from store.store import Snapshot

# Kinds of runs: a head on cached features, a network from scratch on pixels, a head with a fine-tuned backbone.
HEAD, NETWORK, FINETUNED = "head", "network", "finetuned"
_ID = re.compile(r"[0-9]{8}T[0-9]{6}-(?P<name>.+)-[0-9a-f]{6}", re.DOTALL)


class NoSuchRun(ColdframeError):
    """A store has no run with a name."""


@dataclass(frozen=True)
class Run:
    """A run of a store.

    Attributes:
        run_id: the time it was made, its name, and a digest of what it was made of.
        kind: :data:`HEAD`, :data:`NETWORK` or :data:`FINETUNED`.
        head: the name of its head, or of its network if it was trained from scratch.
        embedder: its feature sets as ``runs`` shows them.
        embedders: its feature sets; none if it was trained from scratch.
        classes: ascending, in the order of its probabilities.
        settings: the settings it was made with, as JSON types.
        settings_chosen_on: the split whose rows chose its settings, if any.
        finetuned_from: the id of the run it began with, if it is fine-tuned.
        helped: whether fine-tuning made it better on validation rows; None if unknown.
    """

    run_id: str
    created_at: datetime
    name: str
    kind: str
    head: str
    embedder: str
    embedders: tuple[str, ...]
    plan: str
    classes: tuple[str, ...]
    settings: Mapping[str, Any]
    settings_chosen_on: str | None
    seed: int | None
    views: int | None
    finetuned_from: str | None
    helped: bool | None

    @classmethod
    def find(cls, snapshot: Snapshot, asked: str | None) -> Run:
        """Find a run by its id, by the start of an id, or by name (the newest one). Without any of these, find the newest
        run, leaving out fine-tuned ones that did not help.

        Raises:
            ColdframeError: there is no such run or none yet, several ids start so, or the row was not written by training.
        """
        rows = _rows(snapshot)
        if not rows:
            raise NoSuchRun("no run yet; 'coldframe train --head mlp' makes one")
        if asked is None:
            return cls._of_row(next((row for row in rows if row["helped"] is not False), rows[0]))
        named = [row for row in rows if asked in (row["run_id"], row["name"])]
        if named:
            return cls._of_row(named[0])
        begun = [row for row in rows if isinstance(row["run_id"], str) and row["run_id"].startswith(asked)]
        if not begun:
            recent = ", ".join(shown(row["run_id"]) for row in rows[:5])
            raise NoSuchRun(f"no run {asked!r}; the newest are: {recent}")
        if len(begun) > 1:
            raise ColdframeError(
                f"{asked!r} may be any of {', '.join(shown(row['run_id']) for row in begun[:5])}: give more of the id"
            )
        return cls._of_row(begun[0])

    @classmethod
    def newest(cls, snapshot: Snapshot, *, name: str | None = None, kind: str | None = None) -> Run | None:
        """The newest run of a name or a kind; None if there is none.

        Raises:
            ColdframeError: its row was not written by training.
        """
        found = (row for row in _rows(snapshot) if name in (None, row["name"]) and kind in (None, row["kind"]))
        row = next(found, None)
        return None if row is None else cls._of_row(row)

    @classmethod
    def of_id(cls, snapshot: Snapshot, run_id: str) -> Run | None:
        """The run with an id; None if the store no longer has it.

        Raises:
            ColdframeError: its row was not written by training.
        """
        row = next((row for row in _rows(snapshot) if row["run_id"] == run_id), None)
        return None if row is None else cls._of_row(row)

    @classmethod
    def _of_row(cls, row: Mapping[str, Any]) -> Run:
        """Make a run from a row after checking it: the store may come from a stranger."""
        wrong = _wrong_in(row)
        if wrong is not None:
            raise ColdframeError(
                f"the run {shown(row['run_id'])}: its row in the store is not what coldframe writes ({wrong}): name another "
                "run, or train again"
            )
        given = {one.name: row[one.name] for one in fields(cls)}
        given |= {name: tuple(row[name]) for name in ("embedders", "classes")}
        return cls(**given | {"settings": json.loads(row["settings"])})

    @property
    def class_names(self) -> npt.NDArray[np.str_]:
        """Its classes as an array of shape (classes,)."""
        return np.array(self.classes)

    @property
    def reads_vectors(self) -> tuple[str, ...]:
        """The feature sets whose vectors it predicts from; none if it reads pictures."""
        return self.embedders if self.kind == HEAD else ()

    def file(self, snapshot: Snapshot) -> Path:
        """The file of its trained head or network."""
        return snapshot.file("models", self.run_id)


def _rows(snapshot: Snapshot) -> list[dict[str, Any]]:
    import duckdb  # artefacts do not need it

    try:
        return snapshot.rows("steps/runs/runs")
    except duckdb.Error as error:  # a column has another type
        reason = ascii(str(error).split("\n", 1)[0])[:300]
        raise ColdframeError(
            f"{snapshot.root}: its runs are not such as coldframe writes ({reason}): get the store again from where you got it"
        ) from error


def check_name(name: str) -> None:
    """Raises:
    ColdframeError: the name is not allowed for a run.
    """
    names.check("a run", name)


def is_id(text: str) -> bool:
    """Whether a text has the form of ids from :func:`new_id`."""
    found = _ID.fullmatch(text)
    return found is not None and names.is_plain(found["name"])


def shown(run_id: Any) -> str:
    """A run's id for use in a message: escaped if it is not one of ours."""
    return run_id if isinstance(run_id, str) and is_id(run_id) else ascii(run_id)[:100]


def _wrong_in(run: Mapping[str, Any]) -> str | None:
    """What is wrong in a row of ``runs``; None if nothing is."""
    if not isinstance(run["run_id"], str) or not is_id(run["run_id"]):
        return "an id is a time, a name and six hex digits"
    for name in ("name", "head", "plan"):
        if not isinstance(run[name], str):
            return f"it has no {name}"
    if run["kind"] not in (HEAD, NETWORK, FINETUNED):
        return f"of the kind {ascii(run['kind'])[:60]}"
    of_text = {name: run[name] for name in ("classes", "embedders")}
    for name, values in of_text.items():
        if not isinstance(values, list) or not all(isinstance(one, str) for one in values):
            return f"its {name} are not a list of names"
        if len(set(values)) < len(values):
            return f"one of its {name} is there twice"
    if not run["classes"] or run["classes"] != sorted(run["classes"]):
        return "its classes do not ascend, or there are none"
    if not run["embedders"] and run["kind"] != NETWORK:
        return "it has no feature set"
    try:
        settings = json.loads(run["settings"])
    except (TypeError, ValueError, RecursionError):
        settings = None
    if not isinstance(settings, dict):
        return "its settings are not an object"
    if run["kind"] == NETWORK and not is_size(settings.get("size")):
        return "its settings have no size of pictures"
    return None


def new_id(name: str, made_of: Any) -> tuple[str, datetime]:
    """The id of a run made now, and that time. The id has the time, the name, and a digest of what the run was made of."""
    created_at = datetime.now(UTC)
    return f"{created_at:%Y%m%dT%H%M%S}-{name}-{digests.of_json([made_of, str(created_at)])[:6]}", created_at


def name_in(run_id: str) -> str:
    """The name in a run's id."""
    return run_id.split("-", 1)[1].rsplit("-", 1)[0]
