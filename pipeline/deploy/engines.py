"""Engines: what computes probabilities and vectors of pictures, behind one contract for runs and artefacts."""

from __future__ import annotations

import functools
import json
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image

from pipeline.deploy import model_process
from pipeline.deploy.artefact import Artefact
from pipeline.embed import embedders, feature_sets
from pipeline.embed.embedders import Embedder
from pipeline.evaluate.predictors import other_classes
from pipeline.ingest import decoding
from pipeline.ingest.examine import MAX_SECONDS
from pipeline.ingest.pictures import ingested_max_pixels
from pipeline.runs import neighbours as training_images
from pipeline.runs import taxonomy
from pipeline.runs.neighbours import Neighbours
from pipeline.runs.runs import FINETUNED, HEAD, find_run
from pipeline.train.heads import Head
from store import spill
from store.errors import ColdframeError
from store.matrices import FloatMatrix, to_matrix
from store.memory import memory_bytes
from store.store import Snapshot, Store
from store.worker import Died, TookTooLong, Worker

Probabilities = npt.NDArray[np.float64]
LOAD_SECONDS = 120.0  # that an artefact's model may take to load, the library included
MOST_PICTURES = 32  # that a model gets at a time
MEMORY_BESIDE = 8 << 30  # address space that libraries set aside and never use


@dataclass(frozen=True)
class Found:
    """Probabilities (n, classes), and vectors (n, dimensions) where there are any."""

    probabilities: Probabilities
    vectors: FloatMatrix | None


