"""Crowds: writers of one thing and of several at once, readers in between, and a person's verdicts."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tests.chaos import forks
from tests.chaos.operations import Slowly
from tests.chaos.trials import Settings, Trial
from tests.chaos.worlds import SET, World, differences, examine

SLOWLY = Slowly(0.01)  # so that they meet
READERS = 4
LOCKED = 5
ROUNDS = 4

# What a reader asks: the vectors of each set, the images, what the plan left of them, and its stages.
ASKED = """
select (select count(*) from embeddings where embedder = 'mean-colour') as vectors,
       (select count(*) from embeddings where embedder = 'second') as vectors_of_second,
       (select count(distinct image_id) from embeddings where embedder = 'second') as images_of_second,
       (select count(*) from images) as images,
       (select count(*) from data.curation) as curated,
       (select count(*) from data.stages) as stages,
       (select count(*) from data.verdicts) as verdicts
"""


def trials(world: World, settings: Settings) -> Iterator[Trial]:
    """Each meeting several times; in the thin share, two of them once."""
    for number in range(1 if settings.thin else ROUNDS):
        yield Trial(f"crowds/same-set/{number}", partial(_same_set, world))
        yield Trial(f"crowds/readers/{number}", partial(_readers, world))
        if not settings.thin:
            yield Trial(f"crowds/same-catalogue/{number}", partial(_same_catalogue, world))
            yield Trial(f"crowds/different-sets/{number}", partial(_different_sets, world))


def _same_catalogue(world: World, folder: Path) -> list[str]:
    """Two ingests into a store that is not there yet: one does it, one says who does."""
    step, store = world.steps["ingest"], folder / "store"
    return _one_is_locked(world, "ingest", store, [world.arguments(step, store)] * 2, [step.code, LOCKED])


def _same_set(world: World, folder: Path) -> list[str]:
    step, store = world.steps["embed"], folder / "store"
    world.place(step, store)
    return _one_is_locked(world, "embed", store, [world.arguments(step, store)] * 2, [step.code, LOCKED])


def _one_is_locked(world: World, name: str, store: Path, writers: list[list[str]], codes: list[int]) -> list[str]:
    ended = [child.end() for child in [forks.start(arguments, SLOWLY) for arguments in writers]]
    problems = []
    if sorted(one.code for one in ended) != sorted(codes):
        problems.append(f"exit codes {[one.code for one in ended]}, expected {codes}: {[one.stderr for one in ended]}")
    if not all("another coldframe process" in one.stderr for one in ended if one.code == LOCKED):
        problems.append(f"it did not say who holds the lock: {[one.stderr for one in ended]}")
    return problems + differences(forks.call(examine, store), world.facts_after(name))


def _different_sets(world: World, folder: Path) -> list[str]:
    step, store = world.steps["embed"], folder / "store"
    world.place(step, store)
    first = world.arguments(step, store)
    ended = [child.end() for child in [forks.start(one, SLOWLY) for one in (first, [*first, "--as", "second"])]]
    if any(one.code for one in ended):
        return [f"exit codes {[one.code for one in ended]}: {[one.stderr[-400:] for one in ended]}"]
    expected, found = world.facts_after("embed"), forks.call(examine, store)
    sets = {key.split("/")[0] for key in found.vectors}
    problems = list(found.problems)
    if sets != {SET, "second"} or len(found.vectors) != 2 * len(expected.vectors):
        problems.append(f"{len(found.vectors)} vectors of {sorted(sets)}, expected {len(expected.vectors)} of each")
    return problems


def _readers(world: World, folder: Path) -> list[str]:
    """Readers in a loop while a set is filled, another is filled anew, verdicts are given, and garbage is collected."""
    store, over = folder / "store", folder / "over"
    world.place_after("curate", store)
    readers = [forks.Child(partial(_read, store, over, folder / f"seen-{number}")) for number in range(READERS)]
    embed = [*world.arguments(world.steps["embed"], store), "--as", "second"]
    again = world.arguments(world.steps["embed"], store)
    writers = [forks.start(embed, SLOWLY), forks.start(again, SLOWLY)]
    problems = []
    for verdict, image in itertools.product(("keep", "drop"), ("grey", "finch-00")):
        ended = forks.run(["-s", str(store), verdict, image, "--why", "seen"])
        problems += [f"{verdict} {image}: exit code {ended.code}: {ended.stderr[-400:]}"] if ended.code else []
        ended = forks.run(["-s", str(store), "gc"])
        problems += [f"gc: exit code {ended.code}: {ended.stderr[-400:]}"] if ended.code else []
    for one in [writer.end() for writer in writers]:
        problems += [f"embed: exit code {one.code}: {one.stderr[-400:]}"] if one.code else []
    over.touch()
    for number, reader in enumerate(readers):
        ended = reader.end()
        if ended.code:
            problems.append(f"a reader failed: {ended.stderr[-800:]}")
        else:
            problems += _impossible((folder / f"seen-{number}").read_text().splitlines())
    return problems + forks.call(examine, store).problems


def _read(store: Path, over: Path, seen: Path) -> None:
    """Ask again and again until it is ``over``, and once more."""
    from store.store import Store

    with seen.open("w") as file:
        last = False
        while not last:
            last = over.exists()
            answer = Store.open(store).snapshot().ask(ASKED, {}).to_pylist()[0]
            file.write(",".join(str(value) for value in answer.values()) + "\n")


def _impossible(lines: list[str]) -> list[str]:
    """What one reader saw that no moment of the store can have been."""
    problems = []
    seen = [[int(value) for value in line.split(",")] for line in lines]
    last, before = seen[-1], seen[0]
    for now in seen:
        vectors, second, images_of_second, images, curated, stages, verdicts = now
        if (vectors, images, curated, stages) != (last[0], last[3], last[4], last[5]):
            problems.append(f"a half commit: {now}, at the end {last}")
        if second < before[1] or verdicts < before[6]:
            problems.append(f"back in time: {now} after {before}")
        if second != images_of_second:
            problems.append(f"vectors twice: {now}")
        before = now
    if last[1] != last[0]:
        problems.append(f"not all was seen in the end: {last}")
    return problems[:3]
