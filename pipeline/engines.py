"""Engines: what computes probabilities and vectors of pictures, behind one contract for runs and artefacts."""

from __future__ import annotations

import functools
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image

from pipeline import decoding, embedders, taxonomy
from pipeline import neighbours as training_images
from pipeline.artefact import Artefact
from pipeline.embedders import Embedder
from pipeline.heads import Head
from pipeline.lookup import ingested_max_pixels
from pipeline.neighbours import Neighbours
from pipeline.prediction import find_run
from pipeline.runs import FINETUNED, HEAD
from store.errors import ColdframeError
from store.matrices import FloatMatrix, to_matrix
from store.store import Snapshot, Store

BATCH = 32

Picture = tuple[str, Image.Image]  # its content id, and itself, RGB


@dataclass(frozen=True)
class Found:
    """Probabilities (n, classes), and vectors (n, dimensions) where there are any."""

    probabilities: npt.NDArray[np.float64]
    vectors: FloatMatrix | None


class Engine(ABC):
    """What a model is asked through.

    Attributes:
        classes: (classes,) ascending.
        max_pixels: of the largest picture it takes.
        batch: how many pictures it likes at a time.
    """

    classes: npt.NDArray[np.str_]
    max_pixels: int
    batch: int = BATCH

    @abstractmethod
    def run(self, pictures: Sequence[Picture]) -> Found:
        """What it says of up to ``batch`` pictures, none of them too."""

    @abstractmethod
    def taxonomy(self, columns: Iterable[str]) -> Mapping[str, taxonomy.ByValue]:
        """The classes by value, of at least those of ``columns`` that it knows."""

    @abstractmethod
    def neighbours(self) -> Neighbours | None:
        """Training images with vectors of the same kind; None where it has none."""


def of_artefact(given: Artefact) -> Engine:
    """The engine of an artefact.

    Raises:
        ColdframeError: it cannot be loaded.
    """
    return _OfArtefact(given)


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
    def __init__(self, given: Artefact) -> None:
        self._given, self._run = given, given.load()
        self.classes, self.max_pixels = given.classes, int(given.card["max_pixels"])

    def run(self, pictures: Sequence[Picture]) -> Found:
        if not pictures:
            return Found(np.zeros((0, len(self.classes))), None)
        probabilities, vectors = self._run(_resized(pictures, self._given.size))
        return Found(probabilities.astype(np.float64), vectors)

    def taxonomy(self, columns: Iterable[str]) -> Mapping[str, taxonomy.ByValue]:
        known: Mapping[str, taxonomy.ByValue] = self._given.card["taxonomy"]
        return known

    @functools.cached_property
    def _neighbours(self) -> Neighbours | None:
        return self._given.neighbours()

    def neighbours(self) -> Neighbours | None:
        return self._neighbours


class _OfRun(Engine):
    """What the engines of all runs have from their store."""

    def __init__(self, snapshot: Snapshot, run: dict[str, Any]) -> None:
        self._snapshot, self._of = snapshot, run
        self.classes, self.max_pixels = np.array(run["classes"]), ingested_max_pixels(snapshot)

    def taxonomy(self, columns: Iterable[str]) -> Mapping[str, taxonomy.ByValue]:
        known = self._snapshot.columns("images")
        return {one: taxonomy.of_column(self._snapshot, self._of, one) for one in columns if one in known}

    @functools.cached_property
    def _neighbours(self) -> Neighbours | None:
        return self._find_neighbours()

    def neighbours(self) -> Neighbours | None:
        return self._neighbours

    def _find_neighbours(self) -> Neighbours | None:
        return None

    @property
    def _file(self) -> Path:
        return self._snapshot.file("models", self._of["run_id"])


