"""The predictor of an artefact. Its model runs in a separate process, since it may come from a stranger."""

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

LOAD_SECONDS = 120.0  # to load an artefact's model, including the library
MOST_PICTURES = 32  # for a model at a time
FEW = 4  # a picture may take this many times what an earlier one took


class ArtefactPredictor(Predictor):
    """A model that may come from a stranger. It runs in a separate process, which is killed if it exceeds its time limit."""

    def __init__(self, given: Artefact, seconds: float, process: Worker | None) -> None:
        self._given, self._seconds = given, seconds
        self.classes, self.max_pixels, self.size = given.classes, int(given.card["max_pixels"]), given.size
        self.name = str(given.folder)
        self._process = process or model_process.start(given.folder)
        self._is_loaded, self._most = False, 1
        self._slowest = 0.0  # seconds per picture, over the batches answered so far
        self._place = spill.new()  # for files that a library unpacks
        weakref.finalize(self, spill.remove, self._place)

    def get_ready(self) -> None:
        """Load the model in its process, unless it is loaded already."""
        if not self._is_loaded:  # or the process has ended since
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
            self._process.end()  # whatever else it holds is of no use
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
        """The model's results for pictures."""
        self.get_ready()
        found: list[tuple[FloatMatrix, FloatMatrix]] = []
        start = 0
        while start < len(prepared):
            # one at first, then twice as many each time: this detects a slow model sooner
            some = prepared[start : start + self._most]
            pictures, began = np.stack(some), time.monotonic()
            # a batch has one limit in all, from the time that earlier pictures took: a model may be slow only with many
            seconds = min(self._seconds + FEW * self._slowest * len(some), self._seconds * len(some))
            found.append(self._ask(model_process.run, pictures, len(self.classes), self.name, seconds=seconds))
            self._slowest = max(self._slowest, (time.monotonic() - began) / len(some))
            start, self._most = start + len(some), min(2 * self._most, MOST_PICTURES)
        if len({vectors.shape[1] for _, vectors in found}) > 1:
            raise ColdframeError(f"{self.name}: the model gives vectors of different lengths: export the run again")
        probabilities, vectors = (np.concatenate(one) for one in zip(*found, strict=True))
        return Found(probabilities.astype(np.float64), vectors)

    def taxonomy(self, asked: Iterable[str]) -> Mapping[str, taxonomy.ByValue]:
        """Everything that the card says about columns, whichever are asked for."""
        known: Mapping[str, taxonomy.ByValue] = self._given.card["taxonomy"]
        return known

    @functools.cache  # noqa: B019  (a predictor lives as long as its model)
    def neighbours(self) -> Neighbours | None:
        """The training images that the artefact carries."""
        return self._given.neighbours()


def of_artefact(
    given: Artefact, *, max_seconds: float = MAX_SECONDS, process: Worker | None = None
) -> ArtefactPredictor:
    """The predictor of an artefact. ``max_seconds`` is the time limit for its model, for one picture.

    ``process`` is one that :mod:`pipeline.deploy.model_process` started earlier. In that case the model is loaded only by
    :meth:`Predictor.get_ready`, and the caller can do other things first.

    Raises:
        ColdframeError: the model cannot be loaded.
    """
    predictor = ArtefactPredictor(given, max_seconds, process)
    if process is None:
        predictor.get_ready()
    return predictor
