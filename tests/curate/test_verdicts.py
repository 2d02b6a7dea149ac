"""A person's word beats every rule, and the whole story can be told."""

from __future__ import annotations

import json
import random
import shutil
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from pipeline.look import judging
from pipeline.look.session import Session
from pipeline.steps.config import Config
from tests.support.coldframe import Catalogue, Coldframe, date_later, parts_of, picture

pytestmark = pytest.mark.slow


def grey_catalogue(cf: Coldframe, catalogue: Catalogue) -> None:
    for number in range(3):
        catalogue.add(f"grey-{number}", "moth", picture("moth", 90 + number).convert("L"))
    catalogue.write()
    cf.ingest(catalogue)
    cf("filter", "greyscale")


def test_keep_drop_and_unset_replay_the_plans(cf: Coldframe, catalogue: Catalogue) -> None:
    grey_catalogue(cf, catalogue)
    assert cf.value("select count(*) from exclusions") == 3
    assert "keep: 2 images; replayed: default" in cf("keep", "grey-0", "moth/grey-1.png", "--why", "a moth").stderr
    cf("drop", "finch-00", "--why", "a cage")
    out = {row["image_id"]: row["rule"] for row in cf.rows("select * from exclusions")}
    assert out == {"grey-2": "greyscale", "finch-00": "verdict"}
    cf("unset", "grey-0", "finch-00")
    assert {row["image_id"] for row in cf.rows("select * from exclusions")} == {"grey-0", "grey-2"}
    assert cf.value("select count(*) from verdicts") == 1
    assert cf.value("select count(*) from verdict_history") == 5
    assert "FAILED" not in cf("verify").stdout


def test_a_verdict_before_any_plan_counts_when_one_is_made(cf: Coldframe, catalogue: Catalogue) -> None:
    cf.ingest(catalogue)
    assert "no plan to replay yet" in cf("drop", "moth-03", "--why", "blurred").stderr
    cf("split", "test", 0.2)
    assert cf.rows("select image_id, rule from exclusions") == [{"image_id": "moth-03", "rule": "verdict"}]


def test_a_verdict_on_bytes_that_changed_is_shown_as_stale(cf: Coldframe, catalogue: Catalogue) -> None:
    grey_catalogue(cf, catalogue)
    cf("keep", "grey-0", "--why", "a moth")
    picture("moth", 555).convert("L").save(catalogue.images / "moth/grey-0.png")
    cf.ingest(catalogue)
    assert cf.value("select is_stale from verdicts") is True
    assert "(stale: the bytes have changed since)" in cf("why", "grey-0").stdout


@pytest.mark.exhaustive
def test_a_verdict_is_to_be_obeyed_whatever_its_date(cf: Coldframe, catalogue: Catalogue) -> None:
    """A clock may have been ahead when it was given."""
    grey_catalogue(cf, catalogue)
    cf("keep", "grey-0", "--why", "a moth")
    date_later(cf, "verdicts", "created_at")
    assert "FAILED" not in cf("verify").stdout
    (part,) = parts_of(cf, "curation")
    table = pq.read_table(cf.path / part.path)
    is_it = pc.equal(table["image_id"], "grey-0")
    for column, value in (("rule", "greyscale"), ("split", None)):
        at = table.column_names.index(column)
        table = table.set_column(at, column, pc.if_else(is_it, pa.scalar(value, pa.string()), table[column]))
    with cf.store.commit("test") as commit:
        commit.replace("curation", table, key=part.key)
    assert "image_id grey-0, verdict keep, rule greyscale" in cf("verify", code=4).stdout


def test_a_verdict_needs_a_reason(cf: Coldframe, catalogue: Catalogue) -> None:
    cf.ingest(catalogue)
    assert "Missing option '--why'" in cf("keep", "finch-00", code=2).stderr
    assert "--why is empty: give the reason" in cf("drop", "finch-00", "--why", " ", code=2).stderr
    assert "keep: 1 images" in cf("keep", "finch-00", "finch-00", "--why", "x").stderr


