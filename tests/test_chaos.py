"""The small share of ``make chaos``: harm done on purpose, and nothing lost. Each kind runs in a program of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, Catalogue, Coldframe

TRIED = {"kills": 20, "power_cuts": 200, "full_disks": 6, "damage": 3, "crowds": 4, "fuzz": 100}


def run(module: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", f"tests.{module}", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


@pytest.mark.parametrize("kind", TRIED)
def test_nothing_is_lost(kind: str) -> None:
    done = run("chaos", "--thin", "--only", kind)
    assert done.returncode == 0, done.stdout + done.stderr
    counts = json.loads(done.stdout.splitlines()[-1])[kind]
    assert counts["lost"] == 0
    assert counts["tried"] >= TRIED[kind]


def test_a_command_that_dies_at_a_point(cf: Coldframe, catalogue: Catalogue, tmp_path: Path) -> None:
    cf.ingest(catalogue)
    embed = ("-s", cf.path, "embed", "mean-colour")
    died = run("chaos.die_at", 5, "--", *embed)
    assert died.returncode == -signal.SIGKILL
    assert not cf.rows("select * from data.feature_sets")
    assert [path.suffix for path in cf.path.rglob("*.tmp")] == [".tmp"]
    assert run("chaos.die_at", 100, "--", *embed).returncode == 0, "it has not so many points"
    assert cf.value("select count(*) from embeddings") == 24
