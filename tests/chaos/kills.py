"""SIGKILL at every point of the commit protocol and at random times: run again, a command ends as if never killed."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tests.chaos import forks
from tests.chaos.operations import DieAt, Done, Record, recorded
from tests.chaos.trials import Settings, Trial
from tests.chaos.worlds import Step, World

LAST, POINTS = 15, 15  # points of each step: the last, which are of its last commit, and some drawn from all others
CHAINS, CHAIN = 2, 5  # of kills at random times, each of a run that goes on from the one before
THIN = {"ingest": 2, "embed": 9, "curate": 3, "gc": 4, "repair": 2}  # points of a step, one of them among the last


def trials(world: World, settings: Settings) -> Iterator[Trial]:
    """Each step of the world, killed at points and at times."""
    for step in world.steps.values():
        if settings.thin and step.name not in THIN:
            continue
        for point in _points(world, step, settings):
            yield Trial(f"kills/{step.name}/point-{point}", partial(_at_point, world, step, point))
        for chain in range(0 if settings.thin else CHAINS):
            name = f"kills/{step.name}/chain-{chain}"
            yield Trial(name, partial(_at_times, world, step, settings, name), harms=CHAIN)


def _points(world: World, step: Step, settings: Settings) -> list[int]:
    points = list(range(1, sum(done.points for done in operations(world, step)) + 2))
    last, others, chance = points[-LAST:], points[:-LAST], settings.chance(step.name)
    if settings.thin:
        last, wanted = [chance.choice(last)], THIN[step.name] - 1
    else:
        wanted = POINTS
    return sorted([*last, *chance.sample(others, min(wanted, len(others)))])


def operations(world: World, step: Step) -> list[Done]:
    """What an undisturbed step does to the disk."""
    log = world.folder / f"operations-{step.name}"
    if not log.exists():
        store = world.folder / "recorded" / step.name
        world.place(step, store)
        forks.run(world.arguments(step, store), Record(log))
        shutil.rmtree(store)
    return [done for done in recorded(log) if done.points]


def _at_point(world: World, step: Step, point: int, folder: Path) -> list[str]:
    store = folder / "store"
    world.place(step, store)
    ended = forks.run(world.arguments(step, store), DieAt(point))
    if ended.code != -signal.SIGKILL:
        return [f"it was to die at point {point}, but ended with exit code {ended.code}: {ended.stderr[-800:]}"]
    return [f"a helper outlived it: {one}" for one in ended.orphans] + world.run_again(step, store)


def _at_times(world: World, step: Step, settings: Settings, name: str, folder: Path) -> list[str]:
    chance, problems = settings.chance(name), []
    store, killed, is_new = folder / "store", 0, True
    world.place(step, store)
    started = time.monotonic()
    forks.run(world.arguments(step, store))
    seconds = time.monotonic() - started
    while killed < CHAIN:
        if is_new:
            shutil.rmtree(store)
            world.place(step, store)
        child = forks.start(world.arguments(step, store))
        time.sleep(chance.uniform(0, seconds))
        child.kill()
        ended = child.end()
        is_new = ended.code != -signal.SIGKILL  # it came to its end before: begin anew
        killed += not is_new
        problems += [f"a helper outlived it: {one}" for one in ended.orphans]
    return problems + world.run_again(step, store)
