"""Garbage: earlier moments nobody needs any more, files that no kept manifest names, and what broken writes left."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from store import files, manifest
from store.errors import StoreDamaged


@dataclass(frozen=True)
class Waste:
    """Files of a store that may go; ``parts`` by dataset."""

    manifests: tuple[Path, ...]
    parts: dict[str, tuple[Path, ...]]
    temporary: tuple[Path, ...]

    def all_parts(self) -> list[Path]:
        """The parts of all datasets."""
        return [path for paths in self.parts.values() for path in paths]


def find(root: Path, before: float) -> Waste:
    """What may go, as far as it has been of no use since the moment ``before``, in seconds since 1970.

    An earlier manifest is of no use once the next one stands, so whoever opened it last has had the time between. A
    file that no manifest names may be a part whose commit is still to come: it counts from when it was last written.

    Raises:
        StoreDamaged: the newest manifest is torn; parts that only it names would be taken for waste.
    """
    whole = manifest.whole(root)
    torn = manifest.torn(root)
    for path in torn:
        if int(path.stem) > whole[-1].number:
            raise StoreDamaged(
                f"{path}: the newest manifest is not whole, and what only it names would be removed: run "
                "'coldframe repair' first"
            )
    path_of = {one.number: manifest.path_of(root, one.number) for one in whole}
    dead = [one for one, successor in pairwise(whole) if _old([path_of[successor.number]], before)]
    named = {path for one in whole if one not in dead for path in paths_named(root, one)}
    strays = [path for path in stray_parts(root, named) if path.suffix != ".tmp"]
    parts: dict[str, tuple[Path, ...]] = {}
    for path in _old(strays, before):
        parts[path.parent.name] = (*parts.get(path.parent.name, ()), path)
    return Waste(
        tuple(path_of[one.number] for one in dead) + _old(torn, before),
        parts,
        _old([*(root / manifest.FOLDER).glob("*.tmp"), *(root / "parts").glob("*/*.tmp")], before),
    )


def paths_named(root: Path, moment: manifest.Manifest) -> set[Path]:
    """The files of every live part of one moment."""
    return {root / part.path for live in moment.datasets.values() for part in live}


def stray_parts(root: Path, named: set[Path]) -> list[Path]:
    """Files among the parts that are not ``named``."""
    return sorted(path for path in (root / "parts").glob("*/*") if path not in named and path.is_file())


def remove_manifests(root: Path, waste: Waste) -> None:
    """Remove the manifests for good: only then is nothing left that names the parts."""
    # The newest may be of a process that was killed before it could sync: were it lost, all would be.
    files.sync_folder(root / manifest.FOLDER)
    for path in waste.manifests:
        files.remove(path)
    files.sync_folder(root / manifest.FOLDER)


def remove_parts(waste: Waste) -> None:
    """Remove parts and temporary files."""
    for path in (*waste.all_parts(), *waste.temporary):
        files.remove(path)


def _old(paths: Iterable[Path], before: float) -> tuple[Path, ...]:
    """Those last written at ``before`` or earlier; one that has gone meanwhile is of no interest."""
    found = []
    for path in paths:
        try:
            if path.stat().st_mtime <= before:
                found.append(path)
        except FileNotFoundError:
            continue
    return tuple(found)
