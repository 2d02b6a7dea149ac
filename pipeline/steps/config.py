"""``coldframe.toml`` and how settings are resolved: flag beats environment beats file beats default."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import tomllib
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pipeline.steps.settings import declared, fits, readable
from store import opening
from store.errors import ColdframeError

DEFAULT_FILE = "coldframe.toml"
MOST_BYTES = 1 << 20
SECTIONS = ("store", "ingest", "embed", "score", "copies", "plans", "train", "tune", "finetune", "evaluate", "export")

NAMED = ("embed", "score", "plans", "train", "tune", "finetune")  # sections with one subsection for each name

SettingsType = TypeVar("SettingsType")


@dataclass(frozen=True)
class Config:
    """A parsed ``coldframe.toml``; ``path`` is None where there is no file."""

    path: Path | None = None
    tables: Mapping[str, Any] = field(default_factory=dict)

    def section(self, *keys: str) -> dict[str, Any]:
        """A table of the file; empty if it is absent.

        Raises:
            ColdframeError: the file has something other than a table there.
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
            if not fits(value, hints[name]):
                raise ColdframeError(f"{where}: {name} = {value!r}, expected {readable(hints[name])}")
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
        values |= {name: value for name, value in flags.items() if value is not None and value != ()}
        return kind(**values)

    def defaults(self, kind: type[SettingsType], *keys: str, **given: Any) -> SettingsType:
        """What a command takes without options: as :meth:`settings`, but a section that cannot be read is ignored."""
        try:
            return self.settings(kind, *keys, flags=given)
        except ColdframeError:
            return kind(**given)

    def locate(self, value: str) -> str:
        """A path written in the file, relative to the file's folder."""
        return str(self.path.parent / value) if self.path else value

    def _located(self, section: dict[str, Any], kind: type[SettingsType]) -> dict[str, Any]:
        """A section with its paths located."""
        for one in declared(kind):
            value = section.get(one.name)
            if not isinstance(value, str) or value in one.setting.words:
                continue
            if one.setting.holds_path or (one.setting.may_hold_path and os.path.exists(self.locate(value))):
                section[one.name] = self.locate(value)
        return section


def load(path: Path | None) -> Config:
    """Read ``path``, or ``coldframe.toml`` in the working folder if there is one.

    Raises:
        ColdframeError: the named file is missing or not TOML, has an unknown section, or has a setting where only sections
            can be.
    """
    if path is None:
        if not Path(DEFAULT_FILE).is_file():
            return Config()
        path = Path(DEFAULT_FILE)
    if not path.is_file():
        raise ColdframeError(f"{path}: no such file; 'coldframe run --init' writes the reference recipe")
    try:
        text = opening.read_regular(path, follow=True, most=MOST_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ColdframeError(f"{path}: not UTF-8 at byte {error.start}: save it as UTF-8") from error
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # of TOML, or of a number with too many digits
        hint = "; in double quotes a backslash begins an escape: write a path with /, or in single quotes"
        raise ColdframeError(f"{path}: not readable as TOML: {error}{hint if chr(92) in text else ''}") from error
    for text in _texts(tables):
        if "\0" in text:  # neither a path nor the name of a column, nor of what a step makes, may have one
            raise ColdframeError(f"{path}: {text[:60]!r} has a NUL character: remove it")
    for name in tables:
        if name not in SECTIONS:
            raise ColdframeError(f"{path}: no section {name!r}; sections: {', '.join(SECTIONS)}")
    config = Config(path, tables)
    for name in NAMED:
        for key, value in config.section(name).items():
            if not isinstance(value, Mapping):
                raise ColdframeError(
                    f"{path}: {key!r} is directly under [{name}]: put it under a name, as in [{name}.NAME]"
                )
    return config


def _texts(table: Any) -> Iterator[str]:
    """Every name and text in a table."""
    left = [table]  # no recursion: keys with dots nest tables as deep as they like
    while left:
        one = left.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, Mapping):
            left += [*one, *one.values()]
        elif isinstance(one, list):
            left += one


def _from_environment(command: str, hints: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a command from ``COLDFRAME_<COMMAND>_<SETTING>``."""
    found: dict[str, Any] = {}
    for name, hint in hints.items():
        variable = f"COLDFRAME_{command}_{name}".upper()
        text = os.environ.get(variable)
        if not text:
            continue
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            value = text
        found[name] = value if fits(value, hint) else text
        if not fits(found[name], hint):
            raise ColdframeError(f"{variable}={text}: expected {readable(hint)}")
    return found


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
