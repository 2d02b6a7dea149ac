"""Reading catalogues as people write them."""

from __future__ import annotations

import io
import json
import os
import resource
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.ingest import catalogue, catalogue_limits, decoding, ingest, tables
from store import memory
from store.errors import ColdframeError
from tests.support.coldframe import picture


def write(folder: Path, text: str | bytes, name: str = "metadata.csv") -> Path:
    file = folder / name
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "path,label\nx.jpg,moth\n"),
        ("a.csv", "path;label\r\nx.jpg;moth\r\n"),
        ("a.csv", "\ufeffpath,label\nx.jpg,moth\n"),
        ("a.tsv", "path\tlabel\nx.jpg\tmoth\n"),
        ("a.csv", '"path","label"\n"x.jpg","moth"\n'),
        ("a.csv", '\npath,label,"a; b; c; d"\nx.jpg,moth,1\n'),
        ("a.csv", "Path,Label\nx.jpg,moth\n"),
    ],
)
def test_dialects(tmp_path: Path, name: str, text: str) -> None:
    rows = catalogue.read(write(tmp_path, text, name)).rows
    assert rows.select(["image_id", "path", "label"]).to_pylist() == [
        {"image_id": "x.jpg", "path": "x.jpg", "label": "moth"}
    ]


def test_cells_stay_as_given_and_empty_ones_are_null(tmp_path: Path) -> None:
    file = write(tmp_path, 'path,label,code,note\nx.jpg,moth,007,"two\nlines"\ny.jpg,,NA,\n')
    rows = catalogue.read(file).rows.to_pylist()
    assert [row["code"] for row in rows] == ["007", "NA"]
    assert [row["note"] for row in rows] == ["two\nlines", None]
    assert rows[1]["label"] is None


def test_columns_that_collide_with_ours_are_kept_under_another_name(tmp_path: Path) -> None:
    file = write(tmp_path, "Path,family,width,split,name,Name,path\na,moth,9,train,n,m,x.jpg\n")
    rows = catalogue.read(file, path_column="path", label_column="family").rows
    assert rows.to_pylist()[0] == {
        "image_id": "x.jpg",
        "path": "x.jpg",
        "label": "moth",
        "user_Path": "a",
        "family": "moth",
        "user_width": "9",
        "user_split": "train",
        "name": "n",
        "Name_2": "m",
        "user_path_2": "x.jpg",
    }


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    pq.write_table(pa.table({"key": [7, 8], "path": ["a", "b"], "depth": [1.5, None]}), tmp_path / "m.parquet")
    rows = catalogue.read(tmp_path / "m.parquet", id_column="key").rows
    assert rows["image_id"].to_pylist() == ["7", "8"]
    assert rows["depth"].type == pa.float64()


def test_a_folder_of_class_folders(tmp_path: Path) -> None:
    for name in ("moth/a.png", "moth/deep/b.png", "heron/c.jpg", "loose.png", ".hidden/d.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        picture("moth", 1).save(tmp_path / name)
    (tmp_path / "moth" / "notes.txt").touch()
    found = catalogue.read(tmp_path)
    assert {row["path"]: row["label"] for row in found.rows.to_pylist()} == {
        "heron/c.jpg": "heron",
        "loose.png": None,
        "moth/a.png": "moth",
        "moth/deep/b.png": "moth",
    }
    assert "1 .txt" in " ".join(found.notes)


def test_names_and_links_in_a_folder_that_cannot_be_rows(tmp_path: Path) -> None:
    picture("moth", 1).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png"))
    (tmp_path / "linked").symlink_to(tmp_path.parent)
    found = catalogue.read(tmp_path)
    assert found.rows["path"].to_pylist() == ["\\xff.png"]
    assert "1 linked folders" in " ".join(found.notes)


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", {}, "empty; expected a header row"),
        ("path,label\na\n", {}, "line 2: 1 cell, expected 2 as the header in line 1"),
        (b"path,label\n\xff\xfe,moth\n", {}, "UTF-8"),
        (b"p\xffth,label\na,moth\n", {}, "not UTF-8 text"),
        ("where,label\na,moth\n", {}, "which column holds the image paths.*columns: where, label"),
        ("path\na\n", {"label_column": "genus"}, "no column 'genus' for --label; columns: path"),
        ("path,key\na,1\nb,2\nc,1\n", {"id_column": "key"}, "rows 2 and 4 have the same id '1'"),
        ("path,key\na,1\nb,\n", {"id_column": "key"}, "row 3 has no id in column 'key'"),
    ],
)
def test_errors_name_the_file_the_row_and_what_to_do(
    tmp_path: Path, text: str | bytes, options: dict[str, Any], message: str
) -> None:
    file = write(tmp_path, text)
    with pytest.raises(ColdframeError, match=rf"(?s)metadata.csv: .*{message}"):
        catalogue.read(file, **options)


