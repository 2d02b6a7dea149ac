"""Garbage: earlier moments nobody needs any more, files that no kept manifest names, and what broken writes left."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from store import files, manifest, opening, parts, places
from store.errors import StoreDamaged

# Caches: a folder of folders each; one of those was last used when it was last changed.
ACTIVATIONS, TUNING, THUMBNAILS, MAPS = CACHES = ("activations", "tuning", "thumbnails", "maps")
FOLDERS = (manifest.FOLDER, parts.FOLDER, "locks", *CACHES)  # of the store, all that is in use
_CACHE = {
    ACTIVATIONS: re.compile(r"[0-9a-f]{16}"),
    TUNING: re.compile(r"[0-9a-f]{16}"),
    THUMBNAILS: re.compile(r"[0-9a-f]{2}"),
    MAPS: re.compile(r"[0-9a-f]{16}"),
}
_CACHED = {
    ACTIVATIONS: re.compile(r"[0-9a-f]{32}\.(npy|json)(\.tmp)?"),
    TUNING: re.compile(r"[0-9a-f]{16}\.(json(\.[0-9a-f]{32}\.tmp)?|[0-9]+)"),
    THUMBNAILS: re.compile(r"[0-9a-f]{32}\.webp(\.[0-9a-f]{32}\.tmp)?"),
    MAPS: re.compile(r"points\.npy(\.[0-9a-f]{32}\.tmp)?"),
}
_UNFINISHED = re.compile(r"[0-9a-f]{32}\.tmp")


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
    if last is None and not torn:
        raise StoreDamaged(f"{root / manifest.FOLDER}: no manifest there, so nobody can say what is in use")
    for path in torn:
        if last is None or int(path.stem) > last[1].number:
            raise StoreDamaged(
                f"{path}: the newest manifest is damaged or incomplete, and what only it names would be removed: run "
                "'coldframe repair' first"
            )
    named |= paths_named(last[1]) if last is not None else set()
    strays = [path for path in stray_parts(root, named) if path.suffix != ".tmp"]
    by_dataset: dict[str, tuple[Path, ...]] = {}
    for path in _old(strays, before):
        by_dataset[path.parent.name] = (*by_dataset.get(path.parent.name, ()), path)
    unfinished = [path for path in _files_below(root / manifest.FOLDER) if _UNFINISHED.fullmatch(path.name)]
    unfinished += [path for path in _files_of_parts(root) if path.suffix == ".tmp"]
    every = [folder for kind in _CACHED for folder in caches(root, kind) if _can_go(folder)]
    torn = [path for path in torn if _is_begun_by_us(path)]  # what else is in place of one is not ours to remove
    return Waste(tuple(dead) + _old(torn, before), by_dataset, _old(unfinished, before), _old(every, before))


def paths_named(moment: manifest.Manifest) -> set[str]:
    """The path of every live part of one moment, relative to the store."""
    return {part.path for live in moment.datasets.values() for part in live}


def stray_parts(root: Path, named: set[str]) -> list[Path]:
    """Files that we have written among the parts whose paths, relative to the store, are not ``named``."""
    return [path for path in _files_of_parts(root) if path.relative_to(root).as_posix() not in named]


def _files_of_parts(root: Path) -> list[Path]:
    """Files among the parts that bear a name of ours. What else may lie there, or behind a link, is not ours to touch."""
    folders = [one.path for one in opening.entries(root / parts.FOLDER) if one.is_folder]
    return [path for folder in folders for path in _files_below(folder) if parts.is_name_of(folder.name, path.name)]


def _can_go(folder: Path) -> bool:
    """Whether anything would be removed of a cache: files of ours, or the folder itself. What else lies there keeps it."""
    return bool(cached_files(folder, folder.parent.name)) or not opening.entries(folder)


def _files_below(folder: Path) -> list[Path]:
    """The regular files in a folder, by name: we write no links, folders or pipes there."""
    return [one.path for one in opening.entries(folder) if one.is_file]


def _is_begun_by_us(path: Path) -> bool:
    """Whether a torn manifest is what a power cut leaves of one: its beginning, nothing, or zeros."""
    try:
        with opening.open_regular(path) as file:
            begin = file.read(len(manifest.BEGIN))
    except OSError:
        return False
    return not begin.strip(b"\0") or manifest.BEGIN.startswith(begin)


def strange(root: Path) -> list[Path]:
    """Links, pipes and the like in the folders of a store, where it holds nothing but files and folders of its own."""
    found = []
    todo = [root / name for name in FOLDERS]
    while todo:
        folder = todo.pop()
        if opening.is_plain_folder(folder):
            inside = opening.entries(folder)
            todo += [one.path for one in inside if one.is_folder]
            found += [one.path for one in inside if not one.is_folder and not one.is_file]
        elif os.path.lexists(folder):
            found.append(folder)
    return sorted([*found, *_strange_locks(root / "locks")])


def _strange_locks(folder: Path) -> list[Path]:
    """Locks that are a folder, or have a second name somewhere: no command would take them."""
    return [
        one.path
        for one in opening.entries(folder)
        if one.path.suffix == ".lock" and (one.is_folder or (one.is_file and one.path.lstat().st_nlink > 1))
    ]


def caches(root: Path, kind: str) -> list[Path]:
    """The folders of caches of a kind, ``ACTIVATIONS``, ``TUNING`` or ``THUMBNAILS``, that we have made."""
    return [one.path for one in opening.entries(root / kind) if one.is_folder and _CACHE[kind].fullmatch(one.path.name)]


def cached_files(folder: Path, kind: str) -> list[Path]:
    """The files that we have written into a cache of a kind."""
    return [path for path in _files_below(folder) if _CACHED[kind].fullmatch(path.name)]


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
    """Remove a cache, as far as the system allows: the files that we have written there, and the folder once it is empty.
    Another process may be doing the same."""
    with suppress(OSError):
        for path in cached_files(folder, folder.parent.name):
            files.remove(path)
        with places.holding(folder) as (name, above):
            os.rmdir(name, dir_fd=above)


def size_of(folder: Path) -> int:
    """Bytes of the files that we have written into a cache; what another process removes meanwhile counts for nothing."""
    size = 0
    with suppress(OSError):
        for path in cached_files(folder, folder.parent.name):
            with suppress(OSError):
                size += path.lstat().st_size
    return size


def _old(paths: Iterable[Path], before: float) -> tuple[Path, ...]:
    """Those last written at ``before`` or earlier; one that has gone meanwhile is of no interest."""
    found = []
    for path in paths:
        try:
            if path.lstat().st_mtime <= before:
                found.append(path)
        except FileNotFoundError:
            continue
    return tuple(found)