def test_all_or_none_are_judged(cf: Coldframe, catalogue: Catalogue) -> None:
    catalogue.add("gone", "moth")
    catalogue.write()
    cf.ingest(catalogue, code=3)
    said = cf("keep", "finch-00", "nobody", "--why", "x", code=1).stderr
    assert "nobody: no image with this id or path; expected one of the catalogue's ids or paths" in said
    assert (
        "gone: not readable, so there is nothing to judge (missing" in cf("drop", "gone", "--why", "x", code=1).stderr
    )
    assert cf.value("select count(*) from verdict_history") == 0


def test_a_path_of_several_images_is_refused(cf: Coldframe, catalogue: Catalogue) -> None:
    catalogue.rows[1]["file_path"] = catalogue.rows[0]["file_path"]
    catalogue.write()
    cf.ingest(catalogue)
    said = cf("keep", catalogue.rows[0]["file_path"], "--why", "x", code=1).stderr
    assert "the path of several images (finch-00, finch-01): name one by its id" in said


def test_why_tells_the_whole_story(cf: Coldframe, catalogue: Catalogue) -> None:
    catalogue.add("finch-00-copy", "finch", picture("finch", 0))
    grey_catalogue(cf, catalogue)
    cf("embed", "mean-colour")
    cf("score", "knn")
    cf("filter", "centroid", "--percentile", 60)
    story = cf("why", "finch-00").stdout
    for words in ("phylum: chordata", "finch-00-copy is a copy of finch-00", "embedded in mean-colour", "score knn: "):
        assert words in story
    out = cf.rows("select * from exclusions where rule = 'centroid' limit 1")[0]
    story = cf("why", out["image_id"]).stdout
    assert "plan default: out by rule centroid, stage 2 with percentile = [60.0], pass 1: value" in story
    assert "out by rule greyscale, stage 1, pass 1" in cf("why", "grey-0").stdout
    cf("keep", "grey-0", "--why", "good")
    assert "in, split train, kept by a person whatever the rules say" in cf("why", "grey-0").stdout
    cf("drop", "grey-1", "--why", "bad")
    assert "out, dropped by a person before any stage" in cf("why", "grey-1").stdout
    assert json.loads(cf("why", "grey-1", "--format", "json").stdout)["image"]["label"] == "moth"


def test_why_of_a_failure_and_of_nothing(cf: Coldframe, catalogue: Catalogue) -> None:
    catalogue.add("gone", "moth")
    catalogue.write()
    cf.ingest(catalogue, code=3)
    story = cf("why", "moth/gone.png").stdout
    assert "failed in ingest: missing: no such file" in story
    assert "it is not an image of the store" in story
    assert "no image with this id or path" in cf("why", "nobody", code=1).stderr
    assert "no plan has been replayed since it was ingested" in cf("why", "moth-00").stdout


def folders(root: Path) -> Path:
    """Folders of six pictures of three classes, two of them equal."""
    for number, (name, label) in enumerate((("owl", "finch"), ("crow", "heron"), ("bat", "moth"))):
        (root / name).mkdir(parents=True)
        for place in range(6):
            picture(label, 100 * number + place).save(root / name / f"p{place}.png")
    shutil.copy(root / "owl" / "p4.png", root / "crow" / "same.png")
    return root


def rename_folder(root: Path) -> dict[str, str]:
    (root / "owl").rename(root / "owls")
    return {f"owl/p{place}.png": f"owls/p{place}.png" for place in range(6)}


def rename_folder_twice(root: Path) -> dict[str, str]:
    rename_folder(root)
    (root / "owls").rename(root / "strix")
    return {f"owl/p{place}.png": f"strix/p{place}.png" for place in range(6)}


def rename_files(root: Path) -> dict[str, str]:
    for place in (4, 5):
        (root / f"owl/p{place}.png").rename(root / f"owl/q{place}.png")
    shutil.move(root / "crow" / "same.png", root / "owl" / "z.png")
    return {"owl/p5.png": "owl/q5.png", "crow/same.png": "owl/z.png", "owl/p4.png": "owl/q4.png"}


