"""Names of evaluations: what is written is what is read."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.runs.evaluations import Evaluation
from store.errors import ColdframeError, StoreDamaged

names = st.text("abp,:l ntmsked\n", min_size=1, max_size=12)


@given(st.none() | names, st.booleans(), st.none() | names)
def test_a_name_is_read_as_it_was_meant_or_refused(plan: str | None, tta: bool, column: str | None) -> None:
    made: Evaluation | None = None
    with contextlib.suppress(ColdframeError):
        made = Evaluation(plan=plan, tta=tta, masked_by=column)
    if made is None:
        assert ",tta" in (plan or "") or ",masked:" in (plan or "")
    else:
        assert Evaluation.parse(str(made)) == made


def test_a_name_that_could_be_misread_is_refused() -> None:
    for plan in ("a,tta", "a,masked:b"):
        with pytest.raises(ColdframeError, match="could not be told from another one"):
            Evaluation(plan=plan)


@given(names)
def test_a_column_may_be_called_anything(column: str) -> None:
    """A comma, too, or the name of another word."""
    assert Evaluation.parse(str(Evaluation(tta=True, masked_by=column))).masked_by == column


@pytest.mark.parametrize("folds", [2, 10, 1000])
def test_folds_and_formats(folds: int) -> None:
    assert Evaluation.parse(f"folds:{folds}") == Evaluation(folds=folds)
    assert Evaluation.parse("export:onnx") == Evaluation(exported_as="onnx")
    assert str(Evaluation()) == "plain"


@pytest.mark.parametrize(
    "name", ["", "tta,", ",tta", "tta,plan:x", "masked:", "plan:", "folds:0", "folds:x", "export:", "Plain"]
)
def test_names_that_nobody_gives(name: str) -> None:
    with pytest.raises(StoreDamaged, match="coldframe did not write this row"):
        Evaluation.parse(name)
