"""Curation: stages, replay, splits that stick, and verdicts that beat rules."""

from __future__ import annotations

import json
import math
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.curate import given_split, replay, rules
from pipeline.curate.plans import Plan, from_store, rule_stage, split_stage
from store import digests
from store.errors import ColdframeError
from store.schemas import SCHEMAS
from store.store import Snapshot, Store
from tests.support.coldframe import Catalogue, Coldframe, picture
from tests.support.synthetic import fresh_store, image, put_images, put_scores, put_vectors

pytestmark = pytest.mark.slow

Rows = list[dict[str, Any]]

some_catalogues = settings(max_examples=4, suppress_health_check=list(HealthCheck))
many_catalogues = settings(some_catalogues, max_examples=20)


@contextmanager
def temporary_store(rows: Rows) -> Iterator[Store]:
    folder = Path(tempfile.mkdtemp())
    try:
        store = fresh_store(folder)
        put_images(store, rows)
        yield store
    finally:
        shutil.rmtree(folder)


def replayed(store: Store, plan: Plan, *, reassign: bool = False) -> dict[str, str]:
    """Replay a plan and commit it: where each image is, as a split or ``out:<rule>``."""
    replay.curate(store, lambda _: plan, reassign=reassign)
    return places(store, plan.name)


def places(store: Store, plan: str = "default") -> dict[str, str]:
    rows = store.snapshot().ask("select * from data.curation where plan = $plan", {"plan": plan}).to_pylist()
    return {row["image_id"]: row["split"] or f"out:{row['rule']}" for row in rows}


def plan_of(*stages: Any, seed: int = 0) -> Plan:
    return Plan("default", stages, seed)


def usual_splits(seed: int = 0) -> Plan:
    return plan_of(split_stage("test", {"share": 0.15}), split_stage("val", {"share": 0.1}), seed=seed)


labels = st.lists(st.sampled_from(["a", "b", "c", "d", "e"]), min_size=1, max_size=60)


@st.composite
def catalogues(draw: st.DrawFn) -> Rows:
    """Rows of up to five classes, some of equal content."""
    rows: Rows = []
    for number, label in enumerate(draw(labels)):
        row = image(f"i{number:03d}", label)
        if number and draw(st.integers(0, 9)) == 0:
            row["content_id"] = rows[draw(st.integers(0, number - 1))]["content_id"]
        rows.append(row)
    return rows


def units_by_class(rows: Rows) -> dict[str, list[str]]:
    """The contents of each class, by majority label."""
    votes: dict[str, Counter[str]] = {}
    for row in rows:
        votes.setdefault(row["content_id"], Counter())[row["label"]] += 1
    classes: dict[str, list[str]] = {}
    for content, count in votes.items():
        label = min(count, key=lambda one: (-count[one], one))
        classes.setdefault(label, []).append(content)
    return classes


@some_catalogues
@given(catalogues(), st.sampled_from([0.1, 0.15, 0.25, 0.5, 0.9]), st.integers(0, 3))
def test_a_split_is_stratified_by_largest_remainder(rows: Rows, share: float, seed: int) -> None:
    with temporary_store(rows) as store:
        where = replayed(store, plan_of(split_stage("test", {"share": share}), seed=seed))
    split_of: dict[str, set[str]] = {}
    for row in rows:
        split_of.setdefault(row["content_id"], set()).add(where[row["image_id"]])
    assert all(len(splits) == 1 for splits in split_of.values()), "a unit is never divided"
    total = 0
    for contents in units_by_class(rows).values():
        exact, carved = share * len(contents), sum(split_of[one] == {"test"} for one in contents)
        total += carved
        assert carved <= max(len(contents) - 1, 0), "a class of two units keeps one in train"
        assert min(math.floor(exact + 1e-9), len(contents) - 1) <= carved <= math.floor(exact + 1e-9) + 1
    room = sum(min(math.floor(share * len(one) + 1e-9) + 1, len(one) - 1) for one in units_by_class(rows).values())
    wanted = math.floor(share * len(split_of) + 0.5 + 1e-9)
    assert total == min(wanted, room)