@pytest.mark.variants
@pytest.mark.parametrize("change", [rename_folder, rename_folder_twice, rename_files])
def test_verdicts_follow_their_pictures_to_new_ids(
    cf: Coldframe, tmp_path: Path, change: Callable[[Path], dict[str, str]]
) -> None:
    root = folders(tmp_path / "pictures")
    cf("ingest", root)
    cf("split", "test", 0.2)
    cf("drop", "owl/p4.png", "owl/p5.png", "--why", "a cage")
    cf("keep", "crow/p1.png", "--why", "good")
    cf("drop", *(["crow/same.png"] if change is rename_files else []), "bat/p0.png", "--why", "blurred")
    new = change(root)
    said = cf("ingest", root).stderr
    assert "pictures have another id now: their new rows replace the old ones" in said
    assert "verdicts follow their pictures to other ids" in said
    assert "verdicts follow" not in cf("ingest", root, "--prune").stderr
    assert cf.value("select count(*) from images") == 19
    cf("curate")
    dropped = {row["image_id"] for row in cf.rows("from verdicts where verdict = 'drop'")}
    wanted = {"owl/p4.png", "owl/p5.png", "bat/p0.png"} | ({"crow/same.png"} if change is rename_files else set())
    assert dropped == {new.get(one, one) for one in wanted}
    assert {row["image_id"] for row in cf.rows("from exclusions where rule = 'verdict'")} == dropped
    assert cf.rows("from lost_verdicts") == []
    assert "on its earlier id owl/p5.png" in cf("why", new["owl/p5.png"]).stdout
    cf("unset", new["owl/p5.png"])
    assert cf.rows(f"from exclusions where image_id = '{new['owl/p5.png']}'") == []
    assert cf.rows("from lost_verdicts") == []
    assert "FAILED" not in cf("verify").stdout


def test_a_dropped_picture_that_was_renamed_is_in_no_split(cf: Coldframe, tmp_path: Path) -> None:
    root = folders(tmp_path / "pictures")
    cf("ingest", root)
    cf("split", "test", 0.2)
    cf("drop", "owl/p1.png", "--why", "a cage")
    (root / "owl").rename(root / "owls")
    cf("ingest", root)
    cf("curate")
    held = {row["image_id"] for row in cf.rows("select image_id from splits")}
    assert {"owls/p0.png", "owls/p2.png"} <= held
    assert not held & {"owl/p1.png", "owls/p1.png", "owl/p0.png"}
    cf("unset", "owls/p1.png")
    (root / "owls").rename(root / "owl")
    cf("ingest", root)
    cf("curate")  # what was said last holds, not what was said of this id before
    assert cf.rows("select * from judgements") == []
    assert "owl/p1.png" in {row["image_id"] for row in cf.rows("select image_id from splits")}


def test_a_dropped_copy_that_is_deleted_takes_no_other_with_it(cf: Coldframe, tmp_path: Path) -> None:
    root = folders(tmp_path / "pictures")
    cf("ingest", root)
    cf("split", "test", 0.2)
    cf("drop", "crow/same.png", "--why", "a copy")
    (root / "crow" / "same.png").unlink()
    cf("ingest", root, "--prune")
    assert cf.rows("select * from judgements") == []
    assert cf.value("select count_images from lost_verdicts where image_id = 'crow/same.png'") == 1


