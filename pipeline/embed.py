"""Embed: one vector for each content, through a frozen network, once.

Batches are committed every few seconds; a run that was killed goes on behind its last commit.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline import decoding, embedders
from pipeline.config import PATH_OR_NAME
from pipeline.embedders import Embedder
from pipeline.progress import Progress
from store import digests
from store.compaction import compact
from store.errors import ColdframeError
from store.matrices import from_matrix
from store.schemas import FILE_FACTS, SCHEMAS, failure_columns
from store.store import Snapshot, Store

BATCHES_AHEAD = 3
COMPACT_EVERY = 32  # commits
FEATURE_SET = "feature set"  # among the inputs of the step
STORE_TYPES = {"float32": np.float32, "float16": np.float16}


@dataclass(frozen=True)
class Settings:
    """What ``embed`` can be told. ``size`` is ``HxW`` or one number; ``embedder`` the network's name."""

    embedder: str | None = None
    weights: str | None = field(default=None, metadata=PATH_OR_NAME)
    size: str | None = None
    batch: int | None = None
    limit: int | None = None
    store_as: str = "float32"
    seed: int = 0
    max_pixels: int = decoding.MAX_PIXELS
    commit_seconds: float = 5.0


@dataclass(frozen=True)
class Outcome:
    """What an embed did, in contents (equal files count once)."""

    embedder: str
    cached: int
    embedded: int
    failed: int
    left: int
    dimensions: int
    startup_seconds: float
    seconds: float


def parse_size(text: str | None) -> tuple[int, int] | None:
    """``380``, ``380x380`` or ``375x500`` (height x width) as two positive numbers of pixels."""
    if text is None:
        return None
    parts = str(text).lower().split("x")
    if len(parts) not in (1, 2) or not all(part.isdigit() and int(part) for part in parts):
        raise ColdframeError(f"size {text!r}: expected HEIGHTxWIDTH in pixels, such as 380x380 or 375x500")
    return int(parts[0]), int(parts[-1])


def embed(store: Store, name: str, settings: Settings, *, quiet: bool = False) -> Outcome:
    """Fill the feature set ``name``: a vector for each content that has none.

    Raises:
        ColdframeError: the weights cannot be had, or the set was made with other settings (it says which).
        Locked: another embed is filling the same set.
    """
    if (settings.batch or 1) < 1 or (settings.limit or 0) < 0 or settings.max_pixels < 1:
        raise ColdframeError(
            f"embed {name}: batch = {settings.batch}, limit = {settings.limit}, max_pixels = {settings.max_pixels}: expected "
            "at least 1, 0 and 1"
        )
    if not 0 <= settings.seed < 2**32:
        raise ColdframeError(f"embed {name}: seed = {settings.seed}, expected from 0 to 4294967295")
    if settings.store_as not in STORE_TYPES:
        raise ColdframeError(f"--store-as {settings.store_as}: expected one of {', '.join(STORE_TYPES)}")
    with store.lock(f"embed-{name}"):
        started = time.monotonic()
        settings = resolved(settings)
        network = embedders.load(settings.embedder or name, _options(settings))
        if settings.batch:
            network.batch = settings.batch
        before = store.snapshot()
        root = image_root(before)
        _open_set(store, before, name, settings, network)
        todo = before.query("steps/embed/missing", embedder=name)
        contents = before.value("steps/embed/contents")
        missing = todo.num_rows
        if settings.limit is not None:
            todo = todo.slice(0, settings.limit)
        startup = time.monotonic() - started
        run = _Run(store, name, settings, network, root)
        embedded, failed = run.fill(todo["content_id"].to_pylist(), todo["paths"].to_pylist(), quiet=quiet)
        seconds = time.monotonic() - started
        with store.commit("embed") as commit:
            if failed or before.query("steps/images/failures_of", step="embed", name=name).num_rows:
                commit.replace("failures", _failures(before, name, failed), key=f"embed/{name}")
            commit.record_step(
                "embed",
                name,
                settings=asdict(settings),
                inputs=_copy_of_set(store, name),
                seconds=seconds,
                rows_in=contents,
                rows_out=contents - missing + embedded,
            )
        compact(store, "embeddings", name)
    left = missing - embedded - len(failed)
    return Outcome(
        name, contents - missing, embedded, len(failed), left, network.dimensions, startup, seconds - startup
    )


