"""Catalogues of the trade: what people have is read, or refused with what to do."""

from __future__ import annotations

import datetime as dt
import gzip
import io
import json
import os
import zipfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.cli.app import cli
from pipeline.deploy import sources
from pipeline.ingest import catalogue, catalogue_limits, leftovers, tables
from store.errors import ColdframeError
from tests.support.coldframe import Coldframe, picture

DWC = "http://rs.tdwg.org/dwc/terms/"
DC = "http://purl.org/dc/terms/"
HEAD = 'encoding="UTF-8" fieldsTerminatedBy="\\t" linesTerminatedBy="\\n" ignoreHeaderLines="1"'
META = f"""<?xml version="1.0"?><archive xmlns="http://rs.tdwg.org/dwc/text/" metadata="eml.xml">
<core {HEAD} fieldsEnclosedBy="" rowType="{DWC}Occurrence"><files><location>occurrence.txt</location></files><id index="0"/>
<field index="1" term="{DWC}family"/><field index="2" term="{DC}license"/><field term="{DC}publisher" default="GBIF"/></core>
<extension {HEAD} rowType="http://rs.gbif.org/terms/1.0/Multimedia"><files><location>multimedia.txt</location></files>
<coreid index="0"/><field index="1" term="{DC}identifier"/><field index="2" term="{DC}license"/>
<field index="3" term="{DC}rightsHolder"/></extension></archive>"""
OCCURRENCES = 'id\tfamily\tl\nk1\t"moth\tcc0\nk2\theron\tcc0\nk3\tnone\tcc0\n'
MEDIA = 'id\ti\tl\tr\nk1\ta.png\tby\t"Ann\nk1\tb.png\tby\tBo\nk2\thttps://x.org/p/c.png?s=1\tby\t"Cy\n'


