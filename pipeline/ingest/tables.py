"""Read the file of a catalogue as a table, by what its first bytes and its name say it is."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from pipeline.ingest import catalogue_limits
from pipeline.ingest.listed import Listed
from pipeline.ingest.readers import coco, darwin_core, delimited, json_rows, parquet
from pipeline.ingest.readers.delimited import Dialect
from store.errors import ColdframeError

MOST_SAID = 5  # keys that a sentence names
PARQUET_ENDINGS = (".parquet", ".pq")
LINES_ENDINGS = (".jsonl", ".ndjson")
JSON_ENDINGS = (*LINES_ENDINGS, ".json")
SHEET_ENDINGS = (".xlsx", ".xls", ".xlsm", ".xlsb", ".ods", ".numbers")
ZIP = (b"PK\x03\x04", b"PK\x05\x06")
OLD_SHEET = b"\xd0\xcf\x11\xe0"
PACKED = {
    b"BZh": "bzip2",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
    b"\xfd7zXZ": "xz",
    b"7z\xbc\xaf": "7z",
}
ARROW = (b"ARROW1", b"FEA1")
BEGINNING = 512  # bytes that tell what a file is
JSON = re.compile(rb"\s*(\{\s*\"|\[\s*\{)")
NAMES_OF_TEXT = ("", ".txt", ".csv", ".tsv", ".tab")
# By how a file begins. White space before a text does not count.
OTHER_FILES = (
    (rb"version https://git-lfs", "a Git LFS pointer, not the file itself: run 'git lfs pull' where it was cloned"),
    (
        rb"(?i)(<!--.*?-->\s*)?<(!doctype html|html|head|body|title|script|meta)",
        "an HTML page, as of a download that failed: fetch the file again",
    ),
    (rb"<\?xml|<\w+[\s>]", "XML, which is not read: save its rows as CSV"),
    (rb"SQLite format 3\0", "an SQLite database: save its table as CSV or Parquet"),
    (rb"(?s).{8}DUCK", "a DuckDB database: save its table as CSV or Parquet"),
    (rb"\x89HDF", "an HDF5 file: save its table as CSV or Parquet"),
    (rb"\x93NUMPY", "a NumPy array: save it as CSV or Parquet, with a name for each column"),
    (rb"\x80[\x02-\x05]", "a pickle, which is a program and is not run: save its table as CSV or Parquet"),
    (rb"%PDF", "a PDF document: save its table as CSV"),
    (
        rb"(?s)\x89PNG|\xff\xd8\xff|GIF8|II\*\0|MM\0\*|RIFF....WEBP|....ftyp(heic|mif1|avif)",
        "a picture, not a list of pictures: name the folder that it lies in",
    ),
    (rb"Rar!", "packed with RAR: unpack it, and give the file that was in it"),
    (rb"\0{16}", "a file that begins with zero bytes, as of a copy that was cut off: copy it again"),
)


def read_table(source: Path, how: Dialect | None = None) -> Listed:
    """The rows of a file. Parquet and JSON keep their types; in text with delimiters all columns are text, empty cells NULL.

    Args:
        how: how a text is to be read, where the file itself does not tell.

    Raises:
        ColdframeError: the file does not exist, is of a kind that is not read, or is not readable as what it is.
    """
    how = how or Dialect()
    try:
        found = _read(source, how)
    except OSError as error:
        raise ColdframeError(f"{source}: cannot be read: {error}") from error
    asked = [name for name in ("delimiter", "quote", "escape") if getattr(how, name) is not None]
    if asked and not found.is_text:
        raise ColdframeError(f"{source}: --{asked[0]} is for text with delimiters, which this is not: leave it out")
    return found


def _read(source: Path, how: Dialect) -> Listed:
    with catalogue_limits.opened(source) as file:
        begin = file.read(BEGINNING)
    ending = Path(source.name.lower().removesuffix(".gz")).suffix
    if begin.startswith(ZIP) and ending not in SHEET_ENDINGS:
        return darwin_core.read_archive(source)
    if ending in SHEET_ENDINGS or begin.startswith(OLD_SHEET):
        raise ColdframeError(f"{source}: a spreadsheet: save its sheet as CSV (in UTF-8), and give that file")
    if ending in PARQUET_ENDINGS or begin.startswith(b"PAR1"):
        return parquet.read(source)
    if begin.startswith(ARROW):
        raise ColdframeError(f"{source}: an Arrow or Feather file: save it as Parquet, and give that file")
    for mark, name in PACKED.items():
        if begin.startswith(mark):
            raise ColdframeError(f"{source}: packed with {name}: unpack it, and give the file that was in it")
    with catalogue_limits.unpacked(source, catalogue_limits.opened(source)) as inside:
        begin = inside.read(BEGINNING).removeprefix(b"\xef\xbb\xbf")
    for like, said in OTHER_FILES:
        if re.match(like, begin) or re.match(like, begin.lstrip()):
            raise ColdframeError(f"{source}: {said}")
    is_asked = any((how.delimiter, how.quote, how.escape, how.encoding))
    if ending in JSON_ENDINGS or (not is_asked and JSON.match(begin.replace(b"\0", b"").lstrip(b"\xff\xfe"))):
        is_line = ending in NAMES_OF_TEXT and begin.lstrip()[:1] != b"["  # a line may be all that there is
        return _read_json(source, is_lines=ending in LINES_ENDINGS, is_line=is_line)
    return delimited.read(source, how)


def _read_json(source: Path, *, is_lines: bool, is_line: bool) -> Listed:
    data = catalogue_limits.whole(source)
    encoding = json.detect_encoding(data)
    if not encoding.startswith("utf-8"):
        try:
            data = data.decode(encoding).encode()
        except UnicodeError as error:
            raise ColdframeError(
                f"{source}: not readable as {encoding}; save it as JSON with UTF-8 encoding"
            ) from error
    if is_lines or _has_several(data):
        return json_rows.read_lines(source, data)
    found = json_rows.parsed(source, "", data)
    if coco.is_coco(found):
        return coco.read(source, found)
    if is_line and isinstance(found, dict) and data.strip().count(b"\n") == 0:
        return json_rows.read_lines(source, data)
    if isinstance(found, list):
        return json_rows.read_list(source, found)
    raise ColdframeError(
        f"{source}: JSON of another kind; expected a list of objects, an object on each line, or COCO JSON{_keys_of(found)}: "
        "turn it into a CSV with a row for each picture, and the columns path and label"
    )


def _keys_of(found: Any) -> str:
    """What stands at the top of a JSON document, in words."""
    if not isinstance(found, Mapping):
        return ""
    names = [repr(name) for name in islice(found, MOST_SAID)] + ["…"] * (len(found) > MOST_SAID)
    return f", and this is an object with {', '.join(names)}" if names else ", and this is an empty object"


def _has_several(data: bytes) -> bool:
    """Whether the first line is a JSON object by itself, and others follow."""
    first, _, rest = data.removeprefix(b"\xef\xbb\xbf").lstrip().partition(b"\n")
    if not first.startswith(b"{") or not rest.strip():
        return False
    try:
        json.loads(first)
    except (ValueError, RecursionError):
        return False
    return True