def resolved(settings: Settings) -> Settings:
    """The settings with an absolute path to weights that are a local file or folder, as a store remembers them."""
    if settings.weights and Path(settings.weights).exists():
        return replace(settings, weights=str(Path(settings.weights).resolve()))
    return settings


def _options(settings: Settings) -> embedders.Options:
    return embedders.Options(settings.weights, parse_size(settings.size), settings.seed)


def image_root(snapshot: Snapshot) -> Path:
    """The image folder of the last ingest.

    Raises:
        ColdframeError: nothing was ingested yet, or the folder is gone.
    """
    records = snapshot.rows("steps/status/step", step="ingest", name="")
    if not records:
        raise ColdframeError(f"{snapshot.root}: no catalogue yet; start with 'coldframe ingest METADATA --images DIR'")
    root = Path(json.loads(records[0]["settings"])["images"])
    if not root.is_dir():
        raise ColdframeError(
            f"{root}: the image folder is not there any more; run 'coldframe ingest' again with --images where it is now"
        )
    return root


def set_settings(settings: Settings, name: str, network: Embedder) -> dict[str, Any]:
    """Everything a vector of the set depends on; two sets of equal settings hold equal vectors."""
    return {
        "embedder": settings.embedder or name,
        "decoding": decoding.RULES_VERSION,
        "augmentation": "none",
        "dimensions": network.dimensions,
        "store_as": settings.store_as,
        **network.settings,
    }


def _open_set(store: Store, before: Snapshot, name: str, settings: Settings, network: Embedder) -> None:
    """Record a new set, or see that an existing one was made the same way."""
    wanted = json.loads(json.dumps(set_settings(settings, name, network)))
    existing = before.rows("steps/embed/feature_set", embedder=name)
    if existing:
        made = json.loads(existing[0]["settings"])
        differing = sorted(key for key in made | wanted if made.get(key) != wanted.get(key))
        if differing:
            changes = "; ".join(f"{key} was {made.get(key)}, is now {wanted.get(key)}" for key in differing)
            raise ColdframeError(
                f"the feature set {name!r} was made with other settings ({changes}): use those again, or make another "
                "set with --as NAME"
            )
        return
    row = {
        "embedder": name,
        "network": settings.embedder or name,
        "dimensions": network.dimensions,
        "digest": digests.of_json(wanted),
        "settings": json.dumps(wanted, sort_keys=True),
        "source": json.dumps(_options(settings).to_json()),
        "created_at": datetime.now(UTC),
    }
    with store.commit("embed") as commit:
        commit.replace("feature_sets", pa.Table.from_pylist([row], SCHEMAS["feature_sets"]), key=name)


def _copy_of_set(store: Store, name: str) -> dict[str, str]:
    """The row of a feature set as the record of its step keeps it, so that a lost one can be made again exactly."""
    row = store.snapshot().rows("steps/embed/feature_set", embedder=name)[0]
    return {FEATURE_SET: json.dumps(row, default=str, sort_keys=True)}


