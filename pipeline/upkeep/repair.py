"""Repair: take damaged parts out of a store, put them aside, and tell how to make their rows again.

Anything that exists elsewhere in the store is put back exactly: the parts from which a damaged one was merged, a feature set's
row from its embed's record, a plan's stages and splits from its record and its curation. Anything that refers to something lost
for good is taken out with it. All of this is one commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from pipeline.steps.config import Config
from pipeline.upkeep.holes import Holes
from pipeline.upkeep.mending import FOLDER, Damage, Mending, Outcome, keep_aside
from pipeline.upkeep.restoring import restore_plans, restore_sets
from store import files
from store.store import Store


def repair(store: Store, config: Config, *, flags: Sequence[str] = (), dry_run: bool = False) -> Outcome:
    """Make a store intact again, as far as possible.

    If it is killed at any moment, the store is no worse than before, and the repair can be run again.

    Args:
        flags: common options, such as ``--store``, for the commands that the outcome lists.

    Raises:
        Locked: a gc, another repair, or an embed of a set to be removed is running, or another command has meanwhile changed
            what is to be repaired. In that case nothing is taken out.
    """
    if dry_run:
        return _Repair(store, config, flags).outcome
    with store.lock("maintenance"):
        found = _Repair(store, config, flags)
        found.apply(store)
    return found.outcome


def describe(outcome: Outcome) -> list[str]:
    """What ``coldframe repair`` prints."""
    if not outcome.damaged:
        return ["nothing to repair: every part and every manifest is intact"]
    lines = [f"damaged: {line}" for line in outcome.damaged]
    lines += [f"restored: {line}" for line in outcome.restored]
    lines += [f"lost: {line}" for line in outcome.lost]
    lines += [f"set aside: {line}" for line in outcome.set_aside]
    lines += [f"kept aside in {outcome.folder}"] if outcome.folder else []
    if outcome.commands:
        lines += ["to make again what is lost, run:", *(f"  {command}" for command in outcome.commands)]
    return lines


class _Repair:
    """The damage, and the changes that follow from it."""

    def __init__(self, store: Store, config: Config, flags: Sequence[str]) -> None:
        self.outcome = Outcome()
        self._found = Damage(store, self.outcome)
        self._mending = Mending(self._found, self.outcome)
        self._sets_out: list[str] = []
        self._tell_newer()
        if self._found.damaged:
            self._plan(config, flags)
        if self._found.torn or self._mending.aside or self._found.files:
            self.outcome.folder = store.root / FOLDER

    def _plan(self, config: Config, flags: Sequence[str]) -> None:
        """Decide what to do about each damaged part."""
        sets = restore_sets(self._mending)
        self._sets_out = [name for name, row in sets.items() if row is None]
        plans = restore_plans(self._mending)
        self._mending.take_out_lost()
        Holes(self._mending, config, sets, plans, flags).tell()
        self._found.rest.close()

    def apply(self, store: Store) -> None:
        """Give each file a second name in the folder of damaged files, commit, and only then remove the first name."""
        removed = [*self._found.files, *self._found.torn]
        with ExitStack() as locks:
            for name in self._sets_out:  # an embed would continue, and add vectors whose origin is not recorded
                locks.enter_context(store.lock(f"embed-{name}"))
            keep_aside(store.root, [*removed, *self._mending.aside])
            with store.commit("repair", seen=self._found.live) as commit:
                for change in self._mending.changes:
                    change.put_into(commit, store.root)
        for path in removed:
            files.remove(path)
            files.sync_folder(path.parent)

    def _tell_newer(self) -> None:
        newer = self._found.newer()
        if newer:
            self._mending.aside += self._found.strays()
        for path in newer:
            self.outcome.lost.append(
                f"moment {int(path.stem)}: the store is as it was at moment {self._found.live.number}; 'coldframe status' says "
                "what is out of date, and files that no other manifest names are kept aside"
            )
