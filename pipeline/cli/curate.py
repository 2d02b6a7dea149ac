"""``score``, ``filter``, ``split``, ``curate``, ``keep``, ``drop``, ``relabel``, ``unset`` and ``why``."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

import click

from pipeline.cli.app import Command, Common, coldframe, command
from pipeline.cli.options import Number, facts_of, pairs, plan_option, what_if_option, words_of
from pipeline.curate import plans, replay, rules, scorers, units, verdict_lists, verdicts
from pipeline.curate import score as scoring
from pipeline.curate import why as told
from pipeline.curate.plans import Plan
from pipeline.curate.replay import Replay
from pipeline.curate.verdict_lists import Judged
from pipeline.runtime import output, terminal
from pipeline.runtime.processes import standard_input
from pipeline.steps import names as naming
from pipeline.steps.settings import Declared, declared
from store.errors import ColdframeError
from store.store import Snapshot


class _ByName(Command):
    """A command that adds the options of the scorers or rules named in its arguments, or of all of them if none is named."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._own = list(self.params)

    def options_of(self, name: str) -> Sequence[Declared]:
        """The settings of a name."""
        raise NotImplementedError

    def names(self) -> list[str]:
        """The names there are."""
        raise NotImplementedError

    def describe(self, name: str) -> str:
        """A line about a name."""
        raise NotImplementedError

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        named = [one for one in args if one in self.names()]
        self.named = named
        found: dict[str, Declared] = {}
        for name in named or self.names():
            for one in self.options_of(name):
                found.setdefault(one.name, one)
        options = [click.Option(names, **facts) for names, facts in (facts_of(one) for one in found.values())]
        self.params = [*options, *self._own]
        return super().make_context(info_name, args, parent, **extra)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if not self.named:
            self.params = self._own
            with formatter.section("Names"):
                formatter.write_dl([(name, self.describe(name)) for name in self.names()])
            formatter.write_paragraph()
            formatter.write_text(f"'{ctx.command_path} NAME --help' shows the options of one.")
        super().format_options(ctx, formatter)


class _Scorers(_ByName):
    def options_of(self, name: str) -> Sequence[Declared]:
        return declared(scorers.module(name).Settings)

    def names(self) -> list[str]:
        return scorers.names()

    def describe(self, name: str) -> str:
        return scorers.describe(name)


class _Rules(_ByName):
    def options_of(self, name: str) -> Sequence[Declared]:
        return rules.settings(name)

    def names(self) -> list[str]:
        return rules.names()

    def describe(self, name: str) -> str:
        return rules.describe(name)


@command("score", _Scorers)
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
def score(common: Common, names: tuple[str, ...], **flags: Any) -> None:
    """Give each image a score that needs no curation."""
    if len(names) > 1:  # one process each: two frameworks in one process cause trouble
        codes = [coldframe(common, ["score", name, *words_of(flags)]) for name in names]
        sys.exit(next(filter(None, codes), 0))
    (name,) = names
    kind = scorers.module(name).Settings
    unknown = [key for key, value in flags.items() if value not in (None, ()) and key not in kind.__dataclass_fields__]
    if unknown:
        raise click.UsageError(f"{name} has no --{unknown[0]}")
    own = {key: value for key, value in flags.items() if key in kind.__dataclass_fields__}
    outcome = scoring.score(common.open(), name, common.config.settings(kind, scoring.STEP, name, flags=own))
    missing = f", {outcome.without_vector} have no vector in {outcome.embedder}" if outcome.without_vector else ""
    missing += f", {outcome.without_label} have no label" if outcome.without_label else ""
    common.say(f"{name}: {outcome.scored} images scored{missing}")


@command("filter", _Rules)
@click.argument("rule", metavar="NAME")
@click.option("--set", "others", metavar="NAME=VALUE", multiple=True, help="A setting by its name; repeatable.")
@plan_option
@what_if_option
def filter_(common: Common, rule: str, others: tuple[str, ...], plan: str, what_if: bool, **flags: Any) -> None:
    """Add a rule to a plan, or replace it, and replay the plan."""
    settings = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in flags.items()
        if value is not None and value != ()
    }
    settings |= {name: _from_json(value) for name, value in pairs("--set", others).items()}
    stage = plans.rule_stage(rule, settings)
    for doubt in rules.doubts(rule, plans.percentiles(stage.settings)):
        raise click.UsageError(doubt)
    _change_plan(common, plan, lambda present: present.with_stage(stage), what_if=what_if)


