"""Evaluate: a run on the rows of a split, plain and masked by what is known of each row."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.curate import units
from pipeline.embed import feature_sets
from pipeline.evaluate import leakage, predictors
from pipeline.runs import judgement, metrics, taxonomy
from pipeline.runs.evaluations import Evaluation, record_name
from pipeline.runs.judgement import Judgement
from pipeline.runs.rows import Rows, load_rows
from pipeline.runs.runs import HEAD, Run
from pipeline.steps import hints
from pipeline.steps.again import operand
from pipeline.steps.config import Config
from pipeline.steps.records import NEVER, Record
from pipeline.steps.settings import check, incidental, options, setting
from pipeline.train import fitting
from store.errors import ColdframeError
from store.schemas import SCHEMAS
from store.store import Snapshot, Store

STEP = "evaluate"
MOST_VIEWS = 2**31 - 1


@dataclass(frozen=True)
class Settings:
    """Which rows to evaluate, and how. Each column to mask by gives a separate evaluation."""

    split: str = setting("test", "Split to evaluate.")
    mask_by: tuple[str, ...] = setting(
        (),
        "Also evaluate with classes ruled out that never occur with the row's value of COL; repeatable.",
        metavar="COL",
    )
    group_by: tuple[str, ...] = setting((), "Also give figures per value of COL; repeatable.", metavar="COL")
    tta: bool = setting(False, "Average over the augmented views that the store has.")
    plan: str | None = setting(None, "Plan whose splits to use.", default_text="the run's plan")
    memory_share: float = setting(
        0.25, "Share of memory that a matrix may take; a larger one is kept on disk.", least=0, most=1, incidental=True
    )


def evaluate(store: Store, run_id: str | None, settings: Settings, *, quiet: bool = False) -> list[Judgement]:
    """Predict every row of a split; store predictions and figures, plain and once per mask.

    If an evaluation of that name had figures by columns that are not asked for now, those are updated too.

    Raises:
        ColdframeError: there is no such run or column, the split has no rows, or there are no views to average.
    """
    started = time.monotonic()
    check(STEP, settings)
    snapshot = store.snapshot()
    run = Run.find(snapshot, run_id)
    plan = settings.plan or run.plan
    fitting.require_plan(snapshot, plan)
    for given in (*settings.mask_by, *settings.group_by):
        if given not in snapshot.columns("images"):
            raise ColdframeError(f"no column {given!r} in images; columns: {', '.join(snapshot.columns('images'))}")
    rows = _rows(snapshot, run, plan, settings)
    classes, groups = run.class_names, units.of_rows(snapshot, plan, rows.image_ids)
    found = predictors.of_run(snapshot, run).of_rows(rows, quiet=quiet)
    seen = leakage.rows_seen(snapshot, run, rows)
    done: list[Judgement] = []
    with store.commit("evaluate") as commit:
        for column in (None, *settings.mask_by):
            name = str(Evaluation(plan=other_plan(settings, run), tta=settings.tta, masked_by=column))
            masked = _mask(snapshot, run, rows, classes, found, column)
            one = judgement.judge(
                run.run_id,
                name,
                rows,
                groups,
                classes,
                masked.probabilities,
                label_masked=masked.label_masked,
                rows_unmasked=masked.rows_unmasked,
                **seen,
            )
            judgement.keep_judgement(commit, one)
            grouped = [
                row
                for group in _grouped_by(snapshot, one, settings)
                for row in judgement.by_group(snapshot, one, rows, groups, group)
            ]
            commit.replace(
                "group_evaluations", pa.Table.from_pylist(grouped, SCHEMAS["group_evaluations"]), key=one.key
            )
            done.append(one)
        commit.record_step(
            STEP,
            record_name(run.name, settings.split, other_plan(settings, run)),
            settings=_recorded(settings, run),
            inputs=inputs_read(snapshot, run, settings),
            seconds=time.monotonic() - started,
            rows_in=len(rows),
            rows_out=len(rows),
        )
    return done


def _rows(snapshot: Snapshot, run: Run, plan: str, settings: Settings) -> Rows:
    """The rows of the split, with their vectors and the augmented views to average.

    Raises:
        ColdframeError: there are no rows, or none of them has views to average.
    """
    views = _views(snapshot, run) if settings.tta else 0
    rows = load_rows(snapshot, plan, run.reads_vectors, settings.split, views=views, memory_share=settings.memory_share)
    if not len(rows):
        known = ", ".join(row["split"] for row in snapshot.rows("steps/evaluate/split_sizes", plan=plan))
        raise ColdframeError(
            f"plan {plan!r} has no labelled rows with vectors in split {settings.split!r}; splits: {known}"
        )
    if settings.tta and rows.without_view == len(rows):
        raise ColdframeError(
            f"no row of split {settings.split!r} has augmented views to average: "
            f"{hints.command('embed', run.embedders[0], '--views', views, '--view-rows', 'all')} makes them"
        )
    return rows


def inputs_read(snapshot: Snapshot, run: Run, settings: Settings) -> dict[str, str]:
    """A digest of the run, of each column of the rows evaluated, and of each column to mask or group by."""
    plan = settings.plan or run.plan
    rows = snapshot.rows("steps/train/labelled_rows_digest", plan=plan, splits=[settings.split])
    inputs = {f"{row['name']} of plan {plan}": row["digest"] for row in rows}
    for embedder in run.reads_vectors:
        inputs[f"embeddings of {embedder}"] = snapshot.value(
            "steps/train/labelled_vectors_digest",
            plan=plan,
            splits=[settings.split],
            embedder=embedder,
            views=MOST_VIEWS if settings.tta else 0,
        )
    columns = list(dict.fromkeys((*settings.mask_by, *settings.group_by)))
    return inputs | {"run": run.run_id} | feature_sets.column_digests(snapshot, columns)


def other_plan(settings: Settings, run: Run) -> str | None:
    """The plan evaluated on, if it is not the run's own."""
    return None if settings.plan == run.plan else settings.plan


