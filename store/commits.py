"""What one commit changes: slices replaced, parts added, parts swapped."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from store.manifest import Swap
from store.parts import Part, write_bytes, write_stream, write_table
from store.schemas import SCHEMAS, conform


class Commit:
    """The changes of one commit: slices replaced, parts added, parts swapped.

    ``dropped`` are the swaps that came too late: some of their old parts were no longer live when it was published.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self.replaced: list[tuple[str, str | None]] = []
        self.added: list[tuple[str, Part]] = []
        self.swapped: list[Swap] = []
        self.dropped: list[Swap] = []

    def changes(self) -> bool:
        """Whether there is anything to publish."""
        return bool(self.replaced or self.added or self.swapped)

    def slices(self) -> set[tuple[str, str | None]]:
        """Dataset and key of each slice that changes; key None: the whole dataset."""
        swapped = {(swap.dataset, part.key) for swap in self.swapped for part in (*swap.old, *swap.new)}
        return {*self.replaced, *((dataset, part.key) for dataset, part in self.added), *swapped}

    def create_datasets(self) -> None:
        """Give each dataset an empty typed part, so that any tool can read its columns."""
        for dataset, schema in SCHEMAS.items():
            self.added.append((dataset, write_table(self._root, dataset, "empty", schema.empty_table())))

    def append(self, dataset: str, table: pa.Table, *, key: str = "") -> None:
        """Add rows to a slice of a dataset."""
        if table.num_rows:
            self.added.append((dataset, write_table(self._root, dataset, key, conform(dataset, table))))

    def replace(self, dataset: str, table: pa.Table, *, key: str = "") -> None:
        """Put these rows in place of a slice of a dataset; other slices stay."""
        self.replaced.append((dataset, key))
        self.append(dataset, table, key=key)

    def replace_stream(self, dataset: str, pieces: Iterator[pa.Table], *, key: str = "") -> None:
        """Put rows that come piece by piece in place of a slice of a dataset; they are never in memory all at once."""
        self.replaced.append((dataset, key))
        conformed = (conform(dataset, piece) for piece in pieces if piece.num_rows)
        first = next(conformed, None)
        if first is not None:
            groups = itertools.chain([first], conformed)
            self.added.append((dataset, write_stream(self._root, dataset, key, first.schema, groups)))

    def swap(self, dataset: str, old: Sequence[Part], new: Sequence[Part]) -> None:
        """Put parts already written in place of others, if those are all still live when this is published."""
        self.swapped.append(Swap(dataset, tuple(old), tuple(new)))

    def add_file(self, dataset: str, content: bytes, *, key: str, suffix: str) -> None:
        """Add a file that is not Parquet, such as a trained head."""
        self.added.append((dataset, write_bytes(self._root, dataset, key, suffix, content)))

    def record_step(
        self,
        step: str,
        name: str,
        *,
        settings: dict[str, Any],
        inputs: dict[str, str] | None = None,
        seconds: float,
        rows_in: int,
        rows_out: int,
        read_at: datetime | None = None,
    ) -> None:
        """Note that a step finished: its resolved settings, and a digest of each column it read.

        Args:
            read_at: when it read the store, for a step beside which others write what it reads; the step counts as done then.
        """
        row = {
            "step": step,
            "name": name,
            "created_at": read_at or datetime.now(UTC),
            "seconds": seconds,
            "rows_in": rows_in,
            "rows_out": rows_out,
            "settings": json.dumps(settings, sort_keys=True),
            "inputs": json.dumps(inputs or {}, sort_keys=True),
        }
        self.replace("steps", pa.Table.from_pylist([row], SCHEMAS["steps"]), key=f"{step}/{name}")
