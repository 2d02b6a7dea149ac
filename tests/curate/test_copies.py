"""Near copies: found among hard ones, kept together by splits, and told wherever they matter."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from PIL import Image

from store.schemas import SCHEMAS
from tests.support.coldframe import Catalogue, Coldframe, assert_whole, drawn, flip, parts_of, picture
from tests.support.hard_copies import COPIES, photograph, save_copy

ORIGINALS = 2
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Coldframe:
    """Two pictures with hard copies of each, three more pictures, two flat ones, and a split; copies are not looked for yet."""
    folder = tmp_path_factory.mktemp("copies")
    catalogue = Catalogue(folder / "catalogue", [])
    for seed in range(ORIGINALS):
        image = photograph(seed)
        catalogue.add(f"{seed}-original", "moth", image)
        for kind in COPIES:
            name = f"{seed}-{kind.replace(' ', '-')}"
            save_copy(image, kind, catalogue.add(name, "finch" if kind == "text" else "moth", name=f"{name}.jpg"))
    for seed in range(10, 13):
        catalogue.add(f"{seed}-other", "moth", photograph(seed))
    for level in (100, 101):
        catalogue.add(f"flat-{level}", "moth", Image.new("RGB", (360, 270), (level, level, level)))
    catalogue.write()
    cf = Coldframe(folder / "store")
    cf.ingest(catalogue)
    cf("embed", "mean-colour", "--size", "4x4")
    cf("split", "test", 0.3)
    return cf


@pytest.fixture(scope="module")
def found(made: Coldframe) -> tuple[Coldframe, str]:
    """That store after the copies were looked for, and what was said."""
    shutil.copytree(made.path, made.path.parent / "found")
    cf = Coldframe(made.path.parent / "found")
    return cf, cf("copies").stderr


@pytest.fixture
def cf(found: tuple[Coldframe, str], tmp_path: Path) -> Coldframe:
    """A copy of that store."""
    shutil.copytree(found[0].path, tmp_path / "store")
    return Coldframe(tmp_path / "store")


def test_hard_copies_are_found_and_nothing_else(found: tuple[Coldframe, str]) -> None:
    cf, said = found
    rows = cf.rows("from copies")
    original_of = {row["image_id"]: row["original_id"] for row in rows}
    kinds = {(row["image_id"][2:], row["kind"]) for row in rows}
    for seed in range(ORIGINALS):
        best = f"{seed}-border"  # it has the most pixels
        group = {f"{seed}-{kind.replace(' ', '-')}" for kind in COPIES} | {f"{seed}-original"}
        assert {one for one, original in original_of.items() if original == best} == group - {best}
    assert len(rows) == ORIGINALS * len(COPIES)
    assert {
        ("mirror", "mirrored"),
        ("rotate-5", "rotated"),
        ("crop-25", "cropped"),
        ("mirror-and-crop-10", "mirrored"),
    } <= kinds
    assert f"in {ORIGINALS} groups" in said
    assert all(row["correlation"] >= 0.9 and row["inliers"] >= 12 for row in rows if row["correlation"] is not None)


def test_splits_keep_copies_together_and_say_which_move(cf: Coldframe) -> None:
    failed = cf("verify", code=4).stdout
    assert "FAILED near-copies-have-one-split" in failed
    assert "it moves copies into the split that one of them is already in" in failed
    assert "-border in " in failed
    assert "in train" in cf("inspect", "leaks", "--format", "csv").stdout
    before = {row["image_id"]: row["split"] for row in cf.rows("select image_id, split from splits")}
    assert "out of date: curate --plan default: changed since: near copies" in cf("status").stdout
    said = cf("curate").stderr
    assert "images moved here from train, to join their copies: train again" in said
    after = {row["image_id"]: row["split"] for row in cf.rows("select image_id, split from splits")}
    assert not [one for one, split in before.items() if split == "test" and after[one] != "test"]
    for seed in range(ORIGINALS):
        assert len({split for one, split in after.items() if one.startswith(f"{seed}-")}) == 1
    assert_whole(cf)
    assert cf.rows("from divided_copies") == []


def test_a_split_by_a_column_is_only_noted(cf: Coldframe) -> None:
    """Copies that the catalogue itself puts on two sides are no fault of the store."""
    stages = cf.store.snapshot().select("data.stages", *SCHEMAS["stages"].names).to_pylist()
    with cf.store.commit("curate") as commit:
        given = [row | {"settings": '{"where": "side = 1"}'} for row in stages]
        commit.replace("stages", pa.Table.from_pylist(given, SCHEMAS["stages"]), key="default")
    said = cf("verify").stdout
    assert "ok     near-copies-have-one-split" in said
    assert "groups of copies are divided by the catalogue's own split ('coldframe inspect --store" in said


def test_the_rule_keeps_the_best_of_each_group(cf: Coldframe) -> None:
    cf("filter", "copies", "--bits", 0)
    out = {row["image_id"] for row in cf.rows("select image_id from exclusions where rule = 'copies'")}
    assert len(out) == ORIGINALS * len(COPIES)
    assert not [one for one in out if one.endswith(("border", "other"))]
    cf("filter", "copies", "--bits", 0, "--no-found")
    assert cf.value("select count(*) from exclusions where rule = 'copies'") < len(out) / 2


def test_why_tells_the_evidence(cf: Coldframe) -> None:
    assert "mirrored copy of 0-border: correlation " in cf("why", "0-mirror").stdout
    assert " % of the smaller picture" in cf("why", "0-mirror").stdout
    assert "mirrored copy of it: 0-mirror: correlation" in cf("why", "0-border").stdout


def test_a_step_of_a_recipe(cf: Coldframe, tmp_path: Path) -> None:
    recipe = tmp_path / "coldframe.toml"
    recipe.write_text("[copies]\n")
    assert "copies: up to date" in cf("run", "--dry-run").stderr
    recipe.write_text("[copies]\nbits = 10\n")
    assert "copies: settings changed: bits" in cf("run", "--dry-run").stderr
    assert "out of date: copies: settings changed: bits" in cf("status").stdout
    recipe.write_text("[copies]\ncorrelation = 0.1\n")
    assert "copies: correlation = 0.1, expected from 0.5 to 1" in cf("copies", code=1).stderr


def test_status_says_that_new_pictures_were_not_compared(cf: Coldframe, tmp_path: Path) -> None:
    assert "copies:" not in cf("status").stdout
    cf("copies", "--bits", 10)  # settings that no recipe has
    assert "copies:" not in cf("status").stdout
    shutil.copytree(
        Path(cf.value("select settings->>'images' from steps where step = 'ingest'")).parent, tmp_path / "c"
    )
    catalogue = Catalogue(tmp_path / "c", [])
    catalogue.add("new", "moth", photograph(20))
    catalogue.write()  # the rows before stay in the store
    cf.ingest(catalogue)
    assert "out of date: copies: changed since: contents and hashes" in cf("status").stdout
    cf("embed", "mean-colour", "--size", "4x4")
    cf("copies", "--bits", 10)
    assert "out of date: copies" not in cf("status").stdout


def test_what_is_lost_is_found_again(cf: Coldframe) -> None:
    before = cf.rows("from copies order by all")
    flip(cf, parts_of(cf, "copies")[0])
    said = cf("repair").stdout
    assert "rows of copies" in said
    command = next(line.strip() for line in said.splitlines() if line.startswith("  coldframe ") and " copies" in line)
    assert cf.rows("from copies") == []
    cf(*shlex.split(command)[1:])
    assert cf.rows("from copies order by all") == before


def test_a_store_of_an_earlier_version_has_none(cf: Coldframe) -> None:
    with cf.store.commit("test") as commit:
        commit.swap("copies", cf.store.snapshot().manifest.parts("copies"), ())
    assert cf.rows("from copies") == []
    cf("curate")
    assert "FAILED" not in cf("verify").stdout


@contextmanager
def unreadable(cf: Coldframe, names: str, *, moved: bool) -> Iterator[None]:
    """While this context lasts, the pictures of these names cannot be read: they are moved away or cut short."""
    folder = Path(cf.value("select settings->>'images' from steps where step = 'ingest'"))
    data = {file: file.read_bytes() for file in folder.rglob(names) if file.is_file()}
    try:
        for file in data:
            file.unlink() if moved else file.write_bytes(data[file][:100])
        yield
    finally:
        for file in data:
            file.write_bytes(data[file])


def test_a_picture_that_cannot_be_read_any_more_is_a_failure(cf: Coldframe) -> None:
    with unreadable(cf, "12-other.png", moved=False):
        assert "1 contents could not be read" in cf("copies", code=3).stderr
        reason = cf.value("select reason from failures where step = 'copies' and image_id = '12-other'")
        assert reason == "changed since it was ingested: run 'coldframe ingest' again"


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("names", "moved"),
    [
        ("0-*", True),
        pytest.param("0-border.jpg", False, marks=pytest.mark.variants),
        pytest.param("?-original.png", True, marks=pytest.mark.variants),
    ],
)
def test_copies_that_cannot_be_read_for_a_while_stay_copies(
    cf: Coldframe, tmp_path: Path, names: str, moved: bool
) -> None:
    recipe = tmp_path / "coldframe.toml"
    recipe.write_text("[copies]\n")
    before = cf.rows("from data.copies order by all")
    with unreadable(cf, names, moved=moved):
        cf("copies", code=3)
        assert cf.rows("from data.copies order by all") == before
    assert "contents could not be read" in cf("run", recipe, "--dry-run").stderr
    cf("run", recipe)
    assert "copies: up to date" in cf("run", recipe, "--dry-run").stderr
    assert cf.rows("from data.copies order by all") == before


def test_a_pair_goes_with_its_picture(cf: Coldframe) -> None:
    """A pair stays for what cannot be read, not for what the catalogue no longer has."""
    table = cf.store.snapshot().select("images", "image_id", "content_id", *SCHEMAS["images"].names[1:])
    kept = table.filter(pc.not_equal(table["image_id"], "0-original")).select(SCHEMAS["images"].names)
    gone = cf.value("select content_id from images where image_id = '0-original'")
    with cf.store.commit("test") as commit:
        commit.replace("images", kept)
    with unreadable(cf, "0-border.jpg", moved=True):
        cf("copies", code=3)
    ids = {row[one] for row in cf.rows("from data.copies") for one in ("content_id", "other_id")}
    assert ids
    assert gone not in ids


def test_where_no_picture_can_be_read_nothing_changes(cf: Coldframe) -> None:
    before = cf.store.snapshot().manifest
    with unreadable(cf, "*", moved=True):
        said = cf("copies", code=1).stderr
    assert "pictures could be read (missing" in said
    assert "what was found before stays" in said
    assert cf.store.snapshot().manifest == before


def test_flat_pictures_are_no_copies_and_why_names_the_original(tmp_path: Path) -> None:
    cf, catalogue = Coldframe(tmp_path / "flat"), drawn(tmp_path / "catalogue", per_class=2)
    for name in ("red", "green", "white", "black"):
        catalogue.add(name, "moth", Image.new("RGB", (40, 30), name))
        catalogue.add(f"{name}-large", "moth", Image.new("RGB", (80, 60), name))
    shade = np.tile(np.linspace(0, 255, 40).astype(np.uint8), (30, 1))
    catalogue.add("shade", "moth", Image.fromarray(shade).convert("RGB"))
    catalogue.add("red-again", "moth", Image.new("RGB", (40, 30), "red"))
    catalogue.add("finch-large", "finch", picture("finch", 1).resize((80, 60)))
    catalogue.write()
    cf.ingest(catalogue)
    cf("filter", "copies")
    out = {row["image_id"] for row in cf.rows("from exclusions")}
    assert out == {"red-again", "finch-01"}
    assert "threshold 4; like finch-large" in cf("why", "finch-01").stdout
    assert "threshold 4; like red" in cf("why", "red-again").stdout
    assert "like" not in cf("why", "finch-large").stdout


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    "without",
    ["0-%", pytest.param("%-crop%", marks=pytest.mark.variants), pytest.param("%", marks=pytest.mark.variants)],
)
def test_copies_whose_vectors_are_missing_for_a_while_stay_copies(cf: Coldframe, without: str) -> None:
    """As after an embed in which some failed."""
    cf("copies", "--bits", 0)  # by vectors alone, but for equal hashes
    gone = {
        row["content_id"]
        for row in cf.rows(f"select content_id from images where image_id like '{without}' order by all")
    }
    before = {pair for pair in pairs(cf) if gone & {*pair}}
    assert before
    table = cf.store.snapshot().ask("from data.embeddings", {}).select(SCHEMAS["embeddings"].names)
    with cf.store.commit("test") as commit:
        left = table.filter(pc.invert(pc.is_in(table["content_id"], pa.array(sorted(gone)))))
        commit.replace("embeddings", left, key="mean-colour")
    cf("copies", "--bits", 0)
    assert before <= pairs(cf)


def pairs(cf: Coldframe) -> set[tuple[str, str]]:
    """The pairs of contents that were found."""
    return {(row["content_id"], row["other_id"]) for row in cf.rows("from data.copies")}
