"""Which column of an archive names the pictures, and the names of files where it has addresses of the web."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

import pyarrow as pa

PATHS = ("identifier", "accessURI", "accessuri")
LAST_PART = "file_name"


def paths_of(source: Path, table: pa.Table) -> tuple[pa.Table, str | None, tuple[str, ...]]:
    """A table with its column of paths, and sentences for the user.

    Where pictures are named by URLs, another column is added, with the last part of each, if that tells them apart. The column
    is None if there is none.
    """
    path = _named(table)
    if path is None or LAST_PART in table.column_names:
        return table, path, ()
    given = table[path].to_pylist()
    if not any(one and "://" in one for one in given):
        return table, path, ()
    last = [_last_part(one) if one and "://" in one else one for one in given]
    if not all(last) or len(set(last)) < len(last):
        return table, path, ()
    note = (
        f"{source}: the pictures in {path!r} are URLs, and nothing is fetched: each is expected under the last part of its URL, "
        f"in the column {LAST_PART!r}; name another column with --path"
    )
    return table.append_column(LAST_PART, pa.array(last, pa.string())), LAST_PART, (note,)


def _named(table: pa.Table) -> str | None:
    """The column with most pictures by their endings, or else with most values that could be a path. A URN is none."""
    from pipeline.ingest.decoding import suffixes

    names = [one for one in PATHS if one in table.column_names]
    known, best, most = suffixes(), None if len(table) else next(iter(names), None), (0, 0)
    for name in names:
        values = [one for one in table[name].to_pylist() if one and not one.lower().startswith("urn:")]
        count = (sum(PurePosixPath(_last_part(one)).suffix.lower() in known for one in values), len(values))
        if count > most:  # of equal ones the first
            best, most = name, count
    return best


def _last_part(address: str) -> str:
    try:
        return PurePosixPath(unquote(urlsplit(address).path)).name
    except ValueError:
        return ""
