"""Text with delimiters: no line is merged, dropped or misread without an error that names it."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.ingest import catalogue, tables
from pipeline.ingest.readers.delimited import Dialect
from store.errors import ColdframeError
from tests.support.coldframe import Coldframe, picture

GBIF = 'path\ttitle\tlabel\np1.jpg\t"Hind wing\tcanidae\np2.jpg\tx\tlaridae\np3.jpg\t"Fore wing\tpicidae\n'


def write(folder: Path, text: str | bytes, name: str = "m.csv") -> Path:
    file = folder / name
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def cells(file: Path, **how: Any) -> list[tuple[str | None, ...]]:
    """Names and cells as read."""
    table = tables.read_table(file, Dialect(**how)).table
    return [tuple(table.column_names), *zip(*(column.to_pylist() for column in table.columns), strict=True)]


@pytest.mark.variants
@pytest.mark.parametrize(
    ("text", "titles"),
    [
        (GBIF, ['"Hind wing', "x", '"Fore wing']),
        ('path\ttitle\na\t"Old Joe" the raven\nb\t"Joe"\n', ['"Old Joe" the raven', '"Joe"']),
        ('path,title\r\na,"Old Joe" the raven\r\nb,x\r\n', ['"Old Joe" the raven', "x"]),
        ('path\ttitle\na\tx"\nb\t"\nc\t""x\n', ['x"', '"', '""x']),
        ('path,title\na,"x, ""y"""\nb,"two\nlines"\n', ['x, "y"', "two\nlines"]),
        ("sep=;\npath;title\na;x,y\n", ["x,y"]),
        ('"sep=|"\r\npath|title\r\na|x\r\n', ["x"]),
        ("\npath,title\n\n\na,x\n \nb,y\n", ["x", "y"]),
        ("path\ttitle\na\tl'été, \"chaud\n", ["l'été, \"chaud"]),
        (
            'path,title,label\na,"Old Joe" the raven,"x"\nb,"f,""g""","x"\nc,g,x\n',
            ['"Old Joe" the raven', 'f,"g"', "g"],
        ),
        ('path,title\na,"x, y" z\nb,"x"\nc,"two\nlines"\n', ['"x, y" z', "x", "two\nlines"]),
        ('"path"\t"title"\n"a"\t"x"\n', ["x"]),
        ('path,title\na,"Joe" the raven\nb,"x"\n', ['"Joe" the raven', "x"]),
        ('path\ttitle\na\t"x"\nb\t"Joe" the raven\nc\t"y"\n', ["x", '"Joe" the raven', "y"]),
    ],
)
def test_quotes_that_are_text_merge_no_rows(tmp_path: Path, text: str, titles: list[str]) -> None:
    for packed in (text.encode(), text.encode("utf-16"), b"\xef\xbb\xbf" + text.encode(), gzip.compress(text.encode())):
        found = cells(write(tmp_path, packed, "m.csv.gz"))
        assert found[0][:2] == ("path", "title")
        assert [row[1] for row in found[1:]] == titles


@pytest.mark.variants
@pytest.mark.parametrize(
    ("text", "how", "message"),
    [
        (
            'path\ttitle\tl\na\t"Hind\tx\nb\ty\tz\nc\tfore"\tx\n',
            {},
            "line 2: a quote is opened here and closed on a later",
        ),
        (
            'path\tt\tl\na\t"b\tc"\tx\nd\t"Old\ty\ne\tNew"\tz\n',
            {},
            "line 3: a quote is opened here and closed on a later",
        ),
        ('path,title,l\na,"Joe" the, raven,"x"\nb,"c",x\n', {}, "line 2: text follows a closing quote"),
        ('path,title,l\na,"e"f",x\nb,"c",x\n', {}, "line 2: text follows a closing quote"),
        ('path,title\na,"b\nc,"d"\n', {}, "line 2: text follows a closing quote"),
        ('path,title\na,"b""c"\nd,"e"f"\n', {}, "line 3: text follows a closing quote"),
        ('"path","title"\n"a","b"\n"c","d\n', {}, "line 3: a quote is opened and not closed"),
        ("path,title\n\na,b\n\nc\n", {}, "line 5: 1 cell, expected 2 as the header in line 1"),
        ("path,title\na,b,c\n", {}, "line 2: 3 cells, expected 2"),
        ("path,a;b\nx,y;z\n", {}, "line 1: the cells may be divided by commas or by semicolons: say by which"),
        (b"path,title\na,b\nc,\xff\n", {}, "line 3: not UTF-8 text"),
        ("path,title\na,b\n", {"delimiter": "tab"}, "which column holds the image paths"),
        ("path,title\na,b\n", {"delimiter": ",,"}, "--delimiter ',,': expected one character or a word"),
        ("path,title\na,b\n", {"encoding": "rot13"}, "no encoding 'rot13'"),
        ("path,title\na,b\n\na,c\n", {}, "rows 2 and 4 have the same id 'a'"),
        ('path,id\n"a\nb",1\n\nc,\n', {"id": "id"}, "row 5 has no id in column 'id'"),
    ],
)
def test_what_cannot_be_read_is_refused_by_its_line(
    tmp_path: Path, text: str | bytes, how: dict[str, str], message: str
) -> None:
    id_column = how.pop("id", None)
    with pytest.raises(ColdframeError, match=rf"m\.csv: .*{message}"):
        catalogue.read(write(tmp_path, text), how=Dialect(**how), id_column=id_column)


