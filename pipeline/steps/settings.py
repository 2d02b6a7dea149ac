"""Settings: each is declared once, as a field of a dataclass of its step.

Everything else comes from that declaration: the command's option with its help and default, the setting in ``coldframe.toml``
and the environment, the check of its value, what the store records, and the option that ``coldframe repair`` prints.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from store.errors import ColdframeError

LARGEST_COUNT = 2**31 - 1  # for settings that count: the largest value that every library behind them takes
LARGEST_SEED = 2**32 - 1
MOST_SIDE = 8192  # pixels on one side of a network's input


@dataclass(frozen=True)
class Setting:
    """What is known of a setting besides its name, type and default.

    Attributes:
        help: a sentence about it, as the command shows it.
        metavar: the placeholder for its value in the help, such as ``HxW``.
        choices: the allowed values, or a function that returns them; empty if any value will do.
        least, most: inclusive bounds; of each value, if there are several.
        above, below: exclusive bounds.
        default_text: how the help describes the default if the value alone does not say enough.
        spellings: further names of its option, such as ``--lr``.
        incidental: whether it changes how the step runs but not what it makes.
        holds_path: whether it is a path, relative to the folder of the file in which it is written.
        may_hold_path: whether it is a path if something exists there, and a name otherwise.
        words: values that are never a path.
        most_bytes: the largest file that it may name; what the memory holds if it is None.
        is_option: whether the command has an option for it.
        is_range: whether its value is a pair: the least and the most of something.
        parse, show: convert an option's text to a value and back, if the value is more than a number or a word.
    """

    help: str = ""
    metavar: str | None = None
    choices: Sequence[str] | Callable[[], Sequence[str]] = ()
    least: float | None = None
    most: float | None = None
    above: float | None = None
    below: float | None = None
    default_text: str | None = None
    spellings: tuple[str, ...] = ()
    incidental: bool = False
    holds_path: bool = False
    may_hold_path: bool = False
    words: tuple[str, ...] = ()
    most_bytes: int | None = None
    is_option: bool = True
    is_range: bool = False
    parse: Callable[[str], Any] | None = None
    show: Callable[[Any], str] | None = None

    @property
    def allowed(self) -> tuple[str, ...]:
        """The allowed values; empty if any will do."""
        return tuple(self.choices() if callable(self.choices) else self.choices)

    @property
    def expected(self) -> str:
        """What a value must be, in the words of an error message."""
        if self.allowed:
            return f"one of {', '.join(self.allowed)}"
        if self.is_range:
            return f"the least and the most, {replace(self, is_range=False).expected}"
        if self.above is not None and self.below is not None:
            return f"between {self.above:g} and {self.below:g}"
        low = (
            f"from {self.least:g}"
            if self.least is not None
            else f"above {self.above:g}"
            if self.above is not None
            else ""
        )
        high = (
            f"below {self.below:g}" if self.below is not None else f"{self.most:.15g}" if self.most is not None else ""
        )
        if low and high:
            return f"{low} to {high}"
        return f"at least {self.least:g}" if self.least is not None else low or (f"at most {high}" if high else "")

    def is_right(self, value: Any) -> bool:
        """Whether a value, or each of several, is allowed. None stands for the default, which is allowed."""
        if value is None:
            return True
        if isinstance(value, list | tuple):
            is_range = len(value) == 2 and value[0] <= value[1]
            return (is_range or not self.is_range) and all(self.is_right(one) for one in value)
        if self.allowed:
            return value in self.allowed
        if isinstance(value, bool) or not isinstance(value, int | float):
            return True
        return (
            math.isfinite(value)
            and (self.least is None or value >= self.least)
            and (self.most is None or value <= self.most)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )


@dataclass(frozen=True)
class Declared:
    """A setting of a dataclass: its name, type and default, and what else is known of it."""

    name: str
    hint: Any
    default: Any
    setting: Setting

    @property
    def option(self) -> str:
        """The option of its command: ``--label-smoothing`` for ``label_smoothing``."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def kinds(self) -> tuple[type, ...]:
        """The types that a single value may have, apart from None."""
        return tuple(_kinds(self.hint))

    @property
    def takes_several(self) -> bool:
        """Whether its value may be a list."""
        return any(typing.get_origin(one) is tuple for one in _alternatives(self.hint)) and self.setting.parse is None

    @property
    def expected(self) -> str:
        """What a value must be, in the words of an error message."""
        kind = readable(self.kinds[0]) if self.kinds else "a value"
        return self.setting.expected if self.setting.allowed else " ".join(filter(None, [kind, self.setting.expected]))

    def fits(self, value: Any) -> bool:
        """Whether a single value has one of the setting's types."""
        return any(fits(value, one) for one in self.kinds)

    def shown(self, value: Any) -> str:
        """A value in the form that an option takes."""
        return self.setting.show(value) if self.setting.show is not None else str(value)


def setting(default: Any, help: str = "", **facts: Any) -> Any:
    """A field of a dataclass of settings; ``facts`` are those of :class:`Setting`."""
    return dataclasses.field(default=default, metadata={"setting": Setting(help, **facts)})


def declared(kind: type) -> tuple[Declared, ...]:
    """The settings of a dataclass, in order."""
    hints = typing.get_type_hints(kind)
    return tuple(
        Declared(one.name, hints[one.name], one.default, one.metadata.get("setting", Setting()))
        for one in dataclasses.fields(kind)
    )


