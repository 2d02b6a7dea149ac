"""Predictors: class probabilities of rows and of pictures, with one predictor for each kind of run."""

from __future__ import annotations

import functools
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image

from pipeline.embed import embedders, feature_sets
from pipeline.embed.embedders import Embedder
from pipeline.ingest import decoding
from pipeline.ingest.pictures import ingested_max_pixels, load_pictures
from pipeline.runs import neighbours as training_images
from pipeline.runs import taxonomy
from pipeline.runs.neighbours import Neighbours
from pipeline.runs.rows import Rows
from pipeline.runs.runs import FINETUNED, HEAD, NETWORK, Run
from pipeline.train import classifier, networks
from pipeline.train.heads import Head
from store.errors import ColdframeError
from store.matrices import FloatMatrix, to_matrix
from store.store import Snapshot

Probabilities = npt.NDArray[np.float64]
BATCH = 32  # pictures of rows that go through a network at a time


@dataclass(frozen=True)
class Found:
    """Probabilities (n, classes), and vectors (n, dimensions) if there are any."""

    probabilities: Probabilities
    vectors: FloatMatrix | None


class Predictor(ABC):
    """The interface for asking a run or an artefact for probabilities and vectors of pictures.

    Attributes:
        name: its name in messages.
        classes: (classes,) ascending.
        max_pixels: the largest picture it takes, in pixels.
        knows: whether some contents need not be computed, see :meth:`known`.
        size: (height, width) of every picture if :meth:`prepare` only resizes; else None.
    """

    name: str
    classes: npt.NDArray[np.str_]
    max_pixels: int
    knows = False
    size: tuple[int, int] | None = None

    def known(self, content_ids: Sequence[str]) -> dict[str, Any]:
        """The contents that need not be computed, with what :meth:`prepare` would give for them; others are left out."""
        return {}

    def get_ready(self) -> None:  # noqa: B027  (most are ready once they are made)
        """Load what :meth:`prepare` and :meth:`run` need for pictures that are not known."""

    @abstractmethod
    def prepare(self, image: Image.Image) -> Any:
        """Convert one RGB picture for :meth:`run`; called in several threads at once."""

    def ask(self, prepared: Sequence[Any]) -> Found:
        """The checked results for at least one picture.

        Raises:
            ColdframeError: the model fails, or its result does not fit these pictures and classes.
        """
        found = self.run(prepared)
        if found.probabilities.shape != (len(prepared), len(self.classes)):
            raise other_classes(self.name, len(self.classes), found.probabilities.shape[1:])
        if found.vectors is not None and (found.vectors.ndim != 2 or len(found.vectors) != len(prepared)):
            raise ColdframeError(
                f"{self.name} gives vectors of shape {found.vectors.shape} for {len(prepared)} pictures: make it again"
            )
        return found

    @abstractmethod
    def run(self, prepared: Sequence[Any]) -> Found:
        """As :meth:`ask`, but unchecked."""

    @abstractmethod
    def taxonomy(self, asked: Iterable[str]) -> Mapping[str, taxonomy.ByValue]:
        """The classes by value for each column; columns that are not ``asked`` for may be missing."""

    @abstractmethod
    def neighbours(self) -> Neighbours | None:
        """Training images with vectors of the same kind; None if it has none."""


def of_run(snapshot: Snapshot, run: Run) -> RunPredictor:
    """The predictor of a run.

    Raises:
        ColdframeError: its model cannot be loaded, or no longer fits the store.
    """
    kinds: dict[str, type[RunPredictor]] = {
        HEAD: HeadPredictor,
        FINETUNED: FinetunedPredictor,
        NETWORK: NetworkPredictor,
    }
    return kinds[run.kind](snapshot, run)


