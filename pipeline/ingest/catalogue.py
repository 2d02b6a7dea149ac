"""Reading a catalogue: a CSV, TSV or Parquet file of rows, or a folder of class folders."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.ingest import tables
from store.errors import ColdframeError
from store.names import unique_names
from store.schemas import COMPUTED, SCHEMAS

PATH_COLUMNS = ("path", "file_path", "filepath", "file_name", "filename", "file", "image")
LABEL_COLUMNS = ("label", "class", "family")


@dataclass(frozen=True)
class Catalogue:
    """Rows to ingest.

    ``rows`` has ``image_id``, ``path``, ``label`` (text, label may be NULL) and then the user's columns. A user's column that
    would hide one of ours is renamed to ``user_<name>``. ``notes`` are sentences for the user. ``names`` are those of the user's
    columns before repeated ones got a number.
    """

    rows: pa.Table
    notes: tuple[str, ...]
    names: tuple[str, ...] = ()

    def called_as(self, known: Iterable[str]) -> Catalogue:
        """The same catalogue; a column that SQL takes for one of the ``known`` is called exactly as that."""
        ours = self.rows.column_names[: self.rows.num_columns - len(self.names)]
        return replace(self, rows=self.rows.rename_columns([*ours, *unique_names(self.names, known)]))


def read(
    source: Path,
    *,
    id_column: str | None = None,
    path_column: str | None = None,
    label_column: str | None = None,
) -> Catalogue:
    """Read ``source``, whatever kind of catalogue it is.

    Raises:
        ColdframeError: ``source`` does not exist, is not readable as the type its name says, or lacks a named column; a row
            has no id, or two rows have the same id (both are named).
    """
    if source.is_dir():
        for option, value in (("--id", id_column), ("--path", path_column), ("--label", label_column)):
            if value:
                raise ColdframeError(
                    f"{source}: a folder has no column {value!r}: leave out {option}, or give a CSV, TSV or Parquet file"
                )
        try:
            return _from_folder(source)
        except RecursionError:
            raise ColdframeError(f"{source}: its folders are nested too deeply: name one further down") from None
    return _from_table(source, tables.read_table(source), id_column, path_column, label_column)


def _from_table(
    source: Path, table: pa.Table, id_column: str | None, path_column: str | None, label_column: str | None
) -> Catalogue:
    for name in table.column_names:
        if "\0" in name:  # SQL would end the name there, and take it for another column
            raise ColdframeError(
                f"{source}: the name of column {name!r} has a NUL character: remove it; if many have, save the file as UTF-8"
            )
    paths = _column(source, table, "--path", path_column, PATH_COLUMNS)
    labels = _column(source, table, "--label", label_column, LABEL_COLUMNS)
    if paths is None:
        raise ColdframeError(
            f"{source}: which column holds the image paths? Name it with --path; columns: {', '.join(table.column_names)}"
        )
    ids = _column(source, table, "--id", id_column, ())
    if ids is None:
        ids = paths
        if _some_empty(paths):
            # a row without a path has no picture either: keep it, so that it fails under the number of its row
            numbered = [
                path or f"row {row}" for row, path in enumerate(paths.to_pylist(), start=tables.first_row(source))
            ]
            ids = pa.chunked_array([pa.array(numbered, pa.string())])
    elif pc.any(pc.match_substring(ids, "\0")).as_py():
        raise _has_nul(source, ids, "id", id_column)
    if labels is not None and pc.any(pc.match_substring(labels, "\0")).as_py():
        raise _has_nul(source, labels, "label", label_column)
    if _some_empty(ids) or pc.count_distinct(ids).as_py() < len(ids):
        _refuse_ids(source, ids.to_pylist(), id_column)
    names = [name.strip() or f"column_{position}" for position, name in enumerate(table.column_names, start=1)]
    wanted = tuple(map(_user_name, names))
    user = table.rename_columns(unique_names(wanted))
    ours = {
        "image_id": ids,
        "path": paths,
        "label": pa.nulls(table.num_rows, pa.string()) if labels is None else labels,
    }
    notes = (
        () if labels is not None else (f"{source}: no label column; name it with --label to split and train by class",)
    )
    return Catalogue(pa.table(ours | {name: user[name] for name in user.column_names}), notes, wanted)


def _column(
    source: Path, table: pa.Table, option: str, given: str | None, usual: tuple[str, ...]
) -> pa.ChunkedArray | None:
    """The column asked for, or else the first with a usual name in any case; as text. None if there is none."""
    names = table.column_names
    if given is not None and given not in names:
        raise ColdframeError(f"{source}: no column {given!r} for {option}; columns: {', '.join(names)}")
    lower = [name.strip().lower() for name in names]
    chosen = given or next((names[lower.index(name)] for name in usual if name in lower), None)
    if chosen is None:
        return None
    column = table.column(names.index(chosen))
    try:
        return column.cast(pa.string())
    except pa.ArrowException as error:
        raise ColdframeError(
            f"{source}: column {chosen!r} holds {column.type}, expected text or numbers for {option}"
        ) from error


def _user_name(name: str) -> str:
    """``user_<name>`` for a column that collides with one of ours."""
    ours = {*SCHEMAS["images"].names, *COMPUTED}
    return f"user_{name}" if name.lower() in ours else name


def _has_nul(source: Path, values: pa.ChunkedArray, what: str, column: str | None) -> ColdframeError:
    """The error for ids or labels with a NUL character: arrays of NumPy lose one at the end."""
    row = next(row for row, one in enumerate(values.to_pylist(), start=tables.first_row(source)) if one and "\0" in one)
    where = f" in column {column!r}" if column else ""
    return ColdframeError(f"{source}: row {row} has a NUL character in its {what}{where}: remove it")


def _some_empty(column: pa.ChunkedArray) -> bool:
    return bool(column.null_count or pc.any(pc.equal(column, "")).as_py())


def _refuse_ids(source: Path, ids: list[str | None], column: str | None) -> None:
    """Raises:
    ColdframeError: a row has no id, or two rows have the same; the message names them.
    """
    where = f"column {column!r}" if column else "the column of paths"
    first_rows: dict[str, int] = {}
    for row, image_id in enumerate(ids, start=tables.first_row(source)):
        if not image_id:
            raise ColdframeError(f"{source}: row {row} has no id in {where}: give it one, or leave out --id")
        if image_id in first_rows:
            raise ColdframeError(
                f"{source}: rows {first_rows[image_id]} and {row} have the same id {image_id!r} in {where}: make the ids "
                "unique, or name another column with --id"
            )
        first_rows[image_id] = row


def _from_folder(folder: Path) -> Catalogue:
    """One row per image file below ``folder``; its label is the first folder on its path.

    Raises:
        ColdframeError: a folder cannot be listed, or there is no image file.
    """
    from pipeline.ingest.decoding import suffixes

    def cannot_list(error: OSError) -> None:
        raise ColdframeError(f"{error.filename}: this folder cannot be listed: {error.strerror}") from error

    known = suffixes()
    paths: list[str] = []
    unsayable: list[str] = []
    skipped = Counter[str]()
    for where, folders, files in os.walk(folder, onerror=cannot_list):
        skipped["linked folders"] += sum((Path(where) / name).is_symlink() for name in folders)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if name.startswith("."):
                continue
            if Path(name).suffix.lower() in known:
                path = (Path(where) / name).relative_to(folder).as_posix()
                (paths if _is_utf8(path) else unsayable).append(path)
            else:
                skipped[Path(name).suffix.lower() or "no ending"] += 1
    taken = set(paths)
    for path in unsayable:  # the name cannot be stored: add a row that fails, under a name that no file has
        said = path.encode(errors="surrogateescape").decode(errors="backslashreplace")
        while said in taken or os.path.lexists(folder / said):
            said += "?"
        taken.add(said)
        paths.append(said)
    if not paths:
        raise ColdframeError(f"{folder}: no image files in it; expected folders named after the classes, with images")
    labels = [path.split("/", 1)[0] if "/" in path else None for path in paths]
    ids = pa.array(paths)
    rows = pa.table({"image_id": ids, "path": ids, "label": pa.array(labels, pa.string())})
    kinds = ", ".join(f"{count} {ending}" for ending, count in sorted(skipped.items()) if count)
    return Catalogue(rows, (f"{folder}: left out what is no image by its name: {kinds}",) if kinds else ())


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
