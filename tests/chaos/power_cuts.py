"""Power cuts: the recorded operations of a store's life, stopped anywhere, under every way a disk may keep them.

Whatever is left must open as a commit that had been published, no older than the last whose protocol had come to its end,
with every part of it whole.
"""

from __future__ import annotations

import itertools
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from store import manifest, parts
from store.errors import ColdframeError
from tests.chaos import forks
from tests.chaos.disks import Disk, Tree, Workshop
from tests.chaos.kills import operations
from tests.chaos.operations import DieAt, Done, Record, recorded
from tests.chaos.trials import Settings, Trial
from tests.chaos.worlds import World, differences, examine

LIFE = ("ingest", "embed", "curate", "gc")
KILLED_FIRST = 4  # lives that begin with a killed ingest, beside two that always do
GONE_ON = 4  # cuts in a life after which every step is run again
THIN = {"cuts": 30, "last": 25, "gone_on": 1}  # the last of these in one life alone

Life = list[tuple[str, int]]  # steps, and the point each is killed at, or 0


def trials(world: World, settings: Settings) -> Iterator[Trial]:
    """Every outcome of a cut after every operation of some lives; in the thin share, after some operations."""
    lives: dict[str, Life] = {"whole": [(name, 0) for name in LIFE]}
    for point in _made_folders(world, settings):
        lives[f"ingest-killed-{point}"] = [("ingest", point), ("ingest", 0)]
    # a commit that was published, but not for good, and then the one before it is removed
    lives["embed-killed-gc"] = [("ingest", 0), ("embed", _last_link(world)), ("gc", 0)]
    workshop = Workshop(world.folder / "contents")
    for name, life in lives.items():
        base, done = _live(world, name, life)
        yield from _cuts_of(world, settings, workshop, name, base, done)


def _live(world: World, name: str, life: Life) -> tuple[Path, list[Done]]:
    """The folder of a store that lives through some steps, and all they do to it."""
    base, log = world.folder / "lives" / name, world.folder / "lives" / f"{name}.log"
    base.mkdir(parents=True)
    store = base / "store"
    for step, point in ((world.steps[one], point) for one, point in life):
        ended = forks.run(world.arguments(step, store), Record(log), *([DieAt(point)] if point else []))
        if ended.code != (-signal.SIGKILL if point else step.code):
            raise RuntimeError(f"{step.name} in {name}: exit code {ended.code}: {ended.stderr}")
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
    paths = [path for path in base.rglob("*") if "locks" not in path.parts]
    found = {path.relative_to(base).as_posix(): path.read_bytes() if path.is_file() else None for path in paths}
    if found != disk.seen():
        raise RuntimeError(f"changed past store.files: {sorted(found.keys() ^ disk.seen().keys())[:5]}")


def _last_link(world: World) -> int:
    """The point of an embed right after it has published its last commit."""
    points, found = 1, 0
    for done in operations(world, world.steps["embed"]):
        points += done.points
        found = points if done.name == "link" else found
    return found


def _made_folders(world: World, settings: Settings) -> list[int]:
    """Points of an ingest between the making of a folder and the syncing of its name."""
    points, found = 1, []
    for done in operations(world, world.steps["ingest"]):
        points += done.points
        if done.name == "make_folder":
            found.append(points)
    # of the first and the last no later folder syncs the name along
    if settings.thin:
        return found[:1]
    return [found[0], *sorted(settings.chance("folders").sample(found[1:-1], KILLED_FIRST)), found[-1]]


def _cuts_of(
    world: World, settings: Settings, workshop: Workshop, name: str, base: Path, all_done: list[Done]
) -> Iterator[Trial]:
    disk, seen = Disk(base), set[int]()
    oldest = newest = 0  # of the commits that may be found
    chance = settings.chance(name)
    numbers = range(1, len(all_done) + 1)
    thin = [*numbers[-THIN["last"] :], *chance.sample(numbers, THIN["cuts"])]
    replayed = set(thin if settings.thin else numbers)
    wanted = (THIN["gone_on"] if name == "whole" else 0) if settings.thin else GONE_ON
    going_on = set(chance.sample(sorted(replayed), wanted))
    for number, done in enumerate(all_done, start=1):
        disk.do(done)
        if done.name == "link":
            newest = int(done.paths[1].stem)
        if done.name == "published":
            oldest = newest
        if number not in replayed:
            continue
        outcomes = list(disk.cuts(settings.chance(f"{name}/{number}")))
        goes_on = settings.chance(f"{name}/{number}/go-on").randrange(len(outcomes)) if number in going_on else -1
        for outcome, (how, tree) in enumerate(outcomes):
            known = hash((frozenset(tree.items()), oldest, newest))
            if known not in seen or outcome == goes_on:
                seen.add(known)
                check = partial(_check, world, workshop, tree, (oldest, newest), goes_on=outcome == goes_on)
                yield Trial(f"power_cuts/{name}/{number}/{how}", check)


def _check(
    world: World, workshop: Workshop, tree: Tree, bounds: tuple[int, int], folder: Path, *, goes_on: bool
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
    return problems or (_go_on(world, store) if goes_on else [])


def _go_on(world: World, store: Path) -> list[str]:
    """Run every step again."""
    for step in (world.steps[name] for name in LIFE):
        ended = forks.run(world.arguments(step, store))
        if ended.code != step.code:
            return [f"{step.name} after the cut: exit code {ended.code}: {ended.stderr[-800:]}"]
    return differences(forks.call(examine, store), world.facts_after(LIFE[-1]))
