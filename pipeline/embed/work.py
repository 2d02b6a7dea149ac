"""The work to do for a feature set."""

from __future__ import annotations

import json
import time
from collections.abc import Generator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.embed import embedders, pending
from pipeline.embed.embedders import Embedder
from pipeline.embed.filling import Filling
from pipeline.embed.made import Made, copy_of, set_settings
from pipeline.embed.settings import STEP, STORE_TYPES, Settings, check, resolved
from pipeline.ingest.pictures import image_root, ingested_max_pixels
from pipeline.runtime import openvino
from pipeline.steps import hints
from store import digests
from store.errors import ColdframeError
from store.rows import json_of
from store.schemas import SCHEMAS
from store.store import Store


class Work:
    """The work to do for a set: its loaded network, and how many contents are ``missing`` and, of those, ``todo``."""

    def __init__(self, store: Store, name: str, settings: Settings) -> None:
        check(name, settings)
        self._store, self.name, self.settings = store, name, resolved(settings)
        self.started = time.monotonic()
        self.before = store.snapshot()
        self.root = image_root(self.before)
        self._check_plan()
        self._network_name = settings.embedder or name
        self._made = Made.of(self.before, name)
        self._source = embedders.Options(self.settings.weights, settings.height_width, settings.seed)
        self.note = ""
        self.network = self._load()
        if settings.batch:
            self.network.batch = settings.batch
            embedders.check_batch(self.network)
        self._wanted = json.loads(json.dumps(set_settings(settings, name, self.network, self._made)))
        by_prefix = pending.missing_by_prefix(self.before, name, settings)
        as_they_are, views = (sum(row[what] for row in by_prefix) for what in ("pictures", "views"))
        self.contents: int = self.before.value("steps/embed/count_contents")
        self.cached = self.contents - as_they_are
        with_views = self.before.value("steps/embed/count_with_views", view_rows=settings.view_rows, plan=settings.plan)
        self.views_wanted: int = with_views * settings.views
        self.views_cached = self.views_wanted - (views - as_they_are)
        failed_ids = self.before.query("steps/embed/failed_contents", embedder=name)["content_id"].to_pylist()
        self._failed_ever = frozenset(failed_ids)
        self._by_prefix = [row for row in by_prefix if settings.retry or not row["failed_before"]]
        self.failed_before = sum(row["contents"] for row in by_prefix) - sum(row["contents"] for row in self._by_prefix)
        self.missing = sum(row["contents"] for row in self._by_prefix)
        self.todo = self.missing if settings.limit is None else min(self.missing, settings.limit)
        self.startup_seconds = time.monotonic() - self.started

    @property
    def views_todo(self) -> int:
        """How many vectors to make; an estimate if a limit applies to the contents."""
        views: int = sum(row["views"] for row in self._by_prefix)
        return round(views * self.todo / self.missing) if self.missing else 0

    def pages(self) -> Generator[pa.Table]:
        """The contents to do, as from :func:`missing`, by id, some thousand at a time: memory stays flat."""
        left = self.todo
        for first, last in pending.pages(self._by_prefix):
            page = pending.missing(self.before, self.name, self.settings, first, last)
            if not self.settings.retry:
                page = page.filter(pc.invert(page["failed_before"]))
            page = page.slice(0, left)
            left -= page.num_rows
            yield page
            if not left:
                return

    def _check_plan(self) -> None:
        wanted, plan = self.settings, self.settings.plan
        if not wanted.views or wanted.view_rows == "all":
            return
        replayed = [row["plan"] for row in self.before.rows("steps/curate/plans")]
        if plan not in replayed:
            raise ColdframeError(
                f"embed {self.name}: views are for training rows, and plan {plan!r} was never replayed, so nobody knows them "
                f"(replayed: {', '.join(replayed) or 'none'}): run {hints.replay(plan)} first, with --views 0 "
                "here meanwhile, or ask for views of --view-rows all"
            )

    def _options(self) -> embedders.Options:
        """How to load the network: with the set's own numerics, if it exists and nothing else is asked for."""
        asked, made_with = self.settings, self._made.settings.get("backend")
        backend = embedders.choose_backend(self._network_name, asked.backend, asked.device, made_with)
        precision = self._made.settings.get("precision") if made_with == backend else None
        return replace(self._source, backend=backend, precision=precision, device=asked.device)

    def _load(self) -> Embedder:
        options = self._options()
        try:
            return embedders.load(self._network_name, options)
        except openvino.NotConverted as error:
            if self.settings.backend != "auto" or self._made.settings:
                raise ColdframeError(f"{error}: choose another --backend") from error
            network = embedders.load(self._network_name, replace(options, backend=None))
            self.note = f"{error}: {network.settings['backend']} computes it"
            return network
        except ColdframeError as error:
            made_of = self._made.source
            if not made_of or embedders.Options.from_json(made_of).to_json() == self._source.to_json():
                raise
            said = ", ".join(f"{key} = {made_of.get(key)}" for key in self._source.to_json())
            raise ColdframeError(
                f"{error}. The feature set {self.name!r} was made with {said}: give the same"
            ) from error

    def filling(self) -> Filling:
        """A pass over the contents to do."""
        return Filling(
            self._store,
            self.name,
            self.network,
            self.root,
            max_pixels=self.settings.max_pixels or ingested_max_pixels(self.before),
            stored_type=STORE_TYPES[self.settings.store_as],
            augmentation=self.settings.augmentation,
            failed_before=self._failed_ever,
        )

    def compare_set(self) -> None:
        """Raises:
        ColdframeError: the set or its views exist and were made another way.
        """
        self._made.check(self._wanted, self._augmentation if self.settings.views else None, self.network.architecture)

    @property
    def _augmentation(self) -> dict[str, Any]:
        """The augmentation as the set remembers it."""
        return self.settings.augmentation.to_json()

    def open_set(self) -> None:
        """Record a new set, or its first or further views; for an existing one, check that it was made the same way."""
        self.compare_set()
        row = dict(self._made.row) or self._new_row()
        if self.settings.views > self._made.views:
            kept = self._wanted | {"augmentation": self._augmentation, "views": self.settings.views}
            row = row | {"settings": json.dumps(kept, sort_keys=True)}
        if row == self._made.row:
            return
        with self._store.commit("embed") as commit:
            commit.replace("feature_sets", pa.Table.from_pylist([row], SCHEMAS["feature_sets"]), key=self.name)
            # the copy in the step's record, if there is one, must know of the views before the first one exists
            for record in self.before.rows("steps/steps/step", step="embed", name=self.name):
                inputs = json_of(record["inputs"], f"the inputs of step {STEP} {self.name}") | copy_of(row)
                record |= {"inputs": json.dumps(inputs, sort_keys=True)}
                commit.replace("steps", pa.Table.from_pylist([record], SCHEMAS["steps"]), key=f"embed/{self.name}")

    def _new_row(self) -> dict[str, Any]:
        return {
            "embedder": self.name,
            "network": self._network_name,
            "dimensions": self.network.dimensions,
            "digest": digests.of_json(self._wanted),
            "settings": json.dumps(self._wanted, sort_keys=True),
            "source": json.dumps(self._source.to_json() | {"architecture": self.network.architecture}),
            "created_at": datetime.now(UTC),
        }
