"""The commands that a repair tells a person to run."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence

from pipeline.upkeep.mending import Outcome
from store.errors import ColdframeError


class Commands:
    """Commands in the order in which they have to be run, and what has none.

    Args:
        outcome: of the repair that they are for.
        flags: options common to all commands, which each command gets.
    """

    def __init__(self, outcome: Outcome, flags: Sequence[str]) -> None:
        self._outcome, self._flags = outcome, flags

    def say(self, make: Callable[[], list[str] | None], what: str, name: str = "") -> None:
        """Say a command, made of what is recorded; the records of a stranger's store may say nothing.

        Args:
            what: the command makes again.
            name: which the command says, and which must not be taken for an option.
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
