"""Power cuts: the recorded operations of a store's life, stopped anywhere, under every way a disk may keep them.

Whatever is left must open as a commit that had been published, no older than the last whose protocol had come to its end,
with every part of it whole.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from store import manifest, parts
from store.errors import ColdframeError
from tests.chaos import forks
from tests.chaos.disks import Disk, Tree, Workshop, cuts
from tests.chaos.kills import operations
from tests.chaos.operations import DieAt, Done, Record, recorded
from tests.chaos.trials import Settings, Trial
from tests.chaos.worlds import World, differences, examine

LIFE = ("ingest", "embed", "curate", "gc")
KILLED_FIRST = 4  # lives that begin with a killed ingest, beside two that always do
GONE_ON = 24  # cuts after which every step is run again
THIN = {"cuts": 80, "gone_on": 1}


def trials(world: World, settings: Settings) -> Iterator[Trial]:
    """Every outcome of a cut after every operation; in the thin share, after some of them."""
    life = [name for name in LIFE if name in world.steps]
    lives = {"life": _record(world, "life", life)}
    for point in _made_folders(world, settings):
        lives[f"killed-at-{point}"] = _record(world, f"killed-at-{point}", ["ingest"], point)
    workshop = Workshop(world.folder / "contents")
    for name, log in lives.items():
        yield from _cuts_of(world, settings, workshop, name, log, life)


def _record(world: World, name: str, steps: list[str], killed_at: int = 0) -> tuple[Path, list[Done]]:
    """The folder of a store that a few steps work on, the first killed and run again, and all they do to it."""
    base, log = world.folder / "lives" / name, world.folder / "lives" / f"{name}.log"
    base.mkdir(parents=True)
    store = base / "store"
    for step in (world.steps[one] for one in steps):
        if killed_at:
            forks.run(world.arguments(step, store), Record(log), DieAt(killed_at))
        ended = forks.run(world.arguments(step, store), Record(log))
        if ended.code != step.code:
            raise RuntimeError(f"{step.name}, undisturbed: exit code {ended.code}: {ended.stderr}")
    done = recorded(log)
    _compare_with_model(base, done)
    return base, done


def _compare_with_model(base: Path, done: list[Done]) -> None:
    """See that nothing was done to the store but what was recorded, locks aside.

    Raises:
        RuntimeError: files were made or removed past :mod:`store.files`.
    """
    disk = Disk(base)
    for one in done:
        disk.do(one)
    found = {path.relative_to(base): path.read_bytes() if path.is_file() else None for path in base.rglob("*")}
    found = {path: content for path, content in found.items() if "locks" not in path.parts}
    if found != disk.seen():
        raise RuntimeError(f"changed past store.files: {sorted(map(str, found.keys() ^ disk.seen().keys()))[:5]}")


def _made_folders(world: World, settings: Settings) -> list[int]:
    """Points of an ingest between the making of a folder and the syncing of its name."""
    points, found = 1, []
    for done in operations(world, world.steps["ingest"]):
        points += done.points
        if done.name == "make_folder":
            found.append(points)
    # of the first and the last no later folder syncs the name along
    between = [] if settings.thin else settings.chance("folders").sample(found[1:-1], KILLED_FIRST)
    return [found[0], *sorted(between), found[-1]]


def _cuts_of(
    world: World, settings: Settings, workshop: Workshop, name: str, life: tuple[Path, list[Done]], steps: list[str]
) -> Iterator[Trial]:
    base, all_done = life
    disk, seen = Disk(base), set[int]()
    oldest = newest = 0  # of the commits that may be found
    chance = settings.chance(name)
    numbers = range(1, len(all_done) + 1)
    replayed = set(chance.sample(numbers, THIN["cuts"]) if settings.thin else numbers)
    going_on = set(chance.sample(sorted(replayed), THIN["gone_on"] if settings.thin else GONE_ON))
    for number, done in enumerate(all_done, start=1):
        disk.do(done)
        if done.name == "link":
            newest = int(done.paths[1].stem)
        if done.name == "published":
            oldest = newest
        if number not in replayed:
            continue
        outcomes = list(cuts(disk, settings.chance(f"{name}/{number}")))
        goes_on = settings.chance(f"{name}/{number}/go-on").randrange(len(outcomes)) if number in going_on else -1
        for outcome, (how, tree) in enumerate(outcomes):
            known = hash((frozenset(tree.items()), oldest, newest))
            if known not in seen or outcome == goes_on:
                seen.add(known)
                again = steps if outcome == goes_on else []
                check = partial(_check, world, workshop, tree, (oldest, newest), again)
                yield Trial(f"power_cuts/{name}/{number}/{how}", check)


def _check(
    world: World, workshop: Workshop, tree: Tree, bounds: tuple[int, int], again: list[str], folder: Path
) -> list[str]:
    workshop.make(tree, folder)
    store = folder / "store"
    try:
        found = manifest.read(store)
    except ColdframeError as error:
        return [f"the store does not open: {error}"]
    oldest, newest = bounds
    problems = []
    if not oldest <= found.number <= newest:
        problems.append(f"the store is at commit {found.number}, expected {oldest} to {newest}")
    for part in itertools.chain.from_iterable(found.datasets.values()):
        path = store / part.path
        if not path.is_file():
            problems.append(f"{part.path} is missing")
        elif path.stat().st_size != part.bytes or parts.sha256_of(path) != part.sha256:
            problems.append(f"{part.path} is not what was written")
    if again and not problems:
        for step in (world.steps[name] for name in again):
            ended = forks.run(world.arguments(step, store))
            if ended.code != step.code:
                return [f"{step.name} after the cut: exit code {ended.code}: {ended.stderr[-800:]}"]
        problems += differences(forks.call(examine, store), world.facts_after(again[-1]))
    return problems
