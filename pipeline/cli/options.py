"""Command options: those made from declared settings, and those that several commands share."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import click

from pipeline.runtime import terminal
from pipeline.steps import names as naming
from pipeline.steps.settings import LARGEST_COUNT, Declared, declared
from store.errors import ColdframeError

FORMATS = ("table", "csv", "json", "ndjson", "parquet")
Command = Callable[..., Any]
Decorator = Callable[[Command], Command]


def settings_options(
    kind: type, *, leave_out: Collection[str] = (), defaults: Mapping[str, str] | None = None
) -> Decorator:
    """An option for each setting of a dataclass.

    Args:
        leave_out: names of settings that are given in another way.
        defaults: help texts for defaults that the declaration alone does not fully describe.
    """
    return options_of((one for one in declared(kind) if one.name not in leave_out), defaults or {})


def options_of(settings: Iterable[Declared], defaults: Mapping[str, str] | None = None) -> Decorator:
    """An option for each of some settings."""
    made = [facts_of(one, (defaults or {}).get(one.name)) for one in settings if one.setting.is_option]

    def decorate(function: Command) -> Command:
        for names, facts in reversed(made):
            function = click.option(*names, **facts)(function)
        return function

    return decorate


def facts_of(one: Declared, default: str | None = None) -> tuple[list[str], dict[str, Any]]:
    """A setting as arguments of :class:`click.Option`. The option's value is None, or empty, if it is not given."""
    what = one.setting
    facts: dict[str, Any] = {"help": _help(one, default), "default": None, "metavar": what.metavar}
    if bool in one.kinds:
        return [f"{one.option}/--no-{one.option[2:]}", one.name], {**facts, "is_flag": True}
    facts["type"] = type_of(one)
    facts |= {"nargs": 2} if what.is_range else {"multiple": True} if one.takes_several else {}
    return [one.option, *what.spellings, one.name], facts


def type_of(one: Declared) -> Any:
    """The type of an option's value."""
    what = one.setting
    if what.parse is not None:
        return _Parsed(what.parse)
    if what.choices and not callable(what.choices):  # choices from files are checked by their step, which lists them
        return click.Choice(what.allowed)
    if float in one.kinds:
        low, high = what.least if what.above is None else what.above, what.most if what.below is None else what.below
        is_open = {"min_open": what.above is not None, "max_open": what.below is not None}
        return Number() if low is None and high is None else Range(low, high, **is_open)
    if int in one.kinds:
        most = None if what.most is None or what.most >= LARGEST_COUNT else int(what.most)
        least = None if what.least is None else int(what.least)
        return click.INT if least is None and most is None else click.IntRange(least, most)
    return str


class Number(click.types.FloatParamType):
    """A number; ``nan`` and ``inf`` are none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number of a text."""
        return _finite(self, super().convert(value, param, ctx), param, ctx)


class Range(click.FloatRange):
    """A range of numbers; ``nan`` and ``inf`` are none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number of a text."""
        return _finite(self, super().convert(value, param, ctx), param, ctx)


def _finite(kind: click.ParamType, number: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # type: ignore[type-arg]
    if not math.isfinite(number):
        kind.fail(f"{number!r} is not a finite number.", param, ctx)
    return number


class Name(click.ParamType):  # type: ignore[type-arg]
    """The name of something new."""

    name = "text"

    def __init__(self, what: str) -> None:
        self._what = what

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The name, if it may be one."""
        try:
            naming.check(self._what, value)
        except ColdframeError as error:
            self.fail(str(error), param, ctx)
        return value


class _Parsed(click.ParamType):  # type: ignore[type-arg]
    """A value that a function makes from its text."""

    name = "text"

    def __init__(self, parse: Callable[[str], Any]) -> None:
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The value of a text."""
        return self._parse(value) if isinstance(value, str) else value


def _help(one: Declared, default: str | None) -> str:
    text, what = one.setting.help, one.setting
    if callable(what.choices):
        text = f"{text} One of {', '.join(what.allowed)}."
    told = default if default is not None else default_text(one)
    return f"{text}  [default: {told}]" if told else text


def default_text(one: Declared) -> str:
    """The default as the help describes it; nothing if it is obvious."""
    if one.setting.default_text is not None:
        return one.setting.default_text
    return shown(one, one.default)


def shown(one: Declared, value: Any) -> str:
    """A value as the help shows it."""
    if value is None or value is False or value == () or value == "":
        return ""
    if value is True:
        return "yes"
    if one.setting.show is not None:
        return one.setting.show(value)
    if isinstance(value, tuple):
        return " ".join(shown(one, single) for single in value)
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def words_of(flags: Mapping[str, Any]) -> list[str]:
    """The given options, turned back into words of a command line."""
    words: list[str] = []
    for name, value in flags.items():
        option = f"--{name.replace('_', '-')}"
        if value is None or value == ():
            continue
        if isinstance(value, bool):
            words.append(option if value else f"--no-{option[2:]}")
            continue
        for one in value if isinstance(value, tuple) else [value]:
            words += [option, str(one)]
    return words


def pairs(option: str, given: tuple[str, ...]) -> dict[str, str]:
    """``NAME=VALUE`` options; a name that is given twice is refused, as one of its values would be lost."""
    found: dict[str, str] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals or not name:
            raise click.UsageError(f"{option} {one}: expected NAME=VALUE")
        if name in found:
            raise click.UsageError(f"{option} {name}: given twice, as {found[name]!r} and {value!r}: give it once")
        found[name] = value
    return found


def format_option(function: Command) -> Command:
    """``--format`` for commands whose result is a table."""
    return click.option(
        "--format",
        "fmt",
        type=click.Choice(FORMATS),
        default=FORMATS[0],
        show_default=True,
        callback=_before_work,
        help="How to print the result.",
    )(function)


def _before_work(ctx: click.Context, parameter: click.Parameter, value: str) -> str:
    if value == "parquet":
        terminal.refuse_binary(value)
    return value


def plan_option(function: Command) -> Command:
    """``--plan`` for commands that change one."""
    from store.schemas import DEFAULT_PLAN

    return click.option("--plan", default=DEFAULT_PLAN, show_default=True, help="The plan to work on.")(function)


what_if_option = click.option("--what-if", is_flag=True, help="Show what would change, class by class; write nothing.")
