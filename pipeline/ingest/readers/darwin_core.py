"""Read a Darwin Core archive: occurrences, and the pictures of each.

An archive is a stranger's file. Only the files that its ``meta.xml`` names are read from it, as rows. Nothing is unpacked to
disk.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BufferedReader
from pathlib import Path, PurePosixPath
from typing import IO
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.ingest import catalogue_limits
from pipeline.ingest.listed import Listed
from pipeline.ingest.readers import addresses, delimited, text
from pipeline.ingest.readers.reading import Reading, Unread
from store import opening
from store.errors import ColdframeError
from store.names import unique_names

META = "meta.xml"
MOST_META = 1 << 20
MOST_MEMBERS = 100_000
CORE = "occurrence"
PICTURES = ("multimedia", "image", "simplemultimedia")  # the last part of a row type
ESCAPES = {"\\t": "\t", "\\n": "\n", "\\r": "\r", "\\\\": "\\"}


@dataclass(frozen=True)
class Part:
    """A file of rows in an archive, as its ``meta.xml`` describes it.

    Attributes:
        is_free: whether it does not say what quotes mean.
        key: the position of the column that joins the files; None if there is none.
        columns: names and positions.
        defaults: values of columns that the file does not have.
    """

    name: str
    kind: str
    encoding: str
    reading: Reading
    is_free: bool
    key: int | None
    columns: Mapping[str, int]
    defaults: Mapping[str, str]


def read_archive(source: Path) -> Listed:
    """The rows of a Darwin Core archive (``.zip``): one for each picture, with the columns of its occurrence.

    Raises:
        ColdframeError: it is no such archive, or a file in it cannot be read; the message names it and the line.
    """
    from pipeline.ingest.decoding import suffixes

    with _zip(source) as archive:
        names = archive.namelist()
        places = [name.removesuffix(META) for name in names if PurePosixPath(name).name == META and name.count("/") < 2]
        if len(places) != 1:
            raise _other_archive(source, names)
        listed = _read(source, _Below(archive, places[0]))
    inside = sum(PurePosixPath(name).suffix.lower() in suffixes() for name in names)
    note = f"{source}: {inside} images lie in the archive, which is not unpacked: unpack it, and name the folder with --images"
    return replace(listed, notes=(*listed.notes, note)) if inside else listed


def read_folder(source: Path) -> Listed:
    """The rows of a Darwin Core archive that was unpacked, as :func:`read_archive` gives them.

    Raises:
        ColdframeError: as there.
    """
    folder = _Folder(source)
    listed = _read(source, folder)
    return replace(listed, files=tuple(source / name for name in folder.read))


class _Folder:
    """A folder, as if it were an archive: files that lie in it directly, and no links."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.read: dict[str, None] = {}

    def open(self, name: str) -> IO[bytes]:
        """Raises:
        KeyError: there is no such file.
        """
        if name != PurePosixPath(name).name or name in ("", ".."):
            raise KeyError(name)
        try:
            opened = opening.open_regular(self._folder / name, below=self._folder)
        except (OSError, ValueError):
            raise KeyError(name) from None
        self.read[name] = None
        return opened


class _Below:
    """A folder in an archive, as if it were the archive: many a one is packed with its folder."""

    def __init__(self, archive: zipfile.ZipFile, folder: str) -> None:
        self._archive, self._folder = archive, folder

    def open(self, name: str) -> IO[bytes]:
        """Raises:
        KeyError: there is no such file.
        """
        return self._archive.open(self._folder + name)


Archive = _Below | _Folder


