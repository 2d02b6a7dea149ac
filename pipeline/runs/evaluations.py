"""Names of evaluations: how the probabilities behind a run's figures were made."""

from __future__ import annotations

import re
from dataclasses import dataclass

from store.errors import ColdframeError
from store.rows import not_ours

PLAIN = "plain"
_FOLDS, _EXPORT, _PLAN, _TTA, _MASKED = "folds:", "export:", "plan:", "tta", "masked:"
# The name of a plan ends where the next word begins. A column is the last word, and may contain commas.
_WORDS = re.compile(
    rf"(?:{_PLAN}(?P<plan>.+?))?(?:(?:^|(?<=.),)(?P<tta>{_TTA}))?(?:(?:^|(?<=.),){_MASKED}(?P<column>.+))?", re.DOTALL
)


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation covers. Without any of these it is plain: the run itself, on the splits of its own plan.

    Its text is its name in the store: ``plain``, ``folds:N``, ``export:FORMAT``, or those of the words ``plan:NAME``, ``tta`` and
    ``masked:COLUMN`` that apply, in this order, joined by commas.

    Attributes:
        plan: the plan whose splits are used, if not the run's own.
        tta: whether probabilities are averaged over augmented views.
        masked_by: the catalogue column that rules classes out.
        folds: the number of folds, if the rows are training rows predicted out of fold.
        exported_as: the format, if an artefact was evaluated.

    Raises:
        ColdframeError: the name of a plan or column could be misread in the name of an evaluation.
    """

    plan: str | None = None
    tta: bool = False
    masked_by: str | None = None
    folds: int = 0
    exported_as: str | None = None

    def __post_init__(self) -> None:
        if _parse(str(self)) != _fields(self):
            named = " and ".join(repr(one) for one in (self.plan, self.masked_by, self.exported_as) if one is not None)
            raise ColdframeError(
                f"an evaluation with the name {named} in it could not be told from another one: call the plan something "
                f"without ',{_TTA}' and ',{_MASKED}'"
            )

    def __str__(self) -> str:
        if self.folds:
            return f"{_FOLDS}{self.folds}"
        if self.exported_as is not None:
            return f"{_EXPORT}{self.exported_as}"
        words = [
            f"{_PLAN}{self.plan}" if self.plan is not None else "",
            _TTA if self.tta else "",
            f"{_MASKED}{self.masked_by}" if self.masked_by is not None else "",
        ]
        return ",".join(filter(None, words)) or PLAIN

    @classmethod
    def parse(cls, name: str) -> Evaluation:
        """Parse the name of an evaluation.

        Raises:
            StoreDamaged: coldframe gives no such names.
        """
        found = _parse(name)
        if found is None:
            raise not_ours(f"the evaluation {ascii(name)[:100]}", "expected a name such as plain, tta or masked:COLUMN")
        return cls(*found)


def record_name(run: str, split: str, other_plan: str | None) -> str:
    """The name of an evaluation's record. It uses the run's name, so that a newer run of that name replaces the record."""
    return f"{run}/{split}" + (f"/{_PLAN}{other_plan}" if other_plan else "")


_Fields = tuple[str | None, bool, str | None, int, str | None]


def _fields(one: Evaluation) -> _Fields:
    return one.plan, one.tta, one.masked_by, one.folds, one.exported_as


def _parse(name: str) -> _Fields | None:
    if name == PLAIN:
        return None, False, None, 0, None
    folds = re.fullmatch(rf"{_FOLDS}([1-9][0-9]{{0,9}})", name)
    if folds:
        return None, False, None, int(folds[1]), None
    if name.startswith(_EXPORT) and name != _EXPORT:
        return None, False, None, 0, name.removeprefix(_EXPORT)
    words = _WORDS.fullmatch(name)
    if not words or not name:
        return None
    return words["plan"], words["tta"] is not None, words["column"], 0, None
