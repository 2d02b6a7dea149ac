"""Damage: a byte flipped in a part, a part cut short or deleted. Found, repaired, filled again, and as before."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from tests.chaos import forks
from tests.chaos.trials import Settings, Trial
from tests.chaos.worlds import World, differences, examine, flip, live_files

BEFORE = "evaluate"  # the step that leaves the store to be damaged
THIN_BEFORE = "curate"  # which needs no framework
SOME_FAILED = 3
MAKE_AGAIN = "to make again what is lost, run:"


def trials(world: World, settings: Settings) -> Iterator[Trial]:
    """Every part that holds rows, harmed in every way; in the thin share, one of vectors in every way."""
    step = THIN_BEFORE if settings.thin else BEFORE
    parts = forks.call(live_files, world.store_after(step))
    for dataset, paths in parts.items():
        if settings.thin and dataset != "embeddings":
            continue
        for number, path in enumerate(paths):
            for how, harm in HARMS.items():
                name = f"damage/{dataset}-{number}/{how}"
                yield Trial(name, partial(_damaged, world, step, dataset, path, harm))


def _cut_short(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def _delete(file: Path) -> None:
    file.unlink()


HARMS: dict[str, Callable[[Path], None]] = {"flipped": flip, "cut-short": _cut_short, "deleted": _delete}


def _damaged(world: World, step: str, dataset: str, path: str, harm: Callable[[Path], None], folder: Path) -> list[str]:
    store = folder / "store"
    world.place_after(step, store)
    harm(store / path)
    found = forks.run(["-s", str(store), "verify", "--deep"])
    if found.code != 4 or path not in found.stdout:
        return [f"verify --deep: exit code {found.code}, it does not name {path}: {found.stdout[-800:]}{found.stderr}"]
    said = forks.run(["-s", str(store), "repair"])
    if said.code:
        return [f"repair: exit code {said.code}: {said.stdout[-400:]}{said.stderr[-800:]}"]
    for command in commands(said.stdout):
        ended = forks.run(["-s", str(store), *command])
        if ended.code not in (0, SOME_FAILED):
            return [f"{shlex.join(command)}: exit code {ended.code}: {ended.stderr[-800:]}"]
    return differences(forks.call(examine, store), world.facts_after(step))


def commands(said: str) -> list[list[str]]:
    """The commands that ``repair`` tells to run."""
    lines = said.partition(f"{MAKE_AGAIN}\n")[2].splitlines()
    return [shlex.split(line)[1:] for line in lines if line.startswith("  coldframe ")]
