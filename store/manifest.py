"""Manifests: numbered files, each of which names every live part. The highest whole one is the store."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import reprlib
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from store import files, opening
from store.errors import ColdframeError, Locked, StoreDamaged
from store.parts import Part, is_dataset, is_path_of

FORMAT = 1
FOLDER = "manifests"
BEGIN = b'{\n "manifest": {'  # of every file, as it is encoded
MOST_BYTES = 32 << 20  # of a manifest: a hundred thousand parts
MOST_NUMBER = 10**15
MESSAGE_CHARACTERS = 200  # of what a manifest says, in a message
TAKE_AGAIN = "take the store from where you got it once more"
WAY_OUT = f"{TAKE_AGAIN}, or 'coldframe repair' sets this file aside"


@dataclass(frozen=True)
class Manifest:
    """One moment of a store: its number, the number it was made from, and the parts of each dataset."""

    number: int
    parent: int
    created_at: str
    step: str
    datasets: Mapping[str, tuple[Part, ...]]

    def parts(self, dataset: str, key: str | None = None) -> tuple[Part, ...]:
        """The live parts of a dataset, or of one slice of it."""
        return tuple(part for part in self.datasets.get(dataset, ()) if key is None or part.key == key)

    def bytes(self) -> int:
        """What the live parts of all datasets take on disk."""
        return sum(part.bytes for parts in self.datasets.values() for part in parts)


EMPTY = Manifest(0, 0, "", "", {})


@dataclass(frozen=True)
class Swap:
    """Parts of a dataset to be put in place of others that hold, or held, the same rows."""

    dataset: str
    old: tuple[Part, ...]
    new: tuple[Part, ...]

    def applies_to(self, datasets: Mapping[str, tuple[Part, ...]]) -> bool:
        """Whether every old part is still live: if not, somebody else has changed these rows since."""
        return set(self.old) <= set(datasets.get(self.dataset, ()))


def _encode(manifest: Manifest) -> bytes:
    body = {
        "format": FORMAT,
        "number": manifest.number,
        "parent": manifest.parent,
        "created_at": manifest.created_at,
        "step": manifest.step,
        "datasets": {name: [asdict(part) for part in parts] for name, parts in manifest.datasets.items()},
    }
    text = json.dumps(body, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return (json.dumps({"sha256": digest, "manifest": body}, sort_keys=True, indent=1) + "\n").encode()


def _decode(path: Path) -> Manifest | None:
    """The manifest in ``path``, or None when it is torn: unreadable, or not what its checksum says.

    Raises:
        StoreDamaged: it is no file of its own, or names what we would never have written: somebody else made it.
        ColdframeError: it is of another format.
    """
    try:
        whole = json.loads(opening.read_regular(path, most=MOST_BYTES), object_pairs_hook=_object)
        body = whole["manifest"]
        digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        if digest != whole["sha256"]:
            return None
    except FileNotFoundError:  # removed since the folder was listed
        return None
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.EIO, errno.EMFILE, errno.ENFILE):
            raise ColdframeError(
                f"{path}: cannot be read ({error.strerror}): make sure that you may read it"
            ) from error
        raise StoreDamaged(f"{path}: not a manifest of coldframe ({error.strerror}): {WAY_OUT}") from error
    except _Repeated as error:
        raise _not_ours(path, error) from error
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    is_format = isinstance(body, dict) and type(body.get("format")) is int
    if is_format and body["format"] != FORMAT:
        raise ColdframeError(
            f"{path}: the store has format {_shown(body['format'])}, this coldframe reads format {FORMAT}: use the version of "
            "coldframe that wrote it, or a newer one"
        )
    try:
        if not is_format:
            raise ValueError("it has no format")
        return _checked(path, body)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _not_ours(path, error) from error


class _Repeated(ValueError):
    """One name stands twice in an object: readers would not agree on what it says."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _Repeated("a name is there twice")
    return found


def _not_ours(path: Path, error: Exception) -> StoreDamaged:
    why = f"{error} is missing" if isinstance(error, KeyError) else str(error)
    return StoreDamaged(f"{path}: not a manifest that coldframe wrote ({why[:MESSAGE_CHARACTERS]}): {WAY_OUT}")


def _checked(path: Path, body: Mapping[str, Any]) -> Manifest:
    """The manifest that a file's content says, all of it of the kind that we write.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: it is not.
    """
    number, parent = _count(body["number"]), _count(body["parent"])
    if path.name != path_of(Path(), number).name or number >= MOST_NUMBER:
        raise ValueError(f"its number is {number}")
    datasets = {dataset: _parts(dataset, live) for dataset, live in body["datasets"].items()}
    paths = [part.path for live in datasets.values() for part in live]
    if len(set(paths)) < len(paths):
        raise ValueError("a part is named twice")
    return Manifest(number, parent, _text(body["created_at"]), _text(body["step"]), datasets)


def _parts(dataset: str, said: Any) -> tuple[Part, ...]:
    if not is_dataset(dataset):
        raise ValueError(f"a dataset called {_shown(dataset)}")
    if not isinstance(said, list):
        raise TypeError(f"{_shown(said)}, expected a list of parts")
    return tuple(_part(dataset, one) for one in said)


def _part(dataset: str, said: Mapping[str, Any]) -> Part:
    part = Part(**said)
    if not is_path_of(dataset, _text(part.path)):
        raise ValueError(
            f"a part of {dataset!r} at {_shown(part.path)}, expected parts/{dataset}/0123….parquet or the like"
        )
    if not re.fullmatch(r"[0-9a-f]{64}", _text(part.sha256)):
        raise ValueError(f"{part.path}: a checksum of {_shown(part.sha256)}")
    _text(part.key), _count(part.rows), _count(part.bytes)
    return part


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{_shown(value)}, expected text")
    value.encode()  # half of a character, which JSON can name, is no text
    return value


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
        raise TypeError(f"{_shown(value)}, expected a count")
    return value


