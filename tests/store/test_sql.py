"""``sql``: any question, no change, nothing outside the store."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from pipeline.cli.app import cli
from pipeline.runtime import output
from tests.support.coldframe import Coldframe


@pytest.mark.variants
@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("copy (select 1) to 'STORE/x.csv'", "COPY is refused"),
        ("create table x as select 1", "CREATE is refused"),
        ("attach ':memory:' as x", "ATTACH is refused"),
        ("install httpfs", "is refused"),
        ("load httpfs", "LOAD is refused"),
        ("set threads = 1", "SET is refused"),
        ("pragma database_list", "PRAGMA is refused"),
        ("call pragma_version()", "CALL is refused"),
        ("insert into images values (1)", "INSERT is refused"),
        ("delete from data.images", "DELETE is refused"),
        ("drop view images", "DROP is refused"),
        ("export database 'STORE/x'", "EXPORT is refused"),
        ("explain analyze copy (select 1) to 'STORE/x.csv'", "COPY is refused"),
        ("explain (analyze) copy (select 1) to 'STORE/x.csv'", "COPY is refused"),
        ("/* a */ explain analyze copy (select 1) to 'STORE/x.csv'", "is refused|EXPLAIN as the first word"),
        ("pivot images on label", "PIVOT needs its values named"),
        ("select * from read_text('/etc/hostname')", "sql reads the store and nothing else"),
        ("select * from read_csv('OUTSIDE')", "sql reads the store and nothing else"),
        ("select * from 'OUTSIDE'", "sql reads the store and nothing else|does not exist"),
        ("select * from glob('/etc/*')", "sql reads the store and nothing else"),
        ("select * from 'STORE/../outside.csv'", "sql reads the store and nothing else|does not exist"),
        ("select 1; select 2", "expected one query, got 2"),
        ("", "expected one query, got none"),
        ("selec 1", "the query cannot be read"),
        ("select nosuch from images", "nosuch"),
    ],
)
def test_refusals(ready: Coldframe, tmp_path: Path, query: str, word: str) -> None:
    outside = tmp_path / "outside.csv"
    outside.write_text("a\n1\n")
    before = sorted(path for path in ready.path.rglob("*"))
    query = query.replace("STORE", str(ready.path)).replace("OUTSIDE", str(outside))
    said = ready("sql", query, code=1).stderr
    assert any(one in said for one in word.split("|")), said
    assert sorted(path for path in ready.path.rglob("*")) == before


def test_explain_and_describe_are_reading(ready: Coldframe) -> None:
    assert "PARQUET" in ready("sql", "explain select * from images").stdout.upper()
    ready("sql", "explain analyze select count(*) from images")
    assert "image_id" in ready("sql", "describe images").stdout
    assert ready.value(f"select count(*) > 0 from '{ready.path}/parts/images/*.parquet'") is True


def test_a_query_that_takes_too_long_is_stopped(ready: Coldframe) -> None:
    said = ready("sql", "select count(*) from range(1000000000) a, range(1000000) b", "--timeout", 0.3, code=1).stderr
    assert "the query ran longer than 0.3 seconds: narrow it; 'coldframe sql --store " in said
    assert "gives more with --timeout" in said


def test_formats(ready: Coldframe) -> None:
    query = "select image_id, width, is_grey, [1, 2] as numbers, null as nothing from images order by image_id"
    rows = json.loads(ready("sql", query, "--format", "json").stdout)
    assert rows[0] == {"image_id": "finch-00", "width": 40, "is_grey": False, "numbers": [1, 2], "nothing": None}
    lines = ready("sql", query, "--format", "ndjson").stdout.splitlines()
    assert [json.loads(line) for line in lines] == rows
    table = list(csv.reader(io.StringIO(ready("sql", query, "--format", "csv").stdout)))
    assert table[0] == ["image_id", "width", "is_grey", "numbers", "nothing"]
    assert table[1] == ["finch-00", "40", "False", "[1, 2]", ""]
    assert len(table) == 25
    parquet = ready("sql", query, "--format", "parquet").stdout_bytes
    assert pq.read_table(io.BytesIO(parquet)).num_rows == 24


def test_a_table_shows_the_first_rows_and_says_how_many_there_are(ready: Coldframe) -> None:
    shown = ready("sql", "select image_id, vector from embeddings", "--rows", 3).stdout
    assert "(3 of 24 rows; the other formats give all)" in shown
    assert len(shown.splitlines()) == 6
    assert "… 48]" in shown
    assert "(no rows)" in ready("sql", "select * from failures").stdout


def test_long_cells_and_numbers_are_cut_for_reading() -> None:
    text = output.as_text(pa.table({"a": ["x" * 99], "b": [1 / 3], "c": [None]}))
    assert "x" * 59 + "…" in text
    assert "0.333333" in text


def test_columns_of_one_name_are_told_apart(ready: Coldframe) -> None:
    query = (
        "select a.image_id, b.image_id, 1 as image_id from images a join images b using (label) order by 1, 2 limit 1"
    )
    rows = ready.rows(query)
    assert rows == [{"image_id": "finch-00", "image_id_2": "finch-00", "image_id_3": 1}]
    assert ready("sql", query, "--format", "csv").stdout == "image_id,image_id_2,image_id_3\nfinch-00,finch-00,1\n"


def test_values_that_a_format_has_no_word_for(ready: Coldframe) -> None:
    assert ready.rows("select 'nan'::double as n, ['inf'::double] as l, 1.5::decimal as d, 3::hugeint as h") == [
        {"n": None, "l": [None], "d": 1.5, "h": 3}
    ]
    assert "cast the column with ::varchar" in ready("sql", "select 'infinity'::date", code=1).stderr


def test_another_query_cannot_read_the_spill_folder(ready: Coldframe, tmp_path: Path) -> None:
    import tempfile

    folder = Path(tempfile.gettempdir())
    assert "sql reads the store and nothing else" in ready("sql", f"from glob('{folder}/*')", code=1).stderr


def test_parameters(ready: Coldframe) -> None:
    query = "select count(*) n from images where label = $label and width > $width"
    assert ready.rows(query, "--param", "label=moth", "--param", "width=39") == [{"n": 8}]
    assert "--param x: expected NAME=VALUE" in ready("sql", query, "--param", "x", code=2).stderr
    assert ready.rows(query, "--param", "LABEL=moth", "--param", "width=39") == [{"n": 8}]  # as SQL takes names


@pytest.mark.variants
@pytest.mark.parametrize("begin", ["select", "explain select"])
def test_each_parameter_has_one_value(ready: Coldframe, begin: str) -> None:
    query = f"{begin} count(*) as n from images where label = $label or path = '$path' -- $x"
    right = ("--param", "label=moth")
    refused = {
        "no value for $label: give one with --param label=VALUE": (),
        "the query has no parameter $lable; its parameters: $label": ("--param", "lable=moth"),
        "no parameter $path": (*right, "--param", "path=a"),
        "$label has two values": (*right, "--param", "Label=finch"),
    }
    for words, given in refused.items():
        assert words in ready("sql", query, *given, code=1).stderr
    assert "given twice, as 'moth' and 'moth'" in ready("sql", query, *right, *right, code=2).stderr
    assert "no parameter $a; its parameters: none" in ready("sql", "select 1", "--param", "a=", code=1).stderr
    assert "no value for $1" in ready("sql", "select ?", code=1).stderr
    ready("sql", query, *right)


def test_a_query_from_a_file_or_standard_input(ready: Coldframe, tmp_path: Path) -> None:
    file = tmp_path / "query.sql"
    file.write_text("\ufeff-- how many\nselect count(*) as n\nfrom images where label = $label;\n", encoding="utf-8")
    given = ("--param", "label=moth", "--format", "csv")
    for way in (("-f", file), ("-",), ("-f", "-"), ("--file", "-")):
        result = CliRunner().invoke(
            cli, ["-s", str(ready.path), "sql", *map(str, way), *given], input=file.read_bytes()
        )
        assert result.stdout.split() == ["n", "8"], result.output
    assert "expected one query" in ready("sql", "select 1", "-f", file, code=2).stderr
    assert "expected one query" in ready("sql", code=2).stderr
    assert "no-such.sql: No such file" in ready("sql", "-f", "no-such.sql", code=1).stderr
    file.write_bytes(b"select '\xe9'")
    assert "query.sql: not UTF-8 at byte 8" in ready("sql", "-f", file, code=1).stderr
    file.write_text("drop view images")
    assert "DROP is refused" in ready("sql", "-f", file, code=1).stderr


def test_a_list_parameter_from_a_file(ready: Coldframe, tmp_path: Path) -> None:
    query = "select count(*) from images where image_id in $ids"
    file = tmp_path / "ids.csv"
    ids = [f"finch-{number:02d}" for number in range(5000)]
    for text in ("\n".join(ids), "\r\n".join(["image_id,label", *(f'"{one}",x' for one in ids)]) + "\r\n"):
        file.write_text(text, newline="")
        assert ready.rows(query, "--param", f"ids=@{file}") == [{"count_star()": 8}]
    assert "nosuch: No such file" in ready("sql", query, "--param", "ids=@nosuch", code=1).stderr
    file.write_text("")
    assert f"--param ids: {file}: no images" in ready("sql", query, "--param", f"ids=@{file}", code=1).stderr
    assert ready.rows("select $x as x", "--param", "x=@@joe") == [{"x": "@joe"}]


def test_an_earlier_moment(ready: Coldframe) -> None:
    ready("split", "test", 0.2)
    then = ready.store.snapshot().manifest.number
    ready("split", "test", 0.5)
    query = "select count(*) from splits where split = 'test'"
    assert ready.value(query) == 12
    assert ready.rows(query, "--at", then) == [{"count_star()": 5}]


def test_nearest_is_neither_the_image_nor_its_copies(ready: Coldframe) -> None:
    rows = ready.rows("from nearest('moth-00', 'mean-colour', 3)")
    assert len(rows) == 3
    assert all(row["image_id"].startswith("moth") and row["image_id"] != "moth-00" for row in rows)
    assert ready.value("select similarity([1.0, 0.0], [2.0, 0.0])") == 1


@pytest.mark.parametrize(
    ("view", "columns"),
    [
        ("images", "image_id content_id path label bytes format mode width height frames is_grey phash phylum"),
        ("failures", "image_id path step name reason"),
        ("embeddings", "image_id content_id embedder view vector"),
        ("scores", "image_id scorer value"),
        ("exclusions", "plan image_id rule pass value threshold"),
        ("splits", "plan image_id split"),
        ("kept", "image_id label split phylum"),
        ("copies", "image_id original_id kind"),
        ("training_set", "image_id label split embedder view vector"),
        ("runs", "run_id created_at"),
        ("predictions", "run_id evaluation image_id split label predicted probability rank"),
        ("confusion", "run_id evaluation label predicted"),
    ],
)
def test_views_a_user_may_rely_on(ready: Coldframe, view: str, columns: str) -> None:
    assert set(columns.split()) <= {row["column_name"] for row in ready.rows(f"describe {view}")}
