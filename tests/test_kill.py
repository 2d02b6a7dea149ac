"""SIGKILL at any moment: the restarted command ends with the same rows as one never killed."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np

from store.matrices import vectors
from tests.conftest import Coldframe, drawn

KILLS = 10  # for each command


def killed_until_done(cf: Coldframe, arguments: list[str], seconds: float, seed: int) -> int:
    """Run a command, killing it at random moments of its usual time, until it has been killed often enough."""
    chance = random.Random(seed)
    killed = 0
    for _ in range(KILLS):
        process = subprocess.Popen(
            cf.command(*arguments), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        time.sleep(chance.uniform(0.05, seconds))
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
    cf.process(*arguments)
    return killed


def facts(cf: Coldframe) -> list[dict[str, Any]]:
    return cf.rows("select * from images order by image_id")


def test_killed_ingest_and_embed_end_as_if_never_killed(tmp_path: Path) -> None:
    catalogue = drawn(tmp_path / "catalogue", per_class=40)
    often = ["--commit-seconds", "0"]  # so that kills fall between commits too
    ingest = ["ingest", str(catalogue.metadata), "--images", str(catalogue.images), "--id", "id", *often]
    embed = ["embed", "mean-colour", "--batch", "2", *often]
    whole, broken = Coldframe(tmp_path / "whole"), Coldframe(tmp_path / "broken")
    killed = 0
    for number, arguments in enumerate((ingest, embed)):
        started = time.monotonic()
        whole.process(*arguments)
        killed += killed_until_done(broken, arguments, time.monotonic() - started, number)
    assert killed > KILLS  # most of them were still at work
    assert facts(broken) == facts(whole)
    one, other = (vectors(cf.store.snapshot(), "mean-colour") for cf in (whole, broken))
    assert one.content_ids.tolist() == other.content_ids.tolist()
    assert np.allclose(one.matrix, other.matrix, atol=1e-5)
    assert broken.value("select count(*) from data.embeddings") == 120
    assert "FAILED" not in broken("verify", "--deep").stdout