def _shown(value: Any) -> str:
    """A value as a message may show it, however long or deep it is."""
    shortened = reprlib.Repr()
    shortened.maxstring = shortened.maxother = shortened.maxlong = MESSAGE_CHARACTERS
    return shortened.repr(value)


def numbers(root: Path) -> list[int]:
    """Every number that is taken, ascending."""
    names = (entry.path.name for entry in opening.entries(root / FOLDER))
    stems = [name.removesuffix(".json") for name in names if re.fullmatch(r"[0-9]{8,18}\.json", name)]
    return sorted(int(stem) for stem in stems if stem == path_of(root, int(stem)).stem)  # with a zero more it is none


def newest_file(root: Path) -> tuple[int, int, int]:
    """Which file the newest manifest is: its number, inode and time. Another store in the place of this one has another."""
    number = max(numbers(root), default=0)
    try:
        status = path_of(root, number).lstat()
    except FileNotFoundError:
        return number, 0, 0
    return number, status.st_ino, status.st_mtime_ns


def path_of(root: Path, number: int) -> Path:
    """The file of a number."""
    return root / FOLDER / f"{number:08d}.json"


def read(root: Path, at: int | None = None) -> Manifest:
    """The highest whole manifest, or number ``at``; :data:`EMPTY` for a folder that has none yet.

    Raises:
        StoreDamaged: that manifest names what we would never have written.
        ColdframeError: there is no whole manifest of that number, or none at all is whole.
    """
    taken = numbers(root)
    if at is not None:
        found = _decode(path_of(root, at)) if at in taken else None
        if found is None:
            known = f"{taken[0]} to {taken[-1]}" if taken else "none"
            raise ColdframeError(f"{root}: no moment {at} to look back at (kept: {known})")
        return found
    for number in reversed(taken):
        found = _decode(path_of(root, number))
        if found is not None:
            return found
    if taken:
        raise ColdframeError(f"{root / FOLDER}: no manifest there is intact; restore one from a backup")
    return EMPTY


def each(root: Path) -> Iterator[tuple[Path, Manifest | None]]:
    """Every manifest, the oldest first; None for one that is torn, the remains of a power cut or damage, or not ours.

    One at a time: a night of commits leaves thousands, and each names every live part.
    """
    for number in numbers(root):
        path = path_of(root, number)
        try:
            found = _decode(path)
        except StoreDamaged:
            found = None
        if found is not None or os.path.lexists(path):  # else removed since the folder was listed
            yield path, found


def why_not(path: Path) -> str:
    """Why a manifest does not count."""
    try:
        _decode(path)
    except StoreDamaged as error:
        return str(error)
    return f"{path}: damaged or incomplete; the one before it is used"


def newest_whole(root: Path) -> Manifest:
    """The highest manifest that is whole and written by coldframe; :data:`EMPTY` where there is none. For repair."""
    for number in reversed(numbers(root)):
        with suppress(StoreDamaged):
            found = _decode(path_of(root, number))
            if found is not None:
                return found
    return EMPTY


def whole(root: Path) -> Iterator[Manifest]:
    """Every manifest that is whole, the oldest first, one at a time."""
    return (found for _, found in each(root) if found is not None)


def torn(root: Path) -> list[Path]:
    """Manifests that are torn."""
    return [path for path, found in each(root) if found is None]


def publish(root: Path, manifest: Manifest) -> None:
    """Make ``manifest`` the store: written aside, then given its number, which must be free.

    Raises:
        Locked: another process took that number first (it holds no commit lock).
    """
    folder = root / FOLDER
    final = path_of(root, manifest.number)
    temporary = folder / f"{uuid.uuid4().hex}.tmp"
    try:
        files.write(temporary, lambda file: file.write(_encode(manifest)))
        files.sync(temporary)
        files.link(temporary, final)
    except FileExistsError:
        raise Locked(f"{final}: another process committed at the same moment; run the command again") from None
    finally:
        files.remove(temporary)
    files.sync_folder(folder)


def successor(root: Path, latest: Manifest, step: str, datasets: Mapping[str, tuple[Part, ...]]) -> Manifest:
    """The manifest that follows ``latest``, above every number taken (a torn manifest keeps its own).

    Raises:
        StoreDamaged: there is no such number.
    """
    number = max(latest.number, *(one for one in numbers(root) if one < MOST_NUMBER), 0) + 1
    if number >= MOST_NUMBER:
        raise StoreDamaged(f"{path_of(root, latest.number)}: no manifest can have a higher number: {TAKE_AGAIN}")
    return Manifest(number, latest.number, datetime.now(UTC).isoformat(), step, datasets)


def merge(
    datasets: Mapping[str, tuple[Part, ...]],
    replaced: Iterable[tuple[str, str | None]],
    added: Iterable[tuple[str, Part]],
    swapped: Iterable[Swap] = (),
) -> dict[str, tuple[Part, ...]]:
    """Swap parts, then drop the replaced slices (key None: the whole dataset), then append the added parts.

    What is swapped in stands where the first of the old parts stood, so that rows keep their order.
    """
    result = dict(datasets)
    for swap in swapped:
        parts = result[swap.dataset]
        place = parts.index(swap.old[0])
        rest = [part for part in parts[place:] if part not in swap.old]
        result[swap.dataset] = (*parts[:place], *swap.new, *rest)
    for dataset, key in replaced:
        kept = (part for part in result.get(dataset, ()) if key is not None and part.key != key)
        result[dataset] = tuple(kept)
    for dataset, part in added:
        result[dataset] = (*result.get(dataset, ()), part)
    return result
