"""The process in which the model of an artefact runs: it may come from a stranger, and one that never ends is ended.

Nothing heavy is imported at the top, so that the process can be started before its parent has imported anything.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from store import opening
from store.errors import ColdframeError
from store.memory import GPUS, memory_bytes
from store.worker import Worker, limit_memory

MOST_DIMENSIONS = 1 << 20  # of the vectors that a model may give
LARGEST_CARD = 16 << 20  # bytes
# Address space that a library sets aside as it begins to work, most of which it never uses: its own, and that of threads.
MEMORY_BESIDE, MEMORY_A_CORE = 1 << 30, 128 << 20

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


def load(folder: Path, name: str, digests: Mapping[str, str], place: str) -> None:
    """In the process: load the model, which may have been put there since its card was checked.

    Args:
        name: its format.
        digests: of the files that the card lists, by their names.
        place: a folder for what a library unpacks, made here; empty for the usual one.

    Raises:
        ColdframeError: a file is not what the card says, or it cannot be loaded.
    """
    from pipeline.deploy import formats

    os.chdir("/")  # OpenVINO would take a file called ".bin" in the working folder for the weights
    if place:
        Path(place).mkdir(exist_ok=True)
        tempfile.tempdir = place
    formats.import_library(name)
    _limit_memory(name)
    _loaded[:] = [formats.load(name, folder, digests)]


def _limit_memory(name: str) -> None:
    """Let the model of a format take half of the machine's memory, beside the addresses that libraries set aside.

    There is no limit where Keras may run on a GPU, whose driver sets aside far more addresses than there is memory, and where the
    system does not tell how many are taken.
    """
    if name == "keras" and any(Path(one).exists() for one in GPUS):
        return
    with suppress(OSError, ValueError):
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        limit_memory(taken + memory_bytes() // 2 + MEMORY_BESIDE + (os.cpu_count() or 1) * MEMORY_A_CORE)


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