def check(step: str, settings: Any) -> None:
    """Check values against their declarations.

    Raises:
        ColdframeError: a value is not allowed; the message names it and says what was expected.
    """
    for one in declared(type(settings)):
        value = getattr(settings, one.name)
        if not one.setting.is_right(value):
            raise wrong(step, one.name, value, one.setting.expected)


def wrong(step: str, name: str, value: Any, expected: str) -> ColdframeError:
    """The error for a value that is not allowed."""
    shown = repr(value) if isinstance(value, str) else value
    return ColdframeError(f"{step}: {name} = {shown}, expected {expected}")


def incidental(kind: type) -> frozenset[str]:
    """The settings that change how a step runs but not what it makes."""
    return frozenset(one.name for one in declared(kind) if one.setting.incidental)


def as_json(settings: Any) -> dict[str, Any]:
    """Settings as the store records them."""
    found: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(settings)))
    return found


def from_json(kind: type[Any], recorded: Mapping[str, Any]) -> Any:
    """Settings from what the store recorded.

    Settings that an earlier version did not have get their defaults; those that this version does not know are left out.

    Raises:
        ColdframeError: a value is not of its setting's type, as none that coldframe recorded is.
    """
    given = {}
    for one in declared(kind):
        if one.name not in recorded:
            continue
        value = recorded[one.name]
        listed = list(value) if isinstance(value, tuple) else value
        if not fits(listed, one.hint) or (one.setting.is_range and len(listed) != 2):
            raise ColdframeError(f"the record of a step says {one.name} = {ascii(value)[:60]}, which no step records")
        given[one.name] = tuple(value) if isinstance(value, list) else value
    return kind(**given)


def options(kind: type, settings: Any, defaults: Any = None, *, leave_out: Sequence[str] = ()) -> Iterator[str]:
    """Words of a command line that give these settings, except those whose value is the default anyway.

    Args:
        kind: the dataclass whose options the command has.
        settings: an instance of it, or of one that has its fields.
        defaults: what the command takes without options; the defaults of ``kind`` if it is None.
        leave_out: names of settings that are given in another way.
    """
    for one in declared(kind):
        if not one.setting.is_option or one.name in leave_out:
            continue
        value, default = getattr(settings, one.name), one.default if defaults is None else getattr(defaults, one.name)
        if value is None or value == default:
            continue
        if isinstance(value, bool):
            yield one.option if value else f"--no-{one.option.removeprefix('--')}"
            continue
        if one.setting.is_range:
            yield from (one.option, *map(one.shown, value))
            continue
        for single in value if one.takes_several and isinstance(value, list | tuple) else [value]:
            yield from (one.option, one.shown(single))


def named_paths(settings: Any) -> Iterator[tuple[Declared, Path]]:
    """The settings whose value names a file or folder that is there, and the path; a final slash makes no difference to it."""
    for one in declared(type(settings)):
        value = getattr(settings, one.name)
        may_name = one.setting.holds_path or one.setting.may_hold_path
        if may_name and isinstance(value, str) and value and value not in one.setting.words:
            path = Path(value)
            if os.path.exists(path):
                yield one, path


def fits(value: Any, hint: Any) -> bool:
    """Whether a value from TOML or JSON is of a type."""
    if isinstance(hint, types.UnionType):
        return any(fits(value, one) for one in typing.get_args(hint))
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if typing.get_origin(hint) is tuple:
        return isinstance(value, list) and all(fits(one, typing.get_args(hint)[0]) for one in value)
    return isinstance(value, hint)


def readable(hint: Any) -> str:
    """A type in plain words."""
    if isinstance(hint, types.UnionType):
        return " or ".join(readable(one) for one in typing.get_args(hint) if one is not types.NoneType)
    if typing.get_origin(hint) is tuple:
        return f"a list of {readable(typing.get_args(hint)[0])}"
    return {"str": "text", "int": "a whole number", "float": "a number", "bool": "true or false"}.get(
        getattr(hint, "__name__", ""), str(hint)
    )


def _alternatives(hint: Any) -> list[Any]:
    found = typing.get_args(hint) if isinstance(hint, types.UnionType) else [hint]
    return [one for one in found if one is not types.NoneType]


def _kinds(hint: Any) -> Iterator[type]:
    for one in _alternatives(hint):
        yield from _kinds(typing.get_args(one)[0]) if typing.get_origin(one) is tuple else [one]


def parse_size(text: str) -> tuple[int, int]:
    """``380``, ``380x380`` or ``375x500`` (height x width), as two positive numbers of pixels.

    Raises:
        ColdframeError: it is none of these.
    """
    parts = text.lower().split("x")
    if len(parts) not in (1, 2) or not all(part.isdigit() and int(part) for part in parts):
        raise ColdframeError(f"size {text!r}: expected HEIGHTxWIDTH in pixels, such as 380x380 or 375x500")
    return int(parts[0]), int(parts[-1])


def show_size(size: tuple[int, int]) -> str:
    """(height, width) as ``380x380``."""
    return f"{size[0]}x{size[1]}"


def is_size(given: Any) -> bool:
    """Whether a JSON value is the [height, width] in pixels of a network's input."""
    return (
        isinstance(given, list) and len(given) == 2 and all(type(one) is int and 1 <= one <= MOST_SIDE for one in given)
    )
