"""What a disk keeps when the power goes: a model of the operations of :mod:`store.files`.

Of a file, what was synced; else nothing, a part, zeros, or all of it. Of a folder, the names it had when it was last
synced, and any of the changes since, in any combination: a new name, a rename (whole, or not at all), a removal. A folder
whose own name is lost takes all that is in it along.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.operations import Done


@dataclass(eq=False)
class File:
    """A file under any of its names."""

    content: bytes
    synced: bool = False


@dataclass(eq=False)
class Folder:
    """A folder: the names a process sees, those that are kept, and the changes between the two."""

    seen: dict[str, File | Folder] = field(default_factory=dict)
    kept: dict[str, File | Folder] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)


@dataclass(frozen=True)
class Change:
    """Names that go and a name that comes, at once."""

    gone: str | None = None
    come: tuple[str, File | Folder] | None = None

    def apply(self, names: dict[str, File | Folder]) -> None:
        """Change ``names`` accordingly."""
        if self.gone is not None:
            names.pop(self.gone, None)
        if self.come is not None:
            names[self.come[0]] = self.come[1]


Tree = dict[Path, bytes | None]  # None for a folder
Choose = Callable[[list[Change]], list[Change]]
Cut = Callable[[bytes], bytes]


class Disk:
    """A disk with one folder, ``base``, that is there for good."""

    def __init__(self, base: Path) -> None:
        self._base, self._root = base, Folder()

    def do(self, done: Done) -> None:
        """What an operation changes."""
        path = done.paths[0]
        match done.name:
            case "write":
                self._change(path.parent, Change(come=(path.name, File(done.content))))
            case "sync":
                file = self._file(path)
                file.synced = True
            case "sync_folder":
                if path == self._base.parent:  # of which nothing is known
                    return
                folder = self._folder(path)
                folder.kept, folder.changes = dict(folder.seen), []
            case "make_folder":
                if path != self._base and path.name not in self._folder(path.parent).seen:
                    self._change(path.parent, Change(come=(path.name, Folder())))
            case "rename" | "link":
                new = done.paths[1]
                file, renamed = self._file(path), done.name == "rename"
                if renamed and new.parent != path.parent:
                    self._change(path.parent, Change(gone=path.name))
                here = renamed and new.parent == path.parent
                self._change(new.parent, Change(gone=path.name if here else None, come=(new.name, file)))
            case "remove":
                if path.name in self._folder(path.parent).seen:
                    self._change(path.parent, Change(gone=path.name))
            case "published":
                pass
            case other:
                raise NotImplementedError(f"the model of a disk does not know {other}: tell it what that changes")

    def seen(self) -> Tree:
        """What a process sees."""
        return _tree(self._root, lambda folder: folder.seen, lambda file: file.content)

    def after_a_cut(self, choose: Choose, cut: Cut) -> Tree:
        """What is there when the power is back: ``choose`` picks the changes that are kept, ``cut`` what of a file is."""

        def names(folder: Folder) -> dict[str, File | Folder]:
            found = dict(folder.kept)
            for change in choose(folder.changes):
                change.apply(found)
            return found

        return _tree(self._root, names, lambda file: file.content if file.synced else cut(file.content))

    def _change(self, path: Path, change: Change) -> None:
        folder = self._folder(path)
        change.apply(folder.seen)
        folder.changes.append(change)

    def _folder(self, path: Path) -> Folder:
        folder = self._root
        for name in path.relative_to(self._base).parts:
            inner = folder.seen[name]
            assert isinstance(inner, Folder), path
            folder = inner
        return folder

    def _file(self, path: Path) -> File:
        file = self._folder(path.parent).seen[path.name]
        assert isinstance(file, File), path
        return file


def _tree(folder: Folder, names: Callable[[Folder], dict[str, File | Folder]], content: Callable[[File], bytes]) -> Tree:
    found: Tree = {}
    for name, one in names(folder).items():
        if isinstance(one, File):
            found[Path(name)] = content(one)
        else:
            found[Path(name)] = None
            found |= {Path(name) / path: inner for path, inner in _tree(one, names, content).items()}
    return found


def cuts(disk: Disk, chance: random.Random) -> Iterator[tuple[str, Tree]]:
    """What may be there after a power cut now, each outcome once, with a name for it."""
    outcomes: set[frozenset[tuple[Path, bytes | None]]] = set()
    for names, choose in _choices(chance):
        for contents, cut in _contents(chance):
            tree = disk.after_a_cut(choose, cut)
            outcome = frozenset(tree.items())
            if outcome not in outcomes:
                outcomes.add(outcome)
                yield f"{names}-{contents}", tree


def _choices(chance: random.Random) -> list[tuple[str, Choose]]:
    seed = chance.random()
    return [
        ("all", lambda changes: changes),
        ("none", lambda changes: []),
        ("last", lambda changes: changes[-1:]),
        ("but-last", lambda changes: changes[:-1]),
        ("some", lambda changes: [one for at, one in enumerate(changes) if random.Random(f"{seed}/{at}").random() < 0.5]),
    ]


def _contents(chance: random.Random) -> list[tuple[str, Cut]]:
    share = chance.random()
    return [
        ("whole", lambda content: content),
        ("empty", lambda content: b""),
        ("half", lambda content: content[: len(content) // 2]),
        ("cut", lambda content: content[: int(len(content) * share)]),
        ("zeros", lambda content: bytes(len(content))),
    ]


class Workshop:
    """Makes trees of files quickly: each content is written once, and linked wherever it stands."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[bytes, Path] = {}
        folder.mkdir(parents=True)

    def make(self, tree: Tree, at: Path) -> None:
        """Put ``tree`` under ``at``; its files must not be changed in place."""
        at.mkdir(parents=True, exist_ok=True)
        for path, content in tree.items():  # a folder stands before what is in it
            if content is None:
                (at / path).mkdir()
                continue
            if content not in self._known:
                self._known[content] = self._folder / str(len(self._known))
                self._known[content].write_bytes(content)
            os.link(self._known[content], at / path)
