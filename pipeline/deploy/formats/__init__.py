"""Formats of artefacts: one file each, named as on the command line.

A file declares ``LIBRARIES`` (the first runs a model, all are needed to write one), ``EXTRA`` (the extra of coldframe that
installs them), ``BACKEND`` (the Keras backend that writes it, None for any), and ``FILES`` (the files it writes).
``write(model, folder)`` writes a ``keras.Model`` into a folder as one or several files; the model goes from pictures, uint8 RGB
(n, height, width, 3), to probabilities (n, classes) and vectors (n, dimensions). ``load(held)`` gives what runs it, from the
bytes of these files by name. ``USE`` is a few lines of Python for users without coldframe. Libraries are imported inside the
functions.
"""

from __future__ import annotations

import errno
import hashlib
import importlib
import importlib.util
import os
import pkgutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from pipeline.runtime import quiet
from pipeline.runtime.frameworks import load_keras
from store import opening
from store.errors import ColdframeError
from store.memory import memory_bytes

FloatArray = npt.NDArray[np.float32]
# From pictures, uint8 RGB (n, height, width, 3), to probabilities (n, classes) and vectors (n, dimensions), float32.
Run = Callable[[npt.NDArray[np.uint8]], tuple[FloatArray, FloatArray]]


def names() -> list[str]:
    """The available formats, as written on the command line."""
    return sorted(info.name for info in pkgutil.iter_modules(__path__))


def files(name: str) -> tuple[str, ...]:
    """The file names of a model in a format."""
    found: tuple[str, ...] = _module(name).FILES
    return found


def write(name: str, model: Any, folder: Path) -> None:
    """Write a model into an existing folder; call :func:`prepare` first."""
    _module(name).write(model, folder)


def use(name: str, size: tuple[int, int]) -> str:
    """Five lines of Python that run a model on ``photo.jpg``, from any folder; ``size`` is (height, width)."""
    text: str = _module(name).USE
    return text.format(height=size[0], width=size[1])


def load(name: str, folder: Path, digests: Mapping[str, str]) -> Run:
    """Load the model in a folder and return what runs it; ``digests`` are those of its files by name.

    Each file is read once: what is loaded is exactly what was checked, even if the folder changes a moment later.

    Raises:
        ColdframeError: there is no such format, its library is not installed, a file has changed, or the model cannot be loaded.
    """
    if name not in names():
        raise ColdframeError(
            f"{folder}: of the format {name!r}, which this coldframe does not know: {', '.join(names())}"
        )
    _require(name, _module(name).LIBRARIES[:1])
    held = {file: checked(folder / file, digests[file]) for file in files(name)}
    try:
        run: Run = _module(name).load(held)
    except ColdframeError:
        raise
    except Exception as error:  # every library raises kinds of its own
        reason = " ".join(str(error).split())[:200]
        raise ColdframeError(f"{folder}: the model cannot be loaded ({reason}): export it again") from error
    return run


def checked(file: Path, digest: str, most: int | None = None) -> bytes:
    """Read and check a file of an artefact, of at most ``most`` bytes, or the machine's memory.

    Raises:
        ColdframeError: the file cannot be read, is too large, or has changed since it was written.
    """
    try:
        with opening.open_regular(file) as opened:
            data = opened.read(size_of(opened, most))
    except OSError as error:
        raise unreadable(file, error) from error
    if hashlib.sha256(data).hexdigest() != digest:
        raise ColdframeError(f"{file}: damaged: export the run again")
    return data


def size_of(opened: BinaryIO, most: int | None = None) -> int:
    """The size of an artefact's file in bytes; a file with holes takes far less on disk.

    Raises:
        OSError: the size is more than ``most``, or than the machine's memory.
    """
    size = os.fstat(opened.fileno()).st_size
    if size > (memory_bytes() if most is None else most):
        raise OSError(errno.EFBIG, f"its {size} bytes are more than this machine can hold in memory")
    return size


def unreadable(file: Path, error: OSError) -> ColdframeError:
    """The error for a file of an artefact that cannot be read."""
    return ColdframeError(f"{file}: cannot be read ({error.strerror}): export the run again")


def import_library(name: str) -> None:
    """Import the library that runs the models of a format, if there is such a format."""
    if name in names():
        _require(name, _module(name).LIBRARIES[:1])
        load_keras() if name == "keras" else quiet.load(_module(name).LIBRARIES[0])


def prepare(name: str) -> None:
    """Load Keras on the backend that writes a format.

    Raises:
        ColdframeError: there is no such format, a library that writes it is not installed, or Keras runs on another backend.
    """
    if name not in names():
        raise ColdframeError(f"no format {name!r}; available: {', '.join(names())}")
    _require(name, _module(name).LIBRARIES)
    load_keras(_module(name).BACKEND)


def _require(name: str, libraries: tuple[str, ...]) -> None:
    missing = [one for one in libraries if importlib.util.find_spec(one) is None]
    if missing:
        extra = _module(name).EXTRA
        raise ColdframeError(f"the format {name} needs {', '.join(missing)}: pip install 'coldframe[{extra}]'")


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"{__name__}.{name}")
