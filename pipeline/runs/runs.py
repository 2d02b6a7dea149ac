"""Runs: what was trained, in the store with all that made it."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.runs import judgement
from pipeline.runs.judgement import Judgement
from pipeline.runs.rows import Rows
from store import digests
from store.errors import ColdframeError
from store.schemas import SCHEMAS
from store.store import Commit, Snapshot

# Kinds of runs: a head on cached features, a network from scratch on pixels, a head with its backbone's last layers fine-tuned.
HEAD, NETWORK, FINETUNED = "head", "network", "finetuned"
MOST_NAME = 150  # bytes of a run's name: its id, and what is made of it, is the name of a folder
MOST_SIDE = 8192  # pixels of a picture as a network takes it
_ID = re.compile(r"[0-9]{8}T[0-9]{6}-(?P<name>.+)-[0-9a-f]{6}", re.DOTALL)
_BIDI = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")  # they show a name as another
LIBRARIES = ("coldframe", "keras", "tensorflow", "torch", "numpy", "scikit-learn", "duckdb", "pyarrow", "pillow")


@dataclass(frozen=True)
class Outcome:
    """A trained run, and its out-of-fold judgement if folds were asked for; ``by_epoch``: the weights are those of its best
    epoch, not of its last."""

    run_id: str
    train_rows: int
    val_rows: int
    classes: int
    history: dict[str, list[float]]
    seconds: float
    notes: tuple[str, ...]
    by_epoch: bool = False
    folds: Judgement | None = None

    @property
    def epochs(self) -> int:
        """Passes over the training rows; 0 for a head that is not trained so."""
        return len(self.history.get("loss", []))

    def kept(self, measure: str) -> float | None:
        """A measure at the epoch whose weights were kept: that of the least validation loss, or training loss without it."""
        values = self.history.get(measure)
        if not values:
            return None
        watched = self.history.get("val_loss", self.history["loss"])
        return values[int(np.argmin(watched)) if self.by_epoch else -1]


def check_name(name: str) -> None:
    """Raises:
    ColdframeError: a run cannot be called so.
    """
    if not is_name(name) or _BIDI.search(name):
        raise ColdframeError(
            f"a run called {ascii(name)[:60]}: expected a name without a slash or control characters in it, and not an empty one"
        )
    if len(name.encode()) > MOST_NAME:
        raise ColdframeError(f"a run called {name[:40]!r}…: expected a name of at most {MOST_NAME} bytes")


def is_name(name: str) -> bool:
    """Whether a run's id can have this name in it: it may become part of the name of a folder."""
    return bool(name) and not any(one in "/\\" or unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp") for one in name)


def is_id(text: str) -> bool:
    """Whether :func:`new_id` gives such ids."""
    found = _ID.fullmatch(text)
    return found is not None and is_name(found["name"])


def find_run(snapshot: Snapshot, run_id: str | None) -> dict[str, Any]:
    """The run of an id or of the start of one, the newest of a name, or the newest of all that no fine-tuning made worse.

    Raises:
        ColdframeError: no such run, none yet, ids of several that start so, or a row that no training has written.
    """
    run = _find(snapshot, run_id)
    check_row(run)
    return run


def _find(snapshot: Snapshot, run_id: str | None) -> dict[str, Any]:
    import duckdb  # not for artefacts

    try:
        rows = snapshot.rows("steps/train/runs")
    except duckdb.Error as error:  # a column of another type
        reason = ascii(str(error).split("\n", 1)[0])[:300]
        raise ColdframeError(
            f"{snapshot.root}: its runs are not such as coldframe writes ({reason}): have the store from its maker again"
        ) from error
    if not rows:
        raise ColdframeError("no run yet; 'coldframe train --head mlp' makes one")
    if run_id is None:
        return next((run for run in rows if run["helped"] is not False), rows[0])
    named = [run for run in rows if run_id in (run["run_id"], run["name"])]
    if named:
        return named[0]
    begun = [run for run in rows if isinstance(run["run_id"], str) and run["run_id"].startswith(run_id)]
    if not begun:
        recent = ", ".join(shown(run["run_id"]) for run in rows[:5])
        raise ColdframeError(f"no run {run_id!r}; the newest are: {recent}")
    if len(begun) > 1:
        raise ColdframeError(
            f"{run_id!r} may be any of {', '.join(shown(run['run_id']) for run in begun[:5])}: say more of it"
        )
    return begun[0]


def check_row(run: Mapping[str, Any]) -> None:
    """Check a row of ``runs`` before anything is made of it: a store may come from a stranger.

    Raises:
        ColdframeError: no training has written this row.
    """
    wrong = _wrong_in(run)
    if wrong is not None:
        raise ColdframeError(
            f"the run {shown(run['run_id'])}: its row in the store is not what coldframe writes ({wrong}): name another run, or "
            "train again"
        )


def shown(run_id: Any) -> str:
    """A run's id as a message may show it: escaped, where it is none of ours."""
    return run_id if isinstance(run_id, str) and is_id(run_id) else ascii(run_id)[:100]


def _wrong_in(run: Mapping[str, Any]) -> str | None:
    """What is wrong in a row of ``runs``; None where nothing is."""
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
            return f"its {name} are no list of names"
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
        return "its settings are no settings"
    if run["kind"] == NETWORK and not is_size(settings.get("size")):
        return "its settings have no size of pictures"
    return None


def is_size(given: Any) -> bool:
    """Whether this is the [height, width] in pixels of what a network takes, out of JSON."""
    return (
        isinstance(given, list) and len(given) == 2 and all(type(one) is int and 1 <= one <= MOST_SIDE for one in given)
    )


def new_id(name: str, made_of: Any) -> tuple[str, datetime]:
    """The id of a run made now: the time, the name, and a digest of what it was made of; and that time."""
    created_at = datetime.now(UTC)
    return f"{created_at:%Y%m%dT%H%M%S}-{name}-{digests.of_json([made_of, str(created_at)])[:6]}", created_at


def name_in(run_id: str) -> str:
    """The name in a run's id."""
    return run_id.split("-", 1)[1].rsplit("-", 1)[0]


def keep(
    commit: Commit,
    run_id: str,
    created_at: datetime,
    facts: Mapping[str, Any],
    *,
    file: bytes,
    suffix: str,
    settings: Mapping[str, Any],
    history: Mapping[str, list[float]],
    seen: Sequence[Rows],
    judgements: Sequence[Judgement] = (),
) -> None:
    """Put a run into a commit.

    Args:
        facts: the columns of ``runs`` that only its maker knows.
        file: the trained head or network.
        seen: the rows it learned from, then those that had another say in it.
        judgements: evaluations that came with its making.
    """
    row = {
        **dict.fromkeys(SCHEMAS["runs"].names),
        **facts,
        "run_id": run_id,
        "created_at": created_at,
        "name": name_in(run_id),
        "train_rows": len(seen[0]),
        "val_rows": sum(len(rows) for rows in seen[1:]),
        "epochs": len(history.get("loss", [])),
        "settings": json.dumps(settings, sort_keys=True),
        "history": json.dumps(history),
        "versions": json.dumps(_versions()),
    }
    commit.add_file("models", file, key=run_id, suffix=suffix)
    commit.append("runs", pa.Table.from_pylist([row], SCHEMAS["runs"]), key=run_id)
    commit.append("run_rows", _rows(run_id, seen), key=run_id)
    for one in judgements:
        judgement.keep_judgement(commit, one)


def _rows(run_id: str, seen: Sequence[Rows]) -> pa.Table:
    columns = {
        name: np.concatenate([getattr(rows, attribute) for rows in seen]).tolist()
        for name, attribute in (
            ("image_id", "image_ids"),
            ("content_id", "content_ids"),
            ("label", "labels"),
            ("split", "splits"),
        )
    }
    return pa.table({"run_id": [run_id] * len(columns["image_id"]), **columns}, SCHEMAS["run_rows"])


def _versions() -> dict[str, str]:
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in LIBRARIES}
