"""Embed: one vector for each content, through a frozen network, once.

With views asked for, one vector as well for each augmented view of a content. Batches are committed every few seconds; a
run that was killed goes on behind its last commit.
"""

from __future__ import annotations

import json
import time
from collections.abc import Generator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.embed import embedders, pending
from pipeline.embed.embedders import Embedder
from pipeline.embed.filling import Filling
from pipeline.embed.settings import STEP, STORE_TYPES, VIEWS_STEP, Settings, check, resolved
from pipeline.ingest import decoding
from pipeline.ingest.pictures import image_root, ingested_max_pixels
from pipeline.runtime import openvino
from pipeline.steps.config import Config
from pipeline.steps.records import NEVER, Record
from store import digests
from store.compaction import compact
from store.errors import ColdframeError
from store.rows import json_of
from store.schemas import FILE_FACTS, SCHEMAS, failure_columns
from store.store import Snapshot, Store

SAMPLED_BATCHES = 4
FEATURE_SET = "feature set"  # among the inputs of the step
NONE = "none"  # the augmentation of a picture as it is


@dataclass(frozen=True)
class Outcome:
    """What an embed did, in contents (equal files count once).

    ``failed_before`` are those that an earlier embed could not do and that were not tried again. Of the vectors of
    augmented views asked for, ``views_cached`` were there and ``views_embedded`` were made. ``note`` is a sentence for the person
    watching, or empty.
    """

    embedder: str
    cached: int
    embedded: int
    failed: int
    failed_before: int
    left: int
    views_cached: int
    views_embedded: int
    dimensions: int
    backend: str
    precision: str
    startup_seconds: float
    seconds: float
    note: str


@dataclass(frozen=True)
class Forecast:
    """What an embed would do, in contents, and how long it would take, from a sample measured now.

    ``views`` are the vectors to make for the contents to do, augmented ones and those of pictures as they are.
    """

    embedder: str
    cached: int
    todo: int
    views: int
    failed_before: int
    backend: str
    precision: str
    sampled: int
    startup_seconds: float
    seconds: float


def embed(store: Store, name: str, settings: Settings, *, quiet: bool = False) -> Outcome:
    """Fill the feature set ``name``: a vector for each content that has none, and for each view asked for that it lacks.

    Raises:
        ColdframeError: the weights cannot be had, the set or its views were made with other settings (it says which), the
            plan whose training rows get views was never replayed, or more failed than ``max_failure_rate`` allows.
        Locked: another embed is filling the same set.
    """
    with store.lock(f"embed-{name}"):
        work = _Work(store, name, settings)
        work.open_set()
        filling = work.filling()
        enough = filling.fill(
            work.pages(),
            work.todo,
            commit_seconds=settings.commit_seconds,
            max_failure_rate=settings.max_failure_rate,
            quiet=quiet,
        )
        seconds = time.monotonic() - work.started
        with store.commit("embed") as commit:
            failures = _failures(work.before, name, filling.failed, filling.retried)
            if len(failures) or work.before.query("steps/images/failures_of", step="embed", name=name).num_rows:
                commit.replace("failures", failures, key=f"embed/{name}")
            if enough:
                commit.record_step(
                    STEP,
                    name,
                    settings=work.settings.of_pictures(),
                    inputs=_copy_of_set(store.snapshot(), name),
                    seconds=seconds,
                    rows_in=work.contents,
                    rows_out=work.cached + filling.embedded,
                )
            if enough and settings.views:
                commit.record_step(
                    VIEWS_STEP,
                    name,
                    settings=work.settings.of_views(),
                    seconds=seconds,
                    rows_in=work.views_wanted,
                    rows_out=work.views_cached + filling.views,
                )
        compact(store, "embeddings", name)
    if not enough:
        raise ColdframeError(
            f"embed {name}: {len(filling.failed)} of {filling.tried} pictures failed, more than --max-failure-rate "
            f"{settings.max_failure_rate:g} allows: stopped. The {filling.embedded} vectors made are kept; the reasons: "
            f"coldframe sql \"select path, reason from failures where step = 'embed' and name = '{name}'\""
        )
    return Outcome(
        embedder=name,
        cached=work.cached,
        embedded=filling.embedded,
        failed=len(filling.failed),
        failed_before=work.failed_before,
        left=work.missing - filling.tried,
        views_cached=work.views_cached,
        views_embedded=filling.views,
        dimensions=work.network.dimensions,
        backend=work.network.settings["backend"],
        precision=work.network.settings["precision"],
        startup_seconds=work.startup_seconds,
        seconds=seconds - work.startup_seconds,
        note=work.note,
    )


