"""``train`` and ``tune``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import click

from pipeline.cli.app import Common, command
from pipeline.cli.options import Name, default_text, options_of, settings_options, shown
from pipeline.runs.keeping import Outcome
from pipeline.runs.runs import FINETUNED, NETWORK, Run
from pipeline.runtime import output
from pipeline.steps.settings import Declared, declared
from pipeline.train import fitting, from_pixels, heads
from pipeline.train import train as step
from pipeline.train import tune as search
from store.store import Store

_OF_HEADS = {one.name: one for one in declared(fitting.Settings)}
_OF_NETWORKS = {one.name: one for one in declared(from_pixels.Settings)}
ONLY_OF_NETWORKS = ("size", "augmentation")


def _defaults() -> Mapping[str, str]:
    """Help texts for defaults that differ between heads: the default head's value, then those of the heads that differ."""
    return {name: text for name, one in _OF_HEADS.items() if (text := _default(one))}


def _default(one: Declared) -> str:
    first, others = "", dict[str, list[str]]()
    for name in (heads.DEFAULT, *heads.names()):
        if one.name not in heads.heeded(name):
            continue
        text = shown(one, heads.module(name).DEFAULTS.get(one.name, one.default))
        if name == heads.DEFAULT:
            first = text
        elif text != first:
            others.setdefault(text, []).append(name)
    if one.name in _OF_NETWORKS and one.name in heads.ALL_SETTINGS:
        text = default_text(_OF_NETWORKS[one.name])
        if text != first:
            others.setdefault(text, []).append(from_pixels.Settings.from_scratch)
    told = [f"{', '.join(dict.fromkeys(names))}: {text}" for text, names in others.items() if text]
    return "; ".join([first, *told]) if first else next(iter(others), "")


def _of_networks(name: str) -> Declared:
    """A setting that only a network trained from scratch has."""
    one = _OF_NETWORKS[name]
    help = f"With --from-scratch: {one.setting.help}" if name in ONLY_OF_NETWORKS else one.setting.help
    return replace(one, setting=replace(one.setting, help=help))


def _of_one_head(one: Declared) -> Declared:
    """A setting; if only one head uses it, its help names that head."""
    heeding = [name for name in heads.names() if one.name in heads.heeded(name)]
    if one.name not in heads.ALL_SETTINGS or len(heeding) != 1:
        return one
    return replace(one, setting=replace(one.setting, help=f"{heeding[0]}: {one.setting.help}"))


@command("train")
@options_of([_OF_HEADS["head"], *map(_of_networks, ("from_scratch", *ONLY_OF_NETWORKS))], {"from_scratch": ""})
@click.option("--from", "from_run", metavar="RUN", help="Start from the settings of a run; other options change them.")
@click.option("--as", "as_name", type=Name("a run"), metavar="NAME", help="Name of the run.  [default: the head's]")
@options_of((_of_one_head(one) for name, one in _OF_HEADS.items() if name != "head"), _defaults())
@click.option("--seeds", type=click.IntRange(1), metavar="N", help="N runs, with seeds from --seed on.")
def train(common: Common, from_run: str | None, as_name: str | None, seeds: int | None, **flags: Any) -> None:
    """Train a head on cached features; its run id goes to stdout."""
    store = common.open()
    run = Run.find(store.snapshot(), from_run) if from_run is not None else None
    if run is not None and run.kind == FINETUNED:
        raise click.UsageError(f"--from {from_run}: fine-tuned; name the head it began with, {run.finetuned_from}")
    section = common.config.section(step.STEP, as_name or "") if as_name and run is None else {}
    if run is not None and run.kind != NETWORK and flags["from_scratch"]:
        raise click.UsageError(f"--from {from_run}: a head, whose settings are of no use to --from-scratch")
    if flags["from_scratch"] or "from_scratch" in section or (run is not None and run.kind == NETWORK):
        return _train_network(common, store, run, as_name, seeds, flags)
    for one in ONLY_OF_NETWORKS:
        if flags.pop(one) is not None:
            raise click.UsageError(f"--{one} needs --from-scratch: a head sees vectors, not pictures")
    del flags["from_scratch"]
    given = {key: value for key, value in flags.items() if value not in (None, ())}
    if run is None:
        name = as_name or flags["head"] or os.environ.get("COLDFRAME_TRAIN_HEAD") or heads.DEFAULT
        section = common.config.section(step.STEP, name)
        if as_name is None:
            flags["head"] = flags["head"] or section.get("head")
        settings = common.config.settings(fitting.Settings, step.STEP, name, flags=flags)
    else:
        settings = fitting.changed(run, given)
        name = as_name or (run.name if settings.head == fitting.settings_of(run).head else str(settings.head))
    fitting.check_heeded(name, settings, list(given | section))
    for seed in range(settings.seed, settings.seed + (seeds or 1)):
        _tell_training(common, step.train(store, name, replace(settings, seed=seed)))
    return None