@pytest.mark.parametrize("change", ["numbers", "names move up"])
def test_verdicts_follow_where_ids_change_places(cf: Coldframe, catalogue: Catalogue, change: str) -> None:
    rows = [row | {"id": str(number)} for number, row in enumerate(catalogue.rows)]
    catalogue.write(rows)
    cf.ingest(catalogue)
    cf("drop", "3", "--why", "a cage")
    cf("keep", "4", "--why", "good")
    cf("relabel", "5", "heron", "--why", "a heron")
    path = {number: rows[number]["file_path"] for number in (3, 4, 5)}
    if change == "numbers":  # every id is another picture's now: a row went in before them
        rows = [row | {"id": str(number + 1)} for number, row in enumerate(catalogue.rows)]
        catalogue.write(rows)
        assert "24 pictures of the store have another id here" in cf.ingest(catalogue, code=1).stderr
        cf("ingest", catalogue.metadata, "--images", catalogue.images, "--id", "id", "--new-ids")
        new = path
    else:  # the files take each other's names
        for number in reversed(range(3, 7)):
            (catalogue.images / rows[number]["file_path"]).replace(catalogue.images / rows[number + 1]["file_path"])
        catalogue.write([*rows[:3], *rows[4:]])
        cf.ingest(catalogue)
        new = {number: rows[number + 1]["file_path"] for number in (3, 4, 5)}
    now = {
        row["path"]: row["verdict"]
        for row in cf.rows("from judgements join images using (image_id) where not is_stale")
    }
    assert now == {new[3]: "drop", new[4]: "keep"}
    assert cf.rows("select path from images where label <> given_label") == [{"path": new[5]}]


class Moving:
    """A catalogue of pictures by content, each a letter, at ids that are their paths, in a store that is asked for verdicts."""

    def __init__(self, folder: Path, cf: Coldframe) -> None:
        self.folder, self.cf = folder / "pictures", cf
        self.contents: dict[str, str] = {}

    def now(self, *options: str, **pictures: str) -> str:
        """What is said when these pictures are there, and others that stay as they are."""
        there = {f"class/{name}.png": content for name, content in pictures.items()}
        for name in [*there, *(f"rest/{at}.png" for at in range(4))]:
            file = self.folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            content = there.get(name, name)
            if self.contents.get(name) != content:
                picture("moth", zlib.crc32(content.encode())).save(file)
            self.contents[name] = content
        for name in [name for name in self.contents if name not in there and name.startswith("class/")]:
            (self.folder / name).unlink()
            del self.contents[name]
        return self.cf("ingest", self.folder, *options).stderr

    def say(self, verdict: str, *names: str) -> None:
        """Judge some of them."""
        self.cf(verdict, *(f"class/{name}.png" for name in names), "--why", "looked")

    def judged(self, query: str = "select image_id, verdict from judgements where not is_stale") -> dict[str, str]:
        """The verdicts in force, by name."""
        return {Path(row["image_id"]).stem: row["verdict"] for row in self.cf.rows(query)}

    def lost(self) -> dict[str, str]:
        """Those that apply to no image."""
        return self.judged("select image_id, verdict from lost_verdicts")

    def known(self) -> set[tuple[str, str]]:
        """All that can be seen of them: of which bytes, what was said."""
        query = "select content_id, verdict from judgements join last_verdicts using (image_id, created_at, verdict)"
        seen = self.cf.rows(f"{query} union select content_id, verdict from lost_verdicts")
        return {(row["content_id"], row["verdict"]) for row in seen}


def test_verdicts_where_pictures_change_places_and_come_back(cf: Coldframe, tmp_path: Path) -> None:
    world = Moving(tmp_path, cf)
    world.now(c="Z", d="W")
    world.say("drop", "c")
    world.say("keep", "d")
    assert "1 verdicts apply to no image any more, such as drop of class/c.png" in world.now(c="W")
    assert (world.judged(), world.lost()) == ({"c": "keep"}, {"c": "drop"})
    assert "such as drop of class/c.png to class/g.png" in world.now(c="W", g="Z")
    assert (world.judged(), world.lost()) == ({"c": "keep", "g": "drop"}, {})
    world.now(d="W", c="Z")  # as at the beginning
    assert (world.judged(), world.lost()) == ({"c": "drop", "d": "keep"}, {})
    world.now(d="W", c="Z", e="Z")  # a copy that nobody judged
    assert (world.judged(), world.lost()) == ({"c": "drop", "d": "keep"}, {})