def forecast(store: Store, name: str, settings: Settings) -> Forecast:
    """What :func:`embed` would do now, and how long it would take; nothing is stored.

    Raises:
        ColdframeError: as :func:`embed` does.
    """
    work = _Work(store, name, settings)
    work.compare_set()
    pages = work.pages()
    sample = next(pages, pending.missing(work.before, name, settings, "", "")).slice(
        0, SAMPLED_BATCHES * work.network.batch
    )
    pages.close()
    each = work.filling().measure(sample) if sample.num_rows else 0.0
    return Forecast(
        embedder=name,
        cached=work.cached,
        todo=work.todo,
        views=work.views_todo,
        failed_before=work.failed_before,
        backend=work.network.settings["backend"],
        precision=work.network.settings["precision"],
        sampled=sample.num_rows,
        startup_seconds=work.startup_seconds,
        seconds=each * work.views_todo,
    )


class _Work:
    """What there is to do for a set: its network, loaded, and how many contents, ``todo`` of those that are ``missing``."""

    def __init__(self, store: Store, name: str, settings: Settings) -> None:
        check(name, settings)
        self._store, self._name, self.settings = store, name, resolved(settings)
        self.started = time.monotonic()
        self.before = store.snapshot()
        self.root = image_root(self.before)
        self._check_plan()
        self._network_name = settings.embedder or name
        existing = self.before.rows("steps/embed/feature_set", embedder=name)
        # the set, what it was made with and how many views it has of what augmentation; empty if there is none yet
        self._row: dict[str, Any] = existing[0] if existing else {}
        self._made: dict[str, Any] = (
            json_of(self._row["settings"], f"the settings of the feature set {name!r}") if existing else {}
        )
        self._made_views: int = self._made.pop("views", 0)
        self._made_augmentation: dict[str, Any] = {}
        if self._made_views:
            self._made_augmentation, self._made["augmentation"] = self._made["augmentation"], NONE
        self._recorded_source = (
            json_of(self._row["source"], f"the source of the feature set {name!r}") if existing else {}
        )
        self._source = embedders.Options(self.settings.weights, settings.height_width, settings.seed)
        self.note = ""
        self.network = self._load()
        if settings.batch:
            self.network.batch = settings.batch
        self._wanted = json.loads(json.dumps(set_settings(settings, name, self.network)))
        by_prefix = pending.missing_by_prefix(self.before, name, settings)
        as_they_are, views = (sum(row[what] for row in by_prefix) for what in ("pictures", "views"))
        self.contents: int = self.before.value("steps/embed/contents")
        self.cached = self.contents - as_they_are
        with_views = self.before.value("steps/embed/with_views", view_rows=settings.view_rows, plan=settings.plan)
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
        """How many vectors there are to make; an estimate where a limit cuts the contents short."""
        views: int = sum(row["views"] for row in self._by_prefix)
        return round(views * self.todo / self.missing) if self.missing else 0

    def pages(self) -> Generator[pa.Table]:
        """What is to do, as :func:`missing` gives it, by id, some thousand contents at a time: memory stays flat."""
        left = self.todo
        for first, last in pending.pages(self._by_prefix):
            page = pending.missing(self.before, self._name, self.settings, first, last)
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
                f"embed {self._name}: views are for training rows, and plan {plan!r} was never replayed, so nobody knows them "
                f"(replayed: {', '.join(replayed) or 'none'}): run 'coldframe curate --plan {plan}' first, with --views 0 "
                "here meanwhile, or ask for views of --view-rows all"
            )

    def _options(self) -> embedders.Options:
        """How to load the network: in the numerics the set was made in, if it exists and nothing else is asked for."""
        asked, made_with = self.settings, self._made.get("backend")
        backend = embedders.choose_backend(self._network_name, asked.backend, asked.device, made_with)
        precision = self._made.get("precision") if made_with == backend else None
        return replace(self._source, backend=backend, precision=precision, device=asked.device)

    def _load(self) -> Embedder:
        options = self._options()
        try:
            return embedders.load(self._network_name, options)
        except openvino.NotConverted as error:
            if self.settings.backend != "auto" or self._made:
                raise ColdframeError(f"{error}: choose another --backend") from error
            network = embedders.load(self._network_name, replace(options, backend=None))
            self.note = f"{error}: {network.settings['backend']} computes it"
            return network
        except ColdframeError as error:
            made_of = self._recorded_source
            if not made_of or embedders.Options.from_json(made_of).to_json() == self._source.to_json():
                raise
            said = ", ".join(f"{key} = {value}" for key, value in made_of.items())
            raise ColdframeError(
                f"{error}. The feature set {self._name!r} was made with {said}: give the same"
            ) from error

    def filling(self) -> Filling:
        """A pass over what is to do."""
        return Filling(
            self._store,
            self._name,
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
        changes = _changes(self._made, self._wanted) if self._made else ""
        if changes:
            raise ColdframeError(
                f"the feature set {self._name!r} was made with other settings ({changes}): use those again, or make another "
                "set with --as NAME"
            )
        changes = (
            _changes(self._made_augmentation, self._augmentation) if self._made_views and self.settings.views else ""
        )
        if changes:
            raise ColdframeError(
                f"the views of the feature set {self._name!r} were made with other settings ({changes}): use those again, or "
                "make another set with --as NAME"
            )

    @property
    def _augmentation(self) -> dict[str, Any]:
        """As the set remembers it."""
        return self.settings.augmentation.to_json()

    def open_set(self) -> None:
        """Record a new set or its first or further views, or see that an existing one was made the same way."""
        self.compare_set()
        row = self._row or self._new_row()
        if self.settings.views > self._made_views:
            kept = self._wanted | {"augmentation": self._augmentation, "views": self.settings.views}
            row = row | {"settings": json.dumps(kept, sort_keys=True)}
        if row == self._row:
            return
        with self._store.commit("embed") as commit:
            commit.replace("feature_sets", pa.Table.from_pylist([row], SCHEMAS["feature_sets"]), key=self._name)
            # the copy in the record of the step, where there is one, is to know of the views before the first of them is there
            for record in self.before.rows("steps/status/step", step="embed", name=self._name):
                inputs = json_of(record["inputs"], f"the inputs of step {STEP} {self._name}") | _copy_of(row)
                record |= {"inputs": json.dumps(inputs, sort_keys=True)}
                commit.replace("steps", pa.Table.from_pylist([record], SCHEMAS["steps"]), key=f"embed/{self._name}")

    def _new_row(self) -> dict[str, Any]:
        return {
            "embedder": self._name,
            "network": self._network_name,
            "dimensions": self.network.dimensions,
            "digest": digests.of_json(self._wanted),
            "settings": json.dumps(self._wanted, sort_keys=True),
            "source": json.dumps(self._source.to_json()),
            "created_at": datetime.now(UTC),
        }


def _changes(made: dict[str, Any], wanted: dict[str, Any]) -> str:
    """What differs between two settings, said key by key."""
    differing = sorted(key for key in made | wanted if made.get(key) != wanted.get(key))
    return "; ".join(f"{key} was {made.get(key)}, is now {wanted.get(key)}" for key in differing)


def set_settings(settings: Settings, name: str, network: Embedder) -> dict[str, Any]:
    """Everything a vector of a picture as it is depends on; two sets of equal settings hold equal ones.

    A set with augmented views keeps their augmentation in place of ``none``, and their number as ``views``, beside these;
    the digest of the set stays.
    """
    return {
        "embedder": settings.embedder or name,
        "decoding": decoding.RULES_VERSION,
        "augmentation": NONE,
        "dimensions": network.dimensions,
        "store_as": settings.store_as,
        **network.settings,
    }


def _copy_of_set(moment: Snapshot, name: str) -> dict[str, str]:
    return _copy_of(moment.rows("steps/embed/feature_set", embedder=name)[0])


def _copy_of(row: dict[str, Any]) -> dict[str, str]:
    """The row of a feature set as the record of its step keeps it, so that a lost one can be made again exactly."""
    return {FEATURE_SET: json.dumps(row, default=str, sort_keys=True)}


def _failures(before: Snapshot, name: str, failed: dict[str, str], retried: list[str]) -> pa.Table:
    """``failures`` rows, one per image of a content that lacks a vector, with the user's columns; earlier ones stay unless
    ``retried``."""
    before.register("tried", pa.table({"content_id": pa.array(retried, pa.string())}))
    kept = before.query("steps/embed/failures_kept", embedder=name)
    if not failed:
        return kept
    images = before.query("steps/images/all")
    rows = images.filter(pc.is_in(images["content_id"], pa.array(list(failed), pa.string())))
    reasons = [failed[content_id] for content_id in rows["content_id"].to_pylist()]
    rows = failure_columns(rows.drop_columns(["label", *(fact for fact, _ in FILE_FACTS)]))
    for column, values in (("step", ["embed"] * len(rows)), ("name", [name] * len(rows)), ("reason", reasons)):
        rows = rows.append_column(column, pa.array(values, pa.string()))
    return pa.concat_tables([kept, rows], promote_options="default")


def out_of_date(moment: Snapshot | None, config: Config, name: str) -> str | None:
    """Why a feature set has to be filled, its pictures as they are; None where it need not."""
    settings = config.settings(Settings, STEP, name, flags={})
    record = Record.of(moment, STEP, name)
    if record is None or moment is None:
        return NEVER
    asked = resolved(settings).of_pictures()
    missing = pending.untried(moment, name, replace(settings, views=0))
    return record.difference(asked, {}, Settings) or (f"{missing} contents have no vector" if missing else None)


def views_out_of_date(moment: Snapshot | None, config: Config, name: str) -> str | None:
    """Why the augmented views of a feature set have to be made; None where they need not."""
    settings = config.settings(Settings, STEP, name, flags={})
    record = Record.of(moment, VIEWS_STEP, name)
    if record is None or moment is None:
        return NEVER
    missing = pending.untried(moment, name, settings)
    return record.difference(settings.of_views(), {}, Settings) or (
        f"{missing} contents lack views" if missing else None
    )
