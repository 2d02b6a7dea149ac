"""Embed: one vector for each content, computed once by a frozen network.

If views are asked for, each augmented view of a content gets a vector as well. Batches are committed every few seconds; a run
that was killed continues after its last commit.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import pyarrow as pa

from pipeline.embed import pending, rules_of_now
from pipeline.embed.filling import Filling
from pipeline.embed.made import Made, copy_of_set
from pipeline.embed.settings import STEP, VIEWS_STEP, Settings, resolved
from pipeline.embed.work import Work
from pipeline.ingest import images
from pipeline.steps import hints
from pipeline.steps.config import Config
from pipeline.steps.records import NEVER, Record
from store.compaction import compact
from store.errors import ColdframeError
from store.store import Snapshot, Store

SAMPLED_BATCHES = 4


@dataclass(frozen=True)
class Outcome:
    """The result of an embed, in contents (equal files count once).

    ``failed_before`` are contents that failed in an earlier embed and were not tried again. Of the augmented views asked for,
    ``views_cached`` had vectors already and ``views_embedded`` were made now. ``note`` is a sentence for the user, or empty.
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
    """What an embed would do, in contents, and how long it would take, measured on a sample now.

    ``views`` counts the vectors to make for the contents to do, of unaugmented pictures and of augmented views.
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
    """Fill the feature set ``name``: add the missing vectors of contents, and of the views asked for.

    Raises:
        ColdframeError: the weights are not available, the set or its views were made with other settings (it says which), the
            plan whose training rows get views was never replayed, or more failed than ``max_failure_rate`` allows.
        Locked: another embed is filling the same set.
    """
    with store.lock(f"embed-{name}"):
        made_anew = rules_of_now.bring_up(store, name)
        work = Work(store, name, settings)
        work.open_set()
        if made_anew:
            work.note += (
                f"{made_anew} pictures look different under the present decoding rules: their vectors were made anew"
            )
        filling = work.filling()
        enough = filling.fill(
            work.pages(),
            work.todo,
            commit_seconds=settings.commit_seconds,
            max_failure_rate=settings.max_failure_rate,
            quiet=quiet,
        )
        seconds = time.monotonic() - work.started
        _finish(store, work, filling, seconds, is_done=enough)
        compact(store, "embeddings", name)
    if not enough:
        raise ColdframeError(
            f"embed {name}: {len(filling.failed)} of {filling.tried} pictures failed, more than --max-failure-rate "
            f"{settings.max_failure_rate:g} allows: stopped. The {filling.embedded} vectors made are kept; the reasons: "
            + hints.sql("select path, reason from failures where step = 'embed' and name = {name}", name=name)
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


def _finish(store: Store, work: Work, filling: Filling, seconds: float, *, is_done: bool) -> None:
    """Commit the failures, and the step's records if everything was tried."""
    name = work.name
    with store.commit("embed") as commit:
        failures = _failures(work.before, name, filling.failed, filling.retried)
        if len(failures) or work.before.query("steps/ingest/failures_of", step="embed", name=name).num_rows:
            commit.replace("failures", failures, key=f"embed/{name}")
        if is_done:
            commit.record_step(
                STEP,
                name,
                settings=work.settings.of_pictures(),
                inputs=copy_of_set(store.snapshot(), name),
                seconds=seconds,
                rows_in=work.contents,
                rows_out=work.cached + filling.embedded,
            )
        if is_done and work.settings.views:
            commit.record_step(
                VIEWS_STEP,
                name,
                settings=work.settings.of_views(),
                seconds=seconds,
                rows_in=work.views_wanted,
                rows_out=work.views_cached + filling.views,
            )


def forecast(store: Store, name: str, settings: Settings) -> Forecast:
    """What :func:`embed` would do now, and how long it would take; nothing is stored.

    Raises:
        ColdframeError: as for :func:`embed`.
    """
    work = Work(store, name, settings)
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


def _failures(before: Snapshot, name: str, failed: dict[str, str], retried: list[str]) -> pa.Table:
    """Rows of ``failures``, one per image of a content that lacks a vector, with the user's columns. Earlier rows stay unless
    ``retried``."""
    before.register("tried", pa.table({"content_id": pa.array(retried, pa.string())}))
    kept = before.query("steps/embed/failures_kept", embedder=name)
    if not failed:
        return kept
    rows = images.failure_rows(before, "embed", name, failed)
    return pa.concat_tables([kept, rows], promote_options="default")


def out_of_date(moment: Snapshot | None, config: Config, name: str) -> str | None:
    """Why a feature set's unaugmented pictures have to be embedded; None if they need not be."""
    settings = config.settings(Settings, STEP, name, flags={})
    record = Record.of(moment, STEP, name)
    if record is None or moment is None:
        return NEVER
    asked = resolved(settings).of_pictures()
    missing = pending.untried(moment, name, replace(settings, views=0))
    lacking = f"{missing} contents have no vector" if missing else None
    redrawn = rules_of_now.redrawn(moment, Made.of(moment, name)).num_rows
    if redrawn:
        lacking = f"{redrawn} pictures look different under the present decoding rules"
    return record.difference(asked, {}, Settings) or record.ahead() or lacking


def views_out_of_date(moment: Snapshot | None, config: Config, name: str) -> str | None:
    """Why the augmented views of a feature set have to be made; None if they need not be."""
    settings = config.settings(Settings, STEP, name, flags={})
    record = Record.of(moment, VIEWS_STEP, name)
    if record is None or moment is None:
        return NEVER
    missing = pending.untried(moment, name, settings)
    return record.difference(settings.of_views(), {}, Settings) or (
        f"{missing} contents lack views" if missing else None
    )
