"""A corrected label is a verdict; verdicts come from lists as well."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pipeline.cli.app import cli
from pipeline.curate import verdict_lists, verdicts
from store.errors import ColdframeError
from store.store import Snapshot
from tests.support.coldframe import REPOSITORY, Catalogue, Coldframe, picture

pytestmark = pytest.mark.slow

LABELS = "select image_id, label, given_label from images where label is distinct from given_label order by image_id"


def test_a_correction_wins_and_can_be_taken_back(ready: Coldframe) -> None:
    ready("split", "test", 0.25)
    assert "relabel: 1 images; replayed: default" in ready("relabel", "finch-00", "moth", "--why", "wings").stderr
    assert ready.rows(LABELS) == [{"image_id": "finch-00", "label": "moth", "given_label": "finch"}]
    assert ready.value("select label from kept where image_id = 'finch-00'") == "moth"
    assert ready.rows("select verdict, label, why from verdicts") == [
        {"verdict": "relabel", "label": "moth", "why": "wings"}
    ]
    assert "verdict relabel as moth of" in ready("why", "finch-00").stdout
    ready("relabel", "finch-00", "heron", "--why", "a beak")
    assert ready.value("select label from images where image_id = 'finch-00'") == "heron"
    assert "wings (replaced by a later one)" in ready("why", "finch-00").stdout
    ready("unset", "finch-00")
    assert ready.rows(LABELS) == []
    assert ready.value("select count(*) from verdicts") == 0
    assert ready.value("select count(*) from verdict_history") == 3
    assert "FAILED" not in ready("verify").stdout


def test_a_correction_and_a_keep_stand_side_by_side(ready: Coldframe) -> None:
    ready("relabel", "finch-00", "moth", "--why", "wings")
    ready("keep", "finch-00", "--why", "rare")
    assert ready.rows("select verdict, label, why from verdicts") == [
        {"verdict": "keep", "label": "moth", "why": "rare"}
    ]
    story = ready("why", "finch-00").stdout
    assert "wings (stands)" in story
    assert "rare (stands)" in story
    ready("drop", "finch-00", "--why", "blurred")
    assert ready.rows("select verdict, label from verdicts") == [{"verdict": "drop", "label": "moth"}]


def test_a_correction_follows_the_content(ready: Coldframe, catalogue: Catalogue) -> None:
    catalogue.add("again", "finch", picture("finch", 0))
    catalogue.write()
    ready.ingest(catalogue)
    ready("relabel", "finch-00", "moth", "--why", "wings")
    assert [row["image_id"] for row in ready.rows(LABELS)] == ["again", "finch-00"]  # the same picture
    picture("finch", 777).save(catalogue.images / catalogue.rows[0]["file_path"])
    ready.ingest(catalogue)  # another picture now
    assert [row["image_id"] for row in ready.rows(LABELS)] == ["again"]
    assert ready.value("select is_stale from verdicts where image_id = 'finch-00'") is True
    ready("unset", "finch-00")
    assert [row["image_id"] for row in ready.rows(LABELS)] == ["again"]
    assert ready.rows("select * from verdicts where image_id = 'finch-00'") == []
    catalogue.rows[-1]["id"] = "renamed"
    catalogue.write()
    ready.ingest(catalogue, "--prune")
    assert [row["image_id"] for row in ready.rows(LABELS)] == ["renamed"]
    ready("unset", "renamed")
    assert ready.rows(LABELS) == []


def test_the_catalogues_label_is_kept_and_read_again(ready: Coldframe, catalogue: Catalogue) -> None:
    ready("relabel", "finch-00", "moth", "--why", "wings")
    assert "0 added, 0 updated" in ready.ingest(catalogue).stderr
    catalogue.rows[0]["label"] = "heron"
    catalogue.write()
    assert "1 updated" in ready.ingest(catalogue).stderr
    assert ready.rows(LABELS) == [{"image_id": "finch-00", "label": "moth", "given_label": "heron"}]


def test_what_was_trained_on_the_label_is_out_of_date(ready: Coldframe, tmp_path: Path) -> None:
    recipe = tmp_path / "coldframe.toml"
    recipe.write_text(
        "[plans.default]\nstages = [{ split = 'val', share = 0.2 }]\n[train.centroid]\nhead = 'centroid'\n"
    )
    ready("--config", recipe, "curate")
    ready("--config", recipe, "train", "--as", "centroid")
    assert "train" not in ready("--config", recipe, "status").stdout.split("out of date")[-1].split("evaluate")[0]
    image = ready.value("select image_id from kept where split = 'train' and label = 'finch' limit 1")
    ready("relabel", image, "moth", "--why", "wings")
    said = ready("--config", recipe, "status").stdout
    assert "train --as centroid: changed since: label" in said


def test_lists_from_a_file_and_from_standard_input(ready: Coldframe, tmp_path: Path) -> None:
    file = tmp_path / "corrections.csv"
    file.write_text(
        '\ufeffnote,label,image_id,why\nx,moth,finch-00,wings\n,heron,finch/finch-01.png,"a, beak"\n\n', "utf-8"
    )
    assert "relabel: 2 images" in ready("relabel", "--from", file).stderr
    assert {row["label"] for row in ready.rows(LABELS)} == {"moth", "heron"}
    assert ready.value("select why from verdicts where image_id = 'finch-01'") == "a, beak"

    def piped(text: str, *arguments: str) -> str:
        return str(CliRunner().invoke(cli, ["-s", str(ready.path), *arguments], input=text).output)

    assert "drop: 2 images" in piped("moth-00\nmoth-01\n", "drop", "-", "--why", "blurred")
    listed = ready("sql", "select image_id from verdicts where verdict = 'drop'", "--format", "csv").stdout
    assert "unset: 2 images" in piped(listed, "unset", "-")
    assert "relabel: 1 images" in piped("moth-02,finch\n", "relabel", "-", "--why", "a beak")
    assert ready.value("select label from images where image_id = 'moth-02'") == "finch"


@pytest.mark.parametrize(
    ("label", "meant"),
    [
        ("mothh", "moth"),
        *(pytest.param(*one, marks=pytest.mark.variants) for one in (("Heron", "heron"), ("fnich", "finch"))),
        pytest.param("Schwalbe", None, marks=pytest.mark.variants),
    ],
)
def test_a_label_that_nobody_had_is_remarked_on(ready: Coldframe, label: str, meant: str | None) -> None:
    said = ready("relabel", "finch-00", label, "--why", "x").stderr
    told = f"; did you mean {meant!r}?" if meant else ""
    assert f"note: {label!r} is a new label: no image had it{told}\n" in said


@pytest.mark.exhaustive
def test_long_labels_and_many_are_not_compared(cf: Coldframe, catalogue: Catalogue, tmp_path: Path) -> None:
    """A stranger's labels may be made to be slow to compare."""
    for row in catalogue.rows[:2]:
        row["label"] = "known " * 20_000
    catalogue.write()
    cf.ingest(catalogue)
    file = tmp_path / "list.csv"
    for long in ("k" * 101, "knwon " * 20_000):
        file.write_text(f"finch-03,{long}\n")
        said = cf("relabel", "--from", file, "--why", "x").stderr
        assert "is a new label: no image had it\n" in said
    file.write_text("".join(f"{row['id']},moth {number}\n" for number, row in enumerate(catalogue.rows)))
    said = cf("relabel", "--from", file, "--why", "x").stderr
    assert said.startswith("note: 24 labels are new: no image had them, such as 'moth 0'\n")