@pytest.mark.exhaustive
def test_what_was_said_of_a_picture_later_holds_where_it_was_before(cf: Coldframe, tmp_path: Path) -> None:
    world = Moving(tmp_path, cf)
    world.now(a="X")
    world.say("drop", "a")
    world.now(b="X")
    world.say("unset", "b")
    world.now(a="X", b="X")
    assert (world.judged(), world.lost()) == ({}, {})
    world.say("keep", "b")
    world.now(a="Y", q="X", r="X")  # which of the two is b is not clear
    assert (world.judged(), world.lost()) == ({}, {"b": "keep"})
    cf("relabel", "class/q.png", "fox", "--why", "red")
    world.say("unset", "b")
    assert world.lost() == {}
    assert cf.value("select label from images where image_id = 'class/q.png'") == "fox"


@pytest.mark.exhaustive
def test_a_word_is_not_lost_that_applies_where_it_was_given(cf: Coldframe, tmp_path: Path) -> None:
    world = Moving(tmp_path, cf)
    world.now(a="X")
    world.say("drop", "a")
    world.now("--prune", "--prune-limit", "9", a="Z", b="X")
    assert world.judged() == {"b": "drop"}
    world.now("--prune", "--prune-limit", "9", a="X", c="X")
    assert (world.judged(), world.lost()) == ({"a": "drop"}, {})
    world.now("--prune", "--prune-limit", "9", a="W")
    assert (world.judged(), world.lost()) == ({}, {"b": "drop"})


def test_a_word_that_was_taken_back_at_a_copy_replaces_no_other(cf: Coldframe, tmp_path: Path) -> None:
    world = Moving(tmp_path, cf)
    world.now(a="X", b="X")
    world.say("drop", "a")
    world.say("keep", "b")
    world.say("unset", "b")
    assert "1 verdicts apply to no image any more, such as drop of class/a.png" in world.now("--prune", b="X")
    assert (world.judged(), world.lost()) == ({}, {"a": "drop"})
    world.now("--prune", b="X", c="X")
    assert world.judged() == {"c": "drop"}


def test_a_word_that_was_taken_back_where_it_was_carried_replaces_no_other(cf: Coldframe, tmp_path: Path) -> None:
    world = Moving(tmp_path, cf)
    world.now(a="X", b="X")
    world.say("keep", "a")
    world.say("drop", "b")
    world.now(a="X", c="X")
    assert world.judged() == {"a": "keep", "c": "drop"}
    world.say("unset", "c")
    assert "1 verdicts apply to no image any more, such as keep of class/a.png" in world.now("--prune", b="X")
    assert world.lost() == {"a": "keep"}


@pytest.mark.parametrize("act", [{"verdict": "keep"}, {"verdict": "relabel", "label": "owl"}])
def test_undo_on_a_page_leaves_a_word_on_other_bytes_as_it_was(
    cf: Coldframe, tmp_path: Path, act: dict[str, str]
) -> None:
    world = Moving(tmp_path, cf)
    world.now(b="Y")
    world.say("drop", "b")
    world.now(b="X")
    with closing(Session(cf.store, Config())) as session:
        judging.judge(session, {"ids": ["class/b.png"], **act})
        judging.undo(session, {})
        judging.judge(session, {"ids": ["class/b.png"], **act})
        judging.undo(session, {})
    assert cf.rows("select verdict, is_stale from judgements") == [{"verdict": "drop", "is_stale": True}]
    world.now("--new-ids", b="Y", q="X")
    assert world.judged() == {"b": "drop"}


def test_a_label_that_went_with_its_picture_stays_with_it(cf: Coldframe, tmp_path: Path) -> None:
    world = Moving(tmp_path, cf)
    world.now(a="X", b="Y")
    cf("relabel", "class/a.png", "fox", "--why", "looked")
    world.say("keep", "b")
    world.now(a="Y", b="X")
    shown = "select image_id, verdict, label, is_stale from verdicts order by 1"
    assert [tuple(row.values()) for row in cf.rows(shown)] == [
        ("class/a.png", "keep", None, False),
        ("class/b.png", "relabel", "fox", False),
    ]
    world.say("unset", "a")
    assert [tuple(row.values()) for row in cf.rows(shown)] == [("class/b.png", "relabel", "fox", False)]
    world.say("unset", "b")
    assert cf.rows(shown) == []


