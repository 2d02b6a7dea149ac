"""Ingest: look at every file of a catalogue once, and make the catalogue a table.

The facts of a file (size, mode, grey or not, …) are committed to ``files`` every few seconds. ``images`` and ``failures``
change in one commit at the end: a reader never sees half a catalogue, and a killed run repeats little.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from pipeline.ingest import catalogue, catalogue_limits, column_types, decoding
from pipeline.ingest.examine import Facts, examine, kept_time
from pipeline.ingest.settings import STEP, Settings, image_folder, resolved, wanted
from pipeline.runtime.progress import Progress
from pipeline.steps.again import operand
from pipeline.steps.config import Config
from pipeline.steps.records import NEVER, Record
from pipeline.steps.settings import as_json, check, from_json, incidental, options
from store import digests
from store.errors import TooLittleMemory
from store.schemas import SCHEMAS, failure_columns
from store.store import Snapshot, Store

REASONS = pa.schema([("path", pa.string()), ("reason", pa.string())])
FOUND = pa.schema([("path", pa.string()), ("bytes", pa.int64()), ("mtime_ns", pa.int64())])
Result = TypeVar("Result")
ROWS_AT_ONCE = 4096  # as Python objects, which take several times the memory of a column


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


@dataclass(frozen=True)
class Reading:
    """A catalogue as read: its rows, the image folder, and a digest of each input."""

    listed: catalogue.Catalogue
    root: Path
    inputs: dict[str, str]


def read(settings: Settings) -> Reading:
    """Read a catalogue, without touching a store.

    Raises:
        ColdframeError: the catalogue or the image folder cannot be used as asked.
    """
    check("ingest", settings)
    source = Path(settings.metadata)
    root = image_folder(source, settings.images)
    inputs = inputs_read(source)
    listed = catalogue.read(source, id_column=settings.id, path_column=settings.path, label_column=settings.label)
    return Reading(listed, root, inputs)


def ingest(store: Store, settings: Settings, reading: Reading, *, quiet: bool = False) -> Outcome:
    """Bring the store's ``images`` and ``failures`` in line with a catalogue.

    Raises:
        Locked: another ingest is running on this store.
    """
    started = time.monotonic()
    listed, root = reading.listed, reading.root
    with store.lock("ingest"):
        known = store.snapshot()
        theirs = set(known.columns("failures")).difference(SCHEMAS["failures"].names)
        listed = listed.called_as([*theirs, *known.columns("given_images")])
        found, refused = _look_up(root, listed.rows["path"].unique())

        to_examine = _sparingly(partial(_look_for_new, store, found, settings))
        del found  # it is as large as the catalogue
        pa.default_memory_pool().release_unused()
        unreadable = _examine(store, root, to_examine, settings, quiet=quiet)
        examined = len(to_examine)
        del to_examine
        pa.default_memory_pool().release_unused()
        moment = store.snapshot().manifest
        reasons = pa.concat_tables([refused, unreadable])

        def finish(hold_little: bool) -> Outcome:
            def wanted() -> Snapshot:
                # a new connection for each large query: a connection keeps the memory of the queries it has answered
                now = _wanted(Snapshot(store.root, moment), listed, reasons, prune=settings.prune)
                if hold_little:
                    now.hold_little(listed.rows)
                return now

            outcome = _compare(wanted(), listed, examined=examined, prune=settings.prune)
            with store.commit("ingest") as commit:
                if examined or outcome.pruned:
                    commit.replace_stream("files", wanted().stream("steps/ingest/files"))
                if outcome.added or outcome.updated or outcome.pruned:
                    commit.replace_stream("images", wanted().stream("steps/ingest/images"))
                    commit.replace("failures", wanted().query("steps/ingest/failures"), key="ingest")
                commit.record_step(
                    STEP,
                    "",
                    settings=asdict(resolved(settings)),
                    inputs=reading.inputs,
                    seconds=time.monotonic() - started,
                    rows_in=outcome.ready + outcome.failed,
                    rows_out=outcome.ready,
                )
            return outcome

        return _sparingly(finish)


def _sparingly(work: Callable[[bool], Result]) -> Result:
    """Run ``work`` within a small memory limit; if that is too little, run it again without one."""
    try:
        return work(True)
    except TooLittleMemory:
        return work(False)


def out_of_date(moment: Snapshot | None, config: Config) -> str | None:
    """Why the catalogue has to be read again; None if it need not be."""
    settings = wanted(config, {})
    record = Record.of(moment, STEP, "")
    if record is None or moment is None:
        return NEVER
    now = resolved(settings)
    return (
        record.difference(as_json(now), inputs_read(Path(settings.metadata)), Settings)
        or record.ahead()
        or changed_on_disk(moment, Path(now.images or ""), settings.max_pixels)
    )


def again(moment: Snapshot, config: Config) -> list[str]:
    """The command that repeats the last ingest; it reads only files that are not known yet.

    Raises:
        LookupError: the record of the last ingest is lost.
    """
    record = Record.of(moment, STEP, "")
    if record is None:
        raise LookupError("the catalogue")
    made: Settings = from_json(Settings, record.settings)
    asked = options(Settings, made, config.defaults(Settings, STEP), leave_out=("images", *incidental(Settings)))
    return [STEP, operand(made.metadata), "--images", str(made.images), *asked]


def inputs_read(source: Path) -> dict[str, str]:
    """A digest of the catalogue: of the file's bytes, or of the names in the folder."""
    if source.is_dir():
        return {"metadata": digests.of_json(catalogue.read(source).rows["path"].to_pylist())}
    with catalogue_limits.opened(source) as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"metadata": digest[: 2 * decoding.CONTENT_ID_BYTES]}  # in hex, as for a picture's content