@some_catalogues
@given(catalogues(), st.randoms(use_true_random=False))
def test_row_order_does_not_matter(rows: Rows, shuffler: random.Random) -> None:
    with temporary_store(rows) as store:
        first = replayed(store, usual_splits())
    shuffled = list(rows)
    shuffler.shuffle(shuffled)
    with temporary_store(shuffled) as store:
        assert replayed(store, usual_splits()) == first


@pytest.mark.exhaustive
@many_catalogues
@given(catalogues(), st.randoms(use_true_random=False))
def test_row_order_does_not_matter_in_many(rows: Rows, shuffler: random.Random) -> None:
    test_row_order_does_not_matter.hypothesis.inner_test(rows, shuffler)  # type: ignore[attr-defined]


@some_catalogues
@given(catalogues(), catalogues(), st.integers(0, 10))
def test_adding_rows_moves_no_row(rows: Rows, more: Rows, copied: int) -> None:
    with temporary_store(rows) as store:
        before = replayed(store, usual_splits())
        added = [row | {"image_id": f"new {row['image_id']}", "content_id": f"new {row['content_id']}"} for row in more]
        added += [rows[one % len(rows)] | {"image_id": f"copy {one}"} for one in range(copied)]
        put_images(store, rows + added)
        after = replayed(store, usual_splits())
    assert {image_id: after[image_id] for image_id in before} == before
    by_content = {row["content_id"]: before[row["image_id"]] for row in rows}
    for row in added:
        if row["content_id"] in by_content:
            assert after[row["image_id"]] == by_content[row["content_id"]], "a new copy goes where its original is"


@pytest.mark.exhaustive
@many_catalogues
@given(catalogues(), catalogues(), st.integers(0, 10))
def test_adding_rows_moves_no_row_in_many(rows: Rows, more: Rows, copied: int) -> None:
    test_adding_rows_moves_no_row.hypothesis.inner_test(rows, more, copied)  # type: ignore[attr-defined]


@some_catalogues
@given(catalogues(), st.integers(0, 1000))
def test_a_rule_tightened_and_loosened_leaves_no_trace(rows: Rows, seed: int) -> None:
    rng = np.random.default_rng(seed)
    with temporary_store(rows) as store:
        put_scores(store, "clip-quality", {row["image_id"]: float(rng.normal()) for row in rows})

        def plan(threshold: float) -> Plan:
            return Plan("default", (rule_stage("clip-quality", {"threshold": threshold}), *usual_splits().stages))

        before = replayed(store, plan(-9.0))
        tight = replayed(store, plan(0.0))
        for image_id, place in tight.items():
            if not place.startswith("out"):
                assert not (before[image_id] != "train" and place == "train"), "nothing moves into train"
        assert replayed(store, plan(-9.0)) == before


@pytest.mark.exhaustive
@many_catalogues
@given(catalogues(), st.integers(0, 1000))
def test_a_rule_tightened_and_loosened_leaves_no_trace_in_many(rows: Rows, seed: int) -> None:
    test_a_rule_tightened_and_loosened_leaves_no_trace.hypothesis.inner_test(rows, seed)  # type: ignore[attr-defined]


def test_loosening_a_rule_for_the_first_time_moves_nothing(tmp_path: Path) -> None:
    store = fresh_store(tmp_path)
    rows = [image(f"i{n:03d}", "ab"[n % 2], is_grey=n % 3 == 0) for n in range(90)]
    put_images(store, rows)
    strict = replayed(store, Plan("default", (rule_stage("greyscale", {}), *usual_splits().stages)))
    loose = replayed(store, usual_splits())
    assert all(loose[one] == place for one, place in strict.items() if not place.startswith("out"))
    assert Counter(loose.values())["test"] == round(0.15 * 90)


