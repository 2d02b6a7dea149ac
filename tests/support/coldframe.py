"""Small drawn catalogues, and two ways to run a command: in this process, or in one of its own."""

from __future__ import annotations

import csv
import functools
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq
from click.testing import CliRunner, Result
from PIL import Image

from pipeline.cli.app import cli
from store.parts import Part
from store.store import Store
from tests.support.forked import Forking

REPOSITORY = Path(__file__).resolve().parent.parent.parent
SHARED = REPOSITORY.parent / "shared"

COLOURS = {"finch": (200, 60, 40), "heron": (40, 90, 200), "moth": (60, 180, 70)}
PHYLUM = {"finch": "chordata", "heron": "chordata", "moth": "arthropoda"}


def environment(**more: str) -> dict[str, str]:
    """The variables of a process of its own, in which Keras runs on what it runs on by default."""
    return {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"} | more


def picture(label: str, seed: int, size: tuple[int, int] = (40, 30)) -> Image.Image:
    """A noisy patch of the class's colour."""
    noise = np.random.default_rng(seed).normal(0, 40, (size[1], size[0], 3))
    return Image.fromarray((np.array(COLOURS[label]) + noise).clip(0, 255).astype(np.uint8))


@dataclass
class Catalogue:
    """A metadata file and an image folder that a test may add to."""

    folder: Path
    rows: list[dict[str, str]]

    @property
    def metadata(self) -> Path:
        """The CSV."""
        return self.folder / "metadata.csv"

    @property
    def images(self) -> Path:
        """The image folder."""
        return self.folder / "images"

    def add(self, image_id: str, label: str, image: Image.Image | None = None, name: str = "") -> Path:
        """One more row, with its picture if one is given."""
        path = name or f"{label}/{image_id}.png"
        self.rows.append({"id": image_id, "file_path": path, "label": label, "phylum": PHYLUM.get(label, "")})
        file = self.images / path
        if image is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            image.save(file)
        return file

    def write(self, rows: list[dict[str, str]] | None = None) -> Path:
        """Write the CSV, of all rows or of those given."""
        rows = self.rows if rows is None else rows
        columns = dict.fromkeys(name for row in rows for name in row) or ("id", "file_path", "label", "phylum")
        with self.metadata.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(columns))
            writer.writeheader()
            writer.writerows(rows)
        return self.metadata


def drawn(folder: Path, per_class: int = 8) -> Catalogue:
    """A catalogue of ``per_class`` pictures of each class."""
    catalogue = Catalogue(folder, [])
    for label in COLOURS:
        for number in range(per_class):
            seed = 1000 * list(COLOURS).index(label) + number
            catalogue.add(f"{label}-{number:02d}", label, picture(label, seed))
    catalogue.write()
    return catalogue


def moved(store: Store, before: Path, now: Path) -> None:
    """Have the store of a catalogue that was in one folder know it in another, with the same files."""
    part = store.snapshot().manifest.parts("steps", "ingest/")[-1]
    record = pq.read_table(store.root / part.path)
    settings = [text.replace(str(before), str(now)) for text in record["settings"].to_pylist()]
    at = record.column_names.index("settings")
    with store.commit("ingest") as commit:
        commit.replace("steps", record.set_column(at, "settings", pa.array(settings, pa.string())), key="ingest/")


@functools.cache
def _forking() -> Forking:
    return Forking(environment())


def command_of(name: str) -> click.Command:
    """A command of ``coldframe``."""
    found = cli.get_command(click.Context(cli), name)
    assert found is not None, name
    return found


class Coldframe:
    """Runs ``coldframe`` against one store."""

    def __init__(self, store: Path) -> None:
        self.path = store

    def __call__(self, *arguments: object, code: int = 0) -> Result:
        """Run a command in this process and check its exit code."""
        result = CliRunner().invoke(cli, ["-s", str(self.path), *map(str, arguments)])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, f"{arguments}: exit code {result.exit_code}\n{result.output}"
        return result

    def process(self, *arguments: object, code: int = 0, **more: Any) -> subprocess.CompletedProcess[str]:
        """Run a command in a process of its own, in which Keras runs on what it runs on by default."""
        more.setdefault("env", environment())
        done = subprocess.run(self.command(*arguments), capture_output=True, text=True, check=False, **more)
        assert done.returncode == code, f"{arguments}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def forked(self, *arguments: object, code: int = 0, **variables: str) -> subprocess.CompletedProcess[str]:
        """As :meth:`process`, without the time that TensorFlow takes to load."""
        done = _forking().run(["-s", str(self.path), *map(str, arguments)], environment(**variables))
        assert done.returncode == code, f"{arguments}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def command(self, *arguments: object) -> list[str]:
        """The command line of a process."""
        return [sys.executable, "-P", "-m", "pipeline", "-s", str(self.path), *map(str, arguments)]

    def rows(self, query: str, *options: object) -> list[dict[str, Any]]:
        """The rows of a query."""
        rows: list[dict[str, Any]] = json.loads(self("sql", query, "--format", "json", *options).stdout)
        return rows

    def value(self, query: str) -> Any:
        """The only value of a query."""
        return next(iter(self.rows(query)[0].values()))

    def ingest(self, catalogue: Catalogue, *options: object, code: int = 0) -> Result:
        """Ingest a test's catalogue by its id column."""
        return self("ingest", catalogue.metadata, "--images", catalogue.images, "--id", "id", *options, code=code)

    @property
    def store(self) -> Store:
        """The store itself."""
        return Store(self.path)


def parts_of(cf: Coldframe, dataset: str, key: str | None = None) -> list[Part]:
    return [part for part in cf.store.snapshot().manifest.parts(dataset, key) if part.rows]


def date_later(cf: Coldframe, dataset: str, column: str, key: str | None = None) -> None:
    """Have a dataset, or a slice of it, as a command would have left it whose clock was years ahead."""
    with cf.store.commit("test") as commit:
        for one in {part.key for part in parts_of(cf, dataset, key)}:
            table = pa.concat_tables([pq.read_table(cf.path / part.path) for part in parts_of(cf, dataset, one)])
            later = pa.compute.add(table[column], pa.scalar(timedelta(days=3650)))
            commit.replace(dataset, table.set_column(table.column_names.index(column), column, later), key=one)


def flip(cf: Coldframe, part: Part) -> Path:
    """Change one bit in the middle of a part."""
    path = cf.path / part.path
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    return path


def assert_whole(cf: Coldframe) -> None:
    assert "FAILED" not in cf("verify", "--deep").stdout
    cf("status")


def killed(cf: Coldframe, arguments: list[str], after: float) -> bool:
    """Start a command and kill it after some seconds; False if it had ended by then."""
    process = subprocess.Popen(cf.command(*arguments), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(after)
    process.send_signal(signal.SIGKILL)
    return process.wait() == -signal.SIGKILL