def test_remarks_are_made_when_others_can_curate_again(ready: Coldframe, monkeypatch: pytest.MonkeyPatch) -> None:
    made = verdicts._new_labels
    remarked = []

    def remark(before: Snapshot, rows: list[dict[str, Any]]) -> list[str]:
        with ready.store.lock("curation"):
            remarked.append(ready.value("select count(*) from verdicts"))
        return made(before, rows)

    monkeypatch.setattr(verdicts, "_new_labels", remark)
    ready("relabel", "finch-00", "mothh", "--why", "x")
    assert remarked == [1]


def test_the_list_of_suspects_of_the_documents_can_be_taken(ready: Coldframe, catalogue: Catalogue) -> None:
    catalogue.rows[0]["label"] = "moth"
    catalogue.write()
    ready.ingest(catalogue)
    page = (REPOSITORY / "docs" / "curation.md").read_text("utf-8")
    query = re.search(r'coldframe sql "(.*?)" --format csv > look.csv', page)
    assert query is not None
    ready("score", "label-doubt")
    Path("look.csv").write_text(ready("sql", query[1], "--format", "csv").stdout, "utf-8")
    assert "relabel: 1 images" in ready("relabel", "--from", "look.csv", "--why", "looked at").stderr
    assert ready.value("select label from images where image_id = 'finch-00'") == "finch"
    ready("score", "label-doubt")
    assert ready.rows(query[1]) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no images; expected one a line"),
        ("image_id,label\n", "no images below its first line"),
        ("image_id,why\nfinch-00,x\n", "no column 'label'; its columns: image_id, why"),
        ("image_id,label,why\nfinch-00,,x\n", "line 2 has no label"),
        ("image_id,label,why\n,moth,x\n", "line 2 has no image_id"),
        ("image_id,label\nfinch-00,moth\n", "line 2 has no why: give one in a column 'why', or one for all with --why"),
        (
            "image_id,label,why\nfinch-00,moth,x\nfinch-00,heron,x\n",
            "finch-00: labelled 'heron', but it is labelled 'moth'",
        ),
        ('image_id,label,why\n"finch-00,moth,x\n', "is no CSV"),
        ("image_id,label,why\nfinch-00, ,x\n", "line 2 has no label"),
        ("image_id,label,Label,why\nfinch-00,moth,heron,x\n", "it has the column 'label' twice"),
        ("image_id,image_id,label,why\nfinch-00,finch-01,moth,x\n", "it has the column 'image_id' twice"),
        (
            "image_id,label,why\nfinch-00,moth,x,y\n",
            "line 2 has 4 cells, expected 3: put a text with a comma in quotes",
        ),
        ("finch-00,moth,x\n", "line 1 has 3 cells, expected 2"),
        ("image_id,label,why\nfinch-00,moth,x\nnobody,moth,x\n", "nobody: no image with this id or path"),
    ],
)
def test_a_list_that_cannot_be_taken_changes_nothing(ready: Coldframe, tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "list.csv"
    file.write_text(text)
    assert said in ready("relabel", "--from", file, code=1).stderr
    assert ready.value("select count(*) from verdict_history") == 0


@pytest.mark.parametrize(
    ("verdict", "text", "what"),
    [
        ("relabel", "finch-00,moth\0,x\n", "label"),
        *(
            pytest.param(*one, marks=pytest.mark.variants)
            for one in (
                ("relabel", "finch-01,moth,x\nfinch-00,m\0th,x\n", "label"),
                ("relabel", "finch-00,moth,x\0\n", "reason"),
                ("keep", "finch-00,,a \0\n", "reason"),
                ("unset", "finch-00,,\0x\n", "reason"),
            )
        ),
    ],
)
def test_a_nul_is_refused_as_in_a_catalogue(
    ready: Coldframe, tmp_path: Path, verdict: str, text: str, what: str
) -> None:
    """NumPy's arrays of text lose one at the end: two classes would become one."""
    file = tmp_path / "list.csv"
    file.write_text("image_id,label,why\n" + text)
    said = ready(verdict, "--from", file, code=1).stderr
    assert f"finch-00: it has a NUL character in its {what}: remove it" in said
    judged = ready(verdict, "finch-00", *(["mo\0th"] if verdict == "relabel" else []), "--why", "x\0", code=1)
    assert "NUL character" in judged.stderr
    assert ready.value("select count(*) from verdict_history") == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\n" * 1_000_002, "more than 1,000,000 rows: give it in parts"),
        *(
            pytest.param(*one, marks=pytest.mark.variants)
            for one in (
                (b"finch-00\n" * 1_000_002, "more than 1,000,000 rows: give it in parts"),
                (b"\xef\xbb\xbfimage_id\r" + b"a\r" * 1_000_001, "more than 1,000,000 rows: give it in parts"),
                (b"a" * (verdict_lists.MOST_BYTES + 1), "more than 128 MB: give it in parts"),
                (b"x\n" + b"a," * 600_000, "the row at line 2 has more than 1,048,576 characters; expected an image"),
                (b'"a\n",' * 300_000, "the row at line 209716 has more than 1,048,576 characters"),
                (b"image_id" + b",a" * 600_000, "the row at line 1 has more than 1,048,576 characters"),
                (b"a" * 200_000, "line 1 is no CSV: field larger than field limit"),
            )
        ),
    ],
    ids=range(8),
)
def test_a_list_takes_no_more_memory_than_there_is(content: bytes, said: str) -> None:
    with pytest.raises(ColdframeError, match=f"^list.csv: {said}"):
        verdict_lists.read(content, "list.csv", "x", needs_why=True, with_label=False)


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfimage_id;label\r\na;owl\r\nb;elk, calf\r\n",
        *(
            pytest.param(one, marks=pytest.mark.variants)
            for one in (
                b"Path\tlabel\na\towl\nb\telk, calf\n",
                b"a;owl\nb;elk, calf\n",
                b'"path";"label"\n"a";owl\nb;"elk, calf"\n',
            )
        ),
    ],
)
def test_a_list_as_spreadsheets_save_it(content: bytes) -> None:
    found = verdict_lists.read(content, "list.csv", "x", needs_why=True, with_label=True)
    assert [(one.image, one.label) for one in found] == [("a", "owl"), ("b", "elk, calf")]