class RunPredictor(Predictor):
    """What the predictors of all kinds of runs take from their store."""

    def __init__(self, snapshot: Snapshot, run: Run) -> None:
        self._snapshot, self._run, self.name = snapshot, run, run.run_id
        self.classes = run.class_names

    @functools.cached_property
    def max_pixels(self) -> int:  # type: ignore[override]
        """The largest picture that the last ingest took, in pixels."""
        return ingested_max_pixels(self._snapshot)

    @abstractmethod
    def of_rows(self, rows: Rows, *, quiet: bool = False) -> Probabilities:
        """Class probabilities of rows of the store, shape (n, classes), averaged over the views that ``rows`` has.

        Raises:
            ColdframeError: a picture can no longer be read, or the model gives other classes than the run has.
        """

    def taxonomy(self, asked: Iterable[str]) -> Mapping[str, taxonomy.ByValue]:
        """Classes by value of each catalogue column; filled only for those asked for, case ignored."""
        columns = set(map(taxonomy.key, asked))
        return {
            name: taxonomy.of_column(self._snapshot, self._run, name) if taxonomy.key(name) in columns else {}
            for name in self._snapshot.columns("images")
        }

    @functools.cache  # noqa: B019
    def neighbours(self) -> Neighbours | None:
        """Training images of the run with their vectors; None if it has none."""
        return self._find_neighbours()

    def _find_neighbours(self) -> Neighbours | None:
        return None

    @property
    def _file(self) -> Path:
        return self._run.file(self._snapshot)


class HeadPredictor(RunPredictor):
    """A head on vectors: stored ones, or those that the embedders compute for other pictures.

    A prepared picture is the vector itself, or for each embedder the input of its network.
    """

    knows = True

    def __init__(self, snapshot: Snapshot, run: Run) -> None:
        super().__init__(snapshot, run)
        self._head = Head.read(self._file)
        self._networks: list[Embedder] = []
        blocks = tuple(feature_sets.row_of(snapshot, name)["dimensions"] for name in run.embedders)
        if blocks != self._head.scaling.blocks:
            raise ColdframeError(
                f"{run.run_id} takes vectors of {self._head.scaling.blocks} numbers, {run.embedder} has {blocks}: the "
                "feature set was made anew; train again"
            )
        found = self._head.predict(np.zeros((1, self._head.dimensions), np.float32)).shape
        if found != (1, len(self.classes)):
            raise other_classes(self.name, len(self.classes), found[1:])

    def of_rows(self, rows: Rows, *, quiet: bool = False) -> Probabilities:
        """Probabilities of stored vectors, averaged over views."""
        found: Probabilities = np.mean([self._head.predict(view) for view in rows.views], axis=0)
        return found

    def known(self, content_ids: Sequence[str]) -> dict[str, Any]:
        """The concatenated stored vectors of contents that have one in each feature set."""
        self._snapshot.register("wanted", pa.table({"content_id": pa.array(dict.fromkeys(content_ids), pa.string())}))
        found: list[dict[str, FloatMatrix]] = []
        for name in self._run.embedders:
            stored = self._snapshot.query("steps/evaluate/vectors_of", embedder=name)
            found.append(dict(zip(stored["content_id"].to_pylist(), to_matrix(stored["vector"]), strict=True)))
        in_all = set(found[0]).intersection(*found[1:])
        return {content: np.concatenate([one[content] for one in found]) for content in in_all}

    def get_ready(self) -> None:
        """Load the networks of the feature sets."""
        self._networks = self._networks or [load_network(self._snapshot, name) for name in self._run.embedders]

    def prepare(self, image: Image.Image) -> list[npt.NDArray[Any]]:
        """The inputs of each network for a picture."""
        return [network.prepare(image) for network in self._networks]

    def run(self, prepared: Sequence[Any]) -> Found:
        """The head's results for prepared pictures, through the networks, and for vectors as given."""
        vectors = np.empty((len(prepared), self._head.dimensions), np.float32)
        pictures = [row for row, one in enumerate(prepared) if isinstance(one, list)]
        for row, one in enumerate(prepared):
            if not isinstance(one, list):
                vectors[row] = one
        at = 0
        for position, network in enumerate(self._networks if pictures else []):
            width = network.dimensions
            for start in range(0, len(pictures), network.batch):
                some = pictures[start : start + network.batch]
                vectors[some, at : at + width] = network.embed([prepared[row][position] for row in some])
            at += width
        return Found(self._head.predict(vectors.copy()), vectors)

    def _find_neighbours(self) -> Neighbours | None:
        return training_images.of_run(self._snapshot, self._run)


