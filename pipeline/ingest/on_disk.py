"""On disk: which files of a catalogue may be read, and which have to be examined again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa

from pipeline.ingest import decoding
from pipeline.ingest.examine import kept_time
from store.store import Snapshot

REASONS = pa.schema([("path", pa.string()), ("reason", pa.string())])
FOUND = pa.schema([("path", pa.string()), ("bytes", pa.int64()), ("mtime_ns", pa.int64())])
ROWS_AT_ONCE = 4096  # as Python objects, which take several times the memory of a column


def changed_on_disk(moment: Snapshot, root: Path, max_pixels: int) -> str | None:
    """A sentence if files have changed since the last ingest, by size and mtime; None if none has."""
    known = moment.query("steps/ingest/known_files", decoding=decoding.ALIKE)
    found, _ = look_up(root, known["path"])
    changed = len(to_examine(moment, found, max_pixels=max_pixels)) + len(known) - len(found)
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


def look_up(
    root: Path, paths: pa.Array | pa.ChunkedArray, failed: Mapping[str, str] = MappingProxyType({})
) -> tuple[pa.Table, pa.Table]:
    """Two tables: ``path, bytes, mtime_ns`` of each file that may be read, and ``path, reason`` of each path that may not.

    ``failed`` has the reasons of those that are known not to be readable.
    """
    found, refused = [FOUND.empty_table()], [REASONS.empty_table()]
    for start in range(0, len(paths), ROWS_AT_ONCE):
        stats: list[dict[str, Any]] = []
        reasons: list[tuple[str | None, str]] = []
        for path in paths.slice(start, ROWS_AT_ONCE).to_pylist():
            if path in failed:
                reasons.append((path, failed[path]))
                continue
            try:
                status = decoding.locate(root, path or "").stat()
                stats.append({"path": path or "", "bytes": status.st_size, "mtime_ns": kept_time(status.st_mtime_ns)})
            except decoding.UnreadableImage as error:
                reasons.append((path, str(error)))
            except OSError:
                stats.append({"path": path or "", "bytes": -1, "mtime_ns": -1})  # reading the file will give the reason
        found.append(pa.Table.from_pylist(stats, FOUND))
        refused.append(reasons_of(reasons))
    return pa.concat_tables(found), pa.concat_tables(refused)


def reasons_of(rows: list[tuple[str | None, str]]) -> pa.Table:
    """Paths and their reasons as a table."""
    return pa.Table.from_pylist([{"path": path, "reason": reason} for path, reason in rows], REASONS)


def to_examine(moment: Snapshot, found: pa.Table, *, max_pixels: int, rehash: bool = False) -> pa.ChunkedArray:
    """Paths of files not yet examined under the present rules and limit, or changed since: by size or mtime, or by what a later
    step found in them."""
    if rehash:
        return found["path"]
    moment.show("found", found)
    limits = {"decoding": decoding.ALIKE, "max_pixels": max_pixels, "changed": decoding.CHANGED}
    return moment.query("steps/ingest/to_examine", **limits)["path"]