@command("split")
@click.argument("name")
@click.argument("share", type=Number(), required=False)
@click.option(
    "--where",
    metavar="SQL",
    help="In place of SHARE: the rows still in train where this holds, such as \"subset = 'test'\".",
)
@click.option(
    "--by",
    metavar="COL",
    help="Keep rows with the same value together; 'burst' for pictures of one camera, each soon after the one before.",
)
@click.option(
    "--seconds",
    type=Number(),
    metavar="S",
    help=f"With --by burst: most seconds between two pictures of one burst.  [default: {units.BURST_SECONDS:g}]",
)
@click.option("--seed", type=int, help=f"Seed of the plan; another one draws every split anew.  [default: {Plan.seed}]")
@click.option("--reassign", is_flag=True, help="Ignore earlier placements and draw the split anew.")
@plan_option
@what_if_option
def split(
    common: Common,
    name: str,
    share: float | None,
    where: str | None,
    by: str | None,
    seconds: float | None,
    seed: int | None,
    reassign: bool,
    plan: str,
    what_if: bool,
) -> None:
    """Carve NAME out of what is still train, stratified by class; equal files and known near copies stay together."""
    if share is None and where is None:
        raise click.UsageError("expected a share such as 0.15, or a condition with --where")
    naming.check("a split", name)
    stage = plans.split_stage(name, {"share": share, "by": by, "seconds": seconds, "where": where})

    def change(present: Plan) -> Plan:
        changed = present.with_stage(stage)
        return changed if seed is None else plans.with_seed(changed, seed)

    _change_plan(common, plan, change, what_if=what_if, reassign=reassign)


@command("curate")
@click.option("--reassign", is_flag=True, help="Ignore earlier placements and draw every split anew.")
@plan_option
@what_if_option
def curate(common: Common, plan: str, reassign: bool, what_if: bool) -> None:
    """Replay a whole plan from the top over images, scores and verdicts."""

    def change(present: Plan) -> Plan:
        if not present.stages:
            raise ColdframeError(
                f"plan {plan!r} has no stages: add them with 'coldframe filter' and 'coldframe split', or under "
                f"[plans.{plan}] in coldframe.toml"
            )
        return present

    _change_plan(common, plan, change, what_if=what_if, reassign=reassign)


def _change_plan(
    common: Common, name: str, change: Callable[[Plan], Plan], *, what_if: bool, reassign: bool = False
) -> None:
    """Change a plan and replay it; keep the file that defines it, if any, in step."""
    store = common.open()

    def make_plan(moment: Snapshot) -> Plan:
        present = plans.current(common.config, moment, name)
        if present is None:
            naming.check("a plan", name)
        return change(present or plans.Plan(name))

    if what_if:
        snapshot = store.snapshot()
        result, changes = replay.what_if(snapshot, make_plan(snapshot), reassign=reassign)
        output.write(changes, "table", rows=len(changes))
        _tell_replay(common, result)
        common.say("nothing was written")
        return

    def save(plan: Plan) -> None:
        if plans.write_to_config(common.config, plan):
            common.say(f"{common.config.path}: plan {name!r} brought up to date")

    _tell_replay(common, replay.curate(store, make_plan, reassign=reassign, before_commit=save))


def _tell_replay(common: Common, result: Replay) -> None:
    for stage, (rows_in, rows_out) in zip(result.plan.stages, result.stage_rows, strict=True):
        common.say(f"{stage}: {rows_in} rows in, {rows_in - rows_out} out")
    for note in result.notes:
        common.say(f"note: {note}")
    counts: dict[str, int] = {}
    for name in result.curation["split"].to_pylist():
        if name is not None:
            counts[name] = counts.get(name, 0) + 1
    kept = ", ".join(f"{count} {name}" for name, count in sorted(counts.items(), key=lambda one: -one[1]))
    common.say(f"plan {result.plan.name}: {len(result.curation)} ready, {sum(counts.values())} kept ({kept})")