class _OfHead(_OfRun):
    """A head on vectors: those that the store has, and of other pictures those that the embedders give."""

    def __init__(self, snapshot: Snapshot, run: dict[str, Any]) -> None:
        super().__init__(snapshot, run)
        self._head = Head.read(self._file)

    def run(self, pictures: Sequence[Picture]) -> Found:
        blocks = [self._vectors(name, pictures) for name in self._of["embedders"]]
        vectors = np.concatenate(blocks, axis=1)
        if vectors.shape[1] != self._head.dimensions:
            raise ColdframeError(
                f"{self._of['run_id']} takes vectors of {self._head.dimensions} numbers, {self._of['embedder']} has "
                f"{vectors.shape[1]}: the feature set was made anew; train again"
            )
        return Found(self._head.predict(vectors.copy()), vectors)

    def _vectors(self, name: str, pictures: Sequence[Picture]) -> FloatMatrix:
        """The vectors of one feature set, out of the store where it has them."""
        ids = [content for content, _ in pictures]
        self._snapshot.register("wanted", pa.table({"content_id": pa.array(dict.fromkeys(ids), pa.string())}))
        stored = self._snapshot.query("steps/images/vectors_of", embedder=name)
        known = dict(zip(stored["content_id"].to_pylist(), to_matrix(stored["vector"]), strict=True))
        others = [(content, image) for content, image in pictures if content not in known]
        if others:
            network = self._network(name)
            made = network.embed([network.prepare(image) for _, image in others])
            known |= dict(zip([content for content, _ in others], made, strict=True))
        dimensions = self._snapshot.rows("steps/embed/feature_set", embedder=name)[0]["dimensions"]
        return np.array([known[content] for content in ids], np.float32).reshape(len(ids), dimensions)

    def _network(self, name: str) -> Embedder:
        if name not in self._networks:
            self._networks[name] = load_network(self._snapshot, name)
        return self._networks[name]

    @functools.cached_property
    def _networks(self) -> dict[str, Embedder]:
        return {}

    def _find_neighbours(self) -> Neighbours | None:
        return training_images.of_run(self._snapshot, self._of)


class _OfFinetuned(_OfRun):
    """A backbone with its last layers fine-tuned, and the head on it."""

    def __init__(self, snapshot: Snapshot, run: dict[str, Any]) -> None:
        super().__init__(snapshot, run)
        from pipeline import classifier

        self._parts = classifier.parts(snapshot, run)
        self._model = classifier.assemble(self._parts)

    def run(self, pictures: Sequence[Picture]) -> Found:
        if not pictures:
            return Found(np.zeros((0, len(self.classes))), None)
        probabilities, vectors = self._model.predict_on_batch(_resized(pictures, self._parts.size))
        return Found(np.asarray(probabilities, np.float64), np.asarray(vectors, np.float32))

    def _find_neighbours(self) -> Neighbours | None:
        return Neighbours.from_arrays(self._parts.head.arrays)


class _OfNetwork(_OfRun):
    """A network trained from scratch, which has no vectors."""

    def run(self, pictures: Sequence[Picture]) -> Found:
        from pipeline import from_scratch

        height, width = json.loads(self._of["settings"])["size"]
        if not pictures:
            return Found(np.zeros((0, len(self.classes))), None)
        return Found(from_scratch.predict(self._file, _resized(pictures, (height, width))), None)


def load_network(snapshot: Snapshot, name: str) -> Embedder:
    """The network of a feature set, in the numerics that the set was made in, or else in those of its reference.

    Raises:
        ColdframeError: its weights cannot be had, or are others now.
    """
    row = snapshot.rows("steps/embed/feature_set", embedder=name)[0]
    made = json.loads(row["settings"])
    reference = embedders.Options.from_json(json.loads(row["source"]))
    backend = made.get("backend") if made.get("backend") in embedders.backends(row["network"]) else None
    precision = made.get("precision") if backend else None
    try:
        network = embedders.load(row["network"], replace(reference, backend=backend, precision=precision))
    except ColdframeError:
        # a machine without that backend or precision: much the same vectors, which nobody keeps
        network = embedders.load(row["network"], replace(reference, precision="float32" if backend else None))
    if network.settings["weights"] != made["weights"]:
        raise ColdframeError(
            f"{name}: the weights at {reference.weights or 'the default place'} are not those that the set was made with"
        )
    return network


def _resized(pictures: Sequence[Picture], size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    return np.stack([np.asarray(decoding.resize(image, *size)) for _, image in pictures])
