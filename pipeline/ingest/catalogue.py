"""Reading a catalogue, of whatever kind: its rows as ingest takes them, and what to say of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.ingest import catalogue_limits, excluding, tables
from pipeline.ingest.listed import Listed
from pipeline.ingest.readers import folders
from pipeline.ingest.readers.delimited import Dialect
from store.errors import ColdframeError
from store.names import unique_names
from store.schemas import COMPUTED, SCHEMAS

PATH_COLUMNS = ("path", "file_path", "filepath", "file_name", "filename", "file", "image")
LABEL_COLUMNS = ("label", "class", "family")
WAYS_OUT = {
    "--path": "pictures are read from files, so write each to one, and name a column with their paths",
    "--id": "name a column with one id a row",
    "--label": "name a column with one label a row, or give each its own column",
}
MOST_SAID = 10  # columns that a sentence names


@dataclass(frozen=True)
class Catalogue:
    """Rows to ingest.

    ``rows`` has ``image_id``, ``path``, ``label`` (text, label may be NULL) and then the user's columns. A user's column that
    would hide one of ours is renamed to ``user_<name>``. ``notes`` are sentences for the user. ``names`` are those of the user's
    columns before repeated ones got a number, ``given`` as the catalogue has them. ``failed`` has the reasons of paths that
    cannot be read.
    """

    rows: pa.Table
    notes: tuple[str, ...]
    names: tuple[str, ...] = ()
    given: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)

    def called_as(self, known: Iterable[str]) -> Catalogue:
        """The same catalogue; a column that SQL takes for one of the ``known`` is called exactly as that."""
        ours = self.rows.column_names[: self.rows.num_columns - len(self.names)]
        return replace(self, rows=self.rows.rename_columns([*ours, *unique_names(self.names, known)]))

    def renamed(self) -> tuple[str, ...]:
        """A sentence about the columns that have another name in the store, if there are any."""
        now = self.rows.column_names[self.rows.num_columns - len(self.given) :]
        pairs = [
            f"{before or '(no name)'!r} is now {name!r}"
            for before, name in zip(self.given, now, strict=True)
            if before != name
        ]
        more = f", and {len(pairs) - MOST_SAID} more" if len(pairs) > MOST_SAID else ""
        return (f"columns renamed, to differ from others: {', '.join(pairs[:MOST_SAID])}{more}",) if pairs else ()


def read(
    source: Path,
    *,
    id_column: str | None = None,
    path_column: str | None = None,
    label_column: str | None = None,
    how: Dialect | None = None,
    exclude: Sequence[str] = (),
) -> Catalogue:
    """Read ``source``, whatever kind of catalogue it is.

    Args:
        how: how a text is to be read, where the file itself does not tell.
        exclude: globs of paths to leave out.

    Raises:
        ColdframeError: ``source`` does not exist, is not readable as the type its name says, or lacks a named column; a row
            has no id, or two rows have the same id (both are named).
    """
    with catalogue_limits.within(source):
        listed = read_listed(source, how)
        if listed.ours:
            for option, value in (("--id", id_column), ("--path", path_column), ("--label", label_column)):
                if value:
                    raise ColdframeError(
                        f"{source}: a folder has no column {value!r}: leave out {option}, or give a CSV, TSV or Parquet file"
                    )
        return _of(source, listed, id_column, path_column, label_column, exclude)


def read_listed(source: Path, how: Dialect | None = None) -> Listed:
    """The rows of a catalogue as they are written there.

    Raises:
        ColdframeError: ``source`` does not exist, or is not readable as what it is.
    """
    return folders.read(source, how) if source.is_dir() else tables.read_table(source, how)


def _of(
    source: Path,
    listed: Listed,
    id_column: str | None,
    path_column: str | None,
    label_column: str | None,
    exclude: Sequence[str],
) -> Catalogue:
    for name in listed.table.column_names:
        if "\0" in name:  # SQL would end the name there, and take it for another column
            raise ColdframeError(
                f"{source}: the name of column {name!r} has a NUL character: remove it; if many have, save the file as UTF-8"
            )
    table = listed.table
    path_name, paths = _column(source, listed, "--path", path_column, (listed.path, *PATH_COLUMNS))
    if paths is None:
        raise _no_paths(source, listed)
    numbers, excluded = listed.numbers, list[str]()
    if exclude:
        stay, excluded = _excluded(source, paths, exclude)
        table, paths = table.filter(pa.array(stay, pa.bool_())), paths.filter(pa.array(stay, pa.bool_()))
        numbers = [number for number, stays in zip(numbers, stay, strict=True) if stays]
        listed = replace(listed, table=table, numbers=numbers)
    label_name, labels = _column(source, listed, "--label", label_column, (listed.label, *LABEL_COLUMNS))
    _, ids = _column(source, listed, "--id", id_column, ())
    if ids is None:
        ids = paths
        if _some_empty(paths):
            # a row without a path has no picture either: keep it, so that it fails under the number of its row
            numbered = [path or f"row {row}" for row, path in zip(numbers, paths.to_pylist(), strict=True)]
            ids = pa.chunked_array([pa.array(numbered, pa.string())])
    elif pc.any(pc.match_substring(ids, "\0")).as_py():
        raise _has_nul(source, ids, numbers, "id", id_column)
    if labels is not None and pc.any(pc.match_substring(labels, "\0")).as_py():
        raise _has_nul(source, labels, numbers, "label", label_column)
    if _some_empty(ids) or pc.count_distinct(ids).as_py() < len(ids):
        _refuse_ids(source, ids.to_pylist(), numbers, id_column)
    user = [name for name in table.column_names if name not in listed.ours]
    names = [name.strip() or f"column_{position}" for position, name in enumerate(user, start=1)]
    wanted = tuple(map(_user_name, names))
    theirs = table.select(user) if listed.ours else table  # names may be repeated
    labels = pa.chunked_array([pa.nulls(len(table), pa.string())]) if labels is None else _none_for_blanks(labels)
    ours = [ids, paths, labels]
    rows = pa.table([*ours, *theirs.columns], ["image_id", "path", "label", *unique_names(wanted)])
    notes = [*listed.notes, *excluded, *_labels_said(source, label_name, labels), *_repeated(source, numbers, paths)]
    if not listed.ours:
        notes[0] += f"; path: {path_name!r}" + (f", label: {label_name!r}" if label_name else "")
    return Catalogue(rows, tuple(notes), wanted, tuple(user), listed.failed)


def _why_no_path(listed: Listed) -> str:
    """What a text without a column of paths may lack, if that shows: a row of names, or the right delimiter."""
    from pipeline.ingest.decoding import suffixes

    names = listed.table.column_names
    if not listed.is_text:
        return ""
    if any(Path(part).suffix.lower() in suffixes() for name in names for part in name.split()[:1]):
        return ". The first row looks like one of the others: put a row with the names of the columns above it"
    if len(names) == 1 and len(names[0].split()) > 1:
        return ". If blanks divide the cells, say so with --delimiter space"
    return ". If that is all one column, say with --delimiter what divides the cells" if len(names) == 1 else ""


def _none_for_blanks(labels: pa.ChunkedArray) -> pa.ChunkedArray:
    """NULL for a label of nothing but blanks."""
    is_blank = pc.fill_null(pc.equal(pc.utf8_trim_whitespace(labels), ""), False)
    return pc.if_else(is_blank, pa.scalar(None, pa.string()), labels)


def _labels_said(source: Path, name: str | None, labels: pa.ChunkedArray) -> list[str]:
    if name is None:
        return [f"{source}: no label column; name it with --label to split and train by class"]
    if labels.null_count:
        return [f"{source}: {labels.null_count} of {len(labels)} rows have no label"]
    return []


def _repeated(source: Path, numbers: Sequence[int | str], paths: pa.ChunkedArray) -> list[str]:
    """A sentence about rows that name the same file, perhaps in other words: ``./a.png`` is ``a.png``."""
    plain = pc.replace_substring_regex(pc.replace_substring_regex(paths, "/(?:\\.?/)+", "/"), "^(?:\\./)+", "")
    if pc.count_distinct(plain).as_py() == len(plain) - plain.null_count:
        return []
    first: dict[str, int | str] = {}
    pairs = [
        (first[one], row)
        for row, one in zip(numbers, plain.to_pylist(), strict=True)
        if one and first.setdefault(one, row) != row
    ]
    if not pairs:
        return []
    return [
        f"{source}: {len(pairs)} rows name a file that an earlier row names too, such as rows {pairs[0][0]} and {pairs[0][1]}; "
        "each is an image of its own"
    ]


def _excluded(source: Path, paths: pa.ChunkedArray, globs: Sequence[str]) -> tuple[list[bool], list[str]]:
    stay, counts = excluding.kept(paths.to_pylist(), globs)
    if stay and not any(stay):
        raise ColdframeError(f"{source}: --exclude leaves nothing: every path fits {', '.join(map(repr, globs))}")
    said = [f"{glob!r} ({count})" for glob, count in zip(globs, counts, strict=True)]
    return stay, [f"{source}: left out {stay.count(False)} rows by --exclude: {', '.join(said)}"]


def _column(
    source: Path, listed: Listed, option: str, given: str | None, usual: tuple[str | None, ...]
) -> tuple[str | None, pa.ChunkedArray | None]:
    """The column asked for, or else the first with a usual name in any case: its name, and its values as text; or nothing.

    Of numbers, one that is not a number (NaN) is no value: it is how many programs write an empty cell.
    """
    names = listed.table.column_names
    if given is not None and given not in names:
        raise ColdframeError(f"{source}: no column {given!r} for {option}; columns: {', '.join(names)}")
    lower = [name.strip().lower() for name in names]
    chosen = given or next((names[lower.index(name.lower())] for name in usual if name and name.lower() in lower), None)
    if chosen is None:
        return None, None
    column = listed.table.column(names.index(chosen))
    if pa.types.is_floating(column.type):  # pandas writes a missing value as NaN
        column = pc.if_else(pc.fill_null(pc.is_nan(column), False), pa.scalar(None, column.type), column)
    try:
        if chosen not in listed.no_text:
            return chosen, column.cast(pa.string())
    except pa.ArrowException:
        pass
    held = listed.no_text.get(chosen, str(column.type))
    raise ColdframeError(
        f"{source}: column {chosen!r} holds {held}, expected text or numbers for {option}: {WAYS_OUT[option]}"
    )


def _no_paths(source: Path, listed: Listed) -> ColdframeError:
    """The error for a catalogue in which no column is known to hold paths."""
    return ColdframeError(
        f"{source}: which column holds the image paths? Name it with --path; columns: {', '.join(listed.table.column_names)}"
        + _why_no_path(listed)
    )


def _user_name(name: str) -> str:
    """``user_<name>`` for a column that collides with one of ours."""
    ours = {*SCHEMAS["images"].names, *COMPUTED}
    return f"user_{name}" if name.lower() in ours else name


def _has_nul(
    source: Path, values: pa.ChunkedArray, numbers: Sequence[int | str], what: str, column: str | None
) -> ColdframeError:
    """The error for ids or labels with a NUL character: arrays of NumPy lose one at the end."""
    row = next(row for row, one in zip(numbers, values.to_pylist(), strict=True) if one and "\0" in one)
    where = f" in column {column!r}" if column else ""
    return ColdframeError(f"{source}: row {row} has a NUL character in its {what}{where}: remove it")


def _some_empty(column: pa.ChunkedArray) -> bool:
    return bool(column.null_count or pc.any(pc.equal(column, "")).as_py())


def _refuse_ids(source: Path, ids: list[str | None], numbers: Sequence[int | str], column: str | None) -> None:
    """Raises:
    ColdframeError: a row has no id, or two rows have the same; the message names them.
    """
    where = f"column {column!r}" if column else "the column of paths"
    first_rows: dict[str, int | str] = {}
    for row, image_id in zip(numbers, ids, strict=True):
        if not image_id:
            raise ColdframeError(f"{source}: row {row} has no id in {where}: give it one, or leave out --id")
        if image_id in first_rows:
            raise ColdframeError(
                f"{source}: rows {first_rows[image_id]} and {row} have the same id {image_id!r} in {where}: make the ids "
                "unique, or name another column with --id"
            )
        first_rows[image_id] = row