@pytest.mark.parametrize(("column", "what"), [("id", "id"), ("class", "label")])
def test_a_nul_in_an_id_or_a_label_is_refused(tmp_path: Path, column: str, what: str) -> None:
    """NumPy's arrays of text lose one at the end: two ids would become one."""
    rows = {"id": ["k0", "k1"], "path": ["a.jpg", "b.jpg"], "class": ["x", "y"]}
    rows[column][1] += "\0"
    file = tmp_path / "rows.parquet"
    pq.write_table(pa.table(rows), file)
    with pytest.raises(
        ColdframeError, match=rf"row 2 has a NUL character in its {what} in column '{column}': remove it"
    ):
        catalogue.read(file, id_column="id", label_column="class")


def test_other_errors(tmp_path: Path) -> None:
    with pytest.raises(ColdframeError, match="no such file; expected a CSV, TSV or Parquet file"):
        catalogue.read(tmp_path / "gone.csv")
    with pytest.raises(ColdframeError, match="not a readable Parquet file"):
        catalogue.read(write(tmp_path, "no", "m.parquet"))
    (tmp_path / "classes" / "moth").mkdir(parents=True)
    (tmp_path / "classes" / "moth" / "a.png").touch()
    with pytest.raises(ColdframeError, match="a folder has no column 'key': leave out --id"):
        catalogue.read(tmp_path / "classes", id_column="key")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ColdframeError, match="no image files in it"):
        catalogue.read(tmp_path / "empty")
    pq.write_table(pa.table({"path": [["a"]]}), tmp_path / "nested.parquet")
    with pytest.raises(ColdframeError, match=r"column 'path' holds list<.*expected text or numbers"):
        catalogue.read(tmp_path / "nested.parquet")


def wide(first: str, count: int, delimiter: str = ",", last: str = "") -> str:
    """A CSV of one row whose header begins and ends with something of its own."""
    names = [first, *(f"c{number}" for number in range(count)), *[last] * bool(last)]
    cells = [f"a{delimiter}b"] + ["1"] * (len(names) - 1)
    return f"path{delimiter}{delimiter.join(names)}\n{delimiter.join(cells)}\n"


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (wide("label", 2000), 2002),
        (wide('"x\n"', 2500), 2502),
        (wide('"x\n\n,y"', 2500), 2502),
        (wide('"x""\r\n"', 2500), 2502),
        (wide('a"b', 2500, last='"d"'), 2503),
        (wide('a"b', 2500), 2502),
        (wide('"a"b"c', 2500), 2502),
        (wide('"x\n"', 2500, ";"), 2502),
        ("," * 900_000 + "\n", 900_001),
    ],
)
def test_columns_are_counted_as_the_reader_does(tmp_path: Path, text: str, count: int) -> None:
    with pytest.raises(ColdframeError, match=rf"metadata.csv: {count} columns, expected at most 2000"):
        catalogue.read(write(tmp_path, text))


def test_as_many_columns_as_may_be(tmp_path: Path) -> None:
    names = tables.read_table(write(tmp_path, wide('"x\n"', 1997, last='a"b'))).table.column_names
    assert (len(names), names[1], names[-1]) == (2000, "x\n", 'a"b')


def test_fields_of_structures_are_columns_too(tmp_path: Path) -> None:
    inner = pa.StructArray.from_arrays([pa.array(["1"])] * 2000, names=[f"c{number}" for number in range(2000)])
    pq.write_table(pa.table({"path": ["a"], "s": pa.array([[inner[0]]], pa.list_(inner.type))}), tmp_path / "m.parquet")
    with pytest.raises(ColdframeError, match=r"2001 columns, expected at most 2000 \(each field of a struct"):
        catalogue.read(tmp_path / "m.parquet")


