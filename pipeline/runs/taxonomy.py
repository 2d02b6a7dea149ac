"""Taxonomy: which classes occur with which value of a catalogue column, such as the families of a phylum."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from pipeline.runs import judgement
from pipeline.runs.runs import Run
from store.errors import ColdframeError
from store.schemas import TRAIN
from store.store import Snapshot

ByValue = dict[str, list[str]]  # the classes that occur with each value
RANKS = ("kingdom", "phylum", "class", "order", "family", "tribe", "genus", "species")
_RANK = re.compile(rf"(?:(?:super|sub|infra)[ _-]?)?(?:{'|'.join(RANKS)})", re.IGNORECASE)


def is_rank(column: str) -> bool:
    """Whether a column is named like a taxonomic rank: ``Family``, ``sub_family``. Not ``family_name``: people have one."""
    return _RANK.fullmatch(column.strip()) is not None


def of_column(snapshot: Snapshot, run: Run, column: str) -> ByValue:
    """For each value of a column, the classes of the run's training rows with that value; values and classes ascending."""
    trained = snapshot.query("steps/runs/run_labels", run_id=run.run_id, split=TRAIN)
    value_of = judgement.values_by_id(snapshot, column)
    found: dict[str, set[str]] = {}
    for image_id, label in zip(trained["image_id"].to_pylist(), trained["label"].to_pylist(), strict=True):
        value = value_of.get(image_id)
        if value is not None:
            found.setdefault(value, set()).add(label)
    return {value: sorted(found[value]) for value in sorted(found)}


def folded(by_value: ByValue) -> ByValue:
    """The same with values that differ only in case taken together, under :func:`key` of each; ascending."""
    found: dict[str, set[str]] = {}
    for value, labels in by_value.items():
        found.setdefault(key(value), set()).update(labels)
    return {one: sorted(found[one]) for one in sorted(found)}


def key(value: str) -> str:
    """A value without its case and its way to write an accent."""
    return unicodedata.normalize("NFC", value).casefold()


def to_matrix(by_value: ByValue, classes: npt.NDArray[np.str_]) -> npt.NDArray[np.bool_]:
    """Whether a class occurs with a value, bool (values, classes); ``classes`` ascend."""
    allowed = np.zeros((len(by_value), len(classes)), bool)
    for row, labels in enumerate(by_value.values()):
        allowed[row, np.searchsorted(classes, labels)] = True
    return allowed


def allowed(
    by_column: Mapping[str, ByValue], asked: Sequence[tuple[str, str]], classes: npt.NDArray[np.str_]
) -> npt.NDArray[np.bool_]:
    """The classes that occur with all the values asked for, bool (classes,). Case is ignored.

    Args:
        by_column: an entry for each available column.
        asked: columns and values.
        classes: (classes,) ascending.

    Raises:
        ColdframeError: there is no such column or value, or no class has them all.
    """
    mask = np.ones(len(classes), bool)
    for column, value in asked:
        by_value = by_column.get(column) or by_column.get(
            next((one for one in by_column if key(one) == key(column)), "")
        )
        if by_value is None:
            raise ColdframeError(f"--where {column}={value}: no such column; columns: {', '.join(by_column) or 'none'}")
        labels = folded(by_value).get(key(value))
        if not labels:
            shown = ", ".join(list(by_value)[:20]) + (", …" if len(by_value) > 20 else "")
            raise ColdframeError(f"--where {column}={value}: not among the training rows, whose values are: {shown}")
        mask &= np.isin(classes, labels)
    if not mask.any():
        said = ", ".join(f"{column}={value}" for column, value in asked)
        raise ColdframeError(f"--where {said}: no class occurs with all of these")
    return mask
