"""Score: one value for each image and scorer, from cached vectors."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.curate import scorers
from pipeline.embed import feature_sets
from pipeline.steps import hints
from pipeline.steps.again import operand
from pipeline.steps.config import Config
from pipeline.steps.records import NEVER, Record
from pipeline.steps.settings import Declared, as_json, check, from_json, incidental, named_paths, options
from store import opening
from store.errors import ColdframeError
from store.matrices import Vectors
from store.memory import memory_bytes
from store.schemas import SCHEMAS
from store.store import Snapshot, Store

STEP = "score"
FILE_OF = "the file of "  # begins the name of an input that is the file of a setting


@dataclass(frozen=True)
class Outcome:
    """How many images have a score now, and how many lack the vector or the label that the scorer needs."""

    scorer: str
    embedder: str
    scored: int
    without_vector: int
    without_label: int  # of those with a vector


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
    files = _digests(name, settings)  # before they are read: a file that changes meanwhile is noticed the next time
    with store.lock(f"score-{name}"):
        snapshot = store.snapshot()
        embedder = feature_sets.choose(snapshot, settings.embedder)
        known = feature_sets.vectors(snapshot, embedder)
        if not len(known.content_ids):
            raise ColdframeError(
                f"{name}: the feature set {embedder!r} is empty; run {hints.command('embed', embedder)} first"
            )
        set_row = feature_sets.row_of(snapshot, embedder)
        feature_set = scorers.FeatureSet(
            embedder, set_row["network"], json.loads(set_row["settings"]), json.loads(set_row["source"])
        )
        images = snapshot.select("images", "image_id", "content_id", "label").sort_by("image_id")
        table = _rows(name, known, images, settings, feature_set)
        with store.commit("score") as commit:
            commit.replace("scores", table, key=name)
            commit.record_step(
                STEP,
                name,
                settings=asdict(settings) | {"embedder": embedder},
                inputs=_inputs(snapshot, name, embedder, files),
                seconds=time.monotonic() - started,
                rows_in=len(images),
                rows_out=len(table),
            )
    has_vector = known.positions(images["content_id"]) >= 0
    return Outcome(name, embedder, len(table), int((~has_vector).sum()), int(has_vector.sum()) - len(table))


def _rows(name: str, known: Vectors, images: pa.Table, settings: Any, feature_set: scorers.FeatureSet) -> pa.Table:
    """The scores of a scorer, as the dataset holds them: one row per image that it could score."""
    module = scorers.module(name)
    if hasattr(module, "score_images"):
        table = module.score_images(known, images, settings, feature_set)
    else:
        values = np.asarray(module.score(known, settings, feature_set), np.float64)
        rows = known.positions(images["content_id"])
        scored = images.filter(pa.array(rows >= 0)).drop_columns("label")
        table = scored.append_column("value", pa.array(values[rows[rows >= 0]]))
    lacking = {"scorer": name, "suggested": None, "evidence": None, "label": None}
    for column, value in lacking.items():
        if column not in table.column_names:
            table = table.append_column(column, pa.array([value] * len(table), pa.string()))
    return table.select(SCHEMAS["scores"].names)


def out_of_date(moment: Snapshot | None, config: Config, name: str) -> str | None:
    """Why the images have to be scored again by a scorer; None if they need not be.

    If ``config`` has no section for the scorer, the settings are those that it ran with. The files that they name are not opened
    then: the store may be a stranger's.
    """
    record = Record.of(moment, STEP, name)
    if record is None or moment is None:
        return NEVER
    kind = scorers.module(name).Settings
    if name in config.section(STEP):
        settings = _resolved(config.settings(kind, STEP, name, flags={}))
        files = _digests(name, settings)
    else:
        settings = from_json(kind, record.settings)
        files = {one: digest for one, digest in record.inputs.items() if one.startswith(FILE_OF)}
    embedder = feature_sets.choose(moment, settings.embedder)
    inputs = _inputs(moment, name, embedder, files)
    return record.difference(as_json(settings) | {"embedder": embedder}, inputs, type(settings))


def _inputs(moment: Snapshot, name: str, embedder: str, files: dict[str, str]) -> dict[str, str]:
    """What the scores depend on besides settings: vectors, labels if they are looked at, the files that settings name."""
    labels = feature_sets.column_digests(moment, ["label"]) if hasattr(scorers.module(name), "score_images") else {}
    return {f"embeddings of {embedder}": feature_sets.digest(moment, embedder)} | labels | files


def _files(settings: Any) -> Iterator[tuple[Declared, Path]]:
    """The settings that name a file, and the files."""
    return ((one, path) for one, path in named_paths(settings) if os.path.isfile(path))


def _resolved(settings: Any) -> Any:
    """Settings as the store remembers them: files get an absolute path."""
    return replace(settings, **{one.name: str(file.resolve()) for one, file in _files(settings)})


def _digests(name: str, settings: Any) -> dict[str, str]:
    """A digest of each file that settings name.

    Raises:
        ColdframeError: one cannot be read, or is larger than it may be.
    """
    found = {}
    for one, file in _files(settings):
        most = one.setting.most_bytes or memory_bytes()
        try:
            found[f"{FILE_OF}{one.name}"] = opening.sha256(file, most=most, follow=True)
        except OSError as error:
            raise ColdframeError(
                f"{name}: {one.name} = {str(file)!r}: {error.strerror or error}; expected a file that can be read, of at most "
                f"{most} bytes"
            ) from error
    return found


def again(moment: Snapshot, config: Config, name: str) -> list[str]:
    """The command that scores again with a scorer."""
    record = Record.of(moment, STEP, name)
    if record is None or name not in scorers.names():  # a scorer of the user's own that has been removed
        return [STEP, operand(name)]
    kind = scorers.module(name).Settings
    made = from_json(kind, record.settings)
    return [
        STEP,
        operand(name),
        *options(kind, made, config.defaults(kind, STEP, name), leave_out=tuple(incidental(kind))),
    ]
