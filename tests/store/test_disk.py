"""A disk that is full, read-only or not ours: one sentence with the path, exit code 1, and a store that is whole."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.coldframe import Catalogue, Coldframe

pytestmark = [pytest.mark.exhaustive, pytest.mark.slow]

DISK_BYTES = 4 * 2**20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if mount("-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", folder):
        pytest.skip("no right to mount a small disk here")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def mount(*arguments: object) -> int:
    try:
        return subprocess.run(["mount", *map(str, arguments)], check=False, stderr=subprocess.DEVNULL).returncode
    except FileNotFoundError:
        return 1


def fill(disk: Path, *, leave: int) -> Path:
    """A file that leaves so many bytes free."""
    file = disk / "fill"
    free = shutil.disk_usage(disk).free
    file.write_bytes(b"\0" * max(free - leave, 0))
    return file


def assert_whole(cf: Coldframe) -> None:
    assert not list(cf.path.rglob("*.tmp"))
    assert "FAILED" not in cf("verify", "--deep").stdout


@pytest.mark.exhaustive
def test_a_full_disk_costs_no_more_than_the_batch(disk: Path, catalogue: Catalogue) -> None:
    cf = Coldframe(disk / "store")
    cf.ingest(catalogue)
    said = set()
    for leave in range(0, 60_000, 4096):
        filling = fill(disk, leave=leave)
        done = subprocess.run(
            cf.command("embed", "mean-colour", "--batch", 5, "--commit-seconds", 0),
            capture_output=True,
            text=True,
            check=False,
        )
        filling.unlink()
        assert_whole(cf)
        if done.returncode == 0:
            break
        said.add(done.stderr.strip().splitlines()[-1])
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
    assert said
    for line in said:
        assert line.startswith(f"Error: {cf.path}/")
        removes = f"'coldframe gc --store {cf.path}' removes what the store no longer needs"
        assert f"No space left on device: make room ({removes})" in line
    cf("embed", "mean-colour")
    assert cf.value("select count(*) from data.embeddings") == 24


@pytest.mark.exhaustive
def test_gc_works_on_a_full_disk(disk: Path, catalogue: Catalogue) -> None:
    cf = Coldframe(disk / "store")
    cf.ingest(catalogue)
    cf("split", "test", 0.25)
    cf("split", "test", 0.5)
    fill(disk, leave=0)
    cf("gc", "--grace", "0s")
    cf("split", "test", 0.25)
    assert_whole(cf)


@pytest.mark.exhaustive
def test_a_read_only_disk_can_be_asked_and_says_what_it_cannot(disk: Path, catalogue: Catalogue) -> None:
    cf = Coldframe(disk / "store")
    cf.ingest(catalogue)
    mount("-o", "remount,ro", disk)
    said = cf("embed", "mean-colour", code=1).stderr
    assert said.startswith(f"Error: {cf.path}/locks/")
    assert os.strerror(errno.EROFS) + ": make sure that you may read and write there, or name another place" in said
    assert cf.value("select count(*) from images") == 24
    assert cf("gc", "--dry-run").stdout.startswith("would remove")
    assert_whole(cf)
    mount("-o", "remount,rw", disk)
    cf("embed", "mean-colour")


@pytest.mark.parametrize("folder", ["parts/scores", "manifests", "locks"])
def test_a_folder_that_may_not_be_written(ready: Coldframe, folder: str) -> None:
    command = ready.command("score", "knn")
    if os.geteuid() == 0:  # root may write anywhere, unless it gives that right up
        if shutil.which("setpriv") is None:
            pytest.skip("root writes into read-only folders, and there is no setpriv here")
        command = ["setpriv", "--bounding-set", "-dac_override", "--inh-caps", "-dac_override", *command]
    (ready.path / folder).chmod(0o500)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    (ready.path / folder).chmod(0o700)
    assert done.returncode == 1
    assert done.stderr.startswith(f"Error: {ready.path / folder}/")
    assert "Permission denied: make sure that you may read and write there" in done.stderr
    assert_whole(ready)
    assert ready.value("select count(*) from scores") == 0
