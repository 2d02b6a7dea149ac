"""The small share of ``make chaos``: harm done on purpose, and nothing lost."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

from tests.support.coldframe import REPOSITORY, Catalogue, Coldframe, environment

pytestmark = pytest.mark.slow

TRIED = {"kills": 20, "power_cuts": 200, "full_disks": 3, "damage": 3, "crowds": 2, "fuzz": 100}


def run(module: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", f"tests.{module}", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment(PYTHONPATH=str(REPOSITORY))
    )


def test_nothing_is_lost() -> None:
    done = run("chaos", "--thin")
    assert done.returncode == 0, done.stdout + done.stderr
    counts = json.loads(done.stdout.splitlines()[-1])
    assert not any(kind["lost"] for kind in counts.values())
    assert all(counts[kind]["tried"] >= tried for kind, tried in TRIED.items()), counts


def test_a_command_that_dies_at_a_point(cf: Coldframe, catalogue: Catalogue) -> None:
    cf.ingest(catalogue)
    embed = ("-s", cf.path, "embed", "mean-colour")
    died = run("chaos.die_at", 6, "--", *embed)
    assert died.returncode == -signal.SIGKILL
    assert not cf.rows("select * from data.feature_sets")
    assert [path.suffix for path in cf.path.rglob("*.tmp")] == [".tmp"]
    assert run("chaos.die_at", 100, "--", *embed).returncode == 0, "it has not so many points"
    assert cf.value("select count(*) from embeddings") == 24
