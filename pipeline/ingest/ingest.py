"""Ingest: look at every file of a catalogue once, and make the catalogue a table.

The facts of a file (size, mode, grey or not, …) are committed to ``files`` every few seconds. ``images`` and ``failures``
change in one commit at the end: a reader never sees half a catalogue, and a killed run repeats little.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

import pyarrow as pa

from pipeline.ingest import catalogue, catalogue_limits, column_types, decoding, identity, inspection, lost
from pipeline.ingest.examine import Facts, examine
from pipeline.ingest.on_disk import ROWS_AT_ONCE, changed_on_disk, look_up, reasons_of, to_examine
from pipeline.ingest.pictures import read_otherwise
from pipeline.ingest.pruning import check_loss
from pipeline.ingest.readers import folders
from pipeline.ingest.readers.delimited import Dialect
from pipeline.ingest.settings import STEP, Settings, image_folder, resolved, wanted
from pipeline.runtime.progress import Progress
from pipeline.steps.again import operand
from pipeline.steps.config import Config
from pipeline.steps.records import NEVER, Record
from pipeline.steps.settings import as_json, check, from_json, incidental, options
from store import digests
from store.errors import TooLittleMemory
from store.schemas import SCHEMAS, as_text, failure_columns
from store.store import Snapshot, Store

SMALL_BYTES = 4_000_000  # of a store and its catalogue: one connection answers all, as it holds little

Result = TypeVar("Result")


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
    root = image_folder(source, settings.images, follow_links=settings.follow_links)
    inputs = inputs_read(source, settings.how)
    listed = catalogue.read(
        source,
        id_column=settings.id,
        path_column=settings.path,
        label_column=settings.label,
        how=settings.how,
        exclude=settings.exclude,
    )
    return Reading(listed, root, inputs)


def ingest(store: Store, settings: Settings, reading: Reading, *, quiet: bool = False) -> Outcome:
    """Bring the store's ``images`` and ``failures`` in line with a catalogue.

    Raises:
        Locked: another ingest is running on this store.
        ColdframeError: most pictures of the store have another id in the catalogue.
    """
    started = time.monotonic()
    listed, root = reading.listed, reading.root
    with store.lock("ingest"):
        known = store.snapshot()
        theirs = set(known.columns("failures")).difference(SCHEMAS["failures"].names)
        listed = listed.called_as([*theirs, *known.columns("given_images")])
        found, refused = look_up(root, listed.rows["path"].unique(), listed.failed)

        is_small = known.manifest.bytes() + listed.rows.nbytes < SMALL_BYTES
        least = known.value("steps/steps/next_time")
        new = _sparingly(partial(_look_for_new, store, found, settings))
        del found  # it is as large as the catalogue
        pa.default_memory_pool().release_unused()
        unreadable = _examine(store, root, new, settings, least=least, quiet=quiet)
        examined = len(new)
        del new
        pa.default_memory_pool().release_unused()
        reasons = lost.explained(root, pa.concat_tables([refused, unreadable]))
        update = _Update(store, settings, reading.inputs, listed, reasons, examined, is_small, started)
        return _with_remarks(_sparingly(update.commit), store.snapshot())


@dataclass(frozen=True)
class _Update:
    """The last commit of an ingest, for which all files have been examined.

    Attributes:
        reasons: ``path, reason`` of each file that gives no picture.
        examined: how many files were examined now.
        is_small: whether one connection answers all.
        started: when the ingest began, on the monotonic clock.
    """

    store: Store
    settings: Settings
    inputs: dict[str, str]
    listed: catalogue.Catalogue
    reasons: pa.Table
    examined: int
    is_small: bool
    started: float

    def commit(self, hold_little: bool) -> Outcome:
        """Compare the catalogue with the store's, and commit what differs.

        Raises:
            TooLittleMemory: with ``hold_little``, it takes more than little memory.
        """
        prune = self.settings.prune
        compared = self._wanted(hold_little)
        notes = identity.check(compared, self.settings)
        outcome = _compare(compared, self.listed, examined=self.examined, prune=prune)
        if prune:
            check_loss(compared, self.settings, self.listed.failed, remaining=outcome.ready + outcome.failed)
        kept, moved = compared if self.is_small else None, compared.select("moved", "image_id", "new_id")
        del compared

        def now() -> Snapshot:
            return kept or self._wanted(hold_little, moved)

        with self.store.commit("ingest") as commit:
            if self.examined or outcome.pruned:
                commit.replace_stream("files", now().stream("steps/ingest/files"))
                commit.replace_stream("facts", now().stream("steps/ingest/facts"))
            if outcome.added or outcome.updated or outcome.pruned:
                commit.replace_stream("images", now().stream("steps/ingest/images"))
                commit.replace("failures", now().query("steps/ingest/failures"), key="ingest")
            if any(part.rows for part in self.store.snapshot().manifest.parts("verdicts")):
                carried, told = identity.verdicts(self._wanted(hold_little, moved))  # last: persons judge meanwhile
                commit.append("verdicts", carried)
                notes += told
            commit.record_step(
                STEP,
                "",
                settings=asdict(resolved(self.settings)),
                inputs=self.inputs,
                seconds=time.monotonic() - self.started,
                rows_in=outcome.ready + outcome.failed,
                rows_out=outcome.ready,
            )
        return replace(outcome, notes=(*outcome.notes, *notes))

    def _wanted(self, hold_little: bool, moved: pa.Table | None = None) -> Snapshot:
        # a connection of its own: it keeps the memory of the queries it has answered
        now = _wanted(self.store.snapshot(), self.listed, self.reasons, moved, prune=self.settings.prune)
        if hold_little:
            now.hold_little(self.listed.rows)
        return now


def _with_remarks(outcome: Outcome, now: Snapshot) -> Outcome:
    """The same with what a person may want to know of the store as it is now."""
    remarks = (*identity.notes(now), *inspection.labels_alike(now), *read_otherwise(now))
    return replace(outcome, notes=(*outcome.notes, *remarks))


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
        record.difference(as_json(now), inputs_read(Path(settings.metadata), settings.how), Settings)
        or record.ahead()
        or changed_on_disk(
            moment, decoding.folder(now.images or "", follow_links=now.follow_links), settings.max_pixels
        )
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


def inputs_read(source: Path, how: Dialect | None = None) -> dict[str, str]:
    """A digest of the catalogue: of the file's bytes, or of the names in the folder and the files that say more of them."""
    if source.is_dir():
        listed = folders.read(source, how)
        paths = as_text(listed.table[listed.path or ""]).to_pylist()
        return {"metadata": digests.of_json([paths, [_digest(one) for one in listed.files]] if listed.files else paths)}
    return {"metadata": _digest(source)}