def test_a_larger_share_takes_from_train_and_a_smaller_one_gives_nothing_back(tmp_path: Path) -> None:
    store = fresh_store(tmp_path)
    put_images(store, [image(f"i{n:03d}", "ab"[n % 2]) for n in range(100)])
    small = replayed(store, plan_of(split_stage("test", {"share": 0.1})))
    large = replayed(store, plan_of(split_stage("test", {"share": 0.2})))
    assert Counter(large.values())["test"] == 20
    assert all(large[one] == "test" for one, place in small.items() if place == "test")
    assert replayed(store, plan_of(split_stage("test", {"share": 0.1}))) == large
    again = replayed(store, plan_of(split_stage("test", {"share": 0.1})), reassign=True)
    assert again == small


def test_another_seed_draws_anew_and_the_old_one_comes_back(tmp_path: Path) -> None:
    store = fresh_store(tmp_path)
    put_images(store, [image(f"i{n:03d}", "ab"[n % 2]) for n in range(100)])
    first = replayed(store, usual_splits(seed=0))
    assert replayed(store, usual_splits(seed=1)) != first
    assert replayed(store, usual_splits(seed=0)) == first


def test_a_larger_test_split_takes_from_train_and_not_from_val(tmp_path: Path) -> None:
    store = fresh_store(tmp_path)
    put_images(store, [image(f"i{n:03d}", "ab"[n % 2]) for n in range(200)])
    before = replayed(store, usual_splits())
    larger = plan_of(split_stage("test", {"share": 0.3}), split_stage("val", {"share": 0.1}))
    after = replayed(store, larger)
    assert Counter(after.values())["test"] == 60
    assert all(after[one] == place for one, place in before.items() if place != "train")


def test_a_split_that_shrank_is_reported_and_filled_by_new_images_only(tmp_path: Path) -> None:
    store = fresh_store(tmp_path)
    rows = [image(f"i{n:03d}", "ab"[n % 2]) for n in range(100)]
    put_images(store, rows)
    before = replayed(store, usual_splits())
    left = [row for row in rows if before[row["image_id"]] != "test" or row["image_id"] < "i050"]
    put_images(store, left)
    result = replay.curate(store, lambda _: usual_splits())
    assert any("units short of its share, since units placed before stay" in note for note in result.notes)
    put_images(store, left + [image(f"new{n:02d}", "ab"[n % 2]) for n in range(10)])
    after = replayed(store, usual_splits())
    assert all(after[row["image_id"]] == before[row["image_id"]] for row in left)
    assert sum(place == "test" for one, place in after.items() if one.startswith("new")) > 1


def test_another_by_needs_reassign(tmp_path: Path) -> None:
    store = fresh_store(tmp_path)
    put_images(store, [image(f"i{n:03d}", "ab"[n % 2], site=f"s{n // 5}") for n in range(100)])
    replayed(store, usual_splits())
    by_site = plan_of(split_stage("test", {"share": 0.15, "by": "site"}), split_stage("val", {"share": 0.1}))
    with pytest.raises(
        ColdframeError, match=r"it kept nothing but copies together, now site: .* --reassign to draw anew"
    ):
        replayed(store, by_site)
    where = replayed(store, by_site, reassign=True)
    assert Counter(where.values())["test"] == 15


def test_groups_are_kept_together(tmp_path: Path) -> None:
    store = fresh_store(tmp_path)
    rows = [image(f"i{n:03d}", "ab"[n % 2], site=f"s{n // 5}" if n < 90 else None) for n in range(100)]
    rows[0]["content_id"] = rows[99]["content_id"] = "same bytes"
    put_images(store, rows)
    where = replayed(store, plan_of(split_stage("test", {"share": 0.3, "by": "site"})))
    for site in {row["site"] for row in rows if row["site"]}:
        assert len({where[row["image_id"]] for row in rows if row["site"] == site}) == 1
    assert where["i000"] == where["i099"]
    assert set(where.values()) == {"train", "test"}
    with pytest.raises(ColdframeError, match=r"no column 'river' to keep together; columns: .*site"):
        replayed(store, plan_of(split_stage("test", {"share": 0.3, "by": "river"})))


