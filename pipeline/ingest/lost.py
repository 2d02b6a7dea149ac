"""Why a path of a catalogue names no file, and which file below the image folder it may mean."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

import pyarrow as pa

from pipeline.ingest import decoding
from pipeline.ingest.on_disk import REASONS
from store import places

MOST_EXPLAINED = 10_000  # paths of one ingest: a catalogue of millions that names no file has one cause
MOST_NAMES = 1_000_000  # of files and folders looked through in one ingest
MOST_PARTS = 64  # of a path
URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://")
ESCAPED = re.compile(rb"\\x([89a-f][0-9a-f])")  # a byte of a name that is not UTF-8, as ingest writes it


def _unquoted(path: str) -> str:
    return path[1:-1] if len(path) > 1 and path[0] == path[-1] and path[0] in "\"'" else path


def _stripped(path: str) -> str:
    return "/".join(part.strip() for part in path.split("/"))


ROWS_AT_ONCE = 4096  # as Python objects
# What people and programs do to a path, the cause in words, and what undoes it, one after the other.
CAUSES: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("it has quotation marks around it", _unquoted),
    ("it has backslashes", lambda path: path.replace("\\", "/")),
    ("it is percent-encoded", unquote),
    ("it has a blank at an end", _stripped),
    ("its letters are composed in another way, NFC or NFD", lambda path: unicodedata.normalize("NFC", path)),
    ("upper and lower case differ", str.casefold),
)


def explained(root: Path, reasons: pa.Table) -> pa.Table:
    """``path, reason`` of files that gave no picture; the reason says more where a path names no file below ``root``."""
    lost, found = Lost(root), [REASONS.empty_table()]
    for start in range(0, reasons.num_rows, ROWS_AT_ONCE):
        rows = reasons.slice(start, ROWS_AT_ONCE).to_pylist()
        said = [{"path": row["path"], "reason": lost.reason(row["path"], row["reason"])} for row in rows]
        found.append(pa.Table.from_pylist(said, REASONS))
    return pa.concat_tables(found)


class Lost:
    """Explains paths that name no file below one image folder. Each folder is listed once, and no link is followed.

    Only the first :data:`MOST_EXPLAINED` paths are explained, and at most :data:`MOST_NAMES` names are looked through.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._left, self._names = MOST_EXPLAINED, MOST_NAMES
        self._listed: dict[str, dict[str, list[str]]] = {}

    def reason(self, path: str | None, reason: str) -> str:
        """The ``reason`` why ``path`` gave no picture; more of it if no file is there."""
        if not path or self._left <= 0 or reason not in (decoding.MISSING, decoding.ABSOLUTE, decoding.LEAVES):
            return reason
        self._left -= 1
        if reason == decoding.LEAVES:
            return _way_out(self._root, path)
        try:
            if (self._root / path).is_symlink():
                return reason
            found = self._bytes_on_disk(path) or self._meant(path)
        except (OSError, ValueError):
            return reason
        if URL.match(path):
            reason = "a URL, and nothing is fetched: download the pictures, and give their paths in the image folder"
        if found is None:
            return reason
        said = found.encode(errors="surrogateescape").decode(errors="backslashreplace")
        if said != found:
            return f"{decoding.MISSING}; {said!r} is there, whose name is not UTF-8: rename it"
        causes = ", and ".join(_causes(path, found))
        return f"{reason}; did you mean {found!r}?" + (f" {causes[0].upper()}{causes[1:]}" if causes else "")

    def _bytes_on_disk(self, path: str) -> str | None:
        """The name of a file that is not UTF-8 and that ingest wrote as ``path``."""
        name = os.fsdecode(ESCAPED.sub(lambda found: bytes([int(found[1], 16)]), os.fsencode(path)))
        return name if name != path and self._is_file(name) else None

    def _meant(self, path: str) -> str | None:
        """The path below the image folder of a file that ``path`` may mean."""
        for wanted in _beginnings(path, self._root.name):
            for plain in (wanted, *(undo(wanted) for _, undo in CAUSES[:-1])):
                if plain and plain != path and self._is_file(plain):
                    return plain
            found = self._alike(wanted.split("/"))
            if found is not None and found != path and self._is_file(found):
                return found
        return None

    def _is_file(self, path: str) -> bool:
        try:
            return decoding.locate(self._root, path).is_file()
        except (decoding.UnreadableImage, OSError):
            return False

    def _alike(self, parts: list[str]) -> str | None:
        """A path that is the same but for :data:`CAUSES`, or else for its ending."""
        folder = ""
        for part in parts[:-1]:
            names = self._names_in(folder).get(_key(part), [])
            if not names:
                return None
            folder = os.path.join(folder, part if part in names else names[0])
        known = self._names_in(folder)
        names = known.get(_key(parts[-1])) or known.get(_stem(_key(parts[-1])), [])
        return os.path.join(folder, names[0]) if names else None

    def _names_in(self, folder: str) -> dict[str, list[str]]:
        """The names in a folder by their key, and where only one file has a stem, by that."""
        if folder in self._listed:
            return self._listed[folder]
        found = self._listed.setdefault(folder, {})
        if self._names <= 0:
            return found
        try:
            top = places.real_path(self._root)
            descriptor = places.enter(top, top / folder)
        except OSError:
            return found
        stems: dict[str, list[str]] = {}
        try:
            with os.scandir(descriptor) as entries:
                for entry in entries:
                    self._names -= 1
                    if self._names <= 0:
                        break
                    found.setdefault(_key(entry.name), []).append(entry.name)
                    stems.setdefault(_stem(_key(entry.name)), []).append(entry.name)
        finally:
            os.close(descriptor)
        for names in found.values():
            names.sort()
        found.update({stem: names for stem, names in stems.items() if len(names) == 1 and stem not in found})
        return found