@pytest.mark.parametrize(
    ("content", "images"),
    [
        (b"a;b.png\nc.png\n", ["a;b.png", "c.png"]),  # no column is named: it is part of a name
        (b"image_id;x\na,b.png;1\n", ["a,b.png"]),
        (b"image_id,x;y\na;b.png,1\n", ["a;b.png"]),
    ],
)
def test_a_semicolon_in_a_name_is_none_between_cells(content: bytes, images: list[str]) -> None:
    found = verdict_lists.read(content, "list.csv", "x", needs_why=True, with_label=False)
    assert [one.image for one in found] == images


def test_a_list_may_have_a_million_rows_below_its_first_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdict_lists, "MOST_ROWS", 3)
    found = verdict_lists.read(b"image_id\na\nb\nc\n", "list.csv", "x", needs_why=True, with_label=False)
    assert [one.image for one in found] == ["a", "b", "c"]


@pytest.mark.exhaustive
def test_a_name_with_a_space_is_not_that_without(cf: Coldframe, catalogue: Catalogue, tmp_path: Path) -> None:
    for seed, (image_id, label) in enumerate(
        [("x", "moth"), ("x ", "moth "), ("y", "moth"), ("z", "moth"), (" z", "moth")]
    ):
        catalogue.add(image_id, label, picture("moth", 70 + seed), name=f"{seed}.png")
    (catalogue.images / "4.png").unlink()  # of ' z', which is a failure
    catalogue.write()
    cf.ingest(catalogue, code=3)
    cf("split", "test", 0.2)
    file = tmp_path / "list.csv"
    file.write_text("image_id,label\n x,moth \nx ,moth\ny , finch\n")
    cf("relabel", "--from", file, "--why", "looked at")
    assert {row["image_id"]: row["label"] for row in cf.rows("select image_id, label from verdicts")} == {
        "x": "moth ",
        "x ": "moth",
        "y": "finch",
    }
    file.write_text("x \n")
    cf("drop", "--from", file, "--why", "looked at")
    assert cf.rows("select image_id from judgements") == [{"image_id": "x "}]
    file.write_text(" z\n")
    assert "not readable" in cf("drop", "--from", file, "--why", "x", code=1).stderr