def test_verdicts_of_files_that_are_numbered_anew(cf: Coldframe, tmp_path: Path) -> None:
    world = Moving(tmp_path, cf)
    world.now(n1="A", n2="B", n3="C")
    world.say("drop", "n2")
    for pictures, dropped in (
        ({"n1": "new", "n2": "A", "n3": "B", "n4": "C"}, "n3"),
        ({"n1": "A", "n2": "B", "n3": "C"}, "n2"),
    ):
        world.now(**pictures)
        assert world.judged("select image_id, verdict from judgements") == {dropped: "drop"}


@pytest.mark.exhaustive
def test_verdicts_of_copies_go_where_it_is_clear(cf: Coldframe, tmp_path: Path) -> None:
    world = Moving(tmp_path, cf)
    world.now(a="X", b="X")
    world.say("drop", "a")
    world.say("keep", "b")
    (tmp_path / "pictures" / "other").mkdir()
    for name in ("a", "c", "d"):  # of these, one has the name of a copy that was judged
        picture("moth", zlib.crc32(b"X")).save(tmp_path / "pictures" / "other" / f"{name}.png")
    assert "1 verdicts apply to no image any more, such as keep of class/b.png" in world.now()
    assert (world.judged(), world.lost()) == ({"a": "drop"}, {"b": "keep"})


@pytest.mark.exhaustive
@pytest.mark.parametrize("seed", range(12))
def test_no_verdict_is_lost_in_silence_or_lands_on_another_picture(cf: Coldframe, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    world = Moving(tmp_path, cf)
    said: set[tuple[str, str]] = set()  # of which bytes, what
    for _ in range(6):
        before = world.known() if said else set()
        there = dict(zip(chance.sample("abcde", 4), chance.choices("XYZ", k=4), strict=True))
        world.now("--new-ids", *(["--prune", "--prune-limit", "9"] if chance.random() < 0.5 else []), **there)
        assert all((there[name], verdict) in said for name, verdict in world.judged().items() if name in there)
        after = world.known()
        assert all((content, verdict) in after or content in dict(after) for content, verdict in before)
        for name in chance.sample(sorted(there), 2):
            verdict = chance.choice(["keep", "drop"])
            said.add((there[name], verdict))
            world.say(verdict, name)


def test_a_verdict_that_applies_to_nothing_is_said_and_listed(cf: Coldframe, tmp_path: Path) -> None:
    root = folders(tmp_path / "pictures")
    cf("ingest", root)
    cf("split", "test", 0.2)
    cf("drop", "owl/p5.png", "owl/p4.png", "--why", "a cage")
    cf("relabel", "bat/p0.png", "owl", "--why", "an owl")
    (root / "owl" / "p5.png").unlink()
    (root / "owl" / "p4.png").unlink()
    for name in ("same too.png", "and this.png"):  # which of the two is meant is not clear
        shutil.copy(root / "crow" / "same.png", root / "crow" / name)
    picture("moth", 7).save(root / "bat" / "p0.png")
    said = cf("ingest", root, "--prune").stderr
    assert "3 verdicts apply to no image any more, such as relabel of bat/p0.png: " in said
    assert "3 verdicts apply to no image any more" in cf("curate").stderr
    lost = {(row["image_id"], row["verdict"], row["count_images"]) for row in cf.rows("from lost_verdicts")}
    assert lost == {("owl/p5.png", "drop", 0), ("owl/p4.png", "drop", 3), ("bat/p0.png", "relabel", 0)}
    assert "unset: 2 images" in cf("unset", "owl/p4.png", "owl/p5.png").stderr
    cf("unset", "bat/p0.png")
    assert cf.rows("from lost_verdicts") == []
    assert "verdicts apply to no image" not in cf("curate").stderr