def test_a_unit_of_several_labels_is_reported(tmp_path: Path) -> None:
    store = fresh_store(tmp_path)
    rows = [image(f"i{n}", "a") for n in range(5)]
    rows.append(image("copy", "b", content_id="content i0"))
    put_images(store, rows)
    result = replay.curate(store, lambda _: usual_splits())
    assert any("copy" in note and "several labels (a, b)" in note for note in result.notes)


def centroid_store(folder: Path) -> Store:
    """Two classes of twenty on a line, distances known: 0.05, 0.15, … on either side."""
    store = fresh_store(folder)
    rows, vectors = [], {}
    for label, offset in (("a", 0.0), ("b", 100.0)):
        for n in range(20):
            rows.append(image(f"{label}{n:02d}", label))
            vectors[f"content {label}{n:02d}"] = [offset + n, 0.0]
    put_images(store, rows)
    put_vectors(store, "line", vectors)
    return store


HASHES = st.lists(
    st.tuples(
        st.sampled_from([0, 2**64 - 1, 0x0123456789ABCDEF]), st.sets(st.integers(0, 63), max_size=9), st.integers(1, 3)
    ),
    min_size=2,
    max_size=12,
)


@settings(some_catalogues, max_examples=5)
@given(drawn=HASHES, bits=st.integers(0, 7))
def test_of_copies_the_largest_stays(drawn: list[tuple[int, set[int], int]], bits: int) -> None:
    hashes = {f"i{at:02d}": base ^ sum(1 << bit for bit in flipped) for at, (base, flipped, _) in enumerate(drawn)}
    widths = {f"i{at:02d}": width for at, (_, _, width) in enumerate(drawn)}
    rows = [image(name, "a", phash=f"{value:016x}", width=widths[name]) for name, value in hashes.items()]
    with temporary_store(rows) as store:
        found = replayed(store, plan_of(rule_stage("copies", {"bits": bits})))

    def better(one: str, other: str) -> bool:
        return (-widths[one], one) < (-widths[other], other)

    for name, value in hashes.items():
        copied = any(
            better(other, name) and (value ^ theirs).bit_count() <= bits
            for other, theirs in hashes.items()
            if other != name
        )
        assert (found[name] == "out:copies") == copied, name


def test_centroid_passes_recompute_the_centroids(tmp_path: Path) -> None:
    store = centroid_store(tmp_path)
    replayed(store, plan_of(rule_stage("centroid", {"percentile": [90, 50], "embedder": "line"})))
    rows = store.snapshot().ask("select * from data.curation order by image_id", {}).to_pylist()
    first = np.percentile([abs(n - 9.5) for n in range(20)] * 2, 90)
    one = {row["image_id"]: row for row in rows if row["pass"] == 1}
    assert {"a00", "a19", "b00", "b19"} == set(one)
    assert one["a00"]["value"] == pytest.approx(9.5)
    assert one["a00"]["threshold"] == pytest.approx(first)
    second = np.percentile([abs(n - 9.5) for n in range(1, 19)] * 2, 50)
    two = [row for row in rows if row["pass"] == 2]
    assert two
    assert all(np.isclose(row["threshold"], second) and row["value"] > second for row in two)


def test_centroid_takes_out_training_rows_only_unless_told(tmp_path: Path) -> None:
    store = centroid_store(tmp_path)
    carve, rule = split_stage("test", {"share": 0.4}), {"percentile": 60.0, "embedder": "line"}
    before = replayed(store, plan_of(carve))
    train_only = replayed(store, plan_of(carve, rule_stage("centroid", rule)))
    assert all(train_only[one] == "test" for one, place in before.items() if place == "test")
    everything = replayed(store, plan_of(carve, rule_stage("centroid", rule | {"apply_to": "all"})))
    assert any(everything[one] == "out:centroid" for one, place in before.items() if place == "test")
    assert {one for one, place in train_only.items() if place.startswith("out")} <= {
        one for one, place in everything.items() if place.startswith("out")
    }