def changed_on_disk(moment: Snapshot, root: Path, max_pixels: int) -> str | None:
    """A sentence if files have changed since the last ingest, by size and mtime; None if none has."""
    known = moment.query("steps/ingest/known_files", decoding=decoding.RULES_VERSION)
    found, _ = _look_up(root, known["path"])
    changed = len(_to_examine(moment, found, max_pixels=max_pixels)) + len(known) - len(found)
    failed = moment.query("steps/ingest/failures_of", step="ingest", name="")["path"].to_pylist()
    last = moment.rows("steps/steps/step", step="ingest", name="")[0]["created_at"].timestamp()
    mended = sum(_changed_since(root, path, last) for path in failed)
    if not changed and not mended:
        return None
    return f"{changed} files have changed, and {mended} of those that failed"


def _changed_since(root: Path, path: str | None, moment: float) -> bool:
    """Whether an unreadable file was since written, moved here or made readable, by its ctime."""
    try:
        return decoding.locate(root, path or "").stat().st_ctime > moment
    except (decoding.UnreadableImage, OSError):
        return False


def _look_up(root: Path, paths: pa.Array | pa.ChunkedArray) -> tuple[pa.Table, pa.Table]:
    """Two tables: ``path, bytes, mtime_ns`` of each file that may be read, and ``path, reason`` of each path that may not."""
    found, refused = [FOUND.empty_table()], [REASONS.empty_table()]
    for start in range(0, len(paths), ROWS_AT_ONCE):
        stats: list[dict[str, Any]] = []
        reasons: list[tuple[str | None, str]] = []
        for path in paths.slice(start, ROWS_AT_ONCE).to_pylist():
            try:
                status = decoding.locate(root, path or "").stat()
                stats.append({"path": path or "", "bytes": status.st_size, "mtime_ns": kept_time(status.st_mtime_ns)})
            except decoding.UnreadableImage as error:
                reasons.append((path, str(error)))
            except OSError:
                stats.append({"path": path or "", "bytes": -1, "mtime_ns": -1})  # reading the file will give the reason
        found.append(pa.Table.from_pylist(stats, FOUND))
        refused.append(_reasons(reasons))
    return pa.concat_tables(found), pa.concat_tables(refused)


def _reasons(rows: list[tuple[str | None, str]]) -> pa.Table:
    return pa.Table.from_pylist([{"path": path, "reason": reason} for path, reason in rows], REASONS)


