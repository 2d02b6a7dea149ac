"""How to make it again: the commands that the store was made with."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from pipeline.curate import copies, plans, rules, score
from pipeline.embed import again as embed
from pipeline.embed import feature_sets
from pipeline.evaluate import evaluate
from pipeline.finetune import finetune
from pipeline.ingest import ingest
from pipeline.look.page import Html, code, count, join, tag
from pipeline.look.source import Missing, Section, Source
from pipeline.runs.evaluations import Evaluation
from pipeline.runs.runs import FINETUNED, NETWORK, Run
from pipeline.steps.again import NotKnown, command_line, operand
from pipeline.steps.config import Config
from pipeline.train import from_pixels, train, tune
from store.errors import ColdframeError
from store.rows import json_of
from store.schemas import DEFAULT_PLAN
from store.store import Snapshot

Made = tuple[str, Callable[[], list[str] | None]]  # a step, and what gives its command
NOTHING = Config()  # whatever a coldframe.toml says: the commands say all themselves


def sections(source: Source) -> Iterator[Section | Missing]:
    """One section."""
    lines = list(commands(source.snapshot))
    shown = "\n".join(lines)
    parts: list[Any] = [
        tag(
            "p",
            "These commands make the same again, in this order, in an empty folder or with another ",
            code("--store"),
            ".",
        ),
        tag("pre", shown),
    ]
    if source.facts["verdicts"]:
        parts.append(
            tag(
                "p",
                f"A person gave {count(source.facts['verdicts'], 'verdict')}, which these commands leave out: ",
                code('coldframe sql "from verdicts" --format csv'),
                " lists those that stand.",
            )
        )
    yield Section("again", "How to make it again", join(parts) if lines else Html(""))


def commands(snapshot: Snapshot) -> Iterator[str]:
    """The command line of each step of a store, in order; a comment for one whose record is not known."""
    scored = [str(row["scorer"]) for row in snapshot.rows("steps/curate/scored")]
    planned = [str(row["plan"]) for row in snapshot.rows("steps/curate/plans")]
    looked = bool(snapshot.rows("steps/steps/step", step=copies.STEP, name=""))
    sets = feature_sets.names(snapshot)
    begun = any(part.rows for part in snapshot.manifest.parts("images")) or snapshot.rows(
        "steps/steps/step", step="ingest", name=""
    )
    made: list[Made] = [("ingest", partial(ingest.again, snapshot, NOTHING))] if begun else []
    made += [(f"embed {name}", partial(_embedded, snapshot, name)) for name in sets]
    made += [(f"score {name}", partial(score.again, snapshot, NOTHING, name)) for name in scored]
    made += [("copies", partial(copies.again, snapshot, NOTHING))] if looked else []
    for name in planned:
        made += _planned(snapshot, name)
    made += [(f"views of {name}", partial(_views, snapshot, name)) for name in sets]
    made += _trained(snapshot)
    for what, make in made:
        try:
            line = command_line(make)
            if line:
                yield line  # a line end in it is within quotes
        except NotKnown:
            # quoted: some shells read a comment as a command when it is pasted
            yield f"# {shlex.quote(what)}: its record does not say how it was made".replace("\n", " ")


def _embedded(snapshot: Snapshot, name: str) -> list[str]:
    return embed.again(snapshot, NOTHING, name, feature_sets.row_of(snapshot, name))


def _views(snapshot: Snapshot, name: str) -> list[str] | None:
    return embed.views_again(snapshot, NOTHING, name, feature_sets.row_of(snapshot, name))


def _planned(snapshot: Snapshot, name: str) -> list[Made]:
    """The command of each stage of a plan."""
    try:
        plan = plans.from_store(snapshot, name)
    except ColdframeError as error:
        return [(f"plan {name}", partial(_raise, error))]
    if plan is None:
        return []
    return [(f"plan {name}", partial(_stage, plan, stage)) for stage in plan.stages]


def _raise(error: ColdframeError) -> list[str]:
    raise error


def _stage(plan: plans.Plan, stage: plans.Stage) -> list[str]:
    of_plan = ["--plan", operand(plan.name)] if plan.name != DEFAULT_PLAN else []
    if stage.kind == "rule":
        return ["filter", operand(stage.name), *_options(stage.name, stage.settings), *of_plan]
    settings = stage.settings
    share = [f"{settings['share']:g}"] if "share" in settings else ["--where", str(settings["where"])]
    grouped = [word for one in ("by", "seconds") if one in settings for word in (f"--{one}", str(settings[one]))]
    seed = ["--seed", str(plan.seed)] if plan.seed else []
    return ["split", operand(stage.name), *share, *grouped, *seed, *of_plan]


def _options(rule: str, settings: Mapping[str, Any]) -> Iterator[str]:
    known = {one.name: one for one in rules.settings(rule)}
    for name, value in settings.items():
        if value is None:
            continue
        if isinstance(value, bool):
            yield known[name].option if value else f"--no-{known[name].option[2:]}"
            continue
        for single in value if isinstance(value, list | tuple) else [value]:
            yield from (known[name].option, known[name].shown(single))


def _trained(snapshot: Snapshot) -> list[Made]:
    """The commands of the newest run of each name, and of its evaluations."""
    made: list[Made] = []
    evaluations: dict[tuple[str, str, str | None], list[Evaluation]] = {}
    names: dict[str, str] = {}
    for row in snapshot.rows("steps/look/report/run_evaluations"):
        run_id = str(row["run_id"])
        if run_id not in names:
            names[run_id] = str(row["name"])
            made.append((f"run {row['name']}", partial(_run, snapshot, run_id)))
        if row["evaluation"] is None:
            continue
        with suppress(ColdframeError):
            one = Evaluation.parse(row["evaluation"])
            evaluations.setdefault((run_id, str(row["split"]), one.plan), []).append(one)
    for (run_id, split, _), several in evaluations.items():
        name = names[run_id]
        made.append((f"evaluate {name}", partial(evaluate.again, snapshot, NOTHING, name, name, split, several)))
    return made


def _run(snapshot: Snapshot, run_id: str) -> list[str]:
    run = Run.of_id(snapshot, run_id)
    if run is None:
        raise LookupError(run_id)
    if run.kind == FINETUNED:
        return finetune.again(snapshot, NOTHING, run.name, run.settings)
    if run.kind == NETWORK:
        return from_pixels.again(NOTHING, run.name, run.settings)
    if run.settings_chosen_on is not None:
        record = snapshot.rows("steps/steps/step", step=tune.STEP, name=run.name)
        if record:
            return tune.again(NOTHING, run.name, json_of(record[0]["settings"], f"the record of {run.name}"))
    return train.again(NOTHING, run.name, run.settings)
