"""Ingest: look at every file of a catalogue once, and make the catalogue a table.

What a file is (size, mode, grey or not, …) is committed every few seconds to ``files``; ``images`` and ``failures``
change in one commit at the end, so that a reader never sees half a catalogue and a killed run repeats little.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import catalogue, decoding
from pipeline.progress import Progress
from store import digests
from store.errors import ColdframeError
from store.schemas import FILE_FACTS, SCHEMAS
from store.store import Snapshot, Store

COMMIT_SECONDS = 5.0
CHUNK = 8


@dataclass(frozen=True)
class Settings:
    """What ``ingest`` can be told. Paths are as given; the store remembers them absolute."""

    metadata: str = ""
    images: str | None = None
    id: str | None = None
    path: str | None = None
    label: str | None = None
    prune: bool = False
    rehash: bool = False
    max_pixels: int = decoding.MAX_PIXELS
    workers: int | None = None


@dataclass(frozen=True)
class Outcome:
    """What an ingest did, in rows of the catalogue."""

    added: int
    updated: int
    unchanged: int
    gone: int
    pruned: int
    ready: int
    failed: int
    files_examined: int
    notes: tuple[str, ...]


def ingest(store: Store, settings: Settings, *, quiet: bool = False) -> Outcome:
    """Bring the store's ``images`` and ``failures`` in line with a catalogue.

    Raises:
        ColdframeError: the catalogue or the image folder cannot be used as asked; nothing is changed.
        Locked: another ingest is running on this store.
    """
    started = time.monotonic()
    source = Path(settings.metadata)
    root = _image_root(source, settings.images)
    read = inputs_read(source)
    listed = catalogue.read(source, id_column=settings.id, path_column=settings.path, label_column=settings.label)
    with store.lock("ingest"):
        before = store.snapshot()
        paths, refused = _resolve(root, listed.rows["path"].to_pylist())
        known = _known_files(before, rehash=settings.rehash)
        fresh = {path: stats for path, stats in paths.items() if known.get(path, (None,))[0] != stats}
        examined, unreadable = _examine(store, root, list(fresh), settings, quiet=quiet)
        facts = {path: row for path, (_, row) in known.items() if path in paths and path not in fresh} | examined
        reasons = refused | unreadable
        images, failures = _tables(listed.rows, facts, reasons)
        gone, images, failures = _rows_gone(before, listed.rows["image_id"], images, failures, prune=settings.prune)
        outcome = _compare(before, images, failures, gone, settings, len(fresh), listed.notes)
        with store.commit("ingest") as commit:
            if examined or set(known) - set(facts):
                commit.replace("files", _files_table(facts), key="")
            if outcome.added or outcome.updated or outcome.pruned or _first_ingest(before):
                commit.replace("images", images)
                commit.replace("failures", failures, key="ingest")
            commit.record_step(
                "ingest",
                "",
                settings=asdict(resolved(settings)),
                inputs=read,
                seconds=time.monotonic() - started,
                rows_in=outcome.ready + outcome.failed,
                rows_out=outcome.ready,
            )
    return outcome


def resolved(settings: Settings) -> Settings:
    """The settings with absolute paths, as a store remembers them."""
    source = Path(settings.metadata)
    return replace(settings, metadata=str(source.resolve()), images=str(_image_root(source, settings.images).resolve()))


def inputs_read(source: Path) -> dict[str, str]:
    """A digest of the catalogue: of the file's bytes, or of the names in the folder."""
    if source.is_dir():
        return {"metadata": digests.of_json(catalogue.read(source).rows["path"].to_pylist())}
    if not source.is_file():
        raise ColdframeError(
            f"{source}: no such file; expected a CSV, TSV or Parquet file, or a folder of class folders"
        )
    return {"metadata": decoding.content_id(source.read_bytes())}


def changed_on_disk(moment: Snapshot, root: Path) -> str | None:
    """A sentence when files are not what they were at the last ingest, by size and mtime; None when all are."""
    changed = 0
    for path, ((size, mtime_ns), _) in _known_files(moment, rehash=False).items():
        try:
            status = (root / path).stat()
            changed += (status.st_size, status.st_mtime_ns) != (size, mtime_ns)
        except OSError:
            changed += 1
    appeared = sum(
        row["reason"].startswith(decoding.MISSING) and (root / row["path"]).exists()
        for row in moment.rows("steps/failures_of", step="ingest", name="")
    )
    if not changed and not appeared:
        return None
    return f"{changed} files have changed, {appeared} that were missing are there now"


