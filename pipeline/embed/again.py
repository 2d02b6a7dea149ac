"""The commands that fill a feature set again, the way it was made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pipeline.embed.settings import OF_VIEWS, STEP, VIEWS_STEP, Settings
from pipeline.steps.again import operand
from pipeline.steps.config import Config
from pipeline.steps.records import Record
from pipeline.steps.settings import from_json, incidental, options, show_size
from store.store import Snapshot


def again(moment: Snapshot, config: Config, name: str, row: Mapping[str, Any] | None) -> list[str]:
    """The embed command that fills a feature set; ``row`` is the set's own row, if the store still has it.

    Views are left to :func:`views_again`: their rows come from a plan, which may have to be replayed first.
    """
    words, settings, views = _made(moment, name, row)
    words += ["--views", "0"] if views.get("views") else []  # a coldframe.toml may ask for them
    return [*words, *_options(config, name, settings, leave_out=tuple(OF_VIEWS))]


def views_again(moment: Snapshot, config: Config, name: str, row: Mapping[str, Any] | None) -> list[str] | None:
    """The embed command that makes the augmented views of a feature set, if it has any."""
    words, settings, views = _made(moment, name, row)
    if not views.get("views"):
        return None
    record = Record.of(moment, VIEWS_STEP, name)
    recorded = record.settings if record is not None else {}
    augmentation = {key if key != "seed" else "view_seed": value for key, value in views["augmentation"].items()}
    asked = from_json(Settings, {**recorded, **augmentation, "views": views["views"]})
    settings = replace(settings, **{one: getattr(asked, one) for one in OF_VIEWS})
    return [*words, *_options(config, name, settings)]


def _options(config: Config, name: str, settings: Settings, leave_out: tuple[str, ...] = ()) -> list[str]:
    defaults = config.defaults(Settings, STEP, name)
    return list(options(Settings, settings, defaults, leave_out=(*leave_out, *incidental(Settings))))


def _made(moment: Snapshot, name: str, row: Mapping[str, Any] | None) -> tuple[list[str], Settings, dict[str, Any]]:
    """The first words of a set's embed command, the settings of its unaugmented pictures, and what its row says of its views."""
    record = Record.of(moment, STEP, name)
    settings: Settings = from_json(Settings, record.settings if record is not None else {})
    network, views = settings.embedder or name, {}
    if row is not None:
        source, views = json.loads(row["source"]), json.loads(row["settings"])
        size = source.get("size")
        network = row["network"]
        settings = replace(
            settings,
            **{key: source[key] for key in ("weights", "seed") if key in source},
            size=show_size((size[0], size[1])) if size else None,
            store_as=views.get("store_as") or Settings.store_as,
        )
    return [STEP, operand(network), *(["--as", operand(name)] if network != name else [])], settings, views
