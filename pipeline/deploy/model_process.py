"""The process in which the model of an artefact runs: it may come from a stranger, and one that never ends is ended.

Nothing heavy is imported at the top, so that the process can be started before its parent has imported anything.
"""

from __future__ import annotations

import json
import tempfile
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from store import opening
from store.errors import ColdframeError
from store.worker import Worker, limit_memory

MOST_DIMENSIONS = 1 << 20  # of the vectors that a model may give
LARGEST_CARD = 16 << 20  # bytes

_early: dict[str, Worker] = {}
_loaded: list[Any] = []  # the model, in the process


def start(folder: Path) -> Worker:
    """A process for the artefact in a folder, which imports what its model needs while its parent does other things."""
    worker = _early.pop(str(folder), None) or Worker(prepare=partial(_get_ready, folder.absolute()))
    worker.start()
    return worker


def start_early(folder: Path) -> None:
    """Start the process that :func:`start` will be asked for."""
    _early[str(folder)] = start(folder)


def _get_ready(folder: Path) -> None:
    """In the process: import what the model needs, by what the card says; whether that is right is seen later."""
    with suppress(Exception):
        from pipeline.deploy import formats

        said = json.loads(opening.read_regular(folder / "card.json", most=LARGEST_CARD))
        formats.import_library(said["format"])


def load(folder: Path, name: str, files: tuple[str, ...], place: str, memory: int | None) -> None:
    """In the process: load the model.

    Args:
        name: its format.
        files: those of the artefact.
        place: a folder for what a library unpacks, made here; empty for the usual one.
        memory: bytes of address space that it may have.

    Raises:
        ColdframeError: a file is none any more, or it cannot be loaded.
    """
    from pipeline.deploy import formats

    if place:
        Path(place).mkdir(exist_ok=True)
        tempfile.tempdir = place
    if memory is not None:
        limit_memory(memory)
    for one in files:
        try:
            opening.open_regular(folder / one).close()
        except OSError as error:  # it was another thing when the card was checked
            raise ColdframeError(f"{folder / one}: cannot be read ({error.strerror}): export the run again") from None
    _loaded[:] = [formats.load(name, folder)]


def run(pictures: Any, classes: int, name: str) -> tuple[Any, Any]:
    """In the process: probabilities and vectors of pictures, float32. They are checked here, so that nothing that is large or of
    another kind leaves the process.

    Raises:
        ColdframeError: the model fails, or gives something else.
    """
    import numpy as np

    try:
        probabilities, vectors = _loaded[0](pictures)
    except MemoryError:
        raise
    except Exception as error:  # every library has kinds of its own
        reason = " ".join(str(error).split())[:200]
        raise ColdframeError(f"{name}: the model cannot be run ({reason}): export the run again") from None
    for of, given, widths in (
        ("probabilities", probabilities, range(classes, classes + 1)),
        ("vectors", vectors, range(1, MOST_DIMENSIONS + 1)),
    ):
        if not isinstance(given, np.ndarray) or given.dtype.kind != "f":
            raise ColdframeError(
                f"{name}: the model gives {of} that are no floating-point numbers: export the run again"
            )
        if given.ndim != 2 or len(given) != len(pictures) or given.shape[1] not in widths:
            raise ColdframeError(
                f"{name}: the model gives {of} of shape {given.shape} for {len(pictures)} pictures of {classes} classes: export "
                "the run again"
            )
    return np.asarray(probabilities, np.float32), np.asarray(vectors, np.float32)
