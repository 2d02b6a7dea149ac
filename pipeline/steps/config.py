"""``coldframe.toml`` and how settings are resolved: flag beats environment beats file beats default."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from store import opening
from store.errors import ColdframeError

DEFAULT_FILE = "coldframe.toml"
MOST_BYTES = 1 << 20
SECTIONS = ("store", "ingest", "embed", "score", "plans", "train", "tune", "finetune", "evaluate", "export")

NAMED = ("embed", "score", "plans", "train", "tune", "finetune")  # sections that hold one for each name

LARGEST_COUNT = 2**31 - 1  # of a setting that counts: what every library behind them takes

# Marks of a settings field, as its ``metadata``.
PATH = {"holds": "a path"}
PATH_OR_NAME = {"holds": "a path, or a name if nothing is there"}

SettingsType = TypeVar("SettingsType")


@dataclass(frozen=True)
class Config:
    """A parsed ``coldframe.toml``; ``path`` is None where there is no file."""

    path: Path | None = None
    tables: Mapping[str, Any] = field(default_factory=dict)

    def section(self, *keys: str) -> dict[str, Any]:
        """A table of the file, empty where it is absent.

        Raises:
            ColdframeError: something else than a table stands there.
        """
        table: Any = self.tables
        for key in keys:
            table = table.get(key, {})
            if not isinstance(table, Mapping):
                raise ColdframeError(f"{self.path}: [{'.'.join(keys)}] should be a table of settings")
        return dict(table)

    def settings(self, kind: type[SettingsType], *keys: str, flags: Mapping[str, Any]) -> SettingsType:
        """An instance of the dataclass ``kind``: flags, then the environment, then the file's section, then defaults.

        A flag of None (or an empty tuple) was not given. The variable of ``epochs`` of ``train`` is
        ``COLDFRAME_TRAIN_EPOCHS``; a list is JSON.

        Raises:
            ColdframeError: the section has a setting that ``kind`` does not, or a value of another type.
        """
        where = f"{self.path} [{'.'.join(keys)}]"
        hints = typing.get_type_hints(kind)
        names = [one.name for one in dataclasses.fields(kind)]  # type: ignore[arg-type]
        given = self._located(self.section(*keys), kind) | _from_environment(keys[0], hints)
        for name, value in given.items():
            if name not in names:
                raise ColdframeError(f"{where}: no setting {name!r}; settings: {', '.join(names)}")
            if not _fits(value, hints[name]):
                raise ColdframeError(f"{where}: {name} = {value!r}, expected {_readable(hints[name])}")
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
        values |= {name: value for name, value in flags.items() if value is not None and value != ()}
        return kind(**values)

    def locate(self, value: str) -> str:
        """A path written in the file, which counts from the file's folder."""
        return str(self.path.parent / value) if self.path else value

    def _located(self, section: dict[str, Any], kind: type[SettingsType]) -> dict[str, Any]:
        """A section with its paths located: those of fields marked ``PATH``, and of ``PATH_OR_NAME`` if something is there."""
        for one in dataclasses.fields(kind):  # type: ignore[arg-type]
            value = section.get(one.name)
            if not isinstance(value, str):
                continue
            if one.metadata == PATH or (one.metadata == PATH_OR_NAME and Path(self.locate(value)).exists()):
                section[one.name] = self.locate(value)
        return section


def load(path: Path | None) -> Config:
    """Read ``path``, or ``coldframe.toml`` in the working folder if there is one.

    Raises:
        ColdframeError: the named file is missing, is not TOML, has a section nobody knows, or a setting where only sections
            can be.
    """
    if path is None:
        if not Path(DEFAULT_FILE).is_file():
            return Config()
        path = Path(DEFAULT_FILE)
    if not path.is_file():
        raise ColdframeError(f"{path}: no such file; 'coldframe run --init' writes the reference recipe")
    try:
        tables = tomllib.loads(opening.read_regular(path, follow=True, most=MOST_BYTES).decode())
    except (ValueError, RecursionError) as error:  # of TOML, of UTF-8, of a number with too many digits
        raise ColdframeError(f"{path}: not readable as TOML: {error}") from error
    for name in tables:
        if name not in SECTIONS:
            raise ColdframeError(f"{path}: no section {name!r}; sections: {', '.join(SECTIONS)}")
    config = Config(path, tables)
    for name in NAMED:
        for key, value in config.section(name).items():
            if not isinstance(value, Mapping):
                raise ColdframeError(
                    f"{path}: {key!r} stands right under [{name}]: it belongs under a name, as [{name}.NAME]"
                )
    return config


def _from_environment(command: str, hints: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a command out of ``COLDFRAME_<COMMAND>_<SETTING>``."""
    found: dict[str, Any] = {}
    for name, hint in hints.items():
        variable = f"COLDFRAME_{command}_{name}".upper()
        text = os.environ.get(variable)
        if not text:
            continue
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        found[name] = value if _fits(value, hint) else text
        if not _fits(found[name], hint):
            raise ColdframeError(f"{variable}={text}: expected {_readable(hint)}")
    return found


def _fits(value: Any, hint: Any) -> bool:
    if isinstance(hint, types.UnionType):
        return any(_fits(value, one) for one in typing.get_args(hint))
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if typing.get_origin(hint) is tuple:
        return isinstance(value, list) and all(_fits(one, typing.get_args(hint)[0]) for one in value)
    return isinstance(value, hint)


def _readable(hint: Any) -> str:
    if isinstance(hint, types.UnionType):
        return " or ".join(_readable(one) for one in typing.get_args(hint) if one is not types.NoneType)
    if typing.get_origin(hint) is tuple:
        return f"a list of {_readable(typing.get_args(hint)[0])}"
    return {"str": "text", "int": "a whole number", "float": "a number", "bool": "true or false"}.get(
        getattr(hint, "__name__", ""), str(hint)
    )


def parse_bytes(name: str, text: str) -> int:
    """``500MB``, ``20GB`` or a number of bytes.

    Raises:
        ColdframeError: the setting ``name`` is anything else.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)b?", text.strip().lower(), re.ASCII)
    if not found or len(found[1]) > 15:
        raise ColdframeError(f"{name} = {text!r}, expected a size such as 500MB or 20GB")
    return int(float(found[1]) * _UNITS[found[2]])


_UNITS = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3, "t": 1000**4}
