"""Files that are there whole or not at all, whatever kills the process or cuts the power.

A file gets its name only once its bytes are durable. What a killed process leaves is a file with another ending, ``.tmp``.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from store import files

ENDING = ".tmp"


def write(path: Path, fill: Callable[[BinaryIO], object]) -> None:
    """Make a file of what ``fill`` writes, under a name that nobody else uses.

    Its name is durable once :func:`store.files.sync_folder` was called for its folder.
    """
    _write(path, path.with_name(f"{path.name}{ENDING}"), fill)


def replace(path: Path, fill: Callable[[BinaryIO], object]) -> None:
    """Make a file of what ``fill`` writes, in place of any of that name; several processes may do so at once."""
    _write(path, path.with_name(f"{path.name}.{uuid.uuid4().hex}{ENDING}"), fill)
    files.sync_folder(path.parent)


def _write(path: Path, temporary: Path, fill: Callable[[BinaryIO], object]) -> None:
    try:
        files.write(temporary, fill)
        files.sync(temporary)  # first: a rename may outlive a power cut that the bytes do not
        files.rename(temporary, path)
    except BaseException:
        files.remove(temporary)
        raise
