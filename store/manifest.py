"""Manifests: numbered files, each of which names every live part. The highest whole one is the store."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from store import files
from store.errors import ColdframeError, Locked
from store.parts import Part

FORMAT = 1
FOLDER = "manifests"


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
    """The manifest in ``path``, or None when it is torn: unreadable, or not what its checksum says."""
    try:
        whole = json.loads(path.read_bytes())
        body = whole["manifest"]
        digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        if digest != whole["sha256"]:
            return None
    except (ValueError, KeyError, TypeError, FileNotFoundError):  # not there: removed since the folder was listed
        return None
    if body["format"] != FORMAT:
        raise ColdframeError(
            f"{path}: the store has format {body['format']}, this coldframe reads format {FORMAT}: "
            "use the version of coldframe that wrote it, or a newer one"
        )
    datasets = {name: tuple(Part(**part) for part in parts) for name, parts in body["datasets"].items()}
    return Manifest(body["number"], body["parent"], body["created_at"], body["step"], datasets)


def numbers(root: Path) -> list[int]:
    """Every number that is taken, ascending."""
    return sorted(int(path.stem) for path in (root / FOLDER).glob("*.json") if path.stem.isdigit())


def path_of(root: Path, number: int) -> Path:
    """The file of a number."""
    return root / FOLDER / f"{number:08d}.json"


def read(root: Path, at: int | None = None) -> Manifest:
    """The highest whole manifest, or number ``at``; :data:`EMPTY` for a folder that has none yet.

    Raises:
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
        raise ColdframeError(f"{root / FOLDER}: no manifest there is whole; restore one from a backup")
    return EMPTY


def each(root: Path) -> Iterator[tuple[Path, Manifest | None]]:
    """Every manifest, the oldest first; None for one that is torn: the remains of a power cut, or damage.

    One at a time: a night of commits leaves thousands, and each names every live part.
    """
    for number in numbers(root):
        path = path_of(root, number)
        found = _decode(path)
        if found is not None or path.exists():  # else removed since the folder was listed
            yield path, found


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
    """The manifest that follows ``latest``, above every number taken (a torn manifest keeps its own)."""
    number = max([latest.number, *numbers(root)]) + 1
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