def test_leave_one_out_distances(tmp_path: Path) -> None:
    store = centroid_store(tmp_path)
    stage = rule_stage("centroid", {"percentile": 90, "embedder": "line", "leave_one_out": True})
    replayed(store, plan_of(stage))
    rows = store.snapshot().ask("select value from exclusions where image_id = 'a00'", {}).to_pylist()
    assert rows[0]["value"] == pytest.approx(9.5 * 20 / 19)


def test_what_a_rule_needs_is_said(tmp_path: Path) -> None:
    store = centroid_store(tmp_path)
    with pytest.raises(ColdframeError, match="no scores yet; run 'coldframe score clip-quality' first"):
        replayed(store, plan_of(rule_stage("clip-quality", {})))
    with pytest.raises(
        ColdframeError, match=r"no feature set 'clip'; the store has: line; 'coldframe embed clip' makes it"
    ):
        replayed(store, plan_of(rule_stage("centroid", {"embedder": "clip"})))
    with pytest.raises(ColdframeError, match="rule centroid: no setting 'percentil'; settings: apply_to, embedder"):
        replayed(store, plan_of(rule_stage("centroid", {"percentil": 95})))
    with pytest.raises(ColdframeError, match="rule greyscale: no setting 'percentile'; it has none"):
        replayed(store, plan_of(rule_stage("greyscale", {"percentile": 95})))
    with pytest.raises(
        ColdframeError, match="no rule 'grayscale'; available: blurred, centroid, clip-quality, cmyk, copies, dark"
    ):
        rule_stage("grayscale", {})
    with pytest.raises(ColdframeError, match="percentile = 101, expected a number between 0 and 100"):
        rule_stage("centroid", {"percentile": [95, 101]})
    for bits in (8, -1, 1.0, True):
        with pytest.raises(ColdframeError, match=f"rule copies: bits = {bits}, expected a whole number from 0 to 7"):
            rule_stage("copies", {"bits": bits})


def test_a_rule_that_gives_an_image_twice_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from store import queries

    store, whole = centroid_store(tmp_path), queries.text
    for text, message in (
        (
            "select image_id, 1.0 as value, 2.0 as threshold from candidates, range(2)",
            "gave 'a00' 2 times: a rule gives",
        ),
        ("select 'nobody' as image_id, 1.0 as value, 2.0 as threshold", "gave 'nobody' 1 times, which is no candidate"),
        ("select 1 as wrong", "a rule selects image_id, value, threshold"),
    ):
        monkeypatch.setattr(queries, "text", lambda name, text=text: text if name == "rules/cmyk" else whole(name))
        with pytest.raises(ColdframeError, match=message):
            replayed(store, plan_of(rule_stage("cmyk", {})))


def test_images_without_a_vector_stay_in_and_are_counted(tmp_path: Path) -> None:
    store = centroid_store(tmp_path)
    rows = store.snapshot().ask("select * from images", {}).to_pylist()
    put_images(store, [*rows, image("late", "a")])
    result = replay.curate(store, lambda _: plan_of(rule_stage("centroid", {"embedder": "line"})))
    assert "rule centroid: 1 images have no embedding in line yet and stay in" in result.notes
    assert places(store)["late"] == "train"


def test_what_if_shows_counts_per_class_and_writes_nothing(ready: Coldframe) -> None:
    before = ready.store.snapshot().manifest.number
    said = ready("filter", "centroid", "--percentile", 80, "--what-if")
    lines = {line.split()[0]: line.split()[1:] for line in said.stdout.splitlines()[2:]}
    assert set(lines) == {"finch", "heron", "moth", "(all)"}
    kept_before, goes, _, _, kept_after = map(int, lines["(all)"])
    assert (kept_before, kept_after) == (24, 24 - goes)
    assert goes == 5
    assert "nothing was written" in said.stderr
    assert ready.store.snapshot().manifest.number == before
    ready("filter", "centroid", "--percentile", 80)
    assert ready.value("select count(*) from exclusions where rule = 'centroid'") == goes


