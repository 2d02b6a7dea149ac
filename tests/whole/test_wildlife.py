"""The recipe of docs/recipe.md on real photographs, each of whose kinds is known."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.cli.test_docs import example
from tests.support.coldframe import Coldframe, environment

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wildlife(tmp_path_factory: pytest.TempPathFactory, shared: Path) -> Coldframe:
    """The store that ``coldframe run`` makes, with the good CMYK pictures kept afterwards."""
    folder = tmp_path_factory.mktemp("wildlife")
    (folder / "wildlife").symlink_to(shared / "data" / "wildlife")
    weights = "efficientnetv2b0_notop.weights.h5"
    (folder / weights).symlink_to(shared / "models" / weights)
    (folder / "coldframe.toml").write_text(example("recipe")[1])
    command = [sys.executable, "-P", "-m", "pipeline", "run"]
    smaller = environment(COLDFRAME_EMBED_SIZE="128x128")  # a third of the time
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False, env=smaller)
    assert done.returncode == 3, done.stderr.decode()  # done, some rows failed
    cf = Coldframe(folder / "wildlife-store")
    good = [row["rare_species_id"] for row in truth(shared) if row["kind"] == "cmyk_good"]
    cf("keep", *good, "--why", "good photographs, only stored in CMYK")
    return cf


def truth(shared: Path) -> list[dict[str, str]]:
    with (shared / "data" / "wildlife" / "truth.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.exhaustive
def test_every_row_is_accounted_for(wildlife: Coldframe, shared: Path) -> None:
    assert "FAILED" not in wildlife("verify", "--deep").stdout
    rows = truth(shared)
    failed = {row["image_id"] for row in wildlife.rows("select image_id from failures")}
    assert failed == {row["rare_species_id"] for row in rows if row["kind"] in ("broken", "missing", "outside")}
    out = {row["image_id"]: row["rule"] for row in wildlife.rows("select image_id, rule from exclusions")}
    kept = {row["image_id"] for row in wildlife.rows("select image_id from kept")}
    assert failed | set(out) | kept == {row["rare_species_id"] for row in rows}
    assert len(failed) + len(out) + len(kept) == len(rows)


def test_the_rules_find_what_they_are_for(wildlife: Coldframe, shared: Path) -> None:
    out = {row["image_id"]: row["rule"] for row in wildlife.rows("select image_id, rule from exclusions")}
    rules: dict[str, Counter[str]] = {}
    for row in truth(shared):
        rules.setdefault(row["kind"], Counter())[out.get(row["rare_species_id"], "in")] += 1
    for kind in ("greyscale", "sketch", "greyscale_rgb"):
        assert set(rules[kind]) == {"greyscale"}, kind
    assert rules["photo"]["greyscale"] <= 0.01 * sum(rules["photo"].values())
    assert set(rules["cmyk"]) == {"cmyk"}
    assert set(rules["cmyk_good"]) <= {"in"}


def test_equal_content_stands_in_one_split(wildlife: Coldframe) -> None:
    query = "select i.content_id from splits s join images i using (image_id) group by all having count(distinct s.split) > 1"
    assert wildlife.rows(query) == []
    assert wildlife.value("select count(*) from copies where kind = 'exact'") == 11


def test_the_head_is_far_above_guessing(wildlife: Coldframe) -> None:
    largest = wildlife.value(
        "select max(n) / sum(n) from (select count(*) n from kept where split = 'test' group by label)"
    )
    accuracy = wildlife.value("select accuracy from evaluations where evaluation = 'plain' and split = 'test'")
    assert accuracy > largest + 0.25
