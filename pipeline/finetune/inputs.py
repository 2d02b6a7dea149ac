"""The inputs of fine-tuning: cached activations at a cut, or whole pictures, augmented if asked for."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipeline.embed import architecture, augmentation
from pipeline.embed.augmentation import Augmentation
from pipeline.embed.embedders import keras_applications, weights_digest
from pipeline.finetune import activations
from pipeline.finetune.cut import Cut
from pipeline.ingest.pictures import load_pictures
from pipeline.runtime import openvino
from pipeline.runtime.frameworks import choose_device, load_keras
from pipeline.runtime.processes import cores
from pipeline.train import classifier
from pipeline.train.classifier import Parts
from store.store import Snapshot, Store

Contents = npt.NDArray[np.str_]


class Inputs(ABC):
    """The inputs of a network for contents of the store.

    Attributes:
        mode: ``cut`` or ``whole``.
        body: the ``keras.Model`` that takes them and gives vectors.
        how: a sentence that says which way is taken, and why.
    """

    mode: str
    body: Any
    how: str

    @abstractmethod
    def prepare(self, content_ids: Sequence[str]) -> dict[str, str]:
        """Get these contents ready; return the reason for each that gives no picture."""

    @abstractmethod
    def take(self, content_ids: Contents, epoch: int) -> npt.NDArray[Any]:
        """A batch of contents that are ready; unaugmented if ``epoch`` is 0."""


class CutInputs(Inputs):
    """Activations at a cut, in float32. If Keras would compute them with TensorFlow on the processor, OpenVINO does it instead,
    if installed, in three quarters of the time.

    Args:
        max_disk: bytes that all activations of the store may take.
    """

    mode = "cut"

    def __init__(
        self,
        store: Store,
        snapshot: Snapshot,
        parts: Parts,
        at: Cut,
        first_trained: str,
        *,
        cache_as: str,
        max_disk: int,
        quiet: bool,
    ) -> None:
        keras = load_keras()
        self._store, self._snapshot, self._size = store, snapshot, parts.size
        self._max_disk, self._quiet = max_disk, quiet
        self.body = at.above
        self._preprocess, self._below = keras_applications.preprocessing(parts.network), at.below
        on_processor = keras.backend.backend() == "tensorflow" and choose_device(keras, "auto") == "cpu"
        self._backend = openvino.NAME if on_processor and openvino.installed() else keras.backend.backend()
        key = {
            "network": parts.network,
            "position": at.position,
            "keras": [keras.__version__, self._backend],
            "size": list(parts.size),
            "weights": weights_digest(at.below.get_weights()),
            "architecture": architecture.of_keras(at.below),
        }
        self._cache = activations.opened(store, key, at.shape, cache_as)
        kept = f"{'x'.join(map(str, at.shape))} in {cache_as}, {self._cache.bytes / 1e3:.0f} kB a picture"
        self.how = (
            f"cut at {at.layer}: all below {first_trained} is frozen, so what comes out there is computed once a picture, "
            f"by {self._backend}, and kept ({kept})"
        )

    def prepare(self, content_ids: Sequence[str]) -> dict[str, str]:
        """Compute the activations that are not in the cache yet."""
        return activations.fill(
            self._store,
            self._snapshot,
            self._cache,
            content_ids,
            self._size,
            lambda pictures: self._forward(pictures),
            max_disk=self._max_disk,
            quiet=self._quiet,
        )

    @functools.cached_property
    def _forward(self) -> activations.Forward:
        """The function that computes activations. It is made only when one is missing, because converting takes seconds."""
        keras = load_keras()

        def below(pictures: Any, training: bool) -> Any:
            return self._below(self._preprocess(keras.ops.cast(pictures, "float32")), training=training)

        if self._backend == openvino.NAME:
            with suppress(openvino.NotConverted):
                return openvino.from_tensorflow(below, (*self._size, 3))
        return lambda pictures: self._below.predict_on_batch(self._preprocess(pictures.astype(np.float32)))

    def take(self, content_ids: Contents, epoch: int) -> npt.NDArray[np.float32]:
        """Activations at the cut, the same in every epoch."""
        return self._cache.take(content_ids.tolist())


class WholeInputs(Inputs):
    """Pictures at the network's size, uint8.

    Args:
        augment: how each picture is augmented anew in each epoch; None for no augmentation.
        memory_share: of RAM; a larger array of pictures goes on disk.
    """

    mode = "whole"

    def __init__(
        self,
        snapshot: Snapshot,
        parts: Parts,
        why: str,
        *,
        augment: Augmentation | None,
        memory_share: float,
        quiet: bool,
    ) -> None:
        self._snapshot, self._size = snapshot, parts.size
        self._augment, self._share, self._quiet = augment, memory_share, quiet
        self.body = classifier.body(parts)
        self.how = f"whole, {why}"

    def prepare(self, content_ids: Sequence[str]) -> dict[str, str]:
        """Decode the pictures, into memory or onto disk."""
        wanted = np.array(list(dict.fromkeys(content_ids)))
        found = load_pictures(self._snapshot, wanted, self._size, memory_share=self._share, quiet=self._quiet)
        self._pictures = found.array
        self._places = {content: place for place, content in enumerate(wanted[found.readable].tolist())}
        return found.failed

    def take(self, content_ids: Contents, epoch: int) -> npt.NDArray[np.uint8]:
        """Pictures, augmented anew in each epoch after 0 if asked for."""
        contents = content_ids.tolist()
        pictures: npt.NDArray[np.uint8] = self._pictures[[self._places[content] for content in contents]]
        if self._augment is None or not epoch:
            return pictures
        how = self._augment

        def turned(content: str, picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
            drawn = augmentation.draw(how, content, epoch)
            return np.asarray(augmentation.views(Image.fromarray(picture), [drawn], size=self._size, fill=how.fill)[0])

        with ThreadPoolExecutor(cores()) as pool:
            return np.stack(list(pool.map(turned, contents, pictures)))