def dwca(folder: Path, meta: str = META, media: str = MEDIA, occurrences: str | bytes = OCCURRENCES) -> Path:
    with zipfile.ZipFile(folder / "dwca.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in (("meta.xml", meta), ("occurrence.txt", occurrences), ("multimedia.txt", media)):
            archive.writestr(name, text)
    return folder / "dwca.zip"


def coco(folder: Path) -> Path:
    found = {
        "images": [{"id": n, "file_name": f"{name}.png", "license": 1, "width": 40} for n, name in enumerate("abc")],
        "annotations": [{"image_id": at, "category_id": of} for at, of in ((0, 7), (0, 7), (1, 8), (2, 7), (2, 8))],
        "categories": [{"id": 7, "name": "moth"}, {"id": 8, "name": "heron"}],
        "licenses": [{"id": 1, "name": "CC BY", "url": "https://cc"}],
    }
    (folder / "coco.json").write_text(json.dumps(found))
    return folder / "coco.json"


def lines(folder: Path) -> Path:
    rows = [
        {"path": "a.png", "label": "moth", "box": {"x": 1}, "odd": 1},
        {"path": "b.png", "label": "heron", "odd": "x"},
    ]
    text = "\n".join(map(json.dumps, rows)) + '\n\n{"path": "c.png", "none": {}, "odd": [1]}\n'
    (folder / "rows.jsonl").write_text(text)
    return folder / "rows.jsonl"


def packed(folder: Path) -> Path:
    (folder / "rows.csv.gz").write_bytes(gzip.compress(b"path;label\na.png;moth\nb.png;heron\nc.png;\n"))
    return folder / "rows.csv.gz"


def quoted(folder: Path) -> Path:
    (folder / "rows.txt").write_text('path\ttitle\tlabel\na.png\t"Hind wing\tmoth\nb.png\tx\theron\nc.png\t"Fore\t\n')
    return folder / "rows.txt"


def parquet(folder: Path) -> Path:
    odd = {
        "bytes": [b"\xff", None, b"a"],
        "half": np.array([1, 2, 3], np.float16),
        "uuid": pa.array([b"0" * 16, None, b"1" * 16], pa.uuid()),
        "vast": pa.array([Decimal("1.5"), None, Decimal(2)], pa.decimal256(60, 3)),
        "took": pa.array([1, None, 90_000_000_000_002], pa.duration("ns")),
        "lists": pa.array([[1], [None], None], pa.list_(pa.duration("s"))),
        "halves": pa.array([{"x": [np.float16(1)]}, None, {"x": []}], pa.struct([("x", pa.list_(pa.float16()))])),
    }
    pq.write_table(
        pa.table({"path": ["a.png", "b.png", "c.png"], "label": ["moth", "heron", None], **odd}), folder / "m.parquet"
    )
    return folder / "m.parquet"


KINDS: dict[Callable[[Path], Path], tuple[str, Any, str]] = {
    quoted: ("title", '"Hind wing', "moth heron None"),
    packed: ("path", "a.png", "moth heron None"),
    lines: ("box.x", 1, "moth heron None"),
    dwca: ("rightsHolder || occurrence_license || publisher", '"Anncc0GBIF', '"moth "moth heron'),
    coco: ("license || categories[1] || annotations", "CC BYmoth2", "moth heron None"),
    parquet: ("vast || ' ' || took", "1.500 0:00:00.000000001", "moth heron None"),
}


@pytest.mark.parametrize("make", KINDS)
def test_catalogues_of_the_trade(cf: Coldframe, tmp_path: Path, make: Callable[[Path], Path]) -> None:
    for n, name in enumerate("abc"):
        picture("moth", n).save(tmp_path / f"{name}.png")
    column, value, labels = KINDS[make]
    source = make(tmp_path)
    said = cf("ingest", source.name, "--images", ".").stderr
    assert f"{source.name}: read as " in said
    cf("inspect")
    rows = json.loads(cf("sql", f"select label, {column} as one from images order by path", "--format", "json").stdout)
    assert " ".join(str(row["label"]) for row in rows) == labels
    assert str(rows[0]["one"]) == str(value)
    assert "0 updated, 3 unchanged" in cf("ingest", source.name, "--images", ".").stderr
    if make is dwca:
        assert "left out 1 rows of occurrence.txt that have no picture" in said
        assert "nothing is fetched" in said


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_what_a_file_is_its_first_bytes_decide(tmp_path: Path, encoding: str) -> None:
    """Whatever its name, with a mark of its encoding or without."""
    table, row = "path,label\na.png,K\u00e4fer\n", '{"path": "a.png", "label": "K\u00e4fer"}\n'
    for name, text in (
        ("m.csv", table),
        ("m.txt", row),
        ("m.csv", row + row.replace("a.png", "b.png")),
        ("m.txt", f"[{row}]"),
        ("m.jsonl", row),
        ("m.json", f"[{row}]"),
    ):
        (tmp_path / name).write_bytes(text.encode(encoding))
        assert catalogue.read(tmp_path / name).rows.slice(0, 1).select(["path", "label"]).to_pylist() == [
            {"path": "a.png", "label": "K\u00e4fer"}
        ]


def test_nan_is_no_label(tmp_path: Path) -> None:
    """A missing value, as pandas writes it into Parquet and JSON."""
    numbers = [1.0, float("nan"), None]
    for kind in (pa.float32(), pa.float64()):
        pq.write_table(pa.table({"path": list("abc"), "label": pa.array(numbers, kind)}), tmp_path / "m.parquet")
        found = catalogue.read(tmp_path / "m.parquet")
        assert found.rows["label"].to_pylist() == ["1", None, None]
        assert "2 of 3 rows have no label" in " ".join(found.notes)
    rows = [{"path": str(n), "label": one} for n, one in enumerate(["owl", float("nan"), "NaN"])]
    (tmp_path / "m.json").write_text(json.dumps(rows))
    assert catalogue.read(tmp_path / "m.json").rows["label"].to_pylist() == ["owl", None, "NaN"]
    pq.write_table(pa.table({"path": numbers}), tmp_path / "m.parquet")
    assert catalogue.read(tmp_path / "m.parquet").rows["path"].to_pylist()[1] is None


def test_pictures_within_a_table_are_refused_with_the_way_out(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": [{"bytes": b"x", "path": "a.png"}], "label": [1]}), tmp_path / "m.parquet")
    with pytest.raises(
        ColdframeError, match=r"column 'image' holds .*pictures are read from files, so write each to one"
    ):
        catalogue.read(tmp_path / "m.parquet")


MANY_MEDIA = "id\ti\tl\tr\n" + "".join(f"k1\t{at}.png\tby\tBo\n" for at in range(2000))


def long_name_of_coco(folder: Path) -> Path:
    images = [{"id": at, "file_name": f"{at}.png"} for at in range(2000)]
    found = {
        "images": images,
        "annotations": [{"image_id": one["id"], "category_id": 1} for one in images],
        "categories": [{"id": 1, "name": "x" * 50_000}],
    }
    (folder / "coco.json").write_text(json.dumps(found))
    return folder / "coco.json"


def long_licence_of_coco(folder: Path) -> Path:
    found = {
        "images": [{"id": at, "file_name": f"{at}.png", "license": 1} for at in range(2000)],
        "licenses": [{"id": 1, "name": ["x" * 50_000]}],
    }
    (folder / "coco.json").write_text(json.dumps(found))
    return folder / "coco.json"


def many_pictures_of_a_row(folder: Path) -> Path:
    return dwca(
        folder,
        occurrences=b"id\tf\tl\nk1\tx\t" + b"r" * 50_000 + b"\n",
        media=MANY_MEDIA,
    )


def long_value_for_each_row(folder: Path) -> Path:
    field = f'<field term="http://rs.tdwg.org/dwc/terms/license" default="{"x" * 50_000}"/></extension>'
    return dwca(
        folder,
        meta=META.replace("</extension>", field),
        media=MANY_MEDIA,
    )


def many_keys(folder: Path) -> Path:
    rows = [{"file_name": f"{at}.png", f"c{at}": 1} for at in range(1500)] + [{}] * 3000
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "rows.jsonl"


@pytest.mark.parametrize(
    "make", [long_name_of_coco, long_licence_of_coco, many_pictures_of_a_row, long_value_for_each_row, many_keys]
)
def test_what_a_file_says_once_and_its_rows_repeat_takes_no_more_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], Path]
) -> None:
    monkeypatch.setattr(catalogue_limits, "memory_bytes", lambda: 120 * 10**6)
    with pytest.raises(ColdframeError, match=r"it takes more than the 0.1 GB of memory that a catalogue may"):
        catalogue.read(make(tmp_path))


