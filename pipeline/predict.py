"""Predict: what a run, or an artefact, says of picture files.

From Python::

    from pipeline.predict import open_model
    model = open_model("wildlife-openvino")            # or open_model("mlp", store="coldframe-store")
    for answer in model.predict(["photo.jpg"], top=3, where={"phylum": "chordata"}):
        print(answer.path, answer.labels, answer.probabilities, answer.distance, answer.nearest)
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image

from pipeline import artefact, decoding, engines, taxonomy
from pipeline.engines import Engine
from pipeline.processes import cores
from store.errors import ColdframeError

STDIN = "-"
SUFFIXES = frozenset(Image.registered_extensions())
AHEAD = 64  # files decoded before they are asked for
TABLE = pa.schema(
    [
        ("path", pa.string()),
        ("rank", pa.int32()),
        ("label", pa.string()),
        ("probability", pa.float64()),
        ("distance", pa.float64()),
        ("nearest", pa.list_(pa.string())),
        ("failed", pa.string()),
    ]
)


@dataclass(frozen=True)
class Answer:
    """What a model says of one file.

    Attributes:
        path: as it was given.
        labels, probabilities: the best classes, the best first; the probabilities are those among the classes allowed.
        distance: Euclidean, of its vector to that of the nearest training image; None where the model knows none.
        nearest: ids of the nearest training images, the nearest first.
        failed: why the file gives no picture; the others are empty then.
    """

    path: str
    labels: tuple[str, ...] = ()
    probabilities: tuple[float, ...] = ()
    distance: float | None = None
    nearest: tuple[str, ...] = ()
    failed: str | None = None


class Model:
    """A run or an artefact, loaded once, to be asked as often as one likes.

    Attributes:
        classes: (classes,) ascending.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.classes = engine.classes

    def predict(
        self,
        sources: Iterable[str | Path | bytes],
        *,
        top: int = 5,
        where: Mapping[str, str] | Sequence[tuple[str, str]] = (),
        neighbours: int = 3,
    ) -> Iterator[Answer]:
        """An answer for each file, in their order.

        Args:
            sources: paths of files, or the bytes of one.
            top: classes to name, at most.
            where: values of columns of the catalogue; only classes that occur with all of them are possible.
            neighbours: nearest training images to name; 0 for neither these nor the distance.

        Raises:
            ColdframeError: a column or value that the training rows do not have.
        """
        pairs = list(where.items()) if isinstance(where, Mapping) else list(where)
        possible = taxonomy.allowed(self._engine.taxonomy([column for column, _ in pairs]), pairs, self.classes)
        for batch in self._batches(sources):
            pictures = [one for one in batch if one.image is not None]
            found = self._engine.run([(one.content_id, one.image) for one in pictures if one.image is not None])
            answers = iter(self._answers(found.probabilities, found.vectors, possible, top, neighbours))
            for one in batch:
                if one.image is None:
                    yield Answer(one.path, failed=one.failed)
                else:
                    labels, probabilities, distance, nearest = next(answers)
                    yield Answer(one.path, labels, probabilities, distance, nearest)

    def _answers(
        self,
        probabilities: npt.NDArray[np.float64],
        vectors: npt.NDArray[np.float32] | None,
        possible: npt.NDArray[np.bool_],
        top: int,
        count: int,
    ) -> Iterator[tuple[tuple[str, ...], tuple[float, ...], float | None, tuple[str, ...]]]:
        known = self._engine.neighbours() if count and vectors is not None and len(vectors) else None
        if known is not None and vectors is not None:
            places, distances = known.nearest(vectors, count)
        masked = probabilities * possible
        totals = masked.sum(axis=1, keepdims=True)
        # where all that is possible has no probability at all, each is as likely as the others
        shares = np.where(totals > 0, masked / np.where(totals > 0, totals, 1), possible / possible.sum())
        for row, share in enumerate(shares):
            best = [one for one in np.argsort(-share, kind="stable")[:top] if possible[one]]
            labels = tuple(str(self.classes[one]) for one in best)
            chances = tuple(float(share[one]) for one in best)
            if known is None:
                yield labels, chances, None, ()
            else:
                yield labels, chances, float(distances[row, 0]), tuple(known.image_ids[places[row]].tolist())

    def _batches(self, sources: Iterable[str | Path | bytes]) -> Iterator[list[_Decoded]]:
        """Files decoded ahead by threads, as many at a time as the engine likes."""
        batch: list[_Decoded] = []
        with ThreadPoolExecutor(cores() + 1) as pool:
            ahead: deque[Future[_Decoded]] = deque()
            try:
                for source in sources:
                    ahead.append(pool.submit(_decode, source, self._engine.max_pixels))
                    if len(ahead) > AHEAD:
                        batch.append(ahead.popleft().result())
                    if len(batch) == self._engine.batch:
                        yield batch
                        batch = []
                while ahead:
                    batch.append(ahead.popleft().result())
                    if len(batch) == self._engine.batch or not ahead:
                        yield batch
                        batch = []
            finally:
                pool.shutdown(cancel_futures=True)