def _read(source: Path, archive: Archive) -> Listed:
    core, *others = _described(source, _member(source, archive, META, MOST_META).read(MOST_META + 1))
    pictures = [part for part in others if part.kind in PICTURES]
    if len(pictures) > 1:
        found = ", ".join(part.name for part in pictures)
        raise ColdframeError(
            f"{source}: several files of pictures ({found}): give one of them as a catalogue by itself"
        )
    notes = [f"{source}: read as a Darwin Core archive"]
    rows, numbers, keys, kept = _rows(source, archive, core)
    if not pictures:
        rows, path, more = addresses.paths_of(source, rows)
        return Listed(rows, _named(core, numbers), (f"{notes[0]}: {core.name}", *kept, *more), path=path)
    notes += kept
    media, numbers, owners, kept = _rows(source, archive, pictures[0])
    if keys is None or owners is None:
        raise ColdframeError(f"{source}: {META} names no id that joins {pictures[0].name} to {core.name}; expected one")
    if len(pc.unique(keys)) < len(keys):
        raise ColdframeError(f"{source}: {core.name}: several rows have the same id; expected one row for each")
    at = pc.index_in(owners, keys)
    without = len(rows) - len(pc.unique(at.drop_null()))
    notes[0] += f": {pictures[0].name}, each picture with the columns of its row in {core.name}"
    if without:
        notes.append(f"{source}: left out {without} rows of {core.name} that have no picture")
    if at.null_count:
        notes.append(f"{source}: {at.null_count} pictures in {pictures[0].name} belong to no row of {core.name}")
    theirs, taken = {name.lower() for name in media.column_names}, media.nbytes
    said = [f"{core.kind}_{name}" if name.lower() in theirs else name for name in rows.column_names]
    for column in rows.columns:  # a row is repeated for each of its pictures
        taken += pc.sum(pc.binary_length(column).take(at)).as_py() or 0
        catalogue_limits.check_bytes(source, taken)
    catalogue_limits.check_columns(source, len(said) + len(theirs))
    joined = rows.rename_columns(said).take(at)
    table = pa.table(media.columns + joined.columns, names=unique_names([*media.column_names, *said]))
    table, path, more = addresses.paths_of(source, table)
    return Listed(table, _named(pictures[0], numbers), (*notes, *kept, *more), path=path)


def _named(part: Part, numbers: Iterator[int] | list[int]) -> list[int | str]:
    return [f"{number} of {part.name}" for number in numbers]


def _rows(source: Path, archive: Archive, part: Part) -> tuple[pa.Table, list[int], pa.ChunkedArray | None, list[str]]:
    """The rows of a file in an archive, their lines, the values that join them to those of another, and what to say."""
    inside = Path(f"{source}: {part.name}")

    def member() -> BufferedReader:
        return _member(source, archive, part.name)

    part = replace(part, encoding=text.encoding_of(inside, member, part.encoding))
    with _as_described(inside, part):
        width = _width(inside, member, part)
    names = tuple(f"column {position}" for position in range(width))
    if any(position >= width for position in [*part.columns.values(), part.key or 0]):
        raise ColdframeError(f"{inside}: {width} columns, fewer than {META} describes")
    reading = replace(part.reading, names=names)
    with _as_described(inside, part):
        _, parsed = delimited.read_as(inside, member, part.encoding, reading, is_free=part.is_free)
    columns = {name: parsed.table.column(position) for name, position in part.columns.items()}
    catalogue_limits.check_columns(inside, len(part.columns) + len(part.defaults))
    repeated = sum(len(value.encode()) for value in part.defaults.values())
    catalogue_limits.check_bytes(inside, parsed.table.nbytes + repeated * len(parsed.table))
    for name, value in part.defaults.items():
        columns.setdefault(name, pa.chunked_array([pa.repeat(pa.scalar(value, pa.string()), len(parsed.table))]))
    table = pa.table(columns)
    key = None if part.key is None else parsed.table.column(part.key)
    said = [f"{inside}: {one}" for one in delimited.kept_quotes(parsed)]
    return table, list(np.asarray(parsed.numbers)), key, said


def _width(inside: Path, member: text.Opening, part: Part) -> int:
    """How many cells the first row of a file has."""
    with text.lines(inside, member, part.encoding) as lines:
        first = next(replace(part.reading, quote=None if part.is_free else part.reading.quote).rows(lines), None)
    return len(first.cells) if first else 1 + max([*part.columns.values(), part.key or 0])


@contextmanager
def _as_described(inside: Path, part: Part) -> Iterator[None]:
    """Refuse a file that is not as its description says. Options on how to read a text are not heeded here: none is advised.

    Raises:
        ColdframeError: with the line.
    """
    delimiter = delimited.NAMES.get(part.reading.delimiter, repr(part.reading.delimiter))
    quotes = "no quotes" if part.reading.quote is None else f"quotes {part.reading.quote}"
    if part.is_free:
        quotes = "nothing of quotes"
    described = f"cells are divided by {delimiter}, {quotes}, and {text.said(part.encoding)}"
    advice = f"{META} says that {described}: correct it, or the file"
    try:
        yield
    except Unread as error:
        raise ColdframeError(f"{inside}: {error.fault}; {advice}") from error
    except text.NotText as error:
        raise ColdframeError(f"{error.fault}; {advice}") from error