def test_an_image_of_coco_that_is_listed_twice(tmp_path: Path) -> None:
    found = json.loads(coco(tmp_path).read_text())
    source = tmp_path / "twice.json"
    source.write_text(json.dumps(found | {"images": [found["images"][1], *found["images"]]}))
    read = catalogue.read(source)
    assert sorted(read.rows.select(["path", "label"]).to_pylist(), key=lambda row: str(row["path"])) == [
        {"path": "a.png", "label": "moth"},
        {"path": "b.png", "label": "heron"},
        {"path": "c.png", "label": None},
    ]
    assert "left out 1 images that are listed once more" in " ".join(read.notes)
    source.write_text(json.dumps(found | {"images": [*found["images"], {"id": 1, "file_name": "d.png"}]}))
    with pytest.raises(ColdframeError, match=r"images 2 and 4 have the same id 1: make the ids unique"):
        catalogue.read(source)


@pytest.mark.variants
@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_an_imagefolder_as_hugging_face_has_it(cf: Coldframe, tmp_path: Path, ending: str) -> None:
    for split in ("train", "test"):
        (tmp_path / "data" / split / "x").mkdir(parents=True)
        picture("moth", len(split)).save(tmp_path / "data" / split / "x" / "a.png")
        picture("moth", 7).save(tmp_path / "data" / split / "unnamed.png")
        table = pa.table({"file_name": ["x/a.png"], "label": ["moth"], "n": [1 if split == "train" else "b"]})
        file = tmp_path / "data" / split / f"metadata.{ending}"
        if ending == "parquet":
            pq.write_table(table, file)
        elif ending == "jsonl":
            file.write_text(json.dumps(table.to_pylist()[0]))
        else:
            file.write_text(f"file_name,label,n\nx/a.png,moth,{table['n'][0]}\n")
    said = cf("ingest", "data").stderr
    cf("inspect")
    rows = cf("sql", "select path, label, n::varchar, subset from images order by path", "--format", "csv").stdout
    assert rows.splitlines()[1:] == ["test/x/a.png,moth,b,test", "train/x/a.png,moth,1,train"]
    assert "left out 2 images that no metadata file names" in said
    file.write_bytes(file.read_bytes().replace(b"moth", b"newt"))
    assert "changed since: metadata" in str(cf_status(cf, "data"))