def _first_ingest(before: Snapshot) -> bool:
    return not before.rows("steps/step", step="ingest", name="")


def _image_root(source: Path, images: str | None) -> Path:
    root = Path(images) if images else source
    if not root.is_dir():
        what = "no such folder" if images else "no image folder given"
        raise ColdframeError(f"{root}: {what}; name the folder the catalogue's paths start from with --images DIR")
    return root


def _resolve(root: Path, paths: list[str | None]) -> tuple[dict[str, tuple[int, int]], dict[str | None, str]]:
    """Size and mtime (ns) of each file that may be read, and why the others may not."""
    stats: dict[str, tuple[int, int]] = {}
    refused: dict[str | None, str] = {}
    for path in paths:
        try:
            found = decoding.locate(root, path or "")
            status = found.stat()
            stats[path or ""] = (status.st_size, status.st_mtime_ns)
        except decoding.UnreadableImage as error:
            refused[path] = str(error)
        except OSError:
            stats[path or ""] = (-1, -1)  # reading it will say why it cannot be
    return stats, refused


def _known_files(before: Snapshot, *, rehash: bool) -> dict[str, tuple[tuple[int, int], dict[str, Any]]]:
    """Facts of files examined under the present decoding rules, by path, with the size and mtime they had then."""
    if rehash:
        return {}
    rows = before.rows("steps/known_files", decoding=decoding.RULES_VERSION)
    return {row["path"]: ((row["bytes"], row["mtime_ns"]), row) for row in rows}


def _examine(
    store: Store, root: Path, paths: list[str], settings: Settings, *, quiet: bool
) -> tuple[dict[str, dict[str, Any]], dict[str | None, str]]:
    """Decode files in a pool of processes, committing facts every few seconds."""
    facts: dict[str, dict[str, Any]] = {}
    reasons: dict[str | None, str] = {}
    pending: list[dict[str, Any]] = []
    last_commit = time.monotonic()
    with Progress(len(paths), "ingest", quiet=quiet) as progress:
        for path, result in _facts_in_pool(root, paths, settings):
            if isinstance(result, str):
                reasons[path] = result
            else:
                facts[path] = result
                pending.append(result)
            progress.advance(1)
            if pending and time.monotonic() - last_commit > COMMIT_SECONDS:
                with store.commit("ingest") as commit:
                    commit.append("files", pa.Table.from_pylist(pending, SCHEMAS["files"]))
                pending, last_commit = [], time.monotonic()
    return facts, reasons


def _facts_in_pool(root: Path, paths: list[str], settings: Settings) -> Iterator[tuple[str, dict[str, Any] | str]]:
    """``(path, facts or reason)`` of each file, in order.

    A file that takes its process down with it (memory, a fault in a decoder) is looked at again alone, so that it is
    the only one to fail.
    """
    workers = settings.workers or os.cpu_count() or 1
    examine = partial(file_facts, root, max_pixels=settings.max_pixels)
    done = 0
    try:
        if paths:
            with _pool(min(workers, len(paths))) as pool:
                for path, result in zip(paths, pool.map(examine, paths, chunksize=CHUNK), strict=True):
                    done += 1
                    yield path, result
    except BrokenProcessPool:
        suspects = paths[done : done + CHUNK * (workers + 1)]
        for path in suspects:
            yield path, _facts_alone(examine, path)
        yield from _facts_in_pool(root, paths[done + len(suspects) :], settings)


def _facts_alone(examine: partial[dict[str, Any] | str], path: str) -> dict[str, Any] | str:
    try:
        with _pool(1) as pool:
            return pool.submit(examine, path).result()
    except BrokenProcessPool:
        return "cannot be decoded: the decoder crashed or ran out of memory on this file"


def _pool(workers: int) -> ProcessPoolExecutor:
    # Spawned, not forked: the parent has threads of DuckDB and Arrow.
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_start_worker)


