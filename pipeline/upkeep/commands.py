"""The commands that a repair tells the user to run."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pipeline.steps.again import NotKnown, command_line
from pipeline.upkeep.mending import Outcome


class Commands:
    """Commands in the order in which to run them, and the losses that no command makes good.

    Args:
        outcome: the outcome of the repair that they belong to.
        flags: common options that each command gets.
    """

    def __init__(self, outcome: Outcome, flags: Sequence[str]) -> None:
        self._outcome, self._flags = outcome, flags

    def say(self, make: Callable[[], list[str] | None], what: str) -> None:
        """Add a command made from a record; ``what`` is what it makes again."""
        outcome = self._outcome
        try:
            command = command_line(make, self._flags)
        except NotKnown as error:
            outcome.lost.append(f"the command for {what}: {error}")
            return
        if command and command not in outcome.commands:
            outcome.commands.append(command)
