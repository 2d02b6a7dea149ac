"""Does every kind of harm to stores of a tiny catalogue, and prints what was lost; one JSON object at the end."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import shutil
import tempfile
import time
import traceback
from pathlib import Path

# Set before any library is loaded: a process with threads cannot be forked.
os.environ |= {"OPENBLAS_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

from tests.chaos.trials import Kind, Settings, Trial
from tests.chaos.worlds import World

KINDS = ("kills", "power_cuts", "full_disks", "damage", "crowds", "fuzz", "statements")
EVERY = 10.0  # seconds between lines of progress
LOADED = (
    "duckdb",
    "joblib",
    "pipeline.cli.app",
    "pipeline.curate.replay",
    "pipeline.embed.embed",
    "pipeline.embed.embedders.mean_colour",
    "pipeline.evaluate.evaluate",
    "pipeline.ingest.ingest",
    "pipeline.recipe",
    "pipeline.train.train",
    "pipeline.upkeep.verify",
    "pyarrow.parquet",
    "scipy.sparse.csgraph",
)


class Tally:
    """What was tried of one kind, and what was lost; tells how it goes."""

    def __init__(self, kind: str, settings: Settings) -> None:
        self._kind, self._settings = kind, settings
        self._started = self._told = time.monotonic()
        self.tried = self.lost = 0

    def add(self, trial: Trial, problems: list[str]) -> None:
        """Count a trial; say what it lost, and how to do it again alone."""
        self.tried += trial.harms
        if problems:
            self.lost += 1
            again = f"--seed {self._settings.seed} {'--thin ' * self._settings.thin}--only {trial.name}"
            print(f"LOST {trial.name}: {'; '.join(problems)}\n     again: python -m tests.chaos {again}", flush=True)
        if time.monotonic() - self._told > EVERY:
            self.tell()

    def tell(self) -> None:
        """A line of progress."""
        self._told = time.monotonic()
        seconds = self._told - self._started
        print(f"{self._kind}: {self.tried} tried, {self.lost} lost, {seconds:.0f} s", flush=True)


def main() -> int:
    """Run what was asked for; 1 if anything was lost."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="draws points, times, cuts and broken files (default 0)")
    parser.add_argument("--thin", action="store_true", help="the small share that 'make test' runs")
    parser.add_argument("--only", metavar="NAME", action="append", help="a kind, or a trial by the start of its name")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="work in DIR and leave what trials lost there")
    given = parser.parse_args()
    kinds = [kind for kind in KINDS if not given.only or any(one.split("/")[0] == kind for one in given.only)]
    for name in [name for name in os.environ if name.startswith("COLDFRAME_")]:
        del os.environ[name]
    for module in LOADED:
        importlib.import_module(module)
    if not given.thin:  # which leaves out the steps that need a framework
        importlib.import_module("torch")
    with contextlib.ExitStack() as stack:
        folder = given.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="coldframe-chaos-")))
        folder = folder.resolve()
        (folder / "tmp").mkdir(parents=True)
        os.environ["TMPDIR"] = tempfile.tempdir = str(folder / "tmp")
        world, settings = World(folder, per_class=2 if given.thin else 4), Settings(given.seed, given.thin)
        tallies = {kind: _harm(kind, world, settings, given.only, keep=given.keep is not None) for kind in kinds}
    print(json.dumps({kind: {"tried": tally.tried, "lost": tally.lost} for kind, tally in tallies.items()}))
    return int(any(tally.lost for tally in tallies.values()))


def _harm(kind: str, world: World, settings: Settings, only: list[str] | None, *, keep: bool) -> Tally:
    module: Kind = importlib.import_module(f"tests.chaos.{kind}")
    tally = Tally(kind, settings)
    for trial in module.trials(world, settings):
        if only and not any(trial.name == one or trial.name.startswith(f"{one}/") for one in only):
            continue
        folder = world.folder / "trials" / trial.name
        folder.mkdir(parents=True)
        try:
            problems = trial.run(folder)
        except Exception:
            problems = [traceback.format_exc()]
        tally.add(trial, problems)
        if not (keep and problems):
            shutil.rmtree(folder)
    tally.tell()
    return tally
