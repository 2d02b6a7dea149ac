"""The commands that a repair tells the user to run."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence

from pipeline.upkeep.mending import Outcome
from store.errors import ColdframeError


class Commands:
    """Commands in the order in which to run them, and the losses that no command makes good.

    Args:
        outcome: the outcome of the repair that they belong to.
        flags: common options that each command gets.
    """

    def __init__(self, outcome: Outcome, flags: Sequence[str]) -> None:
        self._outcome, self._flags = outcome, flags

    def say(self, make: Callable[[], list[str] | None], what: str, name: str = "") -> None:
        """Add a command made from a record; the records of a stranger's store may lack what it needs.

        Args:
            what: what the command makes again.
            name: a name in the command, which must not be mistaken for an option.
        """
        outcome = self._outcome
        try:
            if name.startswith("-"):
                raise ValueError(name)
            words = make()
            command = shlex.join(["coldframe", *self._flags, *words]) if words else ""
        except LookupError as error:
            outcome.lost.append(f"the command for {what}: {error.args[0] if error.args else error}")
            return
        except (ValueError, TypeError, AttributeError, RecursionError, ColdframeError):
            outcome.lost.append(f"the command for {what}: coldframe did not write its record")
            return
        if command and command not in outcome.commands:
            outcome.commands.append(command)
