"""Damage: a byte flipped in a part, a part cut short or deleted. Found, repaired, filled again, and as before."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from tests.chaos import forks
from tests.chaos.trials import Settings, Trial
from tests.chaos.worlds import World, differences, examine, flip, live_files

EVERYTHING = "evaluate"  # the step that leaves the store to be damaged
COLLECTED = "gc"  # one that leaves vectors which are not available from the parts they were merged from
SOME_FAILED = 3
MAKE_AGAIN = "to make again what is lost, run:"


def trials(world: World, settings: Settings) -> Iterator[Trial]:
    """Every part, harmed in every way, those without rows in one; in the thin share, the vectors alone."""
    for step in (COLLECTED,) if settings.thin else (COLLECTED, EVERYTHING):
        for dataset, parts in forks.call(live_files, world.store_after(step)).items():
            if step == COLLECTED and dataset != "embeddings":
                continue
            for number, (path, rows) in enumerate(parts):
                for how, harm in HARMS.items() if rows else [("flipped", flip)]:
                    name = f"damage/{step}/{dataset}-{number}/{how}"
                    if rows or not settings.thin:
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
    seen = forks.run(["-s", str(store), "verify", "--deep"])
    if seen.code != 4 or path not in seen.stdout:
        return [f"verify --deep: exit code {seen.code}, it does not name {path}: {seen.stdout[-800:]}{seen.stderr}"]
    said = forks.run(["-s", str(store), "repair"])
    if said.code:
        return [f"repair: exit code {said.code}: {said.stdout[-400:]}{said.stderr[-800:]}"]
    for command in commands(said.stdout):
        if "METADATA" in command:  # which catalogue it was is lost
            command = list(world.steps["ingest"].arguments)
        done = forks.run(["-s", str(store), *command])
        if done.code not in (0, SOME_FAILED):
            return [f"{shlex.join(command)}: exit code {done.code}: {done.stderr[-800:]}"]
    found, expected = forks.call(examine, store), world.facts_after(step)
    if dataset in ("models", "run_rows"):  # what is known of the lost run stays, beside the one trained in its place
        found = replace(found, half_runs=[])
    if "lost: the record of" in said.stdout:  # as it says
        found = replace(found, rows=found.rows | {"steps": expected.rows["steps"]})
    return differences(found, expected)


def commands(said: str) -> list[list[str]]:
    """The commands that ``repair`` tells to run."""
    lines = said.partition(f"{MAKE_AGAIN}\n")[2].splitlines()
    return [shlex.split(line)[1:] for line in lines if line.startswith("  coldframe ")]
