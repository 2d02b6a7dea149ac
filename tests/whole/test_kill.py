"""SIGKILL at any moment: the restarted command ends with the same rows as one never killed."""

from __future__ import annotations

import random
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pipeline.embed.feature_sets import vectors
from tests.support.coldframe import Coldframe, drawn, killed

pytestmark = [pytest.mark.slow, pytest.mark.exhaustive]

KILLS = 6  # for each command; make chaos adds every point of the protocol
OFTEN = ["--commit-seconds", "0"]  # so that kills fall between commits too


def state(cf: Coldframe) -> tuple[list[dict[str, Any]], list[str], npt.NDArray[np.float32]]:
    """Images, and the vectors with their contents."""
    known = vectors(cf.store.snapshot(), "mean-colour")
    rows = cf.rows("select * from images order by image_id") + cf.rows("select * from failures")
    return rows, known.content_ids.tolist(), known.matrix


def assert_as_if_never_killed(broken: Coldframe, whole: Coldframe) -> None:
    (images, contents, matrix), (images_2, contents_2, matrix_2) = state(broken), state(whole)
    assert images == images_2
    assert contents == contents_2
    assert np.allclose(matrix, matrix_2, atol=1e-5)
    assert broken.value("select count(*) from data.embeddings") == len(contents)
    assert "FAILED" not in broken("verify", "--deep").stdout


def test_killed_ingest_and_embed_end_as_if_never_killed(tmp_path: Path) -> None:
    catalogue = drawn(tmp_path / "catalogue", per_class=40)
    catalogue.add("missing", "moth")
    catalogue.write()
    ingest = ["ingest", str(catalogue.metadata), "--images", str(catalogue.images), "--id", "id", *OFTEN]
    embed = ["embed", "mean-colour", "--batch", "2", *OFTEN]
    whole, broken = Coldframe(tmp_path / "whole"), Coldframe(tmp_path / "broken")
    chance = random.Random(7)
    for arguments in (ingest, embed):
        before = tmp_path / f"before-{arguments[0]}"
        if whole.path.exists():
            shutil.copytree(whole.path, before)
        started = time.monotonic()
        code = 3 if arguments[0] == "ingest" else 0  # one row fails
        whole.process(*arguments, code=code)
        seconds, kills = time.monotonic() - started, 0
        while kills < KILLS:
            if killed(broken, arguments, chance.uniform(0.2, seconds)):
                kills += 1
            else:  # it came to its end before: begin again
                assert_as_if_never_killed(broken, whole)
                shutil.rmtree(broken.path)
                if before.exists():
                    shutil.copytree(before, broken.path)
        broken.process(*arguments, code=code)
        assert_as_if_never_killed(broken, whole)
