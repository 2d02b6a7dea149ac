"""Predict: the answers of a run, or an artefact, for picture files.

From Python::

    from pipeline.deploy.predict import open_model
    model = open_model("wildlife-openvino")            # or open_model("mlp", store="coldframe-store")
    for answer in model.predict(["photo.jpg"], top=3, where={"phylum": "chordata"}):
        print(answer.path, answer.labels, answer.probabilities, answer.distance, answer.nearest)
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.deploy import artefact, artefact_predictor, cards, model_process
from pipeline.deploy.asking import Settings
from pipeline.deploy.sources import STDIN
from pipeline.evaluate import predictors
from pipeline.evaluate.predictors import Found, Predictor
from pipeline.ingest import decoding
from pipeline.ingest.decoders import Decoders, Decoding, Source
from pipeline.ingest.limits import MAX_SECONDS
from pipeline.runs import taxonomy
from pipeline.runs.runs import NoSuchRun, Run
from pipeline.runtime.processes import cores
from store.errors import ColdframeError
from store.store import Store

AT_ONCE, BATCH = 256, 32  # files whose contents are looked up at a time, and that go through a network at a time
BATCH_BYTES = 1 << 28  # of the pictures that go through a network at a time
SHOWN = 5  # files beside an artefact
Element = TypeVar("Element")
TABLE = pa.schema(
    [
        ("path", pa.string()),
        ("rank", pa.int32()),
        ("label", pa.string()),
        ("probability", pa.float64()),
        ("distance", pa.float64()),
        ("nearest", pa.list_(pa.string())),
        ("nearest_labels", pa.list_(pa.string())),
        ("failed", pa.string()),
    ]
)


@dataclass(frozen=True)
class Answer:
    """What a model says of one file.

    Attributes:
        path: as it was given.
        labels, probabilities: the best classes, the best first; probabilities are among the classes allowed.
        distance: Euclidean distance of its vector to that of the nearest training image; None if the model has none.
        nearest, nearest_labels: ids and labels of the nearest training images, the nearest first.
        failed: why the file gives no picture; the other fields are then empty.
    """

    path: str
    labels: tuple[str, ...] = ()
    probabilities: tuple[float, ...] = ()
    distance: float | None = None
    nearest: tuple[str, ...] = ()
    nearest_labels: tuple[str, ...] = ()
    failed: str | None = None


class Model:
    """A run or an artefact, loaded once, for any number of predictions.

    Attributes:
        classes: (classes,) ascending.
        notes: what the user should know about it.
    """

    def __init__(self, predictor: Predictor, *, max_seconds: float = MAX_SECONDS, notes: Iterable[str] = ()) -> None:
        self._predictor, self.notes = predictor, tuple(notes)
        self.classes = predictor.classes
        self._decoders = Decoders(
            cores(), max_pixels=predictor.max_pixels, size=predictor.size, max_seconds=max_seconds
        )
        self._batch = (
            BATCH if predictor.size is None else max(1, min(BATCH, BATCH_BYTES // (3 * math.prod(predictor.size))))
        )
        self._decoders.start()  # while the caller looks for its pictures

    def predict(
        self,
        sources: Iterable[Source],
        *,
        top: int = Settings.top,
        where: Mapping[str, str] | Sequence[tuple[str, str]] = (),
        neighbours: int = Settings.neighbours,
    ) -> Iterator[Answer]:
        """Yield an answer for each file, in order; they are processed some tens at a time.

        Args:
            sources: paths of files, the bytes of one, or the result of :func:`expand`.
            top: the most classes to name.
            where: values of catalogue columns; only classes that occur with all of them are possible.
            neighbours: how many nearest training images to name; 0 leaves out both them and the distance.

        Raises:
            ColdframeError: the training rows do not have such a column or value.
        """
        pairs = list(where.items()) if isinstance(where, Mapping) else list(where)
        possible = taxonomy.allowed(self._predictor.taxonomy([column for column, _ in pairs]), pairs, self.classes)
        with closing(self._prepared(sources)) as batches:  # close at once, whatever happens: no file is awaited
            for batch in batches:
                readable = [one for one in batch if one.failed is None]
                found = self._predictor.ask([one.prepared for one in readable]) if readable else None
                answers = iter(self._answers(readable, found, possible, top, neighbours)) if found else iter(())
                for one in batch:
                    yield next(answers) if one.failed is None else Answer(one.path, failed=one.failed)

    def _answers(
        self, files: list[_File], found: Found, possible: npt.NDArray[np.bool_], top: int, count: int
    ) -> Iterator[Answer]:
        known = self._predictor.neighbours() if count and found.vectors is not None else None
        usable = np.asarray((np.isfinite(found.probabilities) & (found.probabilities >= 0)).all(axis=1))
        if known is not None and found.vectors is not None:
            usable &= np.isfinite(found.vectors).all(axis=1)
            places, distances = known.nearest(np.where(usable[:, None], found.vectors, 0), count)
        masked = np.where(usable[:, None], found.probabilities, 1) * possible
        totals = masked.sum(axis=1, keepdims=True)
        # if no possible class has any probability, all are equally likely
        shares = np.where(totals == 0, possible / possible.sum(), masked / np.where(totals == 0, 1, totals))
        for row, (file, share) in enumerate(zip(files, shares, strict=True)):
            if not usable[row]:
                yield Answer(file.path, failed="the model gave a number that is not finite, or a probability below 0")
                continue
            best = [one for one in np.argsort(-share, kind="stable")[:top] if possible[one]]
            answer = Answer(file.path, tuple(self.classes[best].tolist()), tuple(share[best].tolist()))
            if known is not None:
                ids, labels = (values[places[row]].tolist() for values in (known.image_ids, known.labels))
                answer = replace(
                    answer, distance=float(distances[row, 0]), nearest=tuple(ids), nearest_labels=tuple(labels)
                )
            yield answer

    def _prepared(self, sources: Iterable[Source]) -> Generator[list[_File], None, None]:
        """Files in batches, ready for the predictor; while it works on one batch, threads prepare the next."""
        waiting: list[Future[_File]] = []
        files = Decoding(self._decoders)
        with ThreadPoolExecutor(cores()) as pool:
            try:
                for some in _pieces(sources, AT_ONCE):
                    knows = self._predictor.knows
                    ids = list(pool.map(partial(_identify, files), some)) if knows else [""] * len(some)
                    contents = [one for one in ids if isinstance(one, str) and one]
                    known = self._predictor.known(contents)
                    if any(one not in known for one in contents):
                        self._predictor.get_ready()
                    for batch in _pieces(zip(some, ids, strict=True), self._batch):
                        started = [
                            pool.submit(self._prepare, files, source, content, known) for source, content in batch
                        ]
                        if waiting:
                            yield [one.result() for one in waiting]
                        waiting = started
                if waiting:
                    yield [one.result() for one in waiting]
            except BaseException:
                files.end()
                raise
            finally:
                pool.shutdown(cancel_futures=True)

    def _prepare(
        self, files: Decoding, source: Source, content: str | decoding.UnreadableImage, known: Mapping[str, Any]
    ) -> _File:
        path = STDIN if isinstance(source, bytes) else _told(str(source))
        if not isinstance(content, str):
            return _File(path, failed=str(content))
        if content in known:
            return _File(path, known[content])
        try:
            return _File(path, self._predictor.prepare(files.decode(source)))
        except decoding.UnreadableImage as error:
            return _File(path, failed=str(error))
        except MemoryError:
            return _File(path, failed="needs more memory than there is")


@dataclass(frozen=True)
class _File:
    """A file in the form that the predictor takes, or the reason why it cannot be used."""

    path: str
    prepared: Any = None
    failed: str | None = None


def _identify(files: Decoding, source: Source) -> str | decoding.UnreadableImage:
    """The content id of a file, or why it cannot be read."""
    try:
        return files.identify(source)
    except decoding.UnreadableImage as error:
        return error


def _told(path: str) -> str:
    """A path as it is printed, with the bytes that are no text written out."""
    try:
        return path.encode(errors="surrogateescape").decode(errors="backslashreplace")
    except UnicodeEncodeError:
        return path.encode(errors="backslashreplace").decode()


def _pieces(given: Iterable[Element], count: int) -> Iterator[list[Element]]:
    """Lists of up to ``count`` elements."""
    source = iter(given)
    while piece := list(islice(source, count)):
        yield piece


def open_model(source: str | Path, *, store: str | Path | None = None, max_seconds: float = MAX_SECONDS) -> Model:
    """Open a model: the artefact in a folder, or else a run of a store, named as for ``coldframe predict``.

    ``max_seconds`` is the time limit for one file, to decode and in the model of an artefact.

    Raises:
        ColdframeError: neither exists, or it cannot be loaded, or ``max_seconds`` is not a time.
    """
    if not 1e-3 <= max_seconds < math.inf:
        raise ColdframeError(f"predict: max_seconds = {max_seconds}, expected a number from 0.001 on")
    folder = Path(source)
    looks_like_a_path = os.sep in str(source).rstrip(os.sep)  # the name of a run has none
    is_one, is_draft = artefact.is_one(folder), (folder / cards.DRAFT).is_file()  # asked once: files may come meanwhile
    if looks_like_a_path and folder.is_file():
        raise ColdframeError(f"{source}: a file; expected a run, or the folder of an artefact")
    is_run = (is_one or is_draft) and not looks_like_a_path and _is_run(store, str(source))
    if is_one and is_run:
        raise ColdframeError(
            f"{source}: both an artefact in this folder and a run of the store: say .{os.sep}{source} for the artefact, or the "
            "id of the run ('coldframe runs')"
        )
    if looks_like_a_path or ((is_one or is_draft) and not is_run):
        process = model_process.start(folder) if is_one else None
        try:
            given = artefact.read(folder)
            predictor = artefact_predictor.of_artefact(given, max_seconds=max_seconds, process=process)
            model = Model(predictor, max_seconds=max_seconds, notes=_of_others(given))
            predictor.get_ready()
        except BaseException:
            if process is not None:
                process.end()
            raise
        return model
    if store is None:
        raise ColdframeError(f"{source}: no artefact there; a run needs its store")
    snapshot = Store.open(Path(store)).snapshot()
    return Model(predictors.of_run(snapshot, Run.find(snapshot, str(source))), max_seconds=max_seconds)


def _is_run(store: str | Path | None, name: str) -> bool:
    """Whether a store has a run with this name.

    Raises:
        ColdframeError: the store cannot say.
    """
    if store is None or not Path(store).is_dir():
        return False
    try:
        Run.find(Store.open(Path(store)).snapshot(), name)
    except NoSuchRun:
        return False
    except ColdframeError as error:
        raise ColdframeError(f"{error}. For the artefact in this folder, say .{os.sep}{name}") from error
    return True


def _of_others(given: artefact.Artefact) -> list[str]:
    """A sentence on files beside an artefact, if any: Python run there would import modules from among them."""
    others = artefact.others(given.folder, given.card)
    if not others:
        return []
    named = ", ".join(map(artefact.shown, others[:SHOWN])) + (", …" if len(others) > SHOWN else "")
    return [f"{given.folder}: {len(others)} of its files are not part of the artefact, and were not looked at: {named}"]


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
                "nearest_labels": list(one.nearest_labels),
            }
            for rank, (label, probability) in ranked
        ]
        yield pa.Table.from_pylist(rows, TABLE)
