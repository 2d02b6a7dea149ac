"""Read a folder as a catalogue: class folders, perhaps below train, val and test, or pictures with a metadata file."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import pyarrow as pa

from pipeline.ingest import catalogue_limits, leftovers
from pipeline.ingest.listed import Listed
from pipeline.ingest.readers import darwin_core
from pipeline.ingest.readers.delimited import Dialect
from pipeline.ingest.tables import read_table
from pipeline.steps.names import shortened
from store import places
from store.errors import ColdframeError
from store.names import folded, unique_names
from store.schemas import as_text

METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
NAMED_BY = "file_name"  # the column of a metadata file that names pictures from its own folder
SPLITS = frozenset(("train", "training", "val", "valid", "validation", "dev", "test", "testing"))
SPLIT = "subset"  # a column called split would hide ours
MOST_SAID = 10  # kinds of folders or files that a sentence names
KINDS = "expected folders named after the classes, with images"


@dataclass
class _Walk:
    """What lies in a folder: paths from it, as text with slashes."""

    pictures: list[str] = field(default_factory=list)
    metadata: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    skipped: Counter[str] = field(default_factory=Counter)
    junk: Counter[str] = field(default_factory=Counter)


def read(folder: Path, how: Dialect | None = None) -> Listed:
    """The pictures below a folder, by the first of these that it has:

    * a ``meta.xml``: it is a Darwin Core archive that was unpacked;
    * metadata files with a column ``file_name``: their rows, as Hugging Face's imagefolder has them;
    * class folders: the label is the first folder on a path, or the one below ``train``, ``val`` or ``test``, which then are the
      column ``subset``. Folders that stand above all others do not count.

    A folder that cannot be listed is a row that fails. Folders that systems leave behind are left out, and so are a store and the
    pictures of a report.

    Raises:
        ColdframeError: there is no picture, or a metadata file cannot be read.
    """
    try:
        found = _walk(folder)
    except RecursionError:
        raise ColdframeError(f"{folder}: its folders are nested too deeply: name one further down") from None
    if darwin_core.META in os.listdir(folder):
        return darwin_core.read_folder(folder)
    tables = [(path, read_table(_inside(folder, path), how)) for path in found.metadata]
    named = [(path, table) for path, table in tables if NAMED_BY in map(folded, table.table.column_names)]
    listed = _of_metadata(folder, found, named) if named else _of_classes(folder, found)
    unused = [path for path, _ in tables if path not in [one for one, _ in named]]
    notes = [
        f"{folder}: {path} has no column {NAMED_BY!r}, so it was not used; give it as the catalogue" for path in unused
    ]
    return replace(
        listed, notes=(*listed.notes, *notes, *(f"{folder}: {one}" for one in _left_out(found))), failed=found.failed
    )


def _inside(folder: Path, path: str) -> Path:
    """Raises:
    ColdframeError: a link leads out of the folder, which may be from somebody else.
    """
    file = folder / path
    if file.is_symlink() and not places.is_inside(file, folder):
        raise ColdframeError(
            f"{file}: a link that leads out of the folder is not followed: name what it leads to as the catalogue yourself, with "
            f"--images {folder}"
        )
    return file


def _walk(folder: Path) -> _Walk:
    from pipeline.ingest.decoding import suffixes

    known, found, unsayable = suffixes(), _Walk(), list[str]()

    def cannot_list(error: OSError) -> None:
        if Path(error.filename) == folder:
            raise ColdframeError(f"{folder}: this folder cannot be listed: {error.strerror}") from error
        path = Path(os.path.relpath(error.filename, folder)).as_posix()
        found.failed[_said(path)] = f"this folder cannot be listed: {error.strerror}"

    for where, folders, files in os.walk(folder, onerror=cannot_list):
        if Path(where) != folder and leftovers.is_ours(Path(where), folders, files):
            found.junk[Path(where).name] += 1
            folders.clear()
            continue
        found.skipped["linked folders"] += sum((Path(where) / name).is_symlink() for name in folders)
        found.junk.update(name for name in folders if leftovers.is_junk(name))
        folders[:] = sorted(name for name in folders if not leftovers.is_junk(name))
        for name in sorted(files):
            path = (Path(where) / name).relative_to(folder).as_posix()
            if name.startswith("."):
                found.skipped["hidden"] += Path(name).suffix.lower() in known
                continue
            if Path(name).suffix.lower() in known:
                (found.pictures if _is_utf8(path) else unsayable).append(path)
            elif name in METADATA and _is_utf8(path):
                found.metadata.append(path)
            else:
                found.skipped[_said(Path(name).suffix.lower()) or "no ending"] += 1
    taken = {*found.pictures, *found.failed}
    for path in unsayable:  # the name cannot be stored: add a row that fails, under a name that no file has
        said = _said(path)
        while said in taken or os.path.lexists(folder / said):
            said += "?"
        taken.add(said)
        found.pictures.append(said)
    return found


def _of_classes(folder: Path, found: _Walk) -> Listed:
    paths = [*found.pictures, *found.failed]
    if not found.pictures:
        raise ColdframeError(
            f"{folder}: no image files in it; {KINDS}" + "".join(f" ({one})" for one in _left_out(found))
        )
    steps = [tuple(path.split("/")) if path in found.failed else PurePosixPath(path).parent.parts for path in paths]
    above = _shared(steps)
    steps = [parts[above:] for parts in steps]
    notes = [f"{folder}: read as a folder of class folders"]
    if above:
        notes[0] += f" in {'/'.join(PurePosixPath(paths[0]).parts[:above])}"
    columns = {"path": pa.array(paths, pa.string())}
    if _has_splits(steps):
        splits = [parts[0] if parts else None for parts in steps]
        steps = [parts[1:] for parts in steps]
        steps = [parts[_shared(steps) :] for parts in steps]
        columns[SPLIT] = pa.array(splits, pa.string())
        notes[0] += f" below {_some(one for one in splits if one)}, which are the column {SPLIT!r}"
        others = _some(one for one in splits if one and one.lower() not in SPLITS)
        if others:
            notes.append(
                f"{folder}: beside splits, {others} is taken for no class; its folders are classes, if it has any"
            )
    columns["label"] = pa.array([parts[0] if parts else None for parts in steps], pa.string())
    table = pa.table(columns)
    return Listed(table, range(1, len(paths) + 1), tuple(notes), path="path", label="label", ours=("path", "label"))


def _shared(steps: Sequence[tuple[str, ...]]) -> int:
    """How many folders stand above everything, as a download that was unpacked has them, and are no class and no split."""
    if not steps:
        return 0
    most, first = min(map(len, steps)) - 1, steps[0]
    for at in range(most):
        if first[at].lower() in SPLITS or any(parts[at] != first[at] for parts in steps):
            return at
    return max(most, 0)


def _has_splits(steps: Sequence[tuple[str, ...]]) -> bool:
    """Whether the first folders are splits, and no classes: all are called so, or several are and one has folders below it."""
    parts = [one for one in steps if one]
    splits = {one[0] for one in parts if one[0].lower() in SPLITS}
    if all(one[0] in splits for one in parts):
        return len(splits) > 1 or (bool(splits) and all(len(one) > 1 for one in parts))
    deep = splits - {one[0] for one in parts if len(one) == 1}
    return len({one.lower() for one in splits}) > 1 and bool(deep)


def _of_metadata(folder: Path, found: _Walk, named: Sequence[tuple[str, Listed]]) -> Listed:
    """The rows of the metadata files; each names pictures from its own folder."""
    tables, numbers, notes, files = [], list[int | str](), list[str](), []
    for path, listed in named:
        above = PurePosixPath(path).parent
        table = listed.table
        at = next(at for at, name in enumerate(table.column_names) if folded(name) == NAMED_BY)
        names = as_text(table.column(at)).to_pylist()
        below = pa.array([one and (above / one).as_posix() for one in names], pa.string())
        table = table.set_column(at, NAMED_BY, below)
        split = next((one for one in above.parts if one.lower() in SPLITS), None)
        if split and SPLIT not in map(folded, table.column_names):
            table = table.append_column(SPLIT, pa.array([split] * len(table), pa.string()))
        tables.append(table)
        numbers += [f"{number} of {path}" for number in listed.numbers] if len(named) > 1 else listed.numbers
        notes += listed.notes
        files.append(folder / path)
    table = _together(tables)
    catalogue_limits.check_columns(folder, table.num_columns)
    listed_paths = set(table[NAMED_BY].to_pylist())
    others = sum(path not in listed_paths for path in found.pictures)
    if others:
        notes.append(f"{folder}: left out {others} images that no metadata file names")
    return Listed(table, numbers, tuple(notes), path=NAMED_BY, files=tuple(files))


def _together(tables: Sequence[pa.Table]) -> pa.Table:
    """Rows of several tables; a column of several types becomes text."""
    if len(tables) == 1:
        return tables[0]
    tables = [one.rename_columns(unique_names(one.column_names)) for one in tables]
    kinds: dict[str, set[pa.DataType]] = {}
    for table in tables:
        for name, column in zip(table.column_names, table.columns, strict=True):
            kinds.setdefault(name, set()).add(column.type)
    same = []
    for table in tables:
        pairs = zip(table.column_names, table.columns, strict=True)
        columns = [column if len(kinds[name]) == 1 else as_text(column) for name, column in pairs]
        same.append(pa.table(columns, table.column_names))
    return pa.concat_tables(same, promote_options="default")


def _left_out(found: _Walk) -> list[str]:
    notes = []
    if found.junk:
        notes.append(f"left out folders that hold no class: {_kinds(found.junk)}")
    kinds = _kinds(found.skipped)
    if kinds:
        notes.append(f"left out what is no image by its name: {kinds}")
    return notes


def _kinds(found: Counter[str]) -> str:
    most = [(name, count) for name, count in found.most_common(MOST_SAID) if count]
    others = found.total() - sum(count for _, count in most)
    return ", ".join(
        [*(f"{count} {shortened(_said(name))}" for name, count in most), *[f"{others} others"] * bool(others)]
    )


def _some(names: Iterator[str]) -> str:
    given = list(dict.fromkeys(names))
    return ", ".join(
        [*map(shortened, given[:MOST_SAID]), *[f"{len(given) - MOST_SAID} others"] * (len(given) > MOST_SAID)]
    )


def _said(name: str) -> str:
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