def test_a_folder_reads_no_metadata_elsewhere_and_says_little_of_what_it_leaves_out(
    cf: Coldframe, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    (folder / "x").mkdir(parents=True)
    picture("moth", 7).save(folder / "x" / "a.png")
    for number in range(500):
        (folder / "x" / f"b.{number:080d}").touch()
    said = cf("ingest", folder).stderr
    assert "490 others" in said
    assert len(said) < 3000
    (tmp_path / "own.csv").write_text("file_name,secret\nx/a.png,mine\n")
    (folder / "metadata.csv").symlink_to(tmp_path / "own.csv")
    assert "a link that leads out of the folder is not followed" in cf("ingest", folder, code=1).stderr
    (folder / "metadata.csv").unlink()
    (folder / "x" / "own.csv").write_text("file_name,origin\nx/a.png,here\n")
    (folder / "metadata.csv").symlink_to(folder / "x" / "own.csv")
    cf("ingest", folder)
    assert cf.value("select origin from images") == "here"


def cf_status(cf: Coldframe, source: str) -> str:
    Path("coldframe.toml").write_text(f'[ingest]\nmetadata = "{source}"\n')
    return cf("status").output


def test_train_val_and_test_above_classes_are_a_column(cf: Coldframe, tmp_path: Path) -> None:
    for n, (split, label) in enumerate((s, c) for s in ("train", "val", "test") for c in ("owl", "elk")):
        (tmp_path / "set" / split / label).mkdir(parents=True)
        picture("moth", n).save(tmp_path / "set" / split / label / "a.png")
    said = cf("ingest", "set").stderr
    assert "below test, train, val, which are the column 'subset'" in said
    assert cf("sql", "select distinct label from images order by 1", "--format", "csv").stdout.split() == [
        "label",
        "elk",
        "owl",
    ]
    cf("split", "test", "--where", "subset = 'test'")
    assert cf("sql", "select count(*) from splits where split = 'test'", "--format", "csv").stdout.split()[1] == "2"
    assert catalogue.read(tmp_path / "set" / "train").rows["label"].to_pylist() == ["elk", "owl"]


@pytest.mark.parametrize(
    ("paths", "labels", "subsets"),
    [
        ("data/train/cat/a data/train/dog/b data/val/cat/c", "cat dog cat", "train train val"),
        ("train/cat/a unlabeled/b val/cat/c", "cat None cat", "train unlabeled val"),
        ("a/b/cat/a a/b/cat/deep/b a/b/dog/c", "cat cat dog", None),
        ("images/cat/a images/cat/b", "cat cat", None),
        ("cat/a cat/b", "cat cat", None),
        ("train/images/cat/a val/images/dog/b", "cat dog", "train val"),
        ("data/train/cat/a data/test/b data/extra/dog/c", "dog None cat", "extra test train"),
        ("birds/a test/b test/c/d train/e", "birds test test train", None),
        ("birds/a test/b/c", "birds test", None),
        ("a data/cat/b", "None data", None),
        ("a/b/train/a a/b/test/b", "None None", "test train"),
    ],
)
def test_where_classes_and_splits_stand(tmp_path: Path, paths: str, labels: str, subsets: str | None) -> None:
    for path in paths.split():
        (tmp_path / "set" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / f"{path}.png").touch()
    found = catalogue.read(tmp_path / "set")
    rows = sorted(found.rows.to_pylist(), key=lambda row: row["path"])
    assert " ".join(str(row["label"]) for row in rows) == labels
    assert [row.get("subset") for row in rows] == (subsets.split() if subsets else [None] * len(rows))
    assert ("unlabeled is taken for no class" in " ".join(found.notes)) == ("unlabeled" in paths)
    assert ("folders in data" in " ".join(found.notes)) == paths.startswith("data/")


@pytest.mark.variants
@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("m.xlsx", b"PK\x03\x04", "a spreadsheet: save its sheet as CSV"),
        ("m.csv", b"\xd0\xcf\x11\xe0", "a spreadsheet: save its sheet as CSV"),
        (
            "m.csv",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:a\n",
            "a Git LFS pointer.*run 'git lfs pull'",
        ),
        ("m.csv.gz", gzip.compress(b"\n<!DOCTYPE html><html>"), "an HTML page, as of a download that failed: fetch"),
        ("m.jsonl", b"<html><body>404", "an HTML page"),
        ("m.csv", b'<?xml version="1.0"?><annotation>', "XML, which is not read: save its rows as CSV"),
        ("m.db", b"SQLite format 3\0" + bytes(100), "an SQLite database: save its table as CSV or Parquet"),
        ("m.pkl", b"\x80\x04\x95abc", "a pickle, which is a program and is not run"),
        ("m.csv", b"\x89PNG\r\n\x1a\n", "a picture, not a list of pictures: name the folder"),
        ("m.csv", bytes(64), "begins with zero bytes"),
        (
            "m.txt",
            b"path label\na.png x\n",
            "columns: path label. If blanks divide the cells, say so with --delimiter space",
        ),
        ("m.txt", b"file:label\na.png:x\n", "say with --delimiter what divides the cells"),
        ("m.csv", b"a.png,x\nb.png,y\n", "put a row with the names of the columns above it"),
        ("m.txt", b"a.png x\nb.png y\n", "put a row with the names of the columns above it"),
        ("m.zip", b"PK\x03\x04", "not a readable archive"),
        ("m.feather", b"ARROW1\0\0", "an Arrow or Feather file: save it as Parquet"),
        ("m.csv.gz", gzip.compress(b"path\na\n" * 99, mtime=0)[:-9], "cannot be unpacked: .*see that it is whole"),
        ("m.jsonl", b'{"path": "a"}\n\n{"path": \n', "line 3: not readable as JSON"),
        ("m.jsonl", b'{"path": "a"}\n[1]\n', "line 2 is no JSON object"),
        ("m.jsonl", b'{"path": "a", "x": 1, "x": 2}\n', "line 1: .*the key 'x' twice"),
        ("m.jsonl", b'{"path": "a", "x": "\\ud800"}\n', "row 1, column 'x': .* is not Unicode text"),
        ("m.jsonl", b'{"path": "a"}\n\n{"path": "a"}\n', "rows 1 and 3 have the same id"),
        ("m.json", b'{"some": 1}', "JSON of another kind; expected a list of objects"),
        (
            "m.json",
            b'{"classes": ["owl"], "labels": {"a": 0}}',
            "an object with 'classes', 'labels': turn it into a CSV",
        ),
        (
            "m.json",
            b'{"images": [{"file": "a", "detections": null}], "detection_categories": {"1": "animal"}}',
            "JSON of another kind; .*an object with 'images', 'detection_categories': turn it into a CSV",
        ),
        ("m.csv", b"a/p.jpg,owl\nb/p.jpg,elk\n", "Name it with --path.*The first row looks like one of the others"),
        ("m.txt", b"a/p.JPG 0\nb/p.JPG 1\n", "Name it with --path.*The first row looks like one of the others"),
        ("m.json", b"[" * 100_000, "not readable as JSON"),
        ("m.json", b'{"images": [{"file_name": "a"}]}', "object 1 of 'images' has no 'id'"),
        (
            "m.json",
            b'{"images": [{"id": 1}], "annotations": [{"image_id": 1, "category_id": 2}]}',
            "annotation 1 has the cat",
        ),
    ],
)
def test_what_is_not_read_is_refused_with_what_to_do(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ColdframeError, match=rf"{name}: .*{message}"):
        catalogue.read(tmp_path / name)


@pytest.mark.variants
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"media": MEDIA + "k1\td.png\tby\n"},
            r"multimedia.txt: line 5: 3 cells, expected 4; meta.xml says that cells are divided by tabs, nothing of quotes, and",
        ),
        (
            {"meta": META.replace('fieldsEnclosedBy=""', 'fieldsEnclosedBy="&quot;"')},
            r"occurrence.txt: line 2: a quote is opened and not closed; meta.xml says .* tabs, quotes \", and UTF-8: correct",
        ),
        ({"occurrences": b"id\tf\tl\nk1\t\xff\tx\n"}, "occurrence.txt: line 2: not UTF-8 text; meta.xml says"),
        (
            {"meta": META.replace("multimedia.txt", "../../etc/passwd")},
            "names '../../etc/passwd', which is not in the archive",
        ),
        ({"meta": "<!DOCTYPE a>" + META}, "has a document type"),
        ({"meta": META[:-9]}, "meta.xml is not readable as XML"),
        ({"meta": META.replace('index="3"', 'index="9"')}, "4 columns, fewer than meta.xml describes"),
        ({"meta": META.replace('index="3"', 'index="x"')}, "meta.xml is not as Darwin Core has it"),
        ({"occurrences": OCCURRENCES + "k1\tx\tcc0\n"}, "several rows have the same id"),
        (
            {"media": MEDIA.replace("b.png", "a.png")},
            "rows 2 of multimedia.txt and 3 of multimedia.txt have the same id 'a.png'",
        ),
    ],
)
def test_a_faulty_archive_is_refused_by_its_file_and_line(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ColdframeError, match=rf"dwca.zip: .*{message}") as refused:
        catalogue.read(dwca(tmp_path, **change))
    assert not any(option in str(refused.value) for option in ("--quote", "--delimiter", "--encoding"))