def _from_json(text: str) -> Any:
    """A number, list or truth value if the text is one; else the text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _verdict_command(verdict: str, text: str, *, needs_why: bool) -> None:
    @command(verdict)
    @click.argument("images", metavar="IMAGE...|-", nargs=-1)
    @_list_option
    @_why_option(needs_why)
    def judge(common: Common, images: tuple[str, ...], source: str | None, why: str | None) -> None:
        given = _listed(images, source, why, needs_why=needs_why)
        if given is None:
            if not images:
                raise click.UsageError("no image: name some by id or path, or give a list with --from")
            given = [Judged(one, _reason(why, needs_why=needs_why)) for one in images]
        _judge(common, given, verdict)

    judge.help = text


def _why_option(needs_why: bool) -> Callable[..., Any]:
    told = " Rows of a list may have their own, in a column 'why'." if needs_why else ""
    return click.option("--why", help=f"The reason, for people who read it later.{told}")


_list_option = click.option(
    "--from",
    "source",
    type=click.Path(dir_okay=False, allow_dash=True),
    help="A CSV with a column image_id or path, or one image a line. - is standard input, as it is in place of IMAGE.",
)


@command("relabel")
@click.argument("given", metavar="IMAGE LABEL|-", nargs=-1)
@_list_option
@_why_option(True)
def relabel(common: Common, given: tuple[str, ...], source: str | None, why: str | None) -> None:
    """Correct the label of an image, by id or path; lists have a column label. The catalogue's stays as given_label."""
    judged = _listed(given, source, why, needs_why=True, with_label=True)
    if judged is None:
        if len(given) != 2:
            raise click.UsageError(f"expected an image and its label, got {len(given)} arguments; see --help for lists")
        if not given[1].strip():
            raise click.UsageError("the label is empty")
        judged = [Judged(given[0], _reason(why, needs_why=True), given[1])]
    _judge(common, judged, verdicts.RELABEL)


def _listed(
    given: tuple[str, ...], source: str | None, why: str | None, *, needs_why: bool, with_label: bool = False
) -> list[Judged] | None:
    """The rows of a list; None if images are named on the command line."""
    if given == ("-",):
        given, source = (), source or "-"
    if source is None:
        return None
    if given:
        raise click.UsageError("name images, or give a list with --from, not both")
    name, most = source, verdict_lists.MOST_BYTES + 1
    if source == "-":
        name, content = "standard input", standard_input(most)
    else:
        with open(source, "rb") as file:  # a pipe too
            content = file.read(most)
    return verdict_lists.read(content, name, (why or "").strip(), needs_why=needs_why, with_label=with_label)


def _reason(why: str | None, *, needs_why: bool) -> str:
    if needs_why and why is None:
        raise click.UsageError("Missing option '--why': give the reason, for people who read it later")
    why = (why or "").strip()
    if needs_why and not why:
        raise click.UsageError("--why is empty: give the reason, for people who read it later")
    return why


def _judge(common: Common, given: list[Judged], verdict: str) -> None:
    outcome = verdicts.judge(common.open(), common.config, given, verdict)
    for note in outcome.notes:
        common.say(f"note: {note}")
    replayed = f"replayed: {', '.join(outcome.replayed)}" if outcome.replayed else "no plan to replay yet"
    common.say(f"{verdict}: {len(outcome.images)} images; {replayed}")


_verdict_command("keep", "Keep images by id or path, whatever the rules say.", needs_why=True)
_verdict_command("drop", "Drop images by id or path, whatever the rules say.", needs_why=True)
_verdict_command("unset", "Withdraw verdicts on images: rules and the catalogue's label count again.", needs_why=False)


@command("why")
@click.argument("image")
@click.option(
    "--format", "fmt", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to print it."
)
def why(common: Common, image: str, fmt: str) -> None:
    """Tell everything the store knows about one image, and why it is in or out."""
    story = told.why(common.open().snapshot(), image)
    if fmt == "json":
        return output.write_json(story, indent=1)
    for line in told.tell(story):
        terminal.echo(common.pasted(line))
    return None