def _start_worker() -> None:
    """End with the parent, even one killed; keep the C libraries' complaints about bad files off the terminal."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)

    def follow_parent() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=follow_parent, daemon=True).start()


def file_facts(root: Path, path: str, *, max_pixels: int) -> dict[str, Any] | str:
    """One row of ``files`` for a path below ``root``, or the reason why it gives none."""
    file = root / path
    try:
        data = decoding.read_bytes(file)
        mtime_ns = file.stat().st_mtime_ns
        picture = decoding.decode(data, max_pixels=max_pixels)
    except decoding.UnreadableImage as error:
        return str(error)
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    chroma = decoding.chroma(picture.image)
    return {
        "path": path,
        "mtime_ns": mtime_ns,
        "decoding": decoding.RULES_VERSION,
        "content_id": picture.content_id,
        "bytes": picture.bytes,
        "format": picture.format,
        "mode": picture.mode,
        "width": picture.width,
        "height": picture.height,
        "frames": picture.frames,
        "is_grey": chroma <= decoding.GREY_CHROMA,
        "chroma": chroma,
        "phash": decoding.perceptual_hash(picture.image),
    }


def _files_table(facts: dict[str, dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist([facts[path] for path in sorted(facts)], SCHEMAS["files"])


def _tables(
    rows: pa.Table, facts: dict[str, dict[str, Any]], reasons: dict[str | None, str]
) -> tuple[pa.Table, pa.Table]:
    """The ``images`` and ``failures`` that a catalogue makes."""
    paths = rows["path"].to_pylist()
    is_ready = pa.array([path in facts for path in paths], pa.bool_())
    ready, failed = rows.filter(is_ready), rows.filter(pc.invert(is_ready))
    fact_rows = [facts[path] for path in ready["path"].to_pylist()]
    for name, kind in FILE_FACTS:
        ready = ready.append_column(name, pa.array([row[name] for row in fact_rows], kind))
    why = [reasons[path] for path in failed["path"].to_pylist()]
    ours = {"step": ["ingest"] * len(why), "name": [""] * len(why), "reason": why}
    failed = failed.drop_columns(["label"])
    failed = failed.rename_columns([f"user_{name}" if name in ours else name for name in failed.column_names])
    for name, values in ours.items():
        failed = failed.append_column(name, pa.array(values, pa.string()))
    return ready, failed


def _rows_gone(
    before: Snapshot, ids: pa.ChunkedArray, images: pa.Table, failures: pa.Table, *, prune: bool
) -> tuple[int, pa.Table, pa.Table]:
    """Rows the catalogue no longer has: how many, and the tables with them carried over unless they are pruned."""
    old_images = before.query("steps/all_images")
    old_failures = before.query("steps/failures_of", step="ingest", name="")
    gone_images = old_images.filter(pc.invert(pc.is_in(old_images["image_id"], ids)))
    gone_failures = old_failures.filter(pc.invert(pc.is_in(old_failures["image_id"], ids)))
    gone = gone_images.num_rows + gone_failures.num_rows
    if gone and not prune:
        images = pa.concat_tables([images, gone_images], promote_options="permissive")
        failures = pa.concat_tables([failures, gone_failures], promote_options="permissive")
    return gone, images.sort_by("image_id"), failures.sort_by("image_id")


def _compare(
    before: Snapshot,
    images: pa.Table,
    failures: pa.Table,
    gone: int,
    settings: Settings,
    examined: int,
    notes: tuple[str, ...],
) -> Outcome:
    old = _by_id(before.query("steps/all_images"), before.query("steps/failures_of", step="ingest", name=""))
    new = _by_id(images, failures)
    added = sum(image_id not in old for image_id in new)
    updated = sum(image_id in old and old[image_id] != row for image_id, row in new.items())
    kept_gone = 0 if settings.prune else gone
    return Outcome(
        added=added,
        updated=updated,
        unchanged=len(new) - added - updated - kept_gone,
        gone=gone,
        pruned=gone if settings.prune else 0,
        ready=images.num_rows,
        failed=failures.num_rows,
        files_examined=examined,
        notes=notes,
    )


def _by_id(*tables: pa.Table) -> dict[str, dict[str, Any]]:
    """Rows by image id; a NULL cell and an absent column are the same."""
    return {
        row["image_id"]: {name: value for name, value in row.items() if value is not None}
        for table in tables
        for row in table.to_pylist()
    }