def _key(name: str) -> str:
    """The same for names that differ only by :data:`CAUSES`, or by the encoding on disk."""
    try:
        name.encode()
    except UnicodeEncodeError:
        name = os.fsencode(name).decode("latin-1")
    for _, undo in CAUSES:
        name = undo(name)
    return name


def _stem(key: str) -> str:
    return os.path.splitext(key)[0]


def _beginnings(path: str, root: str) -> Iterator[str]:
    """A path with fewer folders before it, as if it counted from elsewhere; and with the image folder's own name."""
    parts = [part for part in URL.sub("", path).replace("\\", "/").split("/") if part not in ("", ".")]
    if ".." in parts or len(parts) > MOST_PARTS:
        return
    yield "/".join(parts)
    yield "/".join((root, *parts))
    for start in range(1, len(parts)):
        yield "/".join(parts[start:])


def _causes(path: str, found: str) -> Iterator[str]:
    """In words, how a path differs from that of the file that it may mean."""
    for cause, undo in CAUSES:
        is_same_file = f"/{path}".endswith(f"/{found}") or f"/{found}".endswith(f"/{path}")
        if not is_same_file and (undo(path), undo(found)) != (path, found):
            yield cause
            path, found = undo(path), undo(found)
    if path != found:
        is_ending = _stem(path) == _stem(found)
        yield "its ending is another" if is_ending else "paths count from the image folder"


def _way_out(root: Path, path: str) -> str:
    """How a path leaves the image folder."""
    place = root
    for part in PurePosixPath(path).parts:
        place = place / part
        if part == "..":
            break
        if place.is_symlink() and not _leads_inside(place, root):
            said = os.readlink(place).encode(errors="surrogateescape").decode(errors="backslashreplace")
            link = place.relative_to(root).as_posix()
            return (
                f"leaves the image folder through the link {link!r}, which leads to {said!r}: put the pictures themselves "
                "there, or ingest with --follow-links"
            )
    return "leaves the image folder by its path: move the pictures into it, or name a folder above with --images"


def _leads_inside(link: Path, root: Path) -> bool:
    try:
        return places.is_inside(link, root)
    except OSError:
        return False