@pytest.mark.variants
@pytest.mark.parametrize(
    ("identifiers", "access", "paths"),
    [
        (("urn:1", "urn:2"), ("https://x.org/a.png", "https://x.org/b.png?s=1"), ["a.png", "b.png"]),
        (("urn:uuid:1", "URN:2"), ("a.png", "b/c.png"), ["a.png", "b/c.png"]),
        (("https://x.org/view/1", "https://x.org/view/2"), ("https://x.org/a.png", "b.png"), ["a.png", "b.png"]),
        (("a.png", "b.png"), ("https://x.org/1/a.png", "https://x.org/2/b.png"), ["a.png", "b.png"]),
        (("https://x.org/1", "https://x.org/2"), ("", ""), ["1", "2"]),
        (("urn:1", "urn:2"), ("", "urn:3"), None),
    ],
)
def test_the_term_of_an_archive_that_names_files_is_the_path(
    tmp_path: Path, identifiers: tuple[str, str], access: tuple[str, str], paths: list[str] | None
) -> None:
    field = '<field index="3" term="http://rs.tdwg.org/ac/terms/accessURI"/>'
    meta = META.replace(f'<field index="3" term="{DC}rightsHolder"/>', field)
    rows = "".join(f"k1\t{one}\tby\t{other}\n" for one, other in zip(identifiers, access, strict=True))
    source = dwca(tmp_path, meta, "id\ti\tl\ta\n" + rows)
    if paths is None:
        with pytest.raises(ColdframeError, match="which column holds the image paths"):
            catalogue.read(source)
    else:
        assert catalogue.read(source).rows["path"].to_pylist() == paths


def test_an_archive_without_rows_says_to_unpack_it_and_none_is_unpacked_without_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tmp_path / "pictures.zip", "w") as archive:
        archive.writestr("owl/a.png", b"")
    with pytest.raises(ColdframeError, match=r"no Darwin Core archive: unpack it"):
        catalogue.read(tmp_path / "pictures.zip")
    with zipfile.ZipFile(dwca(tmp_path), "a") as archive:
        archive.writestr("images/a.png", b"")
    assert "1 images lie in the archive, which is not unpacked" in " ".join(catalogue.read(tmp_path / "dwca.zip").notes)
    (tmp_path / "blank.csv").write_bytes(gzip.compress(b"path\n" + b"\n" * 10_000_000))
    monkeypatch.setattr(catalogue_limits, "UNPACKED_BYTES", 1 << 20)
    with pytest.raises(ColdframeError, match=r"blank.csv: it unpacks to more than 1 MB"):
        catalogue.read(tmp_path / "blank.csv")
    monkeypatch.setattr(catalogue_limits, "memory_bytes", lambda: 1 << 20)
    bomb = dwca(tmp_path, media=MEDIA + "k1\t" + "x" * 30_000_000 + "\tby\tz\n")
    packed = tmp_path / "bomb.csv"
    packed.write_bytes(gzip.compress(b"path\n" + b"x" * 30_000_000))
    for source in (bomb, packed):
        assert source.stat().st_size < 100_000
        with pytest.raises(ColdframeError, match=r"takes more than the 0.0 GB"):
            catalogue.read(source)


def test_an_unpacked_archive_is_a_catalogue_too(tmp_path: Path) -> None:
    with zipfile.ZipFile(dwca(tmp_path)) as archive:
        archive.extractall(tmp_path / "dwca")
    with zipfile.ZipFile(tmp_path / "again.zip", "w") as archive:
        for file in sorted((tmp_path / "dwca").iterdir()):
            archive.write(file, f"dwca/{file.name}")
    assert len(catalogue.read(tmp_path / "again.zip").rows) == 3
    (tmp_path / "dwca" / "a.png").touch()
    assert catalogue.read(tmp_path / "dwca").rows["path"].to_pylist() == ["a.png", "b.png", "c.png"]


def test_junk_is_no_class(cf: Coldframe, tmp_path: Path) -> None:
    junk = (
        "@eaDir",
        "#recycle",
        "$RECYCLE.BIN",
        "lost+found",
        ".ipynb_checkpoints",
        "__MACOSX",
        "System Volume Information",
    )
    for n, name in enumerate(("owl", "elk", "elk/drafts", *junk, "owl/@eaDir")):
        (tmp_path / "set" / name).mkdir(parents=True)
        picture("moth", n).save(tmp_path / "set" / name / "a.png")
    (tmp_path / "set" / "owl" / "._a.png").touch()
    said = cf("ingest", "set", "--exclude", "drafts", "--exclude", "*.gif").stderr
    assert all(f"1 {name}" in said for name in junk[1:])
    assert "2 @eaDir" in said
    assert "no image by its name: 1 hidden" in said
    assert len(sources.expand([str(tmp_path / "set")])) == 3  # what predict takes: owl, elk and drafts
    assert "left out 1 rows by --exclude: 'drafts' (1), '*.gif' (0)" in said
    assert cf("sql", "select path from images order by 1", "--format", "csv").stdout.split()[1:] == [
        "elk/a.png",
        "owl/a.png",
    ]
    assert (
        "elk/drafts/a.png" in cf("sql", "from images", "--format", "csv").stdout
        or "3 rows" in cf("ingest", "set").stderr
    )