def test_how_a_text_is_read_can_be_set_and_is_said(cf: Coldframe, tmp_path: Path) -> None:
    """By options and in a recipe."""
    (tmp_path / "images").mkdir()
    picture("moth", 1).save(tmp_path / "images" / "a.png")
    write(tmp_path, "path:label:note\na.png:Käfer:'x:y'\n".encode("cp1252"))
    how = ("--delimiter", ":", "--quote", "'", "--encoding", "cp1252")
    said = cf("ingest", "m.csv", "--images", "images", *how).stderr
    assert "m.csv: read as text in cp1252, cells divided by ':', quoted with '; path: 'path', label: 'label'" in said
    assert cf("sql", "select label, note from images", "--format", "csv").stdout.splitlines()[1:] == ["Käfer,x:y"]
    recipe = '[ingest]\nmetadata = "m.csv"\nimages = "images"\ndelimiter = "tab"\nquote = "none"\n'
    Path("coldframe.toml").write_text(recipe)
    write(tmp_path, 'path\tlabel\na.png\t"moth\n')
    assert "cells divided by tabs, quotes are part of the text" in cf("ingest").stderr
    assert cf("sql", "select label from images", "--format", "json").stdout.count('\\"moth') == 1


def test_cells_that_keep_their_quotes_among_enclosed_ones_are_counted(tmp_path: Path) -> None:
    rows = 'path,title,label\na,"x\ny","owl"\nb,"Old Joe" the raven,"owl"\nc,"a" b,owl\n'
    found = catalogue.read(write(tmp_path, rows))
    assert found.rows["label"].to_pylist() == ["owl"] * 3
    assert "2 cells keep their quotes, since text follows the closing one: see line 4" in found.notes[1]
    bare = catalogue.read(write(tmp_path, rows.replace("\ny", "")), how=Dialect(quote="none"))
    assert bare.rows["label"].to_pylist() == ['"owl"', '"owl"', "owl"]


def test_line_ends_may_change_to_those_of_windows_once(tmp_path: Path) -> None:
    rows = [f"{n}.png,owl" for n in range(12)]
    for text in ("path,label\n" + "\r\n".join(rows), 'path,label\n"0.png","owl"\r\n'):
        assert cells(write(tmp_path, text))[1] == ("0.png", "owl")
    for text, line in (
        ("path,label\na,b\r\n", 2),
        ("path,label\n" + "\r\n".join(rows) + "\r\nx,y\n", 2),
        ("path,label\na,b\n" + "\r\n".join(rows[:3]) + "\r\n", 3),
        ("path,label\r\na,b\rc,d\r\n", 2),
    ):
        with pytest.raises(ColdframeError, match=rf"line {line}: it does not end as the lines before do"):
            cells(write(tmp_path, text))


def test_a_cell_of_4_mb(tmp_path: Path) -> None:
    before = csv.field_size_limit()
    assert cells(write(tmp_path, f'path,note\na,"{"x" * 4_000_000}"\n'))[1][1] == "x" * 4_000_000
    assert csv.field_size_limit() == before


TEXT = st.text(st.sampled_from("ab \"',;\t|\\\n\r0é\u2028\x00"), max_size=6)
QUOTED = (csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC)


@st.composite
def written(draw: st.DrawFn) -> tuple[dict[str, Any], list[list[str]], list[int]]:
    """A dialect, rows of text, and the number of blank lines before each."""
    given_dialect = draw(st.sampled_from([*csv.list_dialects(), None]))
    if given_dialect:
        dialect: dict[str, Any] = {"dialect": given_dialect}
    else:
        quoting = draw(st.sampled_from([*QUOTED, csv.QUOTE_NONE]))
        dialect = {
            "delimiter": draw(st.sampled_from(",;\t|: ")),
            "quotechar": draw(st.sampled_from("\"'")),
            "quoting": quoting,
            "doublequote": draw(st.booleans()),
            "escapechar": draw(st.sampled_from(["\\", "^"])),
        }
    dialect["lineterminator"] = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    width = draw(st.integers(2, 4))
    rows = draw(st.lists(st.lists(TEXT, min_size=width, max_size=width), min_size=1, max_size=5))
    blanks = draw(st.lists(st.integers(0, 2), min_size=len(rows) + 1, max_size=len(rows) + 1))
    return dialect, [["path", "b", "c", "d"][:width], *rows], blanks


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(written())
def test_what_csv_writes_is_read_back_or_refused_by_its_line(
    tmp_path: Path, sample: tuple[dict[str, Any], list[list[str]], list[int]]
) -> None:
    """With what its dialect is, or for one of Python's own without: never other cells."""
    dialect, rows, blanks = sample
    file = tmp_path / ("m.tsv" if dialect.get("dialect") == "excel-tab" else "m.csv")
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, **dialect)
        for row, blank in zip(rows, blanks, strict=True):
            out.write(dialect["lineterminator"] * blank)
            writer.writerow(row)
    how = {}
    if "dialect" not in dialect:
        quote = "none" if dialect["quoting"] == csv.QUOTE_NONE else dialect["quotechar"]
        how = {"delimiter": dialect["delimiter"], "quote": quote, "escape": dialect["escapechar"]}
    try:
        found = cells(file, **how)
    except ColdframeError as error:
        assert "line " in str(error)  # noqa: PT017 - a refusal is right as well
        return
    assert [[cell or "" for cell in row] for row in found] == rows


test_what_csv_writes_is_read_back_or_refused_by_its_line_often = pytest.mark.exhaustive(
    settings(max_examples=3000, suppress_health_check=[HealthCheck.function_scoped_fixture])(
        given(written())(test_what_csv_writes_is_read_back_or_refused_by_its_line.hypothesis.inner_test)  # type: ignore[attr-defined]
    )
)