@dataclass(frozen=True)
class _Decoded:
    path: str
    image: Image.Image | None = None
    content_id: str = ""
    failed: str | None = None


def _decode(source: str | Path | bytes, max_pixels: int) -> _Decoded:
    path = STDIN if isinstance(source, bytes) else str(source)
    try:
        data = source if isinstance(source, bytes) else decoding.read_bytes(Path(source))
        picture = decoding.decode(data, max_pixels=max_pixels)
    except decoding.UnreadableImage as error:
        return _Decoded(path, failed=str(error))
    return _Decoded(path, picture.image, picture.content_id)


def open_model(source: str | Path, *, store: str | Path | None = None) -> Model:
    """A model to ask: the artefact in a folder, else a run of a store, as ``coldframe predict`` names them.

    Raises:
        ColdframeError: neither is there, or it cannot be loaded.
    """
    folder = Path(source)
    if artefact.is_one(folder) or (folder / artefact.DRAFT).is_file():
        return Model(engines.of_artefact(artefact.read(folder)))
    if store is None:
        raise ColdframeError(f"{source}: no artefact there; a run needs its store")
    return Model(engines.of_run(Path(store), str(source)))


def expand(given: Sequence[str]) -> list[str | bytes]:
    """Files for what a command line names: a file for itself, a folder for the pictures in it, by name, at any depth, and ``-``
    for standard input, which holds a picture or the paths of some, one a line.

    Raises:
        ColdframeError: a folder without a picture, or nothing on standard input.
    """
    found: list[str | bytes] = []
    for name in given:
        if name == STDIN:
            found += _from_stdin()
        elif Path(name).is_dir():
            inside = sorted(
                str(path) for path in Path(name).rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()
            )
            if not inside:
                raise ColdframeError(f"{name}: no picture in this folder, by the endings of names that Pillow knows")
            found += inside
        else:
            found.append(name)
    return found


def _from_stdin() -> list[str | bytes]:
    data = sys.stdin.buffer.read()
    if not data.strip():
        raise ColdframeError("-: nothing on standard input; expected a picture, or the paths of some, one a line")
    try:
        lines = data.decode().splitlines()
        decoding.decode(data)  # of the formats of pictures, some are text
    except UnicodeDecodeError:
        return [data]
    except decoding.UnreadableImage:
        return [line.strip() for line in lines if line.strip()]
    return [data]


def to_tables(answers: Iterable[Answer], failed: Callable[[Answer], None]) -> Iterator[pa.Table]:
    """A table for each file: one row per class named, the best first, or one for a file that failed, which ``failed`` gets."""
    for one in answers:
        if one.failed is not None:
            failed(one)
            yield pa.Table.from_pylist([{"path": one.path, "failed": one.failed}], TABLE)
            continue
        ranked = enumerate(zip(one.labels, one.probabilities, strict=True), start=1)
        rows = [
            {
                "path": one.path,
                "rank": rank,
                "label": label,
                "probability": probability,
                "distance": one.distance,
                "nearest": list(one.nearest),
            }
            for rank, (label, probability) in ranked
        ]
        yield pa.Table.from_pylist(rows, TABLE)
