"""Locks between processes. The kernel drops them when a process dies, so none is ever left behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from store.errors import Locked


@contextmanager
def held(root: Path, name: str, *, wait: float = 0.0) -> Iterator[None]:
    """Hold the store's lock ``name``, waiting at most ``wait`` seconds for it.

    Raises:
        Locked: somebody else holds it.
    """
    folder = root / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{name}.lock")
    try:
        lock.acquire(timeout=wait)
    except Timeout:
        raise Locked(
            f"another coldframe process is writing {name.replace('-', ' ', 1)!r} in {root}: wait until it has ended "
            "(its work is kept), then run this again"
        ) from None
    try:
        yield
    finally:
        lock.release()
