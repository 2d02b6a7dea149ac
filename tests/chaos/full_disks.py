"""A full disk: a sentence that names the path, a store still whole, and on it goes once there is room."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tests.chaos import forks
from tests.chaos.kills import operations
from tests.chaos.operations import FullAt
from tests.chaos.trials import Settings, Trial
from tests.chaos.worlds import Step, World, claims

STEPS = ("ingest", "embed", "curate")
REFUSED = 8  # operations of each step that find the disk full
PAGE = 4096
ROOM = (0, 1, 3, 8, 20, 60)  # pages that are free on a small disk
DISK = 4096 * PAGE
THIN_REFUSED = 1


def trials(world: World, settings: Settings) -> Iterator[Trial]:
    """Operations that are refused; and, where this process may mount one, a small disk that is really full."""
    for step in (world.steps[name] for name in STEPS):
        numbers = range(1, len(operations(world, step)) + 1)
        wanted = THIN_REFUSED if settings.thin else REFUSED
        for number in sorted(settings.chance(f"full/{step.name}").sample(numbers, wanted)):
            yield Trial(f"full_disks/{step.name}/at-{number}", partial(_refused, world, step, number))
    if settings.thin:
        return
    if not _may_mount(world.folder / "may-mount"):
        print("full_disks: no small disk can be mounted here: run it in 'unshare -rm'", file=sys.stderr, flush=True)
        return
    for step in (world.steps[name] for name in STEPS):
        for pages in ROOM:
            yield Trial(f"full_disks/{step.name}/pages-{pages}", partial(_filled, world, step, pages))


def _refused(world: World, step: Step, number: int, folder: Path) -> list[str]:
    store = folder / "store"
    world.place(step, store)
    problems = _complaints(store, forks.run(world.arguments(step, store), FullAt(number)))
    return problems + world.run_again(step, store)


def _filled(world: World, step: Step, pages: int, folder: Path) -> list[str]:
    with _mounted(folder / "disk") as disk:
        store, filler = disk / "store", disk / "filler"
        world.place(step, store)
        free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
        filler.write_bytes(bytes(free - pages * PAGE))
        ended = forks.run(world.arguments(step, store))
        problems = _complaints(store, ended) if ended.code != step.code else []
        filler.unlink()
        return problems + world.run_again(step, store)


def _complaints(store: Path, ended: forks.Ended) -> list[str]:
    """What is wrong with how a command met a full disk, and with the store it left."""
    problems = []
    if ended.code != 1:
        problems.append(f"exit code {ended.code}, expected 1: {ended.stderr[-800:]}")
    last = ended.stderr.strip().rpartition("\n")[2]
    if not last.startswith(f"Error: {store}") or "No space left on device" not in last or "Traceback" in ended.stderr:
        problems.append(f"it did not say which path has no space: {ended.stderr[-800:]}")
    if any((store / "manifests").glob("*.json")):
        problems += forks.call(claims, store)
    return problems


def _may_mount(folder: Path) -> bool:
    try:
        with _mounted(folder):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


@contextmanager
def _mounted(folder: Path) -> Iterator[Path]:
    """A small disk in memory."""
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "chaos", str(folder)]
    subprocess.run(mount, check=True, capture_output=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)
