"""Holes: the commands that recreate what a store has lost. Each step supplies its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from pipeline.curate import copies, replay, score
from pipeline.embed.again import again as embed_again
from pipeline.embed.again import views_again
from pipeline.embed.settings import STEP as EMBED
from pipeline.embed.settings import VIEWS_STEP
from pipeline.ingest import ingest
from pipeline.ingest.settings import STEP as INGEST
from pipeline.steps import hints
from pipeline.steps.config import Config
from pipeline.upkeep.commands import Commands
from pipeline.upkeep.lost_runs import LostRuns
from pipeline.upkeep.mending import Mending


class Holes:
    """The commands for what a mending cannot put back, in the order in which to run them.

    Args:
        sets: the rows of feature sets whose row was lost: the row put back, or None.
        plans: those that have to be replayed anyway.
        flags: common options that each command gets.
    """

    def __init__(
        self,
        mending: Mending,
        config: Config,
        sets: Mapping[str, dict[str, Any] | None],
        plans: set[str],
        flags: Sequence[str],
    ) -> None:
        self._mending, self._rest, self._config = mending, mending.rest, config
        self._sets, self._plans, self._flags = sets, plans, flags
        self._commands = Commands(mending.outcome, flags)

    def tell(self) -> None:
        """Add all of the commands."""
        self._verdicts()
        self._catalogue()
        self._vectors()
        self._scores()
        self._copies()
        self._curations()
        self._views()
        LostRuns(self._mending, self._config, self._commands).tell()

    def _verdicts(self) -> None:
        if self._mending.lost_keys("verdicts"):
            self._mending.outcome.lost.append(
                "verdicts cannot be made again: give them anew with keep, drop and relabel, before a plan is replayed; labels "
                "they corrected are the catalogue's again; images they dropped are still in: coldframe sql \"select image_id "
                "from exclusions where rule = 'verdict'\""
            )

    def _catalogue(self) -> None:
        mending = self._mending
        is_lost = mending.lost_keys("files", "images") or mending.lost_records(INGEST)
        if is_lost or ("failures", INGEST) in mending.lost:
            if self._rest.rows("steps/steps/step", step=INGEST, name=""):
                self._commands.say(partial(ingest.again, self._rest, self._config), "the catalogue")
            else:
                mending.outcome.commands.append(hints.joined([*self._flags, INGEST]) + " METADATA --images DIR")
            mending.mark(INGEST, "")
        if mending.lost_keys("images"):
            mending.outcome.lost.append(
                "images that were kept though the catalogue no longer has them cannot be made again"
            )

    def _vectors(self) -> None:
        failed = [
            one.removeprefix(f"{EMBED}/") for one in self._mending.lost_keys("failures") if one.startswith(f"{EMBED}/")
        ]
        lost = self._mending.lost_keys("embeddings", "feature_sets")
        for name in sorted({*lost, *failed, *self._mending.lost_records(EMBED)}):
            row = self._row_of_set(name)
            self._commands.say(partial(embed_again, self._rest, self._config, name, row), f"the feature set {name}")

    def _views(self) -> None:
        """Views come after the plans, because the plans' training rows have the views."""
        lost = self._mending.lost_keys("embeddings", "feature_sets")
        for name in sorted({*lost, *self._mending.lost_records(VIEWS_STEP)}):
            row = self._row_of_set(name)
            self._commands.say(partial(views_again, self._rest, self._config, name, row), f"the views of {name}")

    def _row_of_set(self, name: str) -> dict[str, Any] | None:
        rows = self._rest.rows("steps/embed/feature_set", embedder=name)
        return rows[0] if rows else self._sets.get(name)

    def _scores(self) -> None:
        for name in self._mending.lost_keys("scores"):
            self._commands.say(partial(score.again, self._rest, self._config, name), f"the scores of {name}")
            self._mending.mark(score.STEP, name)

    def _copies(self) -> None:
        mending = self._mending
        if (
            mending.lost_keys("copies")
            or mending.lost_records(copies.STEP)
            or ("failures", f"{copies.STEP}/") in mending.lost
        ):
            self._commands.say(partial(copies.again, self._rest, self._config), "the near copies")
            mending.mark(copies.STEP, "")

    def _curations(self) -> None:
        mending = self._mending
        for plan in mending.lost_keys("stages"):
            mending.outcome.lost.append(
                f"the stages of plan {plan} cannot be recovered: add them anew, unless coldframe.toml has them"
            )
        for plan in mending.lost_keys("assignments"):
            mending.outcome.lost.append(
                f"plan {plan} draws its splits anew: images may change sides, so train again as well"
            )
        lost = mending.lost_keys("curation", "stages", "assignments")
        for plan in sorted({*self._plans, *lost, *mending.lost_records(replay.STEP)}):
            self._commands.say(partial(replay.again, plan), f"plan {plan}")
            mending.mark(replay.STEP, plan)