def test_what_coldframe_writes_is_no_class(cf: Coldframe, tmp_path: Path) -> None:
    name = f"{0:032x}.webp"
    classes = ("owl", "elk", "elk/manifests", "holiday-pictures")
    for n, folder in enumerate(classes):
        (tmp_path / folder).mkdir()
        picture("moth", n).save(tmp_path / folder / "a.webp")
    cf("ingest", ".")
    for own in (tmp_path / "store" / "thumbnails" / "00", tmp_path / "old-pictures"):
        own.mkdir(parents=True)
        picture("moth", 9).save(own / name)
    (tmp_path / "old-pictures" / leftovers.BESIDE_REPORT).write_text(name)
    said = cf("ingest", ".").stderr
    assert "left out folders that hold no class: 1 store, 1 old-pictures" in said.replace(
        "1 old-pictures, 1 store", "1 store, 1 old-pictures"
    )
    assert cf("sql", "select path from images order by 1", "--format", "csv").stdout.split()[1:] == sorted(
        f"{one}/a.webp" for one in classes
    )
    assert len(sources.expand([str(tmp_path)])) == len(classes)
    assert len(sources.expand([str(tmp_path / "old-pictures")])) == 1  # what is named itself is taken


@pytest.mark.variants
@pytest.mark.parametrize(
    ("name", "values", "option"),
    [
        ("image", [{"bytes": b"\xff\xd8", "path": "a.png"}, None], "--path: pictures are read from files"),
        ("image", [b"\xff\xd8", b"\x89PNG"], "--path: pictures are read from files"),
        ("label", [["owl", "elk"], ["owl"]], "--label: name a column with one label a row"),
        ("label", [{"name": "owl"}, None], "--label: name a column with one label a row"),
        ("key", [[1], [2]], "--id: name a column with one id a row"),
    ],
)
def test_pictures_and_lists_are_no_paths_ids_or_labels(
    tmp_path: Path, name: str, values: list[Any], option: str
) -> None:
    columns = {name: pa.array(values)} | ({} if name == "image" else {"path": ["a.png", "b.png"]})
    pq.write_table(pa.table(columns), tmp_path / "m.parquet")
    with pytest.raises(
        ColdframeError, match=rf"m.parquet: column '{name}' holds .*, expected text or numbers for {option}"
    ):
        catalogue.read(tmp_path / "m.parquet", id_column="key" if name == "key" else None)


def test_not_a_number_is_no_label_and_bytes_that_are_text_are_one(tmp_path: Path) -> None:
    numbers = pa.array([1.0, None, float("nan"), 2.5])
    paths = pa.array([b"a.png", b"b.png", b"c.png", "d\u00e9.png".encode()])
    pq.write_table(pa.table({"path": paths, "label": numbers}), tmp_path / "m.parquet")
    (tmp_path / "m.jsonl").write_text(
        "".join(f'{{"path": "{n}", "label": {one}}}\n' for n, one in enumerate(("1.0", "null", "NaN", "2.5")))
    )
    for name in ("m.parquet", "m.jsonl"):
        found = catalogue.read(tmp_path / name)
        assert found.rows["label"].to_pylist() == ["1", None, None, "2.5"]
        assert any("2 of 4 rows have no label" in one for one in found.notes)