def test_copies_get_one_label(ready: Coldframe, catalogue: Catalogue, tmp_path: Path) -> None:
    catalogue.add("again", "finch", picture("finch", 0))
    catalogue.write()
    ready.ingest(catalogue)
    file = tmp_path / "list.csv"
    file.write_text("again,moth\nfinch-00,heron\n")
    said = ready("relabel", "--from", file, "--why", "x", code=1).stderr
    assert (
        "finch-00: labelled 'heron', but it has the same bytes as again, which is labelled 'moth': give one label"
        in said
    )


def test_how_it_is_asked(ready: Coldframe, tmp_path: Path) -> None:
    assert "expected an image and its label, got 1 arguments" in ready("relabel", "finch-00", code=2).stderr
    assert "the label is empty" in ready("relabel", "finch-00", " ", "--why", "x", code=2).stderr
    assert "Missing option '--why'" in ready("relabel", "finch-00", "moth", code=2).stderr
    assert "no image: name some by id or path" in ready("keep", "--why", "x", code=2).stderr
    file = tmp_path / "latin.csv"
    file.write_bytes(b"finch-00,\xe9\n")
    assert "not UTF-8 at byte 9" in ready("relabel", "--from", file, "--why", "x", code=1).stderr
    assert "not both" in ready("keep", "finch-00", "--from", file, "--why", "x", code=2).stderr
