"""Read the file of a catalogue as a table: CSV, TSV or Parquet, within limits of memory and columns."""

from __future__ import annotations

import codecs
import csv
import io
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv

from pipeline.ingest import catalogue_limits, parquet
from store.errors import ColdframeError

PARQUET_ENDINGS = (".parquet", ".pq")
DELIMITERS = (",", ";", "\t")
BLOCK_BYTES = 1 << 20  # of a CSV, parsed at a time; the header must fit into the first block


def read_table(source: Path) -> pa.Table:
    """The rows of a file. Parquet keeps its types; a CSV or TSV has all columns as text, with empty cells NULL.

    Raises:
        ColdframeError: the file does not exist, or is not readable as the type its name says.
    """
    try:
        return parquet.read(source) if source.suffix.lower() in PARQUET_ENDINGS else _read_delimited(source)
    except MemoryError as error:
        raise ColdframeError(f"{source}: {catalogue_limits.too_large()}") from error


def _read_delimited(source: Path) -> pa.Table:
    """All columns as text, as given; an empty cell is NULL."""
    try:
        begin = _beginning(source)
        header = next((line for line in re.split(r"[\r\n]+", _unquoted(begin)) if line.strip()), None)
        if header is None:
            raise ColdframeError(f"{source}: empty; expected a header row with the names of the columns")
        delimiter = "\t" if source.suffix.lower() == ".tsv" else max(DELIMITERS, key=header.count)
        # parse the header ourselves first: Arrow takes minutes to prepare for a million columns
        rows = csv.reader(io.StringIO(begin, newline=""), delimiter=delimiter)
        catalogue_limits.check_columns(source, len(next(filter(None, rows), [])))
        read = pa_csv.ReadOptions(block_size=BLOCK_BYTES)
        parse = pa_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
        with catalogue_limits.opened(source) as file:
            unchecked = pa_csv.ConvertOptions(check_utf8=False)
            with pa_csv.open_csv(file, read, parse, convert_options=unchecked) as reader:  # which reads on by itself
                names = reader.schema.names
        catalogue_limits.check_columns(source, len(names))
        convert = pa_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), null_values=[""], strings_can_be_null=True
        )
        with catalogue_limits.opened(source) as file:
            return pa_csv.read_csv(file, read, parse, convert)
    except UnicodeDecodeError as error:
        raise ColdframeError(f"{source}: not UTF-8 text; save it as CSV with UTF-8 encoding") from error
    except csv.Error as error:
        raise ColdframeError(
            f"{source}: the first row cannot be read as the names of the columns: {error}; see that each quote is closed"
        ) from error
    except pa.ArrowInvalid as error:
        hint = (
            "save it as CSV with UTF-8 encoding"
            if "UTF8" in str(error)
            else "every row needs as many cells as the header"
        )
        raise ColdframeError(f"{source}: cannot be read as a table: {error}; {hint}") from error
    except OSError as error:
        raise ColdframeError(f"{source}: cannot be read: {error}") from error


def _beginning(source: Path) -> str:
    """The text of the first block of a CSV."""
    with catalogue_limits.opened(source) as file:
        return codecs.getincrementaldecoder("utf-8-sig")().decode(file.read(BLOCK_BYTES))


def _unquoted(text: str) -> str:
    return re.sub(r'"[^"]*"', "", text)


def first_row(source: Path) -> int:
    """The number that users give the first row: a spreadsheet counts the header too."""
    return 1 if source.suffix.lower() in PARQUET_ENDINGS else 2
