"""Garbage: earlier moments nobody needs any more, files that no kept manifest names, and what broken writes left."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from store import files, manifest
from store.errors import StoreDamaged

ACTIVATIONS = "activations"  # the folder of caches, a folder each, last used when it was last changed


@dataclass(frozen=True)
class Waste:
    """Files of a store that may go; ``parts`` by dataset, ``caches`` folders."""

    manifests: tuple[Path, ...]
    parts: dict[str, tuple[Path, ...]]
    temporary: tuple[Path, ...]
    caches: tuple[Path, ...] = ()

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
    dead: list[Path] = []
    torn: list[Path] = []
    named: set[str] = set()
    last: tuple[Path, manifest.Manifest] | None = None
    for path, moment in manifest.each(root):
        if moment is None:
            torn.append(path)
            continue
        if last is not None and _old([path], before):
            dead.append(last[0])
        elif last is not None:
            named |= paths_named(last[1])
        last = path, moment
    for path in torn:
        if last is None or int(path.stem) > last[1].number:
            raise StoreDamaged(
                f"{path}: the newest manifest is not whole, and what only it names would be removed: run "
                "'coldframe repair' first"
            )
    named |= paths_named(last[1]) if last is not None else set()
    strays = [path for path in stray_parts(root, named) if path.suffix != ".tmp"]
    parts: dict[str, tuple[Path, ...]] = {}
    for path in _old(strays, before):
        parts[path.parent.name] = (*parts.get(path.parent.name, ()), path)
    return Waste(
        tuple(dead) + _old(torn, before),
        parts,
        _old([*(root / manifest.FOLDER).glob("*.tmp"), *(root / "parts").glob("*/*.tmp")], before),
        _old((root / ACTIVATIONS).glob("*"), before),
    )


def paths_named(moment: manifest.Manifest) -> set[str]:
    """The path of every live part of one moment, relative to the store."""
    return {part.path for live in moment.datasets.values() for part in live}


def stray_parts(root: Path, named: set[str]) -> list[Path]:
    """Files among the parts whose paths, relative to the store, are not ``named``."""
    return sorted(
        path
        for path in (root / "parts").glob("*/*")
        if path.relative_to(root).as_posix() not in named and path.is_file()
    )


def remove_manifests(root: Path, waste: Waste) -> None:
    """Remove the manifests for good: only then is nothing left that names the parts."""
    # The newest may be of a process that was killed before it could sync: were it lost, all would be.
    files.sync_folder(root / manifest.FOLDER)
    for path in waste.manifests:
        files.remove(path)
    files.sync_folder(root / manifest.FOLDER)


def remove_parts(waste: Waste) -> None:
    """Remove parts, temporary files and caches."""
    for path in (*waste.all_parts(), *waste.temporary):
        files.remove(path)
    for folder in waste.caches:
        remove_folder(folder)


def remove_folder(folder: Path) -> None:
    """Remove a folder of a cache, as far as the system allows; another process may be doing the same."""
    shutil.rmtree(folder, ignore_errors=True)


def size_of(folder: Path) -> int:
    """Bytes of the files in a folder; what another process removes meanwhile counts for nothing."""
    size = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            size += path.stat().st_size if path.is_file() else 0
    return size


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
