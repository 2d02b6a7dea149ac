"""Broken pictures through ``ingest`` and ``embed``: none crashes or stops them, each is an image or a failure with a reason."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from tests.chaos import forks
from tests.chaos.trials import Settings, Trial
from tests.chaos.worlds import SET, World
from tests.support.fuzzing import broken

FILES, THIN_FILES, AT_ONCE = 1000, 100, 50
SECONDS = 120.0  # that a few dozen small files may take


def trials(world: World, settings: Settings) -> Iterator[Trial]:
    """Some dozen files at a time."""
    for first in range(0, THIN_FILES if settings.thin else FILES, AT_ONCE):
        seeds = range(settings.seed * FILES + first, settings.seed * FILES + first + AT_ONCE)
        yield Trial(f"fuzz/files-{seeds[0]}", partial(_read, seeds), harms=AT_ONCE)


def _read(seeds: range, folder: Path) -> list[str]:
    images, store = folder / "images", folder / "store"
    images.mkdir()
    names = []
    for seed in seeds:
        name, content = broken(seed)
        names.append(name)
        (images / name).write_bytes(content)
    metadata = folder / "metadata.csv"
    metadata.write_text("\n".join(["path", *names]) + "\n")
    problems = []
    for arguments in (["ingest", str(metadata), "--images", str(images)], ["embed", SET]):
        ended = forks.run(["-s", str(store), *arguments], timeout=SECONDS)
        if ended.code not in (0, 3) or "Traceback" in ended.stderr or ended.orphans:
            problems.append(f"{arguments[0]}: exit code {ended.code}, {ended.orphans}: {ended.stderr[-800:]}")
            return problems
    return problems + forks.call(_unaccounted, store, names)


def _unaccounted(store: Path, names: list[str]) -> list[str]:
    """Files that are not in the books, or without a reason."""
    from store.store import Store

    def rows(query: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = Store.open(store).snapshot().ask(query, {}).to_pylist()
        return found

    images = rows("select path, content_id in (select content_id from data.embeddings) as embedded from images")
    failures = rows("select path, step, reason from failures")
    problems = [f"{row['path']}: {row['step']} failed without a reason" for row in failures if not row["reason"]]
    crashed = [row["path"] for row in failures if "crashed" in (row["reason"] or "")]
    problems += [f"{path}: it crashes its decoder" for path in crashed]
    not_read = {row["path"] for row in failures if row["step"] == "ingest"}
    not_embedded = {row["path"] for row in failures if row["step"] == "embed"}
    if sorted(not_read | {row["path"] for row in images}) != sorted(names):
        problems.append("files that are neither images nor failures, or both")
    problems += [
        f"{row['path']}: neither embedded nor a failure of embed"
        for row in images
        if row["embedded"] == (row["path"] in not_embedded)
    ]
    return problems
