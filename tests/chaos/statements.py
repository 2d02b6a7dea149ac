"""Generated SQL thrown at a store for a minute: every byte in the store and beside it stays."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tests.chaos.trials import Settings, Trial
from tests.chaos.worlds import World

SECONDS = 60


def trials(world: World, settings: Settings) -> Iterator[Trial]:
    """One, unless the share is thin: the tests of ``sql`` throw some anyway."""
    if not settings.thin:
        yield Trial("statements/thrown", partial(_throw, world))


def _throw(world: World, folder: Path) -> list[str]:
    store = folder / "world" / "store"
    store.parent.mkdir()
    world.place_after("embed", store)
    (store.parent / "outside.csv").write_text("a\n1\n")
    # in a process of its own: DuckDB has threads, and what has threads cannot be forked for the other trials
    command = [sys.executable, "-P", "-W", "ignore", "-m", "tests.support.statements", str(store), str(SECONDS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    return [f"{done.stdout[-400:]}{done.stderr[-800:]}"] if done.returncode else []
