"""Filling a feature set: files decoded ahead, batches through the network, what is done committed every few seconds.

Files are decoded in threads of this process: Pillow lets go of the interpreter while it decodes and resizes, and a file is only
here after ingest decoded it whole, in a process of its own and within its limits.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline import decoding
from pipeline.embedders import Embedder
from pipeline.processes import cores
from pipeline.progress import Progress
from store.compaction import compact
from store.matrices import from_matrix
from store.store import Store

BATCHES_AHEAD = 2
COMMIT_BYTES = 8 << 20  # of vectors, where that comes sooner than the seconds between commits: what waits in memory
COMPACT_EVERY = 32  # commits while it runs: a reader then opens at most so many small parts, and a few larger ones
LEAST_JUDGED = 50  # contents tried before a rate of failures says anything


class Filling:
    """One pass over contents to embed, in order.

    Attributes:
        tried: how many contents were taken up.
        embedded: how many of those have a vector now.
        failed: the reason of each other one.
    """

    def __init__(
        self, store: Store, name: str, network: Embedder, root: Path, *, max_pixels: int, stored_type: Any
    ) -> None:
        self._store, self._name, self._network, self._root = store, name, network, root
        self._max_pixels, self._type = max_pixels, stored_type
        self.tried, self.embedded = 0, 0
        self.failed: dict[str, str] = {}
        self._ids: list[str] = []
        self._vectors: list[npt.NDArray[np.floating]] = []
        self._commits = 0

    def fill(self, todo: pa.Table, *, commit_seconds: float, max_failure_rate: float | None, quiet: bool) -> bool:
        """Embed ``todo`` (``content_id, paths``) into the store; False if too many failed and it stopped early."""
        last_commit = time.monotonic()
        with Progress(todo.num_rows, f"embed {self._name}", quiet=quiet) as progress:
            for count in self._batches(todo):
                progress.advance(count, failed=len(self.failed))
                if time.monotonic() - last_commit > commit_seconds or self._pending_bytes() > COMMIT_BYTES:
                    self._commit()
                    last_commit = time.monotonic()
                if self._too_many(max_failure_rate):
                    break
        self._commit()
        return self.tried == len(todo)

    def measure(self, todo: pa.Table) -> float:
        """Seconds a content of ``todo`` takes, storing nothing, after a batch to warm up."""
        sum(self._batches(todo.slice(0, self._network.batch)))
        started = time.monotonic()
        timed = sum(self._batches(todo))
        return (time.monotonic() - started) / max(timed, 1)

    def _pending_bytes(self) -> int:
        return sum(vector.nbytes for vector in self._vectors[:1]) * len(self._vectors)

    def _too_many(self, max_failure_rate: float | None) -> bool:
        judged = self.tried >= LEAST_JUDGED
        return max_failure_rate is not None and judged and len(self.failed) > max_failure_rate * self.tried

    def _batches(self, todo: pa.Table) -> Iterator[int]:
        """Embed batch after batch, decoding a few ahead; how many contents each took up."""
        ahead: deque[list[tuple[str, Future[Any]]]] = deque()
        with ThreadPoolExecutor(cores() + 1) as pool:
            try:
                for start in range(0, todo.num_rows, self._network.batch):
                    rows = todo.slice(start, self._network.batch)
                    pairs = zip(rows["content_id"].to_pylist(), rows["paths"].to_pylist(), strict=True)
                    ahead.append([(content, pool.submit(self._prepare, content, paths)) for content, paths in pairs])
                    if len(ahead) > BATCHES_AHEAD:
                        yield self._embed(ahead.popleft())
                while ahead:
                    yield self._embed(ahead.popleft())
            finally:
                pool.shutdown(cancel_futures=True)

    def _prepare(self, content_id: str, paths: list[str]) -> npt.NDArray[Any] | str:
        return prepared_or_reason(self._network, self._root, content_id, paths, max_pixels=self._max_pixels)

    def _embed(self, batch: list[tuple[str, Future[Any]]]) -> int:
        prepared = [(content_id, future.result()) for content_id, future in batch]
        self.tried += len(prepared)
        good = [(content_id, array) for content_id, array in prepared if not isinstance(array, str)]
        self.failed |= {content_id: array for content_id, array in prepared if isinstance(array, str)}
        if good:
            for (content_id, _), vector in zip(good, self._network.embed([array for _, array in good]), strict=True):
                self._keep(content_id, vector)
        return len(batch)

    def _keep(self, content_id: str, vector: npt.NDArray[np.floating]) -> None:
        with np.errstate(over="ignore"):
            stored = vector.astype(self._type)
        if np.isfinite(stored).all():
            self._ids.append(content_id)
            self._vectors.append(stored)
            self.embedded += 1
        elif np.isfinite(vector).all():
            self.failed[content_id] = f"its vector has values beyond {stored.dtype}: store it as float32"
        else:
            self.failed[content_id] = "the network gave a vector that is not finite"

    def _commit(self) -> None:
        if not self._ids:
            return
        count = len(self._ids)
        table = pa.table(
            {
                "content_id": pa.array(self._ids),
                "embedder": pa.array([self._name] * count),
                "view": pa.array([0] * count, pa.int32()),
                "vector": from_matrix(np.stack(self._vectors)),
            }
        )
        with self._store.commit("embed") as commit:
            commit.append("embeddings", table, key=self._name)
        self._ids, self._vectors = [], []
        self._commits += 1
        if self._commits % COMPACT_EVERY == 0:
            compact(self._store, "embeddings", self._name, more_to_come=True)


def prepared_or_reason(
    network: Embedder, root: Path, content_id: str, paths: list[str], *, max_pixels: int
) -> npt.NDArray[Any] | str:
    """A content as the network takes it, or the reason why there is none."""
    try:
        return network.prepare(decoding.decode_content(root, content_id, paths, max_pixels=max_pixels).image)
    except decoding.UnreadableImage as error:
        return str(error)
    except Exception as error:  # whatever an embedder makes of a strange shape, lack of memory too: this file's alone
        return f"cannot be prepared for the network ({type(error).__name__}: {error})"
