"""Compaction: the small parts of one slice of a dataset, merged into larger ones; the rows and their order stay.

A reader opens a few large files in place of thousands of small ones. The old files stay until ``gc`` removes them, so
every earlier moment can still be read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from store import files, manifest, opening, parts
from store.manifest import Manifest
from store.parts import ROW_GROUP_BYTES, ROW_GROUP_ROWS, Part, rows_a_group
from store.store import Store

# A part is merged with others while it is smaller than LARGE, into one of at most LARGEST bytes.
LARGE = 128 * 2**20
LARGEST = 512 * 2**20
STEP = "compact"


def compact(store: Store, dataset: str, key: str, *, more_to_come: bool = False) -> int:
    """Merge the small parts of a slice; how many were merged.

    With ``more_to_come`` a part is only merged with newer ones that together are at least as large: its rows land in a
    part of twice the size or more, so that none is written again more often than the logarithm of how much comes.

    A part that is damaged is left as it is, for ``verify`` to find. Where another process has replaced some of the
    parts meanwhile, the merged one is dropped.
    """
    live = store.snapshot().manifest.parts(dataset, key)
    merged = 0
    for group in _groups(store.root, _newest(live) if more_to_come else live):
        if _merge(store, dataset, key, group):
            merged += len(group)
    return merged


def _merge(store: Store, dataset: str, key: str, group: list[Part]) -> bool:
    """Swap some parts for one that holds their rows; False where they were not all live any more."""
    paths = [store.root / part.path for part in group]
    large = parts.write_stream(store.root, dataset, key, _schema(paths[0]), _row_groups(paths))
    with store.commit(STEP) as commit:
        commit.swap(dataset, group, [large])
    if commit.dropped:
        files.remove(store.root / large.path)
    return not commit.dropped


def sources(root: Path, merged: Iterable[tuple[str, Part]]) -> dict[tuple[str, Part], tuple[Part, ...]]:
    """What each part of a dataset was merged from, for those whose sources the moment before still names, all whole."""
    found = {}
    wanted = set(merged)
    before = manifest.EMPTY
    for moment in manifest.whole(root):
        if not wanted:
            break
        every = ((dataset, part) for dataset, live in moment.datasets.items() for part in live)
        for dataset, part in [one for one in every if one in wanted]:
            wanted.remove((dataset, part))
            old = _sources(root, dataset, part, before, moment)
            if old:
                found[dataset, part] = old
        before = moment
    return found


def _sources(root: Path, dataset: str, part: Part, before: Manifest, first: Manifest) -> tuple[Part, ...]:
    """The parts that gave way to ``part`` in the ``first`` moment that names it; none where it came another way."""
    if first.step != STEP or before.number != first.parent:
        return ()
    stayed = set(first.parts(dataset, part.key))
    old = tuple(one for one in before.parts(dataset, part.key) if one not in stayed)
    is_exact = sum(one.rows for one in old) == part.rows
    return old if is_exact and not any(parts.problem_of(root, one, deep=True) for one in old) else ()


def _newest(live: tuple[Part, ...]) -> tuple[Part, ...]:
    """The newest parts, from the first one on that those after it outweigh; none of a large part or before it."""
    start, later = len(live), 0
    for place in reversed(range(len(live))):
        if live[place].bytes >= LARGE:
            break
        if live[place].bytes <= later:
            start = place
        later += live[place].bytes
    return live[start:]


def _groups(root: Path, live: tuple[Part, ...]) -> Iterator[list[Part]]:
    """Runs of two or more neighbouring small parts of one schema, each run to be one part."""
    group: list[Part] = []
    group_schema: pa.Schema | None = None
    for part in live:
        schema = _schema_if_small_and_whole(root, part)
        is_full = sum(one.bytes for one in group) + part.bytes > LARGEST
        if schema is None or is_full or (group and not schema.equals(group_schema, check_metadata=False)):
            if len(group) > 1:
                yield group
            group = []
        if schema is not None:
            group.append(part)
            group_schema = schema
    if len(group) > 1:
        yield group


def _schema_if_small_and_whole(root: Path, part: Part) -> pa.Schema | None:
    # The checksum is compared: damage that was merged would get a new checksum, and nobody could find it again.
    path = root / part.path
    if part.bytes >= LARGE or path.suffix != ".parquet" or parts.problem_of(root, part, deep=True):
        return None
    return _schema(path)


def _schema(path: Path) -> pa.Schema:
    with opening.open_regular(path) as file:
        return pq.read_schema(file)


def _row_groups(paths: list[Path]) -> Iterator[pa.Table]:
    """The rows of some parts in order, as tables of whole row groups: small ones are merged as well."""
    pending: list[pa.Table] = []
    for path in paths:
        with opening.open_regular(path) as opened, pq.ParquetFile(opened) as file:
            for number in range(file.num_row_groups):
                pending.append(file.read_row_group(number))
                rows, size = (sum(getattr(table, what) for table in pending) for what in ("num_rows", "nbytes"))
                if rows >= ROW_GROUP_ROWS or size >= ROW_GROUP_BYTES:
                    whole = pa.concat_tables(pending)
                    full = rows // rows_a_group(whole) * rows_a_group(whole)
                    yield whole.slice(0, full)
                    pending = [whole.slice(full)]
    if sum(table.num_rows for table in pending):
        yield pa.concat_tables(pending)
