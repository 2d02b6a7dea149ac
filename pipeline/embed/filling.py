"""Fill a feature set: decode files ahead, run batches through the network, and commit every few seconds.

Files are decoded in threads of this process: Pillow releases the GIL while it decodes and resizes. That is safe because
ingest decoded each file whole before, in a separate process and within limits. A file is decoded once for all its views.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image

from pipeline.embed import augmentation
from pipeline.embed.augmentation import Augmentation
from pipeline.embed.embedders import Embedder
from pipeline.ingest import decoding
from pipeline.runtime.processes import cores
from pipeline.runtime.progress import Progress
from store.compaction import compact
from store.matrices import from_matrix
from store.store import Store

BATCHES_AHEAD = 2
COMMIT_BYTES = 8 << 20  # of vectors: commit at this size, or earlier when it is time; this bounds the memory in use
COMPACT_EVERY = 32  # commits while it runs: a reader then opens at most this many small parts, and a few larger ones
LEAST_JUDGED = 50  # contents to try before judging the failure rate


class Filling:
    """One pass over the contents to embed, in order.

    Attributes:
        tried: how many contents were taken up; ``retried`` are those among them that had failed before.
        embedded: how many of them have a vector now.
        views: how many vectors of augmented views were made.
        failed: the reason for each content that lacks a requested view.
    """

    def __init__(
        self,
        store: Store,
        name: str,
        network: Embedder,
        root: Path,
        *,
        max_pixels: int,
        stored_type: Any,
        augmentation: Augmentation,
        failed_before: frozenset[str] = frozenset(),
    ) -> None:
        self._store, self._name, self._network, self._root = store, name, network, root
        self._max_pixels, self._type, self._augmentation = max_pixels, stored_type, augmentation
        self.tried, self.embedded, self.views = 0, 0, 0
        self.failed: dict[str, str] = {}
        self.retried: list[str] = []
        self._failed_before = failed_before
        self._ready: list[tuple[str, int, npt.NDArray[Any]]] = []  # content, view, network input
        self._made = _Vectors()
        self._commits = 0

    def fill(
        self,
        pages: Iterable[pa.Table],
        total: int,
        *,
        commit_seconds: float,
        max_failure_rate: float | None,
        quiet: bool,
    ) -> bool:
        """Embed ``total`` contents, tables of ``content_id, paths, views``, into the store. Return False if too many failed
        and it stopped early."""
        last_commit = time.monotonic()
        with Progress(total, f"embed {self._name}", quiet=quiet) as progress:
            for count in self._batches(pages):
                progress.advance(count, failed=len(self.failed))
                if time.monotonic() - last_commit > commit_seconds or self._made.bytes > COMMIT_BYTES:
                    self._commit()
                    last_commit = time.monotonic()
                if self._too_many(max_failure_rate):
                    break
        self._embed_ready(least=1)
        self._commit()
        return self.tried == total

    def measure(self, todo: pa.Table) -> float:
        """Seconds per view for the contents of ``todo``, after a batch to warm up; nothing is stored."""
        sum(self._batches([todo.slice(0, self._network.batch)]))
        self._embed_ready(least=1)
        started = time.monotonic()
        sum(self._batches([todo]))
        self._embed_ready(least=1)
        return (time.monotonic() - started) / max(views_in(todo), 1)

    def _too_many(self, max_failure_rate: float | None) -> bool:
        judged = self.tried >= LEAST_JUDGED
        return max_failure_rate is not None and judged and len(self.failed) > max_failure_rate * self.tried

    def _batches(self, pages: Iterable[pa.Table]) -> Iterator[int]:
        """Embed batch after batch, decoding a few ahead; yield the contents taken up for each. A last partial batch stays."""
        ahead: deque[tuple[str, list[int], Future[Any]]] = deque()
        waiting = 0  # in views
        with ThreadPoolExecutor(cores() + 1) as pool:
            try:
                slices = (
                    page.slice(start, self._network.batch)
                    for page in pages
                    for start in range(0, page.num_rows, self._network.batch)
                )
                for rows in map(pa.Table.to_pydict, slices):
                    for content, paths, views in zip(rows["content_id"], rows["paths"], rows["views"], strict=True):
                        ahead.append((content, views, pool.submit(self._prepare, content, paths, views)))
                        waiting += len(views)
                        if waiting > (1 + BATCHES_AHEAD) * self._network.batch:
                            taken = self._take_batch(ahead)
                            waiting = sum(len(views) for _, views, _ in ahead)
                            yield taken
                while ahead:
                    yield self._take_batch(ahead)
            finally:
                pool.shutdown(cancel_futures=True)

    def _prepare(self, content_id: str, paths: list[str], views: list[int]) -> dict[int, npt.NDArray[Any] | str]:
        image = picture_or_reason(self._root, content_id, paths, max_pixels=self._max_pixels)
        if isinstance(image, str):
            return dict.fromkeys(views, image)
        return prepared_or_reasons(self._network, image, content_id, views, self._augmentation)

    def _take_batch(self, ahead: deque[tuple[str, list[int], Future[Any]]]) -> int:
        """Take up contents until their views make a batch, or none are left, and embed it; return how many were taken."""
        before = self.tried
        while ahead and len(self._ready) < self._network.batch:
            content_id, _, future = ahead.popleft()
            self.tried += 1
            if content_id in self._failed_before:
                self.retried.append(content_id)
            for view, prepared in future.result().items():
                if isinstance(prepared, str):
                    self.failed.setdefault(content_id, prepared)
                else:
                    self._ready.append((content_id, view, prepared))
        self._embed_ready(least=self._network.batch)
        return self.tried - before

    def _embed_ready(self, *, least: int) -> None:
        """Embed what is prepared, batch by batch, while at least ``least`` views are left."""
        while len(self._ready) >= least:
            batch, self._ready = self._ready[: self._network.batch], self._ready[self._network.batch :]
            vectors = self._network.embed([prepared for _, _, prepared in batch])
            with np.errstate(over="ignore"):
                stored = vectors.astype(self._type)
            is_finite = np.isfinite(stored).all(axis=1)
            for (content_id, view, _), is_kept, vector in zip(batch, is_finite, vectors, strict=True):
                if is_kept:
                    self._made.of.append((content_id, view))
                    self.embedded += view == 0
                    self.views += view > 0
                else:
                    self.failed.setdefault(content_id, f"{_of_view(view)}{self._why_not_kept(vector)}")
            self._made.batches.append(stored[is_finite])

    def _why_not_kept(self, vector: npt.NDArray[np.floating]) -> str:
        if np.isfinite(vector).all():
            return f"its vector has values beyond {np.dtype(self._type)}: store it as float32"
        return "the network gave a vector that is not finite"

    def _commit(self) -> None:
        if not self._made.of:
            return
        with self._store.commit("embed") as commit:
            commit.append("embeddings", self._made.table(self._name), key=self._name)
        self._made = _Vectors()
        self._commits += 1
        if self._commits % COMPACT_EVERY == 0:
            compact(self._store, "embeddings", self._name, more_to_come=True)


class _Vectors:
    """Vectors that are made but not committed yet."""

    def __init__(self) -> None:
        self.of: list[tuple[str, int]] = []  # content and view of each vector
        self.batches: list[npt.NDArray[np.floating]] = []

    @property
    def bytes(self) -> int:
        """The memory that they take."""
        return sum(batch.nbytes for batch in self.batches)

    def table(self, embedder: str) -> pa.Table:
        """The vectors as rows of ``embeddings``."""
        return pa.table(
            {
                "content_id": pa.array([content_id for content_id, _ in self.of]),
                "embedder": pa.array([embedder] * len(self.of)),
                "view": pa.array([view for _, view in self.of], pa.int32()),
                "vector": pa.chunked_array([from_matrix(batch) for batch in self.batches]),
            }
        )


def views_in(todo: pa.Table) -> int:
    """How many views there are to embed."""
    return len(todo["views"].combine_chunks().flatten())


def picture_or_reason(root: Path, content_id: str, paths: list[str], *, max_pixels: int) -> Image.Image | str:
    """The picture of a content, or the reason why there is none."""
    try:
        return decoding.decode_content(root, content_id, paths, max_pixels=max_pixels).image
    except decoding.UnreadableImage as error:
        return str(error)
    except MemoryError:
        return "needs more memory to read than there is"


def prepared_or_reasons(
    network: Embedder, image: Image.Image, content_id: str, views: Sequence[int], how: Augmentation
) -> dict[int, npt.NDArray[Any] | str]:
    """Each view of a picture as the network takes it, or why it cannot be."""
    augmented = [view for view in views if view]
    pictures: dict[int, Image.Image] = {view: image for view in views if not view}
    try:
        draws = [augmentation.draw(how, content_id, view) for view in augmented]
        if draws:
            made = augmentation.views(image, draws, size=network.working_size(image), fill=how.fill)
            pictures |= dict(zip(augmented, made, strict=True))
    except Exception as error:
        unmade: dict[int, npt.NDArray[Any] | str] = dict.fromkeys(
            augmented, f"its views cannot be made ({_told(error)})"
        )
    else:
        unmade = {}
    return {view: _prepared_or_reason(network, one, view) for view, one in pictures.items()} | unmade


def _prepared_or_reason(network: Embedder, image: Image.Image, view: int) -> npt.NDArray[Any] | str:
    try:
        return network.prepare(image)
    except Exception as error:  # an embedder may fail on a strange shape, or for lack of memory: only this file fails
        return f"{_of_view(view)}cannot be prepared for the network ({_told(error)})"


def _of_view(view: int) -> str:
    return f"view {view}: " if view else ""


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
