"""The process that runs the model of an artefact: it may come from a stranger, and is killed if it exceeds its time limit.

Nothing heavy is imported at the top: the process can start before its parent has imported anything.
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

MOST_DIMENSIONS = 1 << 20  # of the vectors that a model may return
LARGEST_CARD = 16 << 20  # bytes
# Address space that a library reserves when it starts to work, mostly unused: its own, and that of threads.
MEMORY_BESIDE, MEMORY_A_CORE = 1 << 30, 128 << 20

_early: dict[str, Worker] = {}
_loaded: list[Any] = []  # the model, once loaded in the process


def start(folder: Path) -> Worker:
    """Start a process for the artefact in a folder; it imports what its model needs while its parent does other things."""
    worker = _early.pop(str(folder), None) or Worker(prepare=partial(_get_ready, folder.absolute()))
    worker.start()
    return worker


def start_early(folder: Path) -> None:
    """Start the process that :func:`start` will return."""
    _early[str(folder)] = start(folder)


def _get_ready(folder: Path) -> None:
    """In the process: import what the model needs according to its card, which is checked only later."""
    with suppress(Exception):
        from pipeline.deploy import formats

        said = json.loads(opening.read_regular(folder / "card.json", most=LARGEST_CARD))
        formats.import_library(said["format"])


def load(folder: Path, name: str, digests: Mapping[str, str], place: str) -> None:
    """In the process: load the model. Its files may have been replaced since the card was checked.

    Args:
        name: the artefact's format.
        digests: of the files that the card lists, by name.
        place: a folder to make for files that a library unpacks; empty for the usual one.

    Raises:
        ColdframeError: a file is not what the card says, or the model cannot be loaded.
    """
    from pipeline.deploy import formats

    os.chdir("/")  # OpenVINO would take a file ".bin" in the working folder for the weights
    if place:
        Path(place).mkdir(exist_ok=True)
        tempfile.tempdir = place
    formats.import_library(name)
    _limit_memory(name)
    _loaded[:] = [formats.load(name, folder, digests)]


def _limit_memory(name: str) -> None:
    """Let a format's model take half of the machine's memory, besides the address space that libraries reserve.

    There is no limit in two cases: Keras may run on a GPU, whose driver reserves far more addresses than there is memory; or the
    system does not tell how many are taken.
    """
    if name == "keras" and any(Path(one).exists() for one in GPUS):
        return
    with suppress(OSError, ValueError):
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        limit_memory(taken + memory_bytes() // 2 + MEMORY_BESIDE + (os.cpu_count() or 1) * MEMORY_A_CORE)


def run(pictures: Any, classes: int, name: str) -> tuple[Any, Any]:
    """In the process: probabilities and vectors of pictures, float32. They are checked here, so that nothing too large or of
    another kind leaves the process.

    Raises:
        ColdframeError: the model fails, or returns something else.
    """
    import numpy as np

    try:
        probabilities, vectors = _loaded[0](pictures)
    except MemoryError:
        raise
    except Exception as error:  # every library raises kinds of its own
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