def _grouped_by(snapshot: Snapshot, one: Judgement, settings: Settings) -> list[str]:
    """The columns asked for, and those that had figures before."""
    key = {"run_id": one.run_id, "split": one.split, "evaluations": [one.evaluation]}
    before = [row["column"] for row in snapshot.rows("steps/evaluate/grouped_by", **key)]
    return list(dict.fromkeys([*settings.group_by, *(one for one in before if one in snapshot.columns("images"))]))


def _views(snapshot: Snapshot, run: Run) -> int:
    """How many augmented views all feature sets of a run have.

    Raises:
        ColdframeError: a feature set has none.
    """
    if run.kind != HEAD:
        raise ColdframeError(
            f"{run.run_id} looks at pictures, not at cached vectors, so it has no views to average: leave out --tta"
        )
    found = []
    for embedder in run.embedders:
        found.append(max(feature_sets.views(snapshot, embedder), default=0))
        if not found[-1]:
            raise ColdframeError(
                f"the feature set {embedder!r} has no augmented views to average: "
                f"{hints.command('embed', embedder, '--views', 4, '--view-rows', 'all')} makes them"
            )
    return min(found, default=0)


@dataclass(frozen=True)
class _Masked:
    """Masked probabilities, the rows whose label the mask rules out, and the rows whose group was not seen in training."""

    probabilities: metrics.Probabilities
    label_masked: int = 0
    rows_unmasked: int = 0


def _mask(
    snapshot: Snapshot,
    run: Run,
    rows: Rows,
    classes: npt.NDArray[np.str_],
    probabilities: metrics.Probabilities,
    column: str | None,
) -> _Masked:
    """Rule out the classes that never occur with a row's value of ``column``, in any case, among the training rows."""
    if column is None:
        return _Masked(probabilities)
    by_value = taxonomy.folded(taxonomy.of_column(snapshot, run, column))
    allowed = taxonomy.to_matrix(by_value, classes)
    number = {group: position for position, group in enumerate(by_value)}
    value_of = judgement.values_by_id(snapshot, column)
    groups = np.array(
        [number.get(taxonomy.key(value_of.get(one) or ""), -1) for one in rows.image_ids.tolist()], np.int64
    )
    targets = judgement.targets(rows.labels, classes)
    judged = (groups >= 0) & (targets >= 0)
    label_masked = int((~allowed[groups[judged], targets[judged]]).sum())
    return _Masked(metrics.mask(probabilities, groups, allowed), label_masked, int((groups < 0).sum()))


def out_of_date(moment: Snapshot | None, config: Config, name: str) -> str | None:
    """Why the newest run of a name has to be evaluated again; None if it need not be."""
    settings = config.settings(Settings, STEP, flags={})
    run = Run.newest(moment, name=name) if moment else None
    if moment is None or run is None:
        return NEVER
    record = Record.of(moment, STEP, record_name(name, settings.split, other_plan(settings, run)))
    if record is None:
        return NEVER
    return record.difference(_recorded(settings, run), inputs_read(moment, run, settings), Settings)


def _recorded(settings: Settings, run: Run) -> dict[str, Any]:
    """The settings as recorded by the step."""
    return {**asdict(settings), "plan": settings.plan or run.plan}


def again(
    moment: Snapshot, config: Config, run: str, name: str, split: str, evaluations: Sequence[Evaluation]
) -> list[str]:
    """The command that repeats evaluations of a run on a split of one plan.

    Args:
        run: names the run on a command line.
        name: the run's name.
        evaluations: not ones that come with training or exporting.
    """
    plan = evaluations[0].plan
    record = Record.of(moment, STEP, record_name(name, split, plan))
    settings = Settings(
        split=split,
        mask_by=tuple(sorted({one.masked_by for one in evaluations if one.masked_by})),
        group_by=tuple(record.settings.get("group_by") or ()) if record is not None else (),
        tta=any(one.tta for one in evaluations),
        plan=plan,
    )
    return [
        STEP,
        operand(run),
        *options(Settings, settings, config.defaults(Settings, STEP), leave_out=tuple(incidental(Settings))),
    ]