def _described(source: Path, data: bytes) -> list[Part]:
    """The files that a ``meta.xml`` describes, the core first.

    Raises:
        ColdframeError: it is not as Darwin Core has it, or has a document type, which could define anything.
    """
    if len(data) > MOST_META:
        raise ColdframeError(f"{source}: {META} is larger than {MOST_META >> 20} MB")
    try:
        if b"<!DOCTYPE" in data or b"<!ENTITY" in data or "<!DOCTYPE".encode("utf-16-le")[2:] in data:
            raise ColdframeError(f"{source}: {META} has a document type, which Darwin Core does not need: remove it")
        root = ElementTree.fromstring(data)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise ColdframeError(f"{source}: {META} is not readable as XML: {error}") from error
    parts = [(_local(one.tag), one) for one in root]
    cores = [one for tag, one in parts if tag == "core"]
    if len(cores) != 1:
        raise ColdframeError(f"{source}: {META} describes {len(cores)} cores, expected one")
    try:
        return [_part(one) for one in [*cores, *(one for tag, one in parts if tag == "extension")]]
    except (ValueError, LookupError) as error:
        raise ColdframeError(f"{source}: {META} is not as Darwin Core has it: {error}") from error


def _part(found: ElementTree.Element) -> Part:
    """Raises:
    ValueError, LookupError: it is not as Darwin Core has it.
    """
    named = {
        name: [one for one in found.iter() if _local(one.tag) == name] for name in ("location", "id", "coreid", "field")
    }
    places = [(one.text or "").strip() for one in named["location"]]
    if len(places) != 1:
        raise ValueError(f"a table lies in {len(places)} files, expected one")
    quote = _unescaped(found.get("fieldsEnclosedBy", '"'))
    reading = Reading(
        delimiter=_unescaped(found.get("fieldsTerminatedBy", ",")),
        quote=quote or None,
        names=(),
        skip=int(found.get("ignoreHeaderLines", "0")),
    )
    if len(reading.delimiter) != 1 or len(quote) > 1 or reading.skip < 0:
        raise ValueError(f"{places[0]}: cells end with {reading.delimiter!r} and are enclosed by {quote!r}")
    keys = named["id"] + named["coreid"]
    terms = [(_last(one.get("term", "")), one.get("index"), one.get("default")) for one in named["field"]]
    columns = dict(
        zip(unique_names([term for term, at, _ in terms if at]), [int(at) for _, at, _ in terms if at], strict=True)
    )
    key = int(keys[0].get("index", "-1")) if keys else None
    if key is not None and key not in columns.values():
        columns = {**dict(zip(unique_names(["id", *columns]), [key, *columns.values()], strict=True))}
    if min([*columns.values(), key or 0]) < 0:
        raise ValueError(f"{places[0]}: a column before the first")
    defaults = {term: said for term, at, said in terms if not at and said}
    is_free = "fieldsEnclosedBy" not in found.attrib
    encoding = found.get("encoding") or "UTF-8"
    "".encode(encoding)
    return Part(
        places[0],
        _last(found.get("rowType", "")).lower(),
        encoding,
        reading,
        is_free,
        key,
        columns,
        defaults,
    )


def _local(tag: str) -> str:
    return str(tag).rpartition("}")[2]


def _last(term: str) -> str:
    return term.replace("#", "/").rstrip("/").rpartition("/")[2]


def _unescaped(said: str) -> str:
    return ESCAPES.get(said, said)


@contextmanager
def _zip(source: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with catalogue_limits.opened(source) as file, zipfile.ZipFile(file) as archive:
            if len(archive.infolist()) > MOST_MEMBERS:
                raise ColdframeError(f"{source}: more than {MOST_MEMBERS} files in it: unpack it, and give the folder")
            yield archive
    except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError) as error:
        raise ColdframeError(f"{source}: not a readable archive: {error}; see that it is whole") from error


def _member(source: Path, archive: Archive, name: str, most: int | None = None) -> BufferedReader:
    """Opens a file in an archive, of which no more is unpacked than a catalogue may take."""
    try:
        opened = archive.open(name)
    except KeyError:
        raise ColdframeError(f"{source}: {META} names {name!r}, which is not in the archive") from None
    except RuntimeError as error:
        raise ColdframeError(f"{source}: {name}: {error}; give an archive without a password") from error
    return BufferedReader(
        catalogue_limits.Bounded(source, source.stat().st_size, opened, most=None if most is None else most + 1)
    )


def _other_archive(source: Path, names: list[str]) -> ColdframeError:
    """The error for an archive that is no Darwin Core archive, with what it is."""
    if any(name.startswith(("xl/", "Index/")) or name == "content.xml" for name in names):
        return ColdframeError(f"{source}: a spreadsheet: save its sheet as CSV (in UTF-8), and give that file")
    return ColdframeError(
        f"{source}: an archive without {META}, so no Darwin Core archive: unpack it, and give its catalogue or folder"
    )