def _look_for_new(store: Store, found: pa.Table, settings: Settings, hold_little: bool) -> pa.ChunkedArray:
    moment = store.snapshot()
    if hold_little:
        moment.hold_little(found)
    return _to_examine(moment, found, max_pixels=settings.max_pixels, rehash=settings.rehash)


def _to_examine(moment: Snapshot, found: pa.Table, *, max_pixels: int, rehash: bool = False) -> pa.ChunkedArray:
    """Paths of files not yet examined under the present rules and limit, or changed since by size or mtime."""
    if rehash:
        return found["path"]
    moment.show("found", found)
    limits = {"decoding": decoding.RULES_VERSION, "max_pixels": max_pixels}
    return moment.query("steps/ingest/to_examine", **limits)["path"]


def _examine(store: Store, root: Path, paths: pa.ChunkedArray, settings: Settings, *, quiet: bool) -> pa.Table:
    """Commit the facts of files every few seconds; return ``path, reason`` of those that give no picture."""
    unreadable: list[tuple[str | None, str]] = []
    pending: list[Facts] = []
    tables: list[pa.Table] = []

    def pack() -> None:
        tables.append(pa.Table.from_pylist(pending, SCHEMAS["files"]))
        pending.clear()

    def commit_facts() -> None:
        pack()
        with store.commit("ingest") as commit:
            commit.append("files", pa.concat_tables(tables))
        tables.clear()

    least = store.snapshot().value("steps/steps/next_time")
    last_commit = time.monotonic()
    examining = examine(
        root,
        (path for start in range(0, len(paths), ROWS_AT_ONCE) for path in paths.slice(start, ROWS_AT_ONCE).to_pylist()),
        len(paths),
        max_pixels=settings.max_pixels,
        workers=settings.workers,
        max_seconds=settings.max_seconds,
    )
    with Progress(len(paths), "ingest", quiet=quiet) as progress, closing(examining) as examined:
        for path, result in examined:
            if isinstance(result, str):
                unreadable.append((path, result))
            else:
                pending.append(result | {"examined_at": max(result["examined_at"], least)})
            progress.advance(1)
            if len(pending) == ROWS_AT_ONCE:
                pack()
            if time.monotonic() - last_commit > settings.commit_seconds:
                commit_facts()
                last_commit = time.monotonic()
    commit_facts()
    return _reasons(unreadable)


def _show_rows(now: Snapshot, rows: pa.Table) -> None:
    """Show ``rows`` as ``listed``, and those of the store as ``stored``, with one type for each column of both."""
    now.show("rows_read", rows)
    before, read = now.types("given_images"), now.types("rows_read")
    types = column_types.of_both(before, read)
    for view, source, found in (("listed", "rows_read", read), ("stored", "given_images", before)):
        now.cast(
            view, source, {name: kind for name, kind in types.items() if name in found and kind != str(found[name])}
        )


def _wanted(now: Snapshot, listed: catalogue.Catalogue, reasons: pa.Table, *, prune: bool) -> Snapshot:
    """``now`` with temporary views of the wanted catalogue: ``ready`` rows and ``failed`` rows."""
    _show_rows(now, listed.rows)
    now.show("listed_for_failures", failure_columns(listed.rows))
    now.register("reasons", reasons)
    now.register("options", pa.table({"prune": [prune]}))
    # views: tables would hold the catalogue four times
    now.define("ready", "steps/ingest/ready")
    now.define("failed", "steps/ingest/failed")
    return now


def _compare(now: Snapshot, listed: catalogue.Catalogue, *, examined: int, prune: bool) -> Outcome:
    """How the wanted catalogue differs from the store's."""
    now.materialise("rows_before", "steps/ingest/rows_before")
    now.materialise("rows_now", "steps/ingest/rows_now")
    counts = now.rows("steps/ingest/changes")[0]
    return Outcome(
        added=counts["added"],
        updated=counts["updated"],
        unchanged=counts["unchanged"],
        gone=counts["gone"],
        pruned=counts["gone"] if prune else 0,
        ready=counts["ready"],
        failed=counts["failed"],
        files_examined=examined,
        notes=listed.notes,
    )