def _digest(source: Path) -> str:
    with catalogue_limits.opened(source) as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return digest[: 2 * decoding.CONTENT_ID_BYTES]  # in hex, as for a picture's content


def _look_for_new(store: Store, found: pa.Table, settings: Settings, hold_little: bool) -> pa.ChunkedArray:
    moment = store.snapshot()
    if hold_little:
        moment.hold_little(found)
    return to_examine(moment, found, max_pixels=settings.max_pixels, rehash=settings.rehash)


def _examine(
    store: Store, root: Path, paths: pa.ChunkedArray, settings: Settings, *, least: datetime, quiet: bool
) -> pa.Table:
    """Commit the facts of files every few seconds; return ``path, reason`` of those that give no picture.

    None counts as examined before ``least``.
    """
    unreadable: list[tuple[str | None, str]] = []
    pending: list[Facts] = []
    tables: dict[str, list[pa.Table]] = {"files": [], "facts": []}

    def pack() -> None:
        for dataset, packed in tables.items():
            packed.append(pa.Table.from_pylist(pending, SCHEMAS[dataset]))
        pending.clear()

    def commit_facts() -> None:
        pack()
        with store.commit("ingest") as commit:
            for dataset, packed in tables.items():
                commit.append(dataset, pa.concat_tables(packed))
                packed.clear()

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
    return reasons_of(unreadable)


def _show_rows(now: Snapshot, rows: pa.Table) -> None:
    """Show ``rows`` as ``listed``, and those of the store as ``stored``, with one type for each column of both."""
    now.show("rows_read", rows)
    before, read = now.types("given_images"), now.types("rows_read")
    types = column_types.of_both(before, read)
    for view, source, found in (("listed", "rows_read", read), ("stored", "given_images", before)):
        now.cast(
            view, source, {name: kind for name, kind in types.items() if name in found and kind != str(found[name])}
        )


def _wanted(
    now: Snapshot, listed: catalogue.Catalogue, reasons: pa.Table, moved: pa.Table | None, *, prune: bool
) -> Snapshot:
    """``now`` with temporary views of the wanted catalogue: ``ready`` rows and ``failed`` rows.

    ``moved`` are the pictures that come to other ids, if they are known already.
    """
    _show_rows(now, listed.rows)
    now.show("listed_for_failures", failure_columns(listed.rows))
    now.register("reasons", reasons)
    now.register("options", pa.table({"prune": [prune]}))
    if moved is None:
        now.materialise("moved", "steps/ingest/moved")
    else:
        now.register("moved", moved)
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
        notes=(*listed.notes, *listed.renamed()),
    )