class _PicturePredictor(RunPredictor):
    """A network on pictures."""

    size: tuple[int, int]

    def of_rows(self, rows: Rows, *, quiet: bool = False) -> Probabilities:
        """Probabilities of stored vectors, averaged over views."""
        pictures = load_pictures(self._snapshot, rows.content_ids, self.size, quiet=quiet)
        if pictures.failed:
            content, reason = next(iter(pictures.failed.items()))
            raise ColdframeError(
                f"{len(pictures.failed)} pictures cannot be read again, such as content {content}: {reason}; 'coldframe "
                "ingest' brings the catalogue up to date"
            )
        starts = range(0, len(pictures.array), BATCH)
        return np.concatenate([self.ask(list(pictures.array[at : at + BATCH])).probabilities for at in starts])

    def prepare(self, image: Image.Image) -> npt.NDArray[np.uint8]:
        """A picture as each network takes it."""
        return np.asarray(decoding.resize(image, *self.size))


class FinetunedPredictor(_PicturePredictor):
    """A backbone with its last layers fine-tuned, and the head on it."""

    def __init__(self, snapshot: Snapshot, run: Run) -> None:
        super().__init__(snapshot, run)
        self._parts = classifier.parts(snapshot, run)
        self._model, self.size = classifier.assemble(self._parts), self._parts.size

    def run(self, prepared: Sequence[Any]) -> Found:
        """The results of the backbone and its head for pictures."""
        probabilities, vectors = self._model.predict_on_batch(np.stack(prepared))
        return Found(np.asarray(probabilities, np.float64), np.asarray(vectors, np.float32))

    def _find_neighbours(self) -> Neighbours | None:
        return Neighbours.from_arrays(self._parts.head.arrays)


class NetworkPredictor(_PicturePredictor):
    """A network trained from scratch, which gives no vectors."""

    def __init__(self, snapshot: Snapshot, run: Run) -> None:
        super().__init__(snapshot, run)
        height, width = run.settings["size"]
        self.size = (height, width)
        self._predict: Callable[[npt.NDArray[np.uint8]], Probabilities] = networks.opened(self._file)

    def run(self, prepared: Sequence[Any]) -> Found:
        """The network's results for pictures, without vectors."""
        return Found(self._predict(np.stack(prepared)), None)


def load_network(snapshot: Snapshot, name: str) -> Embedder:
    """The network of a feature set, with the numerics that the set was made in, or else those of its reference.

    Raises:
        ColdframeError: its weights are not available, or have changed.
    """
    row = feature_sets.row_of(snapshot, name)
    made = json.loads(row["settings"])
    reference = embedders.Options.from_json(json.loads(row["source"]))
    backend = made.get("backend") if made.get("backend") in embedders.backends(row["network"]) else None
    precision = made.get("precision") if backend else None
    try:
        network = embedders.load(row["network"], replace(reference, backend=backend, precision=precision))
    except ColdframeError:
        # a machine without that backend or precision: nearly the same vectors, which are not stored
        network = embedders.load(row["network"], replace(reference, precision="float32" if backend else None))
    feature_sets.check_network(row, network.settings["weights"], network.architecture)
    return network


def other_classes(name: str, classes: int, found: tuple[int, ...]) -> ColdframeError:
    """The error for a model that does not give one probability for each class."""
    return ColdframeError(f"{name} has {classes} classes, its model gives {found}: train again")