class Engine(ABC):
    """What a model is asked through.

    Attributes:
        name: as a message may have it.
        classes: (classes,) ascending.
        max_pixels: of the largest picture it takes.
        knows: whether there may be contents that need not be computed, see :meth:`known`.
        size: (height, width) of every picture, where :meth:`prepare` does no more than resize; else None.
    """

    name: str
    classes: npt.NDArray[np.str_]
    max_pixels: int
    knows = False
    size: tuple[int, int] | None = None

    def known(self, content_ids: Sequence[str]) -> dict[str, Any]:
        """What need not be computed of some contents, as :meth:`prepare` would give it; the others are not in there."""
        return {}

    def get_ready(self) -> None:  # noqa: B027  (most are, once they are made)
        """Load what :meth:`prepare` and :meth:`run` need for pictures that are not known."""

    @abstractmethod
    def prepare(self, image: Image.Image) -> Any:
        """One RGB picture as :meth:`run` takes it; called in several threads at once."""

    def ask(self, prepared: Sequence[Any]) -> Found:
        """What it says of some pictures, at least one.

        Raises:
            ColdframeError: it cannot say it, or it is not of these pictures and classes.
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
        """As :meth:`ask`, though nobody has looked at it yet."""

    @abstractmethod
    def taxonomy(self, asked: Iterable[str]) -> Mapping[str, taxonomy.ByValue]:
        """The classes by value for each column there is; of those that are not ``asked`` for they may be missing."""

    @abstractmethod
    def neighbours(self) -> Neighbours | None:
        """Training images with vectors of the same kind; None where it has none."""


def of_artefact(given: Artefact, *, max_seconds: float = MAX_SECONDS, process: Worker | None = None) -> Engine:
    """The engine of an artefact. ``max_seconds`` is the longest that its model may take for one picture.

    ``process`` is one of :mod:`pipeline.deploy.model_process` that was started before: then the model is loaded by
    :meth:`Engine.get_ready`, and the caller does other things first.

    Raises:
        ColdframeError: it cannot be loaded.
    """
    engine = _OfArtefact(given, max_seconds, process)
    if process is None:
        engine.get_ready()
    return engine


def of_run(store: Path, run_id: str) -> Engine:
    """The engine of a run of a store.

    Raises:
        ColdframeError: no such store or run.
    """
    snapshot = Store.open(store).snapshot()
    run = find_run(snapshot, run_id)
    kinds = {HEAD: _OfHead, FINETUNED: _OfFinetuned}
    return kinds.get(run["kind"], _OfNetwork)(snapshot, run)


class _OfArtefact(Engine):
    """A model that may come from a stranger, so it runs in a process of its own: one that never ends is ended."""

    def __init__(self, given: Artefact, seconds: float, process: Worker | None) -> None:
        self._given, self._seconds = given, seconds
        self.classes, self.max_pixels, self.size = given.classes, int(given.card["max_pixels"]), given.size
        self.name = str(given.folder)
        self._process = process or model_process.start(given.folder)
        self._is_loaded, self._most = False, 1
        self._place = spill.new()  # for what a library unpacks
        weakref.finalize(self, spill.remove, self._place)

    def get_ready(self) -> None:
        if not self._is_loaded:  # or ended meanwhile
            given = self._given
            # Keras may run on a GPU, whose driver sets aside far more addresses than there is memory
            memory = None if given.card["format"] == "keras" else memory_bytes() + MEMORY_BESIDE
            what = (given.folder.absolute(), given.card["format"], tuple(given.card["files"]), self._place, memory)
            self._ask(model_process.load, *what, seconds=LOAD_SECONDS)
            self._is_loaded = True

    def _ask(self, function: Callable[..., Any], *arguments: Any, seconds: float) -> Any:
        try:
            return self._process.call(function, *arguments, seconds=seconds)
        except TookTooLong:
            self._is_loaded = False
            raise ColdframeError(
                f"{self.name}: the model took longer than {seconds:g} seconds and was ended: export the run again, or use "
                "an artefact that you trust"
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
        return np.asarray(decoding.resize(image, *self._given.size))

    def run(self, prepared: Sequence[Any]) -> Found:
        self.get_ready()
        found: list[tuple[FloatMatrix, FloatMatrix]] = []
        start = 0
        while start < len(prepared):
            # one at first, then twice as many each time: of a model that is too slow one learns it sooner
            some = prepared[start : start + self._most]
            pictures, seconds = np.stack(some), self._seconds * len(some)
            found.append(self._ask(model_process.run, pictures, len(self.classes), self.name, seconds=seconds))
            start, self._most = start + len(some), min(2 * self._most, MOST_PICTURES)
        if len({vectors.shape[1] for _, vectors in found}) > 1:
            raise ColdframeError(f"{self.name}: the model gives vectors of different lengths: export the run again")
        probabilities, vectors = (np.concatenate(one) for one in zip(*found, strict=True))
        return Found(probabilities.astype(np.float64), vectors)

    def taxonomy(self, asked: Iterable[str]) -> Mapping[str, taxonomy.ByValue]:
        known: Mapping[str, taxonomy.ByValue] = self._given.card["taxonomy"]
        return known

    @functools.cache  # noqa: B019  (an engine lives as long as its model)
    def neighbours(self) -> Neighbours | None:
        return self._given.neighbours()


class _OfRun(Engine):
    """What the engines of all runs have from their store."""

    def __init__(self, snapshot: Snapshot, run: dict[str, Any]) -> None:
        self._snapshot, self._of, self.name = snapshot, run, run["run_id"]
        self.classes, self.max_pixels = np.array(run["classes"]), ingested_max_pixels(snapshot)

    def taxonomy(self, asked: Iterable[str]) -> Mapping[str, taxonomy.ByValue]:
        columns = dict.fromkeys(asked)
        return {
            name: taxonomy.of_column(self._snapshot, self._of, name) if name in columns else {}
            for name in self._snapshot.columns("images")
        }

    @functools.cache  # noqa: B019
    def neighbours(self) -> Neighbours | None:
        return self._find_neighbours()

    def _find_neighbours(self) -> Neighbours | None:
        return None

    @property
    def _file(self) -> Path:
        return self._snapshot.file("models", self._of["run_id"])


class _OfHead(_OfRun):
    """A head on vectors: those that the store has, and of other pictures those that the embedders give.

    What is prepared is the vector itself, or for each embedder the picture as its network takes it.
    """

    knows = True

    def __init__(self, snapshot: Snapshot, run: dict[str, Any]) -> None:
        super().__init__(snapshot, run)
        self._head = Head.read(self._file)
        self._networks: list[Embedder] = []
        blocks = tuple(feature_sets.row_of(snapshot, name)["dimensions"] for name in run["embedders"])
        if blocks != self._head.scaling.blocks:
            raise ColdframeError(
                f"{run['run_id']} takes vectors of {self._head.scaling.blocks} numbers, {run['embedder']} has {blocks}: the "
                "feature set was made anew; train again"
            )
        found = self._head.predict(np.zeros((1, self._head.dimensions), np.float32)).shape
        if found != (1, len(self.classes)):
            raise other_classes(self.name, len(self.classes), found[1:])

    def known(self, content_ids: Sequence[str]) -> dict[str, Any]:
        self._snapshot.register("wanted", pa.table({"content_id": pa.array(dict.fromkeys(content_ids), pa.string())}))
        found: list[dict[str, FloatMatrix]] = []
        for name in self._of["embedders"]:
            stored = self._snapshot.query("steps/images/vectors_of", embedder=name)
            found.append(dict(zip(stored["content_id"].to_pylist(), to_matrix(stored["vector"]), strict=True)))
        in_all = set(found[0]).intersection(*found[1:])
        return {content: np.concatenate([one[content] for one in found]) for content in in_all}

    def get_ready(self) -> None:
        self._networks = self._networks or [load_network(self._snapshot, name) for name in self._of["embedders"]]

    def prepare(self, image: Image.Image) -> list[npt.NDArray[Any]]:
        return [network.prepare(image) for network in self._networks]

    def run(self, prepared: Sequence[Any]) -> Found:
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
        return training_images.of_run(self._snapshot, self._of)


class _OfFinetuned(_OfRun):
    """A backbone with its last layers fine-tuned, and the head on it."""

    def __init__(self, snapshot: Snapshot, run: dict[str, Any]) -> None:
        super().__init__(snapshot, run)
        from pipeline.train import classifier

        self._parts = classifier.parts(snapshot, run)
        self._model, self.size = classifier.assemble(self._parts), self._parts.size

    def prepare(self, image: Image.Image) -> npt.NDArray[np.uint8]:
        return np.asarray(decoding.resize(image, *self._parts.size))

    def run(self, prepared: Sequence[Any]) -> Found:
        probabilities, vectors = self._model.predict_on_batch(np.stack(prepared))
        return Found(np.asarray(probabilities, np.float64), np.asarray(vectors, np.float32))

    def _find_neighbours(self) -> Neighbours | None:
        return Neighbours.from_arrays(self._parts.head.arrays)


class _OfNetwork(_OfRun):
    """A network trained from scratch, which has no vectors."""

    def __init__(self, snapshot: Snapshot, run: dict[str, Any]) -> None:
        super().__init__(snapshot, run)
        from pipeline.train import networks

        self.size = self._size = tuple(json.loads(run["settings"])["size"])
        self._predict: Callable[[npt.NDArray[np.uint8]], Probabilities] = networks.opened(self._file)

    def prepare(self, image: Image.Image) -> npt.NDArray[np.uint8]:
        return np.asarray(decoding.resize(image, *self._size))

    def run(self, prepared: Sequence[Any]) -> Found:
        return Found(self._predict(np.stack(prepared)), None)


def load_network(snapshot: Snapshot, name: str) -> Embedder:
    """The network of a feature set, in the numerics that the set was made in, or else in those of its reference.

    Raises:
        ColdframeError: its weights cannot be had, or are others now.
    """
    row = feature_sets.row_of(snapshot, name)
    made = json.loads(row["settings"])
    reference = embedders.Options.from_json(json.loads(row["source"]))
    backend = made.get("backend") if made.get("backend") in embedders.backends(row["network"]) else None
    precision = made.get("precision") if backend else None
    try:
        network = embedders.load(row["network"], replace(reference, backend=backend, precision=precision))
    except ColdframeError:
        # a machine without that backend or precision: much the same vectors, which nobody keeps
        network = embedders.load(row["network"], replace(reference, precision="float32" if backend else None))
    feature_sets.check_weights(row, network.settings["weights"])
    return network
