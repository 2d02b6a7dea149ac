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


Nodes = dict[str, File | Folder]
Tree = dict[str, bytes | None]  # a path, a folder before what is in it; its bytes, None for a folder
Choose = Callable[[list[Change]], list[int]]  # the places of those that are kept, in their order
Cut = Callable[[bytes], bytes]


class Disk:
    """A disk with one folder, ``base``, that is there for good."""

    def __init__(self, base: Path) -> None:
        self._base, self._root = base, Folder()
        self._dirty: list[Folder] = []

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
                self._dirty = [one for one in self._dirty if one is not folder]
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
        nodes = _nodes(self._root, lambda folder: folder.seen)
        return {path: node.content if isinstance(node, File) else None for path, node in nodes.items()}

    def cuts(self, chance: random.Random) -> Iterator[tuple[str, Tree]]:
        """What may be there after a power cut now, with a name for it."""
        chosen = set()
        for names, choose in _choices(chance):
            kept = {id(folder): choose(folder.changes) for folder in self._dirty}
            if str(kept) in chosen:
                continue
            chosen.add(str(kept))
            nodes = _nodes(self._root, lambda folder: _names(folder, kept.get(id(folder), [])))  # noqa: B023
            is_torn = any(isinstance(node, File) and not node.synced for node in nodes.values())
            for contents, cut in _contents(chance)[: None if is_torn else 1]:
                yield f"{names}-{contents}", {path: _content(node, cut) for path, node in nodes.items()}

    def _change(self, path: Path, change: Change) -> None:
        folder = self._folder(path)
        change.apply(folder.seen)
        if not folder.changes:
            self._dirty.append(folder)
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


def _names(folder: Folder, chosen: list[int]) -> Nodes:
    found = dict(folder.kept)
    for number in chosen:
        folder.changes[number].apply(found)
    return found


def _content(node: File | Folder, cut: Cut) -> bytes | None:
    if isinstance(node, Folder):
        return None
    return node.content if node.synced else cut(node.content)


def _nodes(folder: Folder, names: Callable[[Folder], Nodes], above: str = "") -> Nodes:
    """Everything in a folder by its path."""
    found: Nodes = {}
    for name, node in names(folder).items():
        found[above + name] = node
        if isinstance(node, Folder):
            found |= _nodes(node, names, f"{above}{name}/")
    return found


def _choices(chance: random.Random) -> list[tuple[str, Choose]]:
    seed = chance.random()
    return [
        ("all", lambda changes: list(range(len(changes)))),
        ("none", lambda changes: []),
        ("last", lambda changes: list(range(len(changes)))[-1:]),
        ("but-last", lambda changes: list(range(len(changes)))[:-1]),
        ("removals", lambda changes: [at for at, change in enumerate(changes) if change.come is None]),
        ("some", lambda changes: [at for at in range(len(changes)) if random.Random(f"{seed}/{at}").random() < 0.5]),
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
