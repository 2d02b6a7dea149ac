"""Ingest: every row accounted for, and only what changed looked at again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq
import pytest
from PIL import Image

from store import manifest
from tests.support.coldframe import Catalogue, Coldframe, date_later, picture

pytestmark = pytest.mark.slow


def test_every_row_is_an_image_or_a_failure_with_its_reason(cf: Coldframe, catalogue: Catalogue) -> None:
    catalogue.add("empty", "moth").touch()
    catalogue.add("text", "moth").write_text("<html>")
    whole = catalogue.add("cut", "moth", picture("moth", 99, (200, 150)), "moth/cut.jpg")
    whole.write_bytes(whole.read_bytes()[:-500])
    catalogue.add("folder", "moth").mkdir()
    catalogue.add("missing", "moth")
    catalogue.add("outside", "moth", name="../metadata.csv")
    catalogue.add("absolute", "moth", name="/etc/hostname")
    catalogue.add("nameless", "moth", name=" ").parent.mkdir(exist_ok=True)
    catalogue.write()
    result = cf.ingest(catalogue, "--max-pixels", 200 * 150, code=3)
    assert "32 rows: 24 ready, 8 failed" in result.stderr
    reasons = {row["image_id"]: row["reason"] for row in cf.rows("select image_id, reason from failures")}
    expected = {
        "empty": "empty file",
        "text": "not an image",
        "cut": "truncated",
        "folder": "a folder",
        "missing": "missing",
        "outside": "leaves the image folder",
        "absolute": "absolute path",
        "nameless": "missing",
    }
    assert set(reasons) == set(expected)
    for image_id, words in expected.items():
        assert words in reasons[image_id], image_id
    assert cf.value("select phylum from failures where image_id = 'empty'") == "arthropoda"
    assert "ok     catalogue-is-ready-or-failed" in cf("verify").stdout


@pytest.mark.exhaustive
def test_links_that_stand_for_millions_of_steps_fail_alone(cf: Coldframe, catalogue: Catalogue) -> None:
    """The system follows some forty; following them ourselves would take hours."""
    (catalogue.images / "here").symlink_to(".")
    for at in range(30):  # each leads twice through the one before: 2^30 steps in all
        before = f"twice-{at - 1}" if at else "here"
        (catalogue.images / f"twice-{at}").symlink_to(f"{before}/{before}")
    (catalogue.images / "found.png").symlink_to("here/here/here/moth/moth-01.png")
    (catalogue.images / "lost.png").symlink_to("gone/../twice-29/moth/moth-01.png")
    for name in ("twice-29/moth/moth-02.png", "found.png", "lost.png", "gone/../twice-29/moth/moth-03.png"):
        catalogue.add(name, "moth", name=name)
    catalogue.write()
    cf.ingest(catalogue, code=3)
    reasons = {row["image_id"]: row["reason"] for row in cf.rows("select image_id, reason from failures")}
    assert reasons.pop("twice-29/moth/moth-02.png").startswith("not a usable path: Too many levels of symbolic links")
    assert {*reasons.values()} == {"missing: no such file"}
    assert reasons.keys() == {"lost.png", "gone/../twice-29/moth/moth-03.png"}


@pytest.mark.exhaustive
@pytest.mark.variants
@pytest.mark.parametrize(
    ("before", "now", "shown"),
    [
        ([[10, 20]], [[10.4, 20.6]], "[10.4, 20.6]"),
        ([{"a": 1}], [{"a": 1.5}], "{'a': 1.5}"),
        ([{"a": 1, "b": 2}], [{"a": 3}], "{'a': 3}"),
        ([["x"]], ["[not a list"], "[not a list"),
        ([[1]], [{"a": 1}], "{'a': 1}"),
        ([5], [[5]], "[5]"),
    ],
)
def test_a_nested_column_whose_type_changes_becomes_text(
    cf: Coldframe, catalogue: Catalogue, before: list[object], now: list[object], shown: str
) -> None:
    """DuckDB casts a text beside a list to a list, and numbers in it with it."""
    path, file = catalogue.rows[0]["file_path"], catalogue.folder / "catalogue.parquet"
    ingest = ("ingest", file, "--images", catalogue.images, "--path", "path")
    for values, said in ((before, "1 added"), (now, "1 updated"), (now, "0 updated")):
        pq.write_table(pa.table({"path": [path], "more": values}), file)
        assert said in cf(*ingest).stderr
        if values is now:
            assert cf.value("select more from images") == shown


@pytest.mark.exhaustive
def test_a_clock_that_was_ahead_hides_nothing(cf: Coldframe, catalogue: Catalogue) -> None:
    cf.ingest(catalogue)
    cf("keep", "moth-01", "--why", "ahead")
    for dataset, column in (("files", "examined_at"), ("verdicts", "created_at")):
        date_later(cf, dataset, column)
    picture("heron", 77).save(catalogue.images / catalogue.rows[0]["file_path"])
    before = cf.value("select content_id from images where image_id = 'finch-00'")
    assert "1 updated" in cf.ingest(catalogue).stderr
    assert cf.value("select content_id from images where image_id = 'finch-00'") != before
    cf("drop", "moth-01", "--why", "after all")
    assert cf.value("select verdict from verdicts where image_id = 'moth-01'") == "drop"


def test_what_is_recorded_of_an_image(cf: Coldframe, catalogue: Catalogue) -> None:
    catalogue.add("grey", "moth", picture("moth", 50).convert("L").convert("RGB"), "moth/grey.jpg")
    catalogue.write()
    cf.ingest(catalogue)
    row = cf.rows("select * from images where image_id = 'grey'")[0]
    assert (row["format"], row["mode"], row["width"], row["height"], row["frames"]) == ("JPEG", "RGB", 40, 30, 1)
    assert row["is_grey"] is True
    assert row["label"] == "moth"
    assert row["phylum"] == "arthropoda"
    assert len(row["content_id"]) == 32
    assert len(row["phash"]) == 16
    assert cf.value("select count(*) from images where is_grey") == 1


def test_again_does_only_what_changed(cf: Coldframe, catalogue: Catalogue) -> None:
    cf.ingest(catalogue)
    assert "24 unchanged" in cf.ingest(catalogue).stderr
    assert "0 files read" in cf.ingest(catalogue).stderr
    picture("finch", 77).save(catalogue.images / catalogue.rows[0]["file_path"])
    catalogue.rows[1]["label"] = "heron"
    catalogue.add("new", "moth", picture("moth", 78))
    gone = catalogue.rows.pop(5)["id"]
    catalogue.write()
    said = cf.ingest(catalogue).stderr
    assert "1 added, 2 updated, 21 unchanged, 1 gone from the catalogue (kept" in said
    assert "2 files read" in said
    assert cf.value("select label from images where image_id = 'finch-01'") == "heron"
    assert cf.value(f"select count(*) from images where image_id = '{gone}'") == 1
    assert "1 gone from the catalogue (removed)" in cf.ingest(catalogue, "--prune").stderr
    assert cf.value(f"select count(*) from images where image_id = '{gone}'") == 0
    assert "FAILED" not in cf("verify").stdout


def ingest_and_replace(cf: Coldframe, catalogue: Catalogue) -> None:
    """Replace a picture by another one of the same size and time, after it was ingested."""
    file = catalogue.images / catalogue.rows[0]["file_path"]
    picture("finch", 1).save(file, "BMP")
    cf.ingest(catalogue)
    before = file.stat()
    picture("finch", 2).save(file, "BMP")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.exhaustive
def test_rehash_looks_into_files_of_equal_size_and_time(cf: Coldframe, catalogue: Catalogue) -> None:
    ingest_and_replace(cf, catalogue)
    assert "0 updated" in cf.ingest(catalogue).stderr
    assert "1 updated" in cf.ingest(catalogue, "--rehash").stderr


@pytest.mark.exhaustive
def test_what_a_later_step_finds_changed_is_read_by_the_next_ingest(cf: Coldframe, catalogue: Catalogue) -> None:
    ingest_and_replace(cf, catalogue)
    assert "run 'coldframe ingest' again" in cf("embed", "mean-colour", code=3).stderr + str(cf.rows("from failures"))
    assert "1 updated" in cf.ingest(catalogue).stderr
    assert "1 embedded, 0 failed" in cf("embed", "mean-colour").stderr
    assert cf.value("select count(*) from failures") == 0
    assert "0 files read" in cf.ingest(catalogue).stderr


def test_a_row_moves_between_images_and_failures(cf: Coldframe, catalogue: Catalogue) -> None:
    file = catalogue.images / catalogue.rows[0]["file_path"]
    aside = file.with_suffix(".aside")
    cf.ingest(catalogue)
    file.rename(aside)
    cf.ingest(catalogue, code=3)
    assert cf.value("select count(*) from images") == 23
    assert cf.value("select reason from failures").startswith(
        "missing: no such file; did you mean 'finch/finch-00.aside'"
    )
    aside.rename(file)
    cf.ingest(catalogue)
    assert cf.value("select count(*) from images") == 24
    assert cf.value("select count(*) from failures") == 0


def test_a_rename_keeps_the_content(cf: Coldframe, catalogue: Catalogue) -> None:
    cf.ingest(catalogue)
    cf("embed", "mean-colour")
    shutil.move(catalogue.images / "moth", catalogue.images / "butterfly")
    for row in catalogue.rows:
        row["file_path"] = row["file_path"].replace("moth/", "butterfly/")
    catalogue.write()
    cf.ingest(catalogue)
    assert "24 cached, 0 embedded" in cf("embed", "mean-colour").stderr


def test_a_folder_of_class_folders(cf: Coldframe, catalogue: Catalogue) -> None:
    cf("ingest", catalogue.images)
    assert {row["label"] for row in cf.rows("select distinct label from images")} == {"finch", "heron", "moth"}


def test_the_image_folder_must_exist(cf: Coldframe, catalogue: Catalogue, tmp_path: Path) -> None:
    said = cf("ingest", catalogue.metadata, "--images", tmp_path / "gone", code=1).stderr
    assert "gone: no such folder; name the folder the catalogue's paths start from with --images DIR" in said
    assert "no image folder given" in cf("ingest", catalogue.metadata, code=1).stderr


def test_columns_named_like_ours_in_failures(cf: Coldframe, catalogue: Catalogue) -> None:
    catalogue.metadata.write_text("path,label,Name,user_name,Reason\nfinch/finch-00.png,a,n,u,r\nmissing.png,b,m,v,s\n")
    cf("ingest", catalogue.metadata, "--images", catalogue.images, code=3)
    assert cf.rows("select Name, user_name, Reason from images") == [{"Name": "n", "user_name": "u", "Reason": "r"}]
    row = cf.rows("select * from failures")[0]
    assert (row["reason"], row["user_Name"], row["user_name_2"], row["user_Reason"]) == (
        "missing: no such file",
        "m",
        "v",
        "s",
    )


@pytest.mark.exhaustive
def test_a_column_whose_type_changes_becomes_text(cf: Coldframe, catalogue: Catalogue) -> None:
    import datetime

    paths = [row["file_path"] for row in catalogue.rows[:2]]
    whens: tuple[list[object], ...] = (
        [datetime.date(2026, 1, 2)] * 2,
        [7, None],
        [[1], [2]],
        [datetime.timedelta(1)] * 2,
    )
    for when, shown in zip(whens, ("2026-01-02", "7", "[1]", "1 day"), strict=True):
        pq.write_table(pa.table({"path": [*paths, "gone.png"], "when": [*when, None]}), catalogue.folder / "m.parquet")
        cf("ingest", catalogue.folder / "m.parquet", "--images", catalogue.images, code=3)
        assert shown in str(cf.value('select "when" from images order by image_id limit 1'))
    assert "FAILED" not in cf("verify").stdout


CONTROLS = "k\x1b[31m\n\u202e\"'"
BEYOND = 1 << 62  # of each calendar
KINDS: dict[str, tuple[list[object], pa.DataType]] = {
    "half": ([1.0, 2.0, 3.0], pa.float16()),
    "long": ([1, 2, None], pa.decimal256(60, 2)),
    "binary": ([b"\xff\0", b"", b"\xfe"], pa.binary()),
    "view": ([b"\xff\0", b"", b"\xfe"], pa.binary_view()),
    "few": ([b"\xff\0", b"ab", b"\xfe1"], pa.binary(2)),
    "date": ([2**31 - 1, 0, 1], pa.date32()),
    "time": ([1, 2, 3], pa.time64("ns")),
    "seconds": ([2**40, 1, 2], pa.timestamp("s")),
    "thousandths": ([2**60, 1, 2], pa.timestamp("ms")),
    "millionths": ([BEYOND, 1, 2], pa.timestamp("us")),
    "fine": ([1, 2, 3], pa.timestamp("ns", "Asia/Tokyo")),
    "nowhere": ([1, 2, 3], pa.timestamp("us", "Mars/Olympus")),
    "duration": ([1, 2, 3], pa.duration("ns")),
    "durations": ([[1], [2], [3]], pa.list_(pa.duration("ns"))),
    "durations of structures": ([{"a": 1}, None, {"a": 3}], pa.struct([("a", pa.duration("us"))])),
    "times": ([[BEYOND], [2], [3]], pa.list_(pa.timestamp("us"))),
    "fine times": ([[1], [2], [3]], pa.list_(pa.timestamp("ns"))),
    "holes": ([[1], [None], [3, None]], pa.list_(pa.int32())),
    "halves": ([[1.0], [], [2.0]], pa.list_(pa.float16())),
    "days": ([[1], [2], [3]], pa.list_(pa.date32())),
    "names": ([{CONTROLS: "x"}, {CONTROLS: CONTROLS}, {CONTROLS: CONTROLS}], pa.struct([(CONTROLS, pa.string())])),
    "a null in a name": ([{"a\0b": "x"}, None, {"a\0b": "y"}], pa.struct([("a\0b", pa.string())])),
    "no name": ([{"": "x"}, None, {"": "y"}], pa.struct([("", pa.string())])),
    "case": ([{"a": 1, "A": 2}] * 3, pa.struct([("a", pa.int8()), ("A", pa.int8())])),
    "map": ([[("a", 1)], [], [("b", 2)]], pa.map_(pa.string(), pa.int32())),
    "twice": ([[("a", 1), ("a", 2)], [], [("b", 2)]], pa.map_(pa.string(), pa.int32())),
    "coded": ([b"\xff", b"a", b"\xff"], pa.dictionary(pa.int8(), pa.binary())),
}
STAYING: dict[str, tuple[list[object], pa.DataType]] = {
    "day": ([1, 2, None], pa.date32()),
    "moment": ([1, 2, None], pa.timestamp("us", "UTC")),
    "hour": ([1, 2, None], pa.time64("us")),
    "decimal": ([1, 2, None], pa.decimal128(9, 2)),
    "numbers": ([[1.5], [], None], pa.list_(pa.float32())),
    "structure": ([{"a": 1, "b": "x"}, None, {"a": 2, "b": "y"}], pa.struct([("a", pa.int32()), ("b", pa.string())])),
}


@pytest.mark.exhaustive
def test_columns_of_odd_types(cf: Coldframe, catalogue: Catalogue) -> None:
    """With a row that fails, whose columns are text."""
    kinds = KINDS | STAYING
    columns = {name: pa.array(values, kind) for name, (values, kind) in kinds.items()}
    paths = [*(row["file_path"] for row in catalogue.rows[:2]), "gone.png"]
    pq.write_table(pa.table({"path": paths} | columns), catalogue.folder / "m.parquet")
    command = ("ingest", catalogue.folder / "m.parquet", "--images", catalogue.images)
    assert "3 added" in cf(*command, code=3).stderr
    assert "3 unchanged" in cf(*command, code=3).stderr
    for fmt in ("table", "csv", "json", "ndjson", "parquet"):
        cf("sql", "select * from images", "--format", fmt)
        cf("sql", "select * from failures", "--format", fmt)
    types = cf.rows("select typeof(columns(*)) from images limit 1")[0]
    images = cf.rows("select count(columns(*)) from images")[0]
    failures = cf.rows("select count(columns(*)) from failures")[0]
    for name, (values, _) in kinds.items():
        assert (types[name] == "VARCHAR") == (name in KINDS), name
        assert images[name] == sum(value is not None for value in values[:2]), name
        assert failures[name] == (values[2] is not None), name
    assert "FAILED" not in cf("verify").stdout
    for path in paths[::2]:
        cf("why", path)


@pytest.mark.exhaustive
def test_a_lower_pixel_limit_counts_for_files_seen_before(cf: Coldframe, catalogue: Catalogue) -> None:
    cf.ingest(catalogue)
    cf.ingest(catalogue, "--max-pixels", 1000, code=3)
    assert cf.value("select count(*) from failures where reason like '%over the pixel limit of 1000'") == 24
    cf.ingest(catalogue)
    assert cf.value("select count(*) from images") == 24
    assert "0 is not in the range x>=1" in cf.ingest(catalogue, "--max-pixels", 0, code=2).stderr


def test_a_row_without_a_path_fails_under_its_number(cf: Coldframe, catalogue: Catalogue) -> None:
    catalogue.metadata.write_text("path,label\nfinch/finch-00.png,a\n,b\n")
    cf("ingest", catalogue.metadata, "--images", catalogue.images, code=3)
    assert cf.rows("select image_id, reason from failures") == [
        {"image_id": "row 3", "reason": "no path given in this row"}
    ]


def test_a_wrong_name_leaves_no_store_behind(cf: Coldframe, catalogue: Catalogue) -> None:
    cf("ingest", "gone.csv", "--images", catalogue.images, code=1)
    assert not cf.path.exists()


@pytest.mark.exhaustive
def test_two_ingests_do_not_run_at_once(cf: Coldframe, catalogue: Catalogue) -> None:
    cf.ingest(catalogue)
    with cf.store.lock("ingest"):
        assert "another coldframe process is writing 'ingest'" in cf.ingest(catalogue, code=5).stderr


def test_a_file_that_claims_what_cannot_be_kept_fails_alone(cf: Coldframe, catalogue: Catalogue) -> None:
    lines = b"Image type: Greyscale image\r\nImage size (x*y): 1*1\r\nFile size (no of images): 99999999999\r\n"
    catalogue.add("many", "moth").write_bytes(lines.ljust(511, b"\0") + b"\x1a" + bytes(8))
    catalogue.write()
    assert "24 ready, 1 failed" in cf.ingest(catalogue, code=3).stderr
    assert "out of range" in cf.value("select reason from failures")


@pytest.mark.exhaustive
@pytest.mark.variants
@pytest.mark.parametrize("years", [400, -400])
def test_a_file_of_any_date_is_read_once(cf: Coldframe, catalogue: Catalogue, years: int) -> None:
    """Dates survive copying, and a camera may have any."""
    file = catalogue.images / catalogue.rows[0]["file_path"]
    moment = years * 365 * 86_400
    os.utime(file, (moment, moment))
    cf.ingest(catalogue)
    assert "0 files read" in cf.ingest(catalogue).stderr
    cf("status")


@pytest.mark.exhaustive
def test_a_file_that_takes_too_long_fails_alone(cf: Coldframe, catalogue: Catalogue) -> None:
    catalogue.add("slow", "moth", Image.new("L", (9000, 9000)), "slow.png")
    catalogue.write()
    cf.ingest(catalogue, "--max-seconds", 0.2, code=3)
    assert cf.rows("select image_id, reason from failures") == [
        {"image_id": "slow", "reason": "cannot be decoded: it took longer than 0.2 seconds"}
    ]
    assert cf.value("select count(*) from images") == 24
    assert "0.0 is not in the range x>=0.001" in cf.ingest(catalogue, "--max-seconds", 0, code=2).stderr
    cf.ingest(catalogue)
    assert cf.value("select count(*) from images") == 25


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    """The processes that a command decodes in."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for thread in Path(f"/proc/{process.pid}/task").iterdir():
        children += (thread / "children").read_text().split()
    return [int(pid) for pid in set(children) if b"store.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]


@pytest.mark.parametrize("how", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.exhaustive)])
def test_an_interrupt_waits_for_no_file(cf: Coldframe, catalogue: Catalogue, how: signal.Signals) -> None:
    if not Path("/proc/self/task").is_dir():
        pytest.skip("no /proc here to find a command's processes in")
    slow = catalogue.add("slow", "moth", Image.new("L", (4000, 4000)))
    for number in range(40):
        os.link(slow, catalogue.add(f"slow-{number}", "moth"))
    catalogue.write()
    options = ["--images", catalogue.images, "--workers", 2, "--max-seconds", 1e6, "--commit-seconds", 0]
    process = subprocess.Popen(
        cf.command("ingest", catalogue.metadata, *options), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    stopped: list[int] = []
    try:
        while process.poll() is None and not (cf.path.exists() and len(manifest.numbers(cf.path)) > 24):
            time.sleep(0.01)
        stopped = workers_of(process)
        for worker in stopped:
            os.kill(worker, signal.SIGSTOP)  # never done with its file
        process.send_signal(how)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 130, said
        assert not any(Path(f"/proc/{worker}").exists() for worker in stopped)
    finally:
        process.kill()
        for worker in stopped:
            if Path(f"/proc/{worker}").exists():
                os.kill(worker, signal.SIGKILL)
    assert 24 <= cf.value("select count(*) from data.files") < 64


def test_another_id_column_is_noticed(cf: Coldframe, catalogue: Catalogue) -> None:
    for row in catalogue.rows:
        row["number"] = str(100 + catalogue.rows.index(row))
    catalogue.write()
    cf.ingest(catalogue)
    cf("split", "test", 0.2)
    cf("drop", "finch-00", "--why", "a cage")
    ways = ("ingest", catalogue.metadata, "--images", catalogue.images)
    for other in ((), ("--id", "number")):
        said = cf(*ways, *other, code=1).stderr
        assert "24 pictures of the store have another id here, such as 'finch-00'" in said
        assert "The id column was 'id' (--id) and is now " in said
        assert "--new-ids (or --prune)" in said
    assert cf.value("select count(*) from images") == 24
    cf(*ways, "--id", "number", "--new-ids")  # nothing is in twice, and the verdict follows
    assert cf.value("select count(*) from images") == 24
    cf("curate")
    assert cf.value("select path from verdicts join images using (image_id)") == "finch/finch-00.png"
    assert cf.value("select count(*) from exclusions") == 1


@pytest.mark.variants
@pytest.mark.parametrize("kind", ["a larger catalogue", "a part", "rows in another order", "another folder"])
def test_other_ids_are_noticed_in_other_catalogues(cf: Coldframe, catalogue: Catalogue, kind: str) -> None:
    for number, row in enumerate(catalogue.rows):
        row["number"] = str(number)
    catalogue.write(catalogue.rows[:10])
    column, images = "number", catalogue.images
    more: tuple[str, ...] = ()
    if kind == "rows in another order":
        cf("ingest", catalogue.metadata, "--images", images, "--id", "number")
        paths = [row["file_path"] for row in catalogue.rows]
        catalogue.write([row | {"file_path": paths[9 - place]} for place, row in enumerate(catalogue.rows[:10])])
        more = ("--prune",)
    elif kind == "another folder":
        cf("ingest", images)
        column, images = "file_path", catalogue.folder
        catalogue.write([row | {"file_path": f"images/{row['file_path']}"} for row in catalogue.rows])
    else:
        cf.ingest(catalogue)
        catalogue.write(catalogue.rows if kind == "a larger catalogue" else catalogue.rows[:3])
    given = ("ingest", catalogue.metadata, "--images", images, "--id", column, *more)
    before = cf.value("select count(*) from images")
    assert "pictures of the store have another id here" in cf(*given, code=1).stderr
    assert cf.value("select count(*) from images") == before
    cf(*given, "--new-ids")