def test_filter_and_split_add_or_replace_a_stage(ready: Coldframe) -> None:
    ready("filter", "greyscale")
    ready("split", "test", 0.25)
    ready("filter", "centroid", "--percentile", 95, "--percentile", 97.5)
    ready("split", "val", 0.1)
    ready("filter", "centroid", "--percentile", 90)
    stages = ready.rows("select kind, name, settings from stages")
    assert [row["name"] for row in stages] == ["greyscale", "test", "centroid", "val"]
    assert stages[2]["settings"] == '{"percentile": [90.0]}'
    assert ready.value("select count(*) from splits where split = 'test'") == 6


def test_plans_are_independent(ready: Coldframe) -> None:
    ready("split", "test", 0.25, "--plan", "one", "--seed", 1)
    ready("split", "test", 0.25, "--plan", "two", "--seed", 2)
    assert ready.rows("select plan, count(*) n from splits group by plan order by plan") == [
        {"plan": "one", "n": 24},
        {"plan": "two", "n": 24},
    ]
    assert ready.value("select count(*) from kept") == 0


def test_curate_without_a_plan_says_how_to_make_one(ready: Coldframe) -> None:
    assert "plan 'default' has no stages: add them with" in ready("curate", code=1).stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("split", "test", 1.5), "share 1.5, expected a number between 0 and 1"),
        (("split", "train", 0.5), "splits are carved out of train: choose another name"),
        (("filter", "centroid", "--set", "no"), "--set no: expected NAME=VALUE"),
    ],
)
def test_stages_that_cannot_be(ready: Coldframe, arguments: tuple[object, ...], message: str) -> None:
    code = 2 if "--set" in arguments else 1
    assert message in ready(*arguments, code=code).stderr


def test_a_split_of_the_catalogues_own_is_taken_as_it_is(cf: Coldframe, catalogue: Catalogue) -> None:
    for number, row in enumerate(catalogue.rows):
        row["subset"] = "test" if number % 4 == 0 else "train"
    catalogue.add("finch-00-copy", "finch", picture("finch", 0))
    catalogue.rows[-1]["subset"] = "train"
    catalogue.write()
    cf.ingest(catalogue)
    said = cf("split", "test", "--where", "subset = 'test'").stderr
    assert "split test: 1 of its images have copies outside it, such as finch-00 and finch-00-copy in train" in said
    assert cf.value("select count(*) from kept where split = 'test' and subset = 'test'") == 6
    assert cf.value("select count(*) from kept where (split = 'test') <> (subset = 'test')") == 0
    assert "FAILED" not in cf("verify").stdout
    catalogue.rows[0]["subset"] = "train"
    catalogue.write()
    cf.ingest(catalogue)
    cf("curate")  # the column has changed: the split follows
    assert cf.value("select count(*) from kept where split = 'test'") == 5
    cf("split", "val", 0.2)
    assert cf.value("select count(*) from kept where split = 'val' and subset = 'train'") == 5