def _train_network(
    common: Common,
    store: Store,
    run: Run | None,
    as_name: str | None,
    seeds: int | None,
    flags: dict[str, Any],
) -> None:
    """``train --from-scratch``: takes the options that a network uses; refuses the others."""
    given = {key: value for key, value in flags.items() if value not in (None, ())}
    unknown = [key for key in given if key not in from_pixels.Settings.__dataclass_fields__]
    if unknown:
        raise click.UsageError(f"--from-scratch trains no head: leave out --{unknown[0].replace('_', '-')}")
    if run is not None:
        name, settings = as_name or run.name, replace(from_pixels.settings_of(run), **given)
    else:
        name = as_name or given["from_scratch"]
        settings = common.config.settings(from_pixels.Settings, step.STEP, name, flags=given)
    for seed in range(settings.seed, settings.seed + (seeds or 1)):
        _tell_training(common, from_pixels.train(store, name, replace(settings, seed=seed), quiet=common.quiet))


def _tell_training(common: Common, outcome: Outcome) -> None:
    for note in outcome.notes:
        common.say(f"note: {note}")
    loss, accuracy = outcome.kept("loss"), outcome.kept("val_accuracy")
    chose = " on the rows that chose the epoch" if outcome.by_epoch else ""
    validated = f", val_accuracy {accuracy:.4f}{chose}" if accuracy is not None else ""
    epochs = f"{outcome.epochs} epochs, loss {loss:.4f}{validated}, " if loss is not None else ""
    common.say(
        f"{outcome.train_rows} training and {outcome.val_rows} validation rows, {outcome.classes} classes: {epochs}"
        f"{outcome.seconds:.1f} s"
    )
    if outcome.folds is not None:
        measures = outcome.folds.measures
        common.say(f"out of fold: accuracy {measures.accuracy:.4f}, macro F1 {measures.f1_macro:.4f}")
    output.write_line(outcome.run_id)


@command("tune")
@click.option(
    "--as", "as_name", type=Name("a run"), metavar="NAME", default="tuned", show_default=True, help="Name of the run."
)
@settings_options(search.Settings, leave_out=search.NOT_ASKED, defaults=_defaults())
def tune(common: Common, as_name: str, **flags: Any) -> None:
    """Search the mlp head's layers, units, dropout and optimiser by Hyperband; the best becomes a run."""
    settings = common.config.settings(search.Settings, search.STEP, as_name, flags=flags)
    outcome = search.tune(common.open(), as_name, settings, quiet=common.quiet)
    for note in outcome.notes:
        common.say(f"note: {note}")
    best = ", ".join(f"{name} {value}" for name, value in outcome.best.items())
    common.say(
        f"{outcome.trials} trials, {outcome.known} of them known before, {outcome.seconds:.1f} s; {settings.objective} "
        f"{outcome.score:.4f} in the best trial ({best}), which the run repeats with early stopping"
    )
    common.say(
        "its settings were chosen on the validation rows, so figures on those are too optimistic: 'coldframe evaluate' gives "
        "those on test"
    )
    output.write_line(outcome.run_id)