class _Run:
    """One pass over the contents to embed: files decoded ahead in threads, batches through the network in order."""

    def __init__(self, store: Store, name: str, settings: Settings, network: Embedder, root: Path) -> None:
        self._store, self._name, self._network, self._root = store, name, network, root
        self._max_pixels, self._commit_seconds = settings.max_pixels, settings.commit_seconds
        self._type = STORE_TYPES[settings.store_as]
        self._ids: list[str] = []
        self._vectors: list[npt.NDArray[np.floating]] = []
        self._commits = 0

    def fill(self, content_ids: list[str], paths: list[list[str]], *, quiet: bool) -> tuple[int, dict[str, str]]:
        """How many were embedded, and the reason of each content that failed; each has one path or more."""
        failed: dict[str, str] = {}
        embedded, last_commit = 0, time.monotonic()
        with Progress(len(paths), f"embed {self._name}", quiet=quiet) as progress:
            for batch in self._prepared(content_ids, paths):
                good = [(content_id, array) for content_id, array in batch if not isinstance(array, str)]
                failed |= {content_id: array for content_id, array in batch if isinstance(array, str)}
                if good:
                    embedded += self._embed(good, failed)
                progress.advance(len(batch))
                if time.monotonic() - last_commit > self._commit_seconds:
                    self._commit()
                    last_commit = time.monotonic()
        self._commit()
        return embedded, failed

    def _prepared(self, content_ids: list[str], paths: list[list[str]]) -> Iterator[list[tuple[str, Any]]]:
        """Batches of ``(content_id, prepared picture or reason)``; a few batches are decoded ahead."""
        ahead: list[list[tuple[str, Future[Any]]]] = []
        with ThreadPoolExecutor() as pool:
            try:
                items = iter(zip(content_ids, paths, strict=True))
                while group := list(islice(items, self._network.batch)):
                    ahead.append(
                        [(content_id, pool.submit(self._prepare, content_id, files)) for content_id, files in group]
                    )
                    if len(ahead) > BATCHES_AHEAD:
                        yield [(content_id, future.result()) for content_id, future in ahead.pop(0)]
                for rest in ahead:
                    yield [(content_id, future.result()) for content_id, future in rest]
            finally:
                pool.shutdown(cancel_futures=True)

    def _prepare(self, content_id: str, paths: list[str]) -> npt.NDArray[Any] | str:
        """The picture from the first of its equal files that still holds it, or the reason of the last."""
        reason = ""
        for path in paths:
            try:
                data = decoding.read_bytes(decoding.locate(self._root, path))
                if decoding.content_id(data) == content_id:
                    return self._network.prepare(decoding.decode(data, max_pixels=self._max_pixels).image)
                reason = "changed since it was ingested: run 'coldframe ingest' again"
            except decoding.UnreadableImage as error:
                reason = str(error)
        return reason

    def _embed(self, good: list[tuple[str, npt.NDArray[Any]]], failed: dict[str, str]) -> int:
        vectors = self._network.embed([array for _, array in good]).astype(self._type)
        count = 0
        for (content_id, _), vector in zip(good, vectors, strict=True):
            if np.isfinite(vector).all():
                self._ids.append(content_id)
                self._vectors.append(vector)
                count += 1
            else:
                failed[content_id] = "the network gave a vector that is not finite"
        return count

    def _commit(self) -> None:
        if not self._ids:
            return
        count = len(self._ids)
        table = pa.table(
            {
                "content_id": pa.array(self._ids),
                "embedder": pa.array([self._name] * count),
                "view": pa.array([0] * count, pa.int32()),
                "vector": from_matrix(np.stack(self._vectors)),
            }
        )
        with self._store.commit("embed") as commit:
            commit.append("embeddings", table, key=self._name)
        self._ids, self._vectors = [], []
        self._commits += 1
        if self._commits % COMPACT_EVERY == 0:
            compact(self._store, "embeddings", self._name)


def _failures(before: Snapshot, name: str, failed: dict[str, str]) -> pa.Table:
    """``failures`` rows, one per image of a content that could not be embedded, with the user's columns."""
    images = before.query("steps/images/all")
    contents = images["content_id"].to_pylist()
    rows = images.filter(pa.array([content_id in failed for content_id in contents], pa.bool_()))
    reasons = [failed[content_id] for content_id in rows["content_id"].to_pylist()]
    rows = failure_columns(rows.drop_columns(["label", *(fact for fact, _ in FILE_FACTS)]))
    for column, values in (("step", ["embed"] * len(rows)), ("name", [name] * len(rows)), ("reason", reasons)):
        rows = rows.append_column(column, pa.array(values, pa.string()))
    return rows