def test_rows_that_name_one_file_are_said(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("id,path\n1,a/p.png\n2,./a//p.png\n3,b/p.png\n\n4,b/./p.png\n5,\n6,\n")
    (tmp_path / "n.csv").write_text("path\na/p.png\nb/p.png\n")
    said = catalogue.read(tmp_path / "m.csv", id_column="id").notes
    assert any("2 rows name a file that an earlier row names too, such as rows 2 and 3" in one for one in said)
    assert not any("name a file" in one for one in catalogue.read(tmp_path / "n.csv").notes)


@pytest.mark.exhaustive
def test_a_folder_that_cannot_be_listed_fails_alone(
    cf: Coldframe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n, name in enumerate(("owl", "elk", "elk/deep")):
        (tmp_path / "set" / name).mkdir(parents=True)
        picture("moth", n).save(tmp_path / "set" / name / "a.png")
    cf("ingest", "set")
    real = os.scandir

    def scandir(path: Any) -> Any:
        if str(path).endswith(("deep", "owl")):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert "2 failed" in cf("ingest", "set", code=3).stderr
    failed = cf("sql", "select path, reason from failures order by 1", "--format", "csv").stdout.splitlines()[1:]
    assert failed == [f"{name},this folder cannot be listed: Permission denied" for name in ("elk/deep", "owl")]
    assert "which of its rows are gone is unknown" in cf("ingest", "set", "--prune", code=1).stderr
    assert "\n3\n" in cf("sql", "select count(*) from images", "--format", "csv").stdout
    monkeypatch.undo()
    os.chdir(tmp_path)
    assert "0 failed" in cf("ingest", "set", "--prune", "--prune-limit", "2").stderr


def test_labels_alike_unlabelled_rows_and_renamed_columns_are_said(cf: Coldframe, tmp_path: Path) -> None:
    labels = ("Deer", "deer", "Deer", "de\u00a0er", "Ka\u0308fer", "K\u00e4fer", "", "  ")
    for n in range(len(labels)):
        picture("moth", n).save(tmp_path / f"{n}.png")
    rows = "\n".join(f"{n}.png,{label},1,2" for n, label in enumerate(labels))
    (tmp_path / "m.csv").write_text(f"path,label,width,Width\n{rows}\n", encoding="utf-8")
    said = cf("ingest", "m.csv", "--images", ".").stderr
    assert "2 of 8 rows have no label" in said
    assert "'width' is now 'user_width', 'Width' is now 'user_Width_2'" in said
    assert "'Deer' (2) and 'deer' (1)" in said
    assert "'Ka\\u0308fer' (1) and 'Käfer' (1)" in said
    found = json.loads(cf("inspect", "labels", "--format", "json").stdout)
    assert [(row["images"], row["like_label"]) for row in found][:3] == [(2, "Deer"), (1, "Deer"), (1, "Deer")]
    assert len(found) == 5


def test_a_cut_off_export_does_not_empty_a_store(cf: Coldframe, tmp_path: Path) -> None:
    """A renamed class folder is no loss: its pictures are there under other ids."""
    for n in range(12):
        (tmp_path / "set" / "owl").mkdir(parents=True, exist_ok=True)
        picture("moth", n).save(tmp_path / "set" / "owl" / f"{n:02}.png")
    names = sorted(os.listdir(tmp_path / "set" / "owl"))

    def count() -> str:
        return cf("sql", "select count(*) from images", "--format", "csv").stdout.split()[1]

    def listing(count: int) -> str:
        (tmp_path / "m.csv").write_text("path,label\n" + "".join(f"owl/{name},owl\n" for name in names[:count]))
        return "m.csv"

    prune = ("--images", "set", "--prune")
    cf("ingest", listing(12), *prune)
    for left, lost in ((0, 12), (10, 2)):
        said = cf("ingest", listing(left), *prune, code=1).stderr
        assert f"m.csv: --prune would remove {lost} of the store's 12 rows" in said
        assert f"--prune-limit {lost}" in said
        assert count() == "12"
    (tmp_path / "set" / "owl").rename(tmp_path / "set" / "owls")
    cf("ingest", "set", "--prune")
    assert count() == "12"
    (tmp_path / "set" / "owls").rename(tmp_path / "set" / "owl")
    cf("ingest", listing(11), *prune, "--prune-limit", "12")
    assert count() == "11"
    Path("coldframe.toml").write_text('[ingest]\nmetadata = "m.csv"\nimages = "set"\nprune = true\nprune_limit = 11\n')
    listing(0)
    cf("ingest")
    assert count() == "0"


KINDS_OF_ARROW = st.recursive(
    st.sampled_from(
        [
            *(pa.null(), pa.bool_(), pa.int8(), pa.uint64(), pa.float16(), pa.float32(), pa.float64(), pa.string()),
            *(
                pa.large_string(),
                pa.string_view(),
                pa.binary(),
                pa.large_binary(),
                pa.binary_view(),
                pa.binary(3),
                pa.uuid(),
            ),
            *(
                pa.json_(),
                pa.bool8(),
                pa.date32(),
                pa.date64(),
                pa.decimal32(5, 2),
                pa.decimal64(12, 3),
                pa.decimal128(38, 9),
            ),
            *(
                pa.decimal256(70, 3),
                pa.decimal128(5, -2),
                pa.month_day_nano_interval(),
                pa.opaque(pa.int32(), "a", "b"),
            ),
            *(pa.time32("s"), pa.time32("ms"), pa.time64("us"), pa.time64("ns"), pa.struct([])),
            *(pa.duration(unit) for unit in ("s", "ms", "us", "ns")),
            *(
                pa.timestamp(unit, zone)
                for unit in ("s", "ms", "us", "ns")
                for zone in (None, "UTC", "Asia/Tokyo", "No/Where")
            ),
        ]
    ),
    lambda kind: st.one_of(
        kind.map(pa.list_),
        kind.map(pa.large_list),
        kind.map(pa.list_view),
        kind.map(lambda one: pa.list_(one, 2)),
        kind.map(lambda one: pa.map_(pa.string(), one)),
        kind.map(lambda one: pa.dictionary(pa.int16(), one)),
        kind.map(lambda one: pa.run_end_encoded(pa.int32(), one)),
        st.lists(kind, min_size=1, max_size=2).map(
            lambda many: pa.struct([(f"f{n}", one) for n, one in enumerate(many)])
        ),
    ),
    max_leaves=3,
)
ROWS = 3


@st.composite
def arrow_columns(draw: st.DrawFn) -> list[pa.Array]:
    """Columns of any types: nothing at all, zero bytes, or bytes at random below what the type says."""
    return [_column_of(draw, draw(KINDS_OF_ARROW)) for _ in range(draw(st.integers(1, 4)))]


def _column_of(draw: st.DrawFn, kind: pa.DataType) -> pa.Array:
    for _ in range(2):
        values = [draw(_value(kind)) for _ in range(ROWS)]
        try:
            return pa.array(values, kind)
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            continue
    try:
        return pa.nulls(ROWS, kind)
    except (pa.ArrowException, ValueError):
        return pa.nulls(ROWS)


def _value(kind: pa.DataType) -> st.SearchStrategy[Any]:
    kinds = pa.types
    if isinstance(kind, pa.BaseExtensionType):
        found: st.SearchStrategy[Any] = _value(kind.storage_type)
    elif kinds.is_dictionary(kind) or kinds.is_run_end_encoded(kind):
        found = _value(kind.value_type)
    elif kinds.is_map(kind):
        found = st.lists(st.tuples(st.text("ab", max_size=2), _value(kind.item_type)), max_size=2)
    elif kinds.is_fixed_size_list(kind):
        found = st.lists(_value(kind.value_type), min_size=2, max_size=2)
    elif hasattr(kind, "value_type"):
        found = st.lists(_value(kind.value_type), max_size=2)
    elif kinds.is_struct(kind):
        found = st.fixed_dictionaries({field.name: _value(field.type) for field in kind})
    elif kinds.is_boolean(kind):
        found = st.booleans()
    elif kinds.is_fixed_size_binary(kind):
        found = st.binary(min_size=kind.byte_width, max_size=kind.byte_width)
    elif "binary" in str(kind):
        found = st.binary(max_size=4)
    elif "string" in str(kind):
        found = st.text(max_size=4)
    elif kinds.is_decimal(kind):
        found = st.integers(-999, 999).map(Decimal)
    elif kinds.is_floating(kind):
        found = st.floats(width=16)
    elif kinds.is_null(kind):
        found = st.none()
    elif str(kind) == "month_day_nano_interval":
        found = st.just(pa.MonthDayNano([1, 2, 3]))
    else:  # numbers of units of time, too
        bits = min(getattr(kind, "bit_width", 64), 63)
        found = st.sampled_from([0, 1, 86_399, -1, 2**31, 2**62]).filter(lambda one: abs(one) < 2 ** (bits - 1))
    return st.none() | found


def ingested_or_refused(tmp_path: Path, columns: list[pa.Array], which: str) -> None:
    """A table of these columns, with pictures, is ingested, twice with the same outcome; or one sentence says why not."""
    folder = tmp_path / "any"
    folder.mkdir(exist_ok=True)
    for name in "ab":
        if not (folder / f"{name}.png").exists():
            picture("moth", ord(name)).save(folder / f"{name}.png")
    out = io.BytesIO()
    try:
        table = pa.table({"path": ["a.png", "b.png", "gone.png"], **{f"c{n}": one for n, one in enumerate(columns)}})
        pq.write_table(table, out)
    except (pa.ArrowException, NotImplementedError, OSError):
        return  # no Parquet file has such a column
    (folder / "m.parquet").write_bytes(out.getvalue())
    cf = Coldframe(folder / f"store-{dt.datetime.now().timestamp()}")
    command = ("ingest", folder / "m.parquet", "--images", folder, *([which, "c0"] if which else []))
    try:
        named: dict[str, Any] = {f"{which[2:]}_column": "c0"} if which else {}
        catalogue.read(folder / "m.parquet", **named)
    except ColdframeError as error:
        assert "m.parquet: " in str(error)  # noqa: PT017 - a sentence is right as well
        said = cf(*command, code=1).stderr
        assert said.count("\n") == 1
        assert "unexpected" not in said
        return
    cf(*command, code=3)
    assert "0 updated, 3 unchanged" in cf(*command, code=3).stderr
    cf("inspect")
    cf("sql", "select * from images", "--format", "json")
    cf("sql", "select * from failures", "--format", "csv")


ANY = {"suppress_health_check": list(HealthCheck)}


@settings(max_examples=4, **ANY)  # type: ignore[arg-type]
@given(arrow_columns(), st.sampled_from(["", "", "--label"]))
def test_any_arrow_table_is_ingested_or_refused_in_a_sentence(
    tmp_path: Path, columns: list[pa.Array], which: str
) -> None:
    ingested_or_refused(tmp_path, columns, which)


@pytest.mark.exhaustive
@settings(max_examples=40, **ANY)  # type: ignore[arg-type]
@given(arrow_columns(), st.sampled_from(["", "--label", "--id"]))
def test_many_arrow_tables_are_ingested_or_refused(tmp_path: Path, columns: list[pa.Array], which: str) -> None:
    ingested_or_refused(tmp_path, columns, which)


def test_how_to_read_text_is_no_option_of_other_kinds(tmp_path: Path) -> None:
    from pipeline.ingest.readers.delimited import Dialect

    with pytest.raises(ColdframeError, match=r"rows.jsonl: --delimiter is for text with delimiters"):
        tables.read_table(lines(tmp_path), Dialect(delimiter=","))


@pytest.mark.parametrize("levels", [90, 400, 900])
def test_a_value_of_many_levels_is_text_or_refused(tmp_path: Path, cf: Coldframe, levels: int) -> None:
    deep = '{"x": ' * levels + "1" + "}" * levels
    (tmp_path / "a.png").write_bytes(b"")
    (tmp_path / "m.jsonl").write_text(f'{{"path": "a.png", "y": {deep}}}\n{{"path": "b.png", "y": {deep}}}\n')
    result = CliRunner().invoke(cli, ["-s", str(cf.path), "ingest", str(tmp_path / "m.jsonl")])
    assert "unexpected error" not in result.output
    assert result.exit_code in (1, 3)