def pipe(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("name", ["m.csv", "m.parquet"])
@pytest.mark.parametrize(("make", "kind"), [(pipe, "a pipe"), (device, "a device")])
@pytest.mark.parametrize("read", [catalogue.read, ingest.inputs_read])
def test_what_is_no_file_is_refused_at_once(
    tmp_path: Path, name: str, make: Callable[[Path], None], kind: str, read: Callable[[Path], object]
) -> None:
    make(tmp_path / name)
    with pytest.raises(ColdframeError, match=rf"{name}: {kind}; expected a CSV, TSV or Parquet file"):
        read(tmp_path / name)


@pytest.mark.parametrize("name", ["m.csv", "m.parquet"])
@pytest.mark.parametrize("read", [catalogue.read, ingest.inputs_read])
def test_a_file_that_memory_cannot_hold_is_refused(
    tmp_path: Path, name: str, read: Callable[[Path], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue_limits, "memory_bytes", lambda: 2 * 10**9)
    (tmp_path / name).touch()
    os.truncate(tmp_path / name, 1_100_000_000)  # with nothing in it
    with pytest.raises(ColdframeError, match=rf"{name}: it takes more than the 1.0 GB of memory that a catalogue may"):
        read(tmp_path / name)


@pytest.mark.parametrize("kind", [pa.string(), pa.dictionary(pa.int32(), pa.string())])
def test_rows_that_memory_cannot_hold_are_refused(
    tmp_path: Path, kind: pa.DataType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However little they take on disk."""
    monkeypatch.setattr(catalogue_limits, "memory_bytes", lambda: 200 * 10**6)
    file = tmp_path / "m.parquet"
    pq.write_table(pa.table({"path": pa.array(["x" * 10_000] * 30_000, pa.string()).cast(kind)}), file)
    assert file.stat().st_size < 10**6
    with pytest.raises(
        ColdframeError, match=r"m.parquet: it takes more than the 0.1 GB of memory that a catalogue may"
    ):
        catalogue.read(file)


def test_what_no_reader_adds_up_is_refused_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue_limits, "memory_bytes", lambda: 200 * 10**6)
    monkeypatch.setattr(memory, "SET_ASIDE", 100 * 10**6)
    before = resource.getrlimit(resource.RLIMIT_DATA)
    file = tmp_path / "m.jsonl"  # a structure of all keys in each row
    file.write_text("".join(json.dumps({"path": "x.png", "more": {f"key {at}": 1}}) + "\n" for at in range(9000)))
    with pytest.raises(ColdframeError, match=r"m.jsonl: it takes more than the 0.1 GB of memory that a catalogue may"):
        catalogue.read(file)
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


def test_the_digest_of_a_file_is_taken_in_pieces(tmp_path: Path) -> None:
    data = b"path\n" + b"x.png\n" * 5_000_000
    file = write(tmp_path, data)
    expected = decoding.content_id(data)
    del data
    tracemalloc.start()
    try:
        assert ingest.inputs_read(file) == {"metadata": expected}
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("values", "kind", "message"),
    [
        ([], pa.struct([("x", pa.int8()), ("x", pa.int8())]), "holds struct<x: int8, x: int8>.*duplicate field"),
        ([1 << 62], pa.duration("s"), r"holds duration\[s\].*too large"),
        (None, pa.string(), "holds string.*UTF8"),
    ],
)
def test_a_column_that_cannot_be_text_is_named(
    tmp_path: Path, values: list[object] | None, kind: pa.DataType, message: str
) -> None:
    if values is None:
        offsets, data = pa.py_buffer(b"\0\0\0\0\1\0\0\0"), pa.py_buffer(b"\xff")
        column = pa.Array.from_buffers(kind, 1, [None, offsets, data])
    elif pa.types.is_struct(kind):
        column = pa.StructArray.from_arrays([pa.array([1], pa.int8())] * 2, names=["x", "x"])
    else:
        column = pa.array(values, kind)
    pq.write_table(pa.table({"path": ["a"], "odd": column}), tmp_path / "m.parquet")
    with pytest.raises(
        ColdframeError, match=rf"m.parquet: column 'odd' {message}.*leave the column out, or write it as"
    ):
        catalogue.read(tmp_path / "m.parquet")


def bomb(rows: int, kind: str) -> pa.Table:
    """A long text that stands in each row, in a file of some thousand bytes."""
    text = pa.array(["x" * 10**6])
    each = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), text)
    if kind == "list":
        note: Any = pa.ListArray.from_arrays(pa.array(range(rows + 1), pa.int32()), each)
    elif kind == "struct":
        note = pa.StructArray.from_arrays([each], ["x"])
    else:
        note = each
    return pa.table({"path": [f"{row}.png" for row in range(rows)], "note": note})


@pytest.mark.parametrize("kind", ["text", "list", "struct"])
def test_a_text_that_stands_in_every_row_is_counted_before_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(catalogue_limits, "memory_bytes", lambda: 400 * 10**6)
    file = tmp_path / "m.parquet"
    pq.write_table(bomb(4000, kind), file, dictionary_pagesize_limit=1 << 30, write_batch_size=4000, store_schema=False)
    assert file.stat().st_size < 200_000
    before = pa.default_memory_pool().max_memory()
    with pytest.raises(ColdframeError, match=r"takes more than the 0\.2 GB"):
        catalogue.read(file)
    assert pa.default_memory_pool().max_memory() < before + 300_000_000


def test_more_values_than_memory_are_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue_limits, "memory_bytes", lambda: 40 * 10**6)
    file = tmp_path / "m.parquet"
    pq.write_table(pa.table({"path": pa.DictionaryArray.from_arrays(np.zeros(10**7, np.int32), ["a.png"])}), file)
    with pytest.raises(ColdframeError, match=r"takes more than the 0\.0 GB"):
        catalogue.read(file)


@pytest.mark.variants
@pytest.mark.parametrize("ending", ["gz", "lz4", "bz2", "zst"])
def test_a_file_is_not_unpacked_for_the_ending_of_its_name(tmp_path: Path, ending: str) -> None:
    plain = write(tmp_path, "path,label\na.png,moth\n", f"m.csv.{ending}")
    assert catalogue.read(plain).rows["path"].to_pylist() == ["a.png"]
    packed = tmp_path / f"packed.csv.{ending}"
    with pa.CompressedOutputStream(
        pa.OSFile(str(packed), "wb"), {"gz": "gzip", "zst": "zstd"}.get(ending, ending)
    ) as out:
        out.write(b"path,label\na.png,moth\n")
    if ending == "gz":  # which is unpacked for its first bytes, and within a limit
        packed = packed.rename(tmp_path / "packed.csv")
        assert catalogue.read(packed).rows["path"].to_pylist() == ["a.png"]
    else:
        with pytest.raises(ColdframeError, match=rf"{packed.name}: packed with \w+: unpack it"):
            catalogue.read(packed)


@pytest.mark.parametrize("name", ["m.csv", "m.parquet"])
def test_no_reader_is_given_the_path_of_a_catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """It would wait for a pipe that was put there once it was looked at."""
    file = tmp_path / name
    table = pa.table({"path": ["a.png"]})
    pq.write_table(table, file) if name == "m.parquet" else file.write_text("path\na.png\n")
    opened: list[object] = []

    def recording(real: Any, source: Any, *more: Any, **named: Any) -> Any:
        opened.append(source)
        return real(source, *more, **named)

    for module, one in ((pq, "ParquetFile"), (io, "TextIOWrapper")):
        monkeypatch.setattr(module, one, partial(recording, getattr(module, one)))
    assert catalogue.read(file).rows["path"].to_pylist() == ["a.png"]
    assert opened
    assert not [one for one in opened if isinstance(one, str | Path)]


def test_names_that_are_no_text_are_rows_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "moth").mkdir()
    for name in (b"bad\xff.jpg", b"bad\\xff.jpg", b"bad\\xff.jpg?", b"bad\xfe.jpg"):
        Path(os.fsdecode(bytes(tmp_path) + b"/moth/" + name)).touch()
    rows = catalogue.read(tmp_path).rows
    assert len(set(rows["image_id"].to_pylist())) == len(rows) == 3
    assert sorted(path for path in rows["path"].to_pylist() if (tmp_path / path).exists()) == ["moth/bad\\xff.jpg"]
