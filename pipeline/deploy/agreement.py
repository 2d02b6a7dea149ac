"""Agreement: what an artefact answers, beside the run's own answers on the stored vectors.

The stored vectors may have been made with another precision or backend than the artefact computes in. The difference is no fault
of the file that was written, so it is reported rather than refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.embed import feature_sets
from pipeline.evaluate import predictors
from pipeline.runs.rows import Rows
from pipeline.runs.runs import HEAD, Run
from store.rows import json_of
from store.store import Snapshot

Probabilities = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Agreement:
    """A comparison on ``images`` pictures.

    Attributes:
        largest_difference: in probability.
        other_class: on how many pictures another class is the most probable.
        rows: how many of them are rows of the split, whose labels are known.
        run_accuracy, artefact_accuracy: on these rows; None if there are none.
        precision: of the stored vectors, such as ``bfloat16``; None for a run that looks at pictures.
    """

    images: int
    largest_difference: float
    other_class: int
    rows: int
    run_accuracy: float | None
    artefact_accuracy: float | None
    precision: str | None


def own_answers(
    snapshot: Snapshot, run: Run, contents: Sequence[str], computed: Probabilities, others: Sequence[str]
) -> dict[str, Probabilities]:
    """The run's own probabilities (classes,) by content.

    Args:
        contents: some contents.
        computed: (contents, classes), what the run's network gives for their pictures; a run on pictures has no other answers.
        others: more contents, for a run on stored vectors.
    """
    if run.kind != HEAD:
        return dict(zip(contents, computed, strict=True))
    predictor = predictors.of_run(snapshot, run)
    known = predictor.known([*contents, *others])
    if not known:
        return {}
    return dict(zip(known, predictor.ask(list(known.values())).probabilities, strict=True))


def compare(
    snapshot: Snapshot, run: Run, own: Mapping[str, Probabilities], answers: Mapping[str, Probabilities], rows: Rows
) -> Agreement | None:
    """How the artefact's ``answers`` by content agree with the run's ``own``; None if there is no picture of both.

    ``rows`` are those of the split: each counts once for accuracy.
    """
    both = [one for one in answers if one in own]
    if not both:
        return None
    first, second = (np.stack([given[one] for one in both]) for given in (own, answers))
    best = dict(zip(both, zip(first.argmax(1), second.argmax(1), strict=True), strict=True))
    labelled = [
        (run.class_names[list(best[content])] == label).tolist()
        for content, label in zip(rows.content_ids.tolist(), rows.labels.tolist(), strict=True)
        if content in best
    ]
    of_run, of_artefact = np.mean(labelled, axis=0).tolist() if labelled else (None, None)
    return Agreement(
        len(both),
        float(np.abs(first - second).max()),
        sum(int(one != other) for one, other in best.values()),
        len(labelled),
        of_run,
        of_artefact,
        _precision(snapshot, run) if run.kind == HEAD else None,
    )


def _precision(snapshot: Snapshot, run: Run) -> str:
    row = feature_sets.row_of(snapshot, run.embedders[0])
    return str(
        json_of(row["settings"], f"the settings of the feature set {run.embedders[0]!r}").get("precision") or "float32"
    )


def tell(
    given: Mapping[str, Any], number: Callable[[Any, str], str] = format, literal: Callable[[Any], str] = str
) -> str:
    """A sentence for people, from the figures of an :class:`Agreement`; ``number`` and ``literal`` write its values."""
    of_vectors = f" on its stored vectors ({literal(given['precision'])})" if given["precision"] is not None else ""
    told = (
        f"Beside the run's own answers{of_vectors}, on {number(given['images'], '')} images: probabilities differ by at most "
        f"{number(given['largest_difference'], '.2g')}, and {number(given['other_class'], '')} images get another class"
    )
    if given["rows"]:
        told += (
            f"; on the {number(given['rows'], '')} rows among them the run has accuracy {number(given['run_accuracy'], '.4f')}, "
            f"this file {number(given['artefact_accuracy'], '.4f')}"
        )
    return told + "."