@pytest.mark.parametrize(
    ("places", "said"),
    [
        # the place of two equal files and of their copy, as the catalogue has it; '-' is train
        ("test test val", ["test: 2 of its images have copies outside it, such as a and c in val", "val: 1 of its"]),
        pytest.param("test test test", [], marks=pytest.mark.variants),
        pytest.param("val test test", ["test: 2", "val: 1 of its images have copies outside it, such as a and b in test"],
                     marks=pytest.mark.variants),
        pytest.param("test - val", ["test: 1 of its images have copies outside it, such as a and b in train", "val: 1"],
                     marks=pytest.mark.variants),
        pytest.param("- - val", ["val: 1 of its images have copies outside it, such as c and a in train"],
                     marks=pytest.mark.variants),
    ],
)  # fmt: skip
def test_what_is_said_of_divided_copies_is_where_they_are(places: str, said: list[str]) -> None:
    given = zip("abc", places.split(), ("same", "same", "near"), strict=True)
    rows = [image(one, "moth", content_id=content, side=side, width=ord(one)) for one, side, content in given]
    rows += [image(f"other {side}", "moth", side=side) for side in ("test", "val", "-")]
    stages = [split_stage(name, {"where": f"side = '{name}'"}) for name in ("test", "val")]
    with temporary_store(rows) as store:
        pair = {"content_id": "near", "other_id": "same", "group_id": "near", "kind": "near"}
        with store.commit("test") as commit:
            commit.replace("copies", pa.Table.from_pylist([pair], SCHEMAS["copies"]))
        notes = replay.replay(store.snapshot(), plan_of(*stages)).notes
    assert len(notes) == len(said)
    for note, words in zip(notes, said, strict=True):
        assert note.startswith(f"split {words}")


@pytest.mark.exhaustive
@pytest.mark.variants
@pytest.mark.parametrize(
    "where",
    [
        "SUBSET = 'test'",
        "url like '%a--b%' and subset = 'test'",
        """ "is test?" = 'yes' """,
        "columns('sub.*') = 'test'",
        "image_id in (select image_id from images where subset = 'test')",
    ],
)
def test_a_given_split_is_out_of_date_when_other_rows_are_in_it(
    cf: Coldframe, catalogue: Catalogue, where: str
) -> None:
    def set_apart(first: int) -> None:
        for number, row in enumerate(catalogue.rows):
            is_test = number % 4 == first
            row |= {"subset": "test" if is_test else "train", "is test?": "yes" if is_test else "no"}
            row["url"] = f"https://example.org/a--b/{number}"
        catalogue.write()
        cf.ingest(catalogue)

    set_apart(0)
    cf("split", "test", "--where", where)
    assert "out of date" not in cf("status").stdout
    set_apart(1)
    assert "curate --plan default: changed since: the rows of split test" in cf("status").stdout


ENDLESS = "(select count(*) from range(100000000000) a, range(100000000) b where a.range % 7 = b.range % 11) > 0"
ALL_ROWS = "1 = 1) union all (select 'x' from range(30)"


@pytest.mark.exhaustive
@pytest.mark.variants
@pytest.mark.parametrize(
    ("where", "said"),
    [
        (ENDLESS, "the query ran longer than 0.3 seconds"),
        (ALL_ROWS, "it gives more than 24 rows"),
        ("1 = 1) union all (from images select image_id", "it gives more than 24 rows"),
        ("1 = 1) union all (select repeat('x', 100) || range from range(100000000)", "it gives more than 24 rows"),
        ("1 = 1) union all (select i.image_id from images as i, range(1000000000)", "it gives more than 24 rows"),
    ],
)
def test_a_condition_without_end_holds_no_lock(
    ready: Coldframe, monkeypatch: pytest.MonkeyPatch, where: str, said: str
) -> None:
    """It may come with a store of somebody else."""
    monkeypatch.setattr(given_split, "SECONDS", 0.3)
    assert ready.value("select count(*) from images") == 24
    ready("filter", "greyscale")
    store = ready.store
    stages = store.snapshot().ask("from data.stages", {}).to_pylist()
    split = {**stages[0], "position": 2, "kind": "split", "name": "test", "settings": json.dumps({"where": where})}
    with store.commit("foreign") as commit:
        commit.replace("stages", pa.Table.from_pylist([*stages, split], SCHEMAS["stages"]), key="default")
    started = time.monotonic()
    assert f"curate --plan default: split test: the condition {where!r} cannot be answered" in ready("status").stdout
    for command in (("keep", "moth-00", "--why", "y"), ("curate",), ("filter", "cmyk")):
        found = ready(*command, code=1).stderr
        assert f"split test: the condition {where!r} cannot be answered: {said}" in found
    assert time.monotonic() - started < 40
    with replay.lock(store):
        pass


