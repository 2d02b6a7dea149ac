"""Score: one value for each image and scorer, from cached vectors."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.curate import scorers
from pipeline.embed import feature_sets
from pipeline.steps.config import Config
from pipeline.steps.records import NEVER, Record
from pipeline.steps.settings import as_json, check, declared, from_json, incidental, options
from store import opening
from store.errors import ColdframeError
from store.store import Snapshot, Store

STEP = "score"


@dataclass(frozen=True)
class Outcome:
    """How many images have a score now, and how many lack a vector to score."""

    scorer: str
    embedder: str
    scored: int
    without_vector: int


def score(store: Store, name: str, settings: Any) -> Outcome:
    """Compute and store the scores of one scorer for every image that has a vector.

    ``settings`` is an instance of the scorer's own ``Settings``.

    Raises:
        ColdframeError: the feature set it needs does not exist, or the scorer raises one for its own reasons.
        Locked: the same scorer is running already.
    """
    started = time.monotonic()
    check(f"{STEP} {name}", settings)
    settings = _resolved(settings)
    with store.lock(f"score-{name}"):
        snapshot = store.snapshot()
        embedder = feature_sets.choose(snapshot, settings.embedder)
        known = feature_sets.vectors(snapshot, embedder)
        if not len(known.content_ids):
            raise ColdframeError(
                f"{name}: the feature set {embedder!r} is empty; run 'coldframe embed {embedder}' first"
            )
        set_row = feature_sets.row_of(snapshot, embedder)
        feature_set = scorers.FeatureSet(
            embedder, set_row["network"], json.loads(set_row["settings"]), json.loads(set_row["source"])
        )
        files = _digests(settings)  # before they are read: a file that changes meanwhile is noticed the next time
        values = scorers.module(name).score(known, settings, feature_set)
        images = snapshot.select("images", "image_id", "content_id").sort_by("image_id")
        rows = known.positions(images["content_id"])
        has_vector = rows >= 0
        table = images.filter(pa.array(has_vector))
        table = table.append_column("scorer", pa.array([name] * len(table), pa.string()))
        table = table.append_column("value", pa.array(np.asarray(values, np.float64)[rows[has_vector]]))
        with store.commit("score") as commit:
            commit.replace("scores", table, key=name)
            commit.record_step(
                STEP,
                name,
                settings=asdict(settings) | {"embedder": embedder},
                inputs=_inputs(snapshot, embedder, files),
                seconds=time.monotonic() - started,
                rows_in=len(images),
                rows_out=len(table),
            )
    return Outcome(name, embedder, len(table), len(images) - len(table))


def out_of_date(moment: Snapshot | None, config: Config, name: str) -> str | None:
    """Why the images have to be scored again by a scorer; None if they need not be."""
    settings = _resolved(config.settings(scorers.module(name).Settings, STEP, name, flags={}))
    record = Record.of(moment, STEP, name)
    if record is None or moment is None:
        return NEVER
    embedder = feature_sets.choose(moment, settings.embedder)
    inputs = _inputs(moment, embedder, _digests(settings))
    return record.difference(as_json(settings) | {"embedder": embedder}, inputs, type(settings))


def _inputs(moment: Snapshot, embedder: str, files: dict[str, str]) -> dict[str, str]:
    """What the scores depend on besides settings: the vectors, and the content of the files that settings name."""
    return {f"embeddings of {embedder}": feature_sets.digest(moment, embedder)} | files


def _files(settings: Any) -> Iterator[tuple[str, Path]]:
    """The settings that name a file, and the files."""
    for one in declared(type(settings)):
        value = getattr(settings, one.name)
        may_name = one.setting.holds_path or one.setting.may_hold_path
        if may_name and isinstance(value, str) and value not in one.setting.words and Path(value).is_file():
            yield one.name, Path(value)


def _resolved(settings: Any) -> Any:
    """Settings as the store remembers them: files get an absolute path."""
    return replace(settings, **{name: str(file.resolve()) for name, file in _files(settings)})


def _digests(settings: Any) -> dict[str, str]:
    """A digest of each file that settings name."""
    found = {}
    for name, file in _files(settings):
        with opening.open_regular(file, follow=True) as opened:
            found[f"the file of {name}"] = hashlib.file_digest(opened, "sha256").hexdigest()
    return found


def again(moment: Snapshot, config: Config, name: str) -> list[str]:
    """The command that scores again with a scorer."""
    record = Record.of(moment, STEP, name)
    if record is None or name not in scorers.names():  # a scorer of the user's own that has been removed
        return [STEP, name]
    kind = scorers.module(name).Settings
    made = from_json(kind, record.settings)
    return [STEP, name, *options(kind, made, config.defaults(kind, STEP, name), leave_out=tuple(incidental(kind)))]
