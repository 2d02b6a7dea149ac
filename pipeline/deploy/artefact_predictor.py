"""The predictor of an artefact: its model runs in a process of its own, since it may come from a stranger."""

from __future__ import annotations

import functools
import time
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipeline.deploy import model_process
from pipeline.deploy.artefact import Artefact
from pipeline.evaluate.predictors import Found, Predictor
from pipeline.ingest import decoding
from pipeline.ingest.limits import MAX_SECONDS
from pipeline.runs import taxonomy
from pipeline.runs.neighbours import Neighbours
from store import spill
from store.errors import ColdframeError
from store.matrices import FloatMatrix
from store.worker import Died, TookTooLong, Worker

LOAD_SECONDS = 120.0  # that an artefact's model may take to load, the library included
MOST_PICTURES = 32  # that a model gets at a time
FEW = 4  # times what a picture took before, that another may take


class ArtefactPredictor(Predictor):
    """A model that may come from a stranger, so it runs in a process of its own: one that never ends is ended."""

    def __init__(self, given: Artefact, seconds: float, process: Worker | None) -> None:
        self._given, self._seconds = given, seconds
        self.classes, self.max_pixels, self.size = given.classes, int(given.card["max_pixels"]), given.size
        self.name = str(given.folder)
        self._process = process or model_process.start(given.folder)
        self._is_loaded, self._most = False, 1
        self._slowest = 0.0  # seconds a picture, of the batches that it has answered
        self._place = spill.new()  # for what a library unpacks
        weakref.finalize(self, spill.remove, self._place)

    def get_ready(self) -> None:
        """Load the model in its process, unless it is there."""
        if not self._is_loaded:  # or ended meanwhile
            given = self._given
            what = (given.folder.absolute(), given.card["format"], dict(given.card["files"]), self._place)
            self._ask(model_process.load, *what, seconds=LOAD_SECONDS)
            self._is_loaded = True

    def _ask(self, function: Callable[..., Any], *arguments: Any, seconds: float) -> Any:
        try:
            return self._process.call(function, *arguments, seconds=seconds)
        except TookTooLong:
            self._is_loaded = False
            raise ColdframeError(
                f"{self.name}: the model took longer than {round(seconds, 3):g} seconds and was ended: export the run again, or "
                "use an artefact that you trust"
            ) from None
        except (Died, MemoryError):
            self._is_loaded = False
            self._process.end()  # what else it has is of no use
            raise ColdframeError(
                f"{self.name}: the model crashed or ran out of memory: export the run again, or use an artefact that you trust"
            ) from None
        except BaseException:
            self._is_loaded = False
            self._process.end()
            raise

    def prepare(self, image: Image.Image) -> npt.NDArray[np.uint8]:
        """A picture as the model takes it, shape (height, width, 3)."""
        return np.asarray(decoding.resize(image, *self._given.size))

    def run(self, prepared: Sequence[Any]) -> Found:
        """What the model says of pictures."""
        self.get_ready()
        found: list[tuple[FloatMatrix, FloatMatrix]] = []
        start = 0
        while start < len(prepared):
            # one at first, then twice as many each time: of a model that is too slow one learns it sooner
            some = prepared[start : start + self._most]
            pictures, began = np.stack(some), time.monotonic()
            # a model may be slow with many pictures alone: they have one limit together, and what they took before one by one
            seconds = min(self._seconds + FEW * self._slowest * len(some), self._seconds * len(some))
            found.append(self._ask(model_process.run, pictures, len(self.classes), self.name, seconds=seconds))
            self._slowest = max(self._slowest, (time.monotonic() - began) / len(some))
            start, self._most = start + len(some), min(2 * self._most, MOST_PICTURES)
        if len({vectors.shape[1] for _, vectors in found}) > 1:
            raise ColdframeError(f"{self.name}: the model gives vectors of different lengths: export the run again")
        probabilities, vectors = (np.concatenate(one) for one in zip(*found, strict=True))
        return Found(probabilities.astype(np.float64), vectors)

    def taxonomy(self, asked: Iterable[str]) -> Mapping[str, taxonomy.ByValue]:
        """All that the card says of columns, whichever are asked for."""
        known: Mapping[str, taxonomy.ByValue] = self._given.card["taxonomy"]
        return known

    @functools.cache  # noqa: B019  (a predictor lives as long as its model)
    def neighbours(self) -> Neighbours | None:
        """The training images that the artefact carries."""
        return self._given.neighbours()


def of_artefact(
    given: Artefact, *, max_seconds: float = MAX_SECONDS, process: Worker | None = None
) -> ArtefactPredictor:
    """The predictor of an artefact. ``max_seconds`` is the longest that its model may take for one picture.

    ``process`` is one of :mod:`pipeline.deploy.model_process` that was started before: then the model is loaded by
    :meth:`Predictor.get_ready`, and the caller does other things first.

    Raises:
        ColdframeError: it cannot be loaded.
    """
    predictor = ArtefactPredictor(given, max_seconds, process)
    if process is None:
        predictor.get_ready()
    return predictor