@pytest.mark.parametrize(
    ("given", "code", "said"),
    [
        (["test", "--where", "nosuch = 1"], 1, "split test: the condition 'nosuch = 1' cannot be answered"),
        (["test", "--where", "label = 'nobody'"], 1, "holds for no image"),
        (["test", "--where", "true) to '/tmp/x' --"], 1, "cannot be answered"),
        (["test", "--where", "(select count(*) from read_text('/etc/hostname')) > 0"], 1, "cannot be answered"),
        (["test", "0.1", "--where", "true"], 1, "with where, the rows are given: leave out share and by"),
        (["test", "--where", " "], 1, "expected a condition such as"),
        (["test"], 2, "expected a share such as 0.15, or a condition with --where"),
    ],
)
def test_a_condition_that_gives_no_split(ready: Coldframe, given: list[str], code: int, said: str) -> None:
    assert said in ready("split", *given, code=code).stderr
    assert ready.value("select count(*) from stages") == 0


def test_texts_of_rules_that_come_to_the_same_are_those_of_today() -> None:
    assert set(replay.SAME_WITHOUT_COPIES) == {digests.of_json(rules.text("copies"))}


def test_a_percentile_below_one_is_taken_for_a_share(ready: Coldframe) -> None:
    for way in (("--percentile", 0.95), ("--set", "percentile=0.95"), ("--percentile", 97, "--percentile", 0.95)):
        said = ready("filter", "centroid", *way, code=2).stderr
        assert "percentile = 0.95 is in percent, and takes out nearly all: did you mean 95?" in said
    ready("filter", "centroid", "--percentile", 95)


def test_groups_of_several_labels_are_told_in_one_line(cf: Coldframe, catalogue: Catalogue) -> None:
    for place, row in enumerate(catalogue.rows):
        row["site"] = f"site {place % 12:02d}"
    catalogue.write()
    cf.ingest(catalogue)
    for command in (("split", "test", 0.2, "--by", "site"), ("curate",)):
        notes = [line for line in cf(*command).stderr.splitlines() if line.startswith("note")]
        (told,) = [line for line in notes if "label" in line]
        assert "12 values of site hold several labels, such as site 00, site 01, site 02: each group counts" in told
        assert "copies" not in "".join(notes)
    cf("split", "val", 0.2, "--plan", "other")
    assert "several labels" not in cf("curate", "--plan", "other").stderr


@pytest.mark.exhaustive
@pytest.mark.parametrize("times", [1, 2, 9])
def test_a_verdict_that_comes_while_a_plan_is_replayed_is_obeyed_or_waits(ready: Coldframe, times: int) -> None:
    """A page gives verdicts without the lock of a replay."""
    ready("filter", "greyscale")
    store, said = ready.store, list[str]()

    def planned(snapshot: Snapshot) -> Plan:
        plan = from_store(snapshot, "default")
        assert plan is not None
        if len(said) < times:
            said.append(f"moth-{len(said):02d}")
            judged = {"image_id": said[-1], "verdict": "drop", "why": "x", "created_at": datetime.now(UTC)}
            content = ready.value(f"select content_id from images where image_id = '{said[-1]}'")
            with store.commit("drop") as commit:
                commit.append("verdicts", pa.Table.from_pylist([judged | {"content_id": content}], SCHEMAS["verdicts"]))
        return plan

    replay.replay_and_commit(store, planned)
    out = {row["image_id"] for row in ready.rows("select image_id from exclusions where plan = 'default'")}
    snapshot = store.snapshot()
    waiting = {row["image_id"] for row in snapshot.rows("steps/look/judged_since", plan="default")}
    assert out | waiting == set(said)
    assert len(waiting) == (1 if times == 9 else 0)
    ready("verify")
