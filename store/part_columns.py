"""What a dataset's columns may hold. A store may come from a stranger, and its parts from another program."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from store.errors import StoreDamaged
from store.schemas import SCHEMAS, is_like

if TYPE_CHECKING:
    from duckdb.sqltypes import DuckDBPyType

FIRST_TIME, LAST_TIME = "0001-01-01", "9999-12-31 23:59:59.9"
MOST_LEVELS = 16  # of types within types: ingest writes no more than half of them
NESTED = ("list", "array", "struct", "map", "union")


def check_levels(con: duckdb.DuckDBPyConnection, root: Path, dataset: str, select: str) -> None:
    """Raises:
    StoreDamaged: a column has types within types that go too deep: reading takes twice as long for each level.
    """
    found = con.sql(select)
    for name, kind in zip(found.columns, found.types, strict=True):
        if _levels(kind, MOST_LEVELS + 1) > MOST_LEVELS:
            raise StoreDamaged(
                f"{root}: the column {name!r} of {dataset} has types within types in more than {MOST_LEVELS} levels: coldframe "
                "did not write it; get the store again from where you got it"
            )


def _levels(kind: DuckDBPyType, most: int) -> int:
    """How deep types lie within a type, 1 for a plain one; counted up to ``most``."""
    if most <= 1 or kind.id not in NESTED:
        return 1
    inner = (one for _, one in kind.children if not isinstance(one, int | list))
    return 1 + max((_levels(one, most - 1) for one in inner), default=0)


def check_types(con: duckdb.DuckDBPyConnection, root: Path, dataset: str) -> None:
    """Raises:
    StoreDamaged: a column of ours holds values of another kind, as none that we wrote does.
    """
    found = con.sql(f"select * from data.{dataset} limit 0").to_arrow_table().schema
    for wanted in SCHEMAS[dataset]:
        place = found.get_field_index(wanted.name)
        if place >= 0 and not is_like(found.field(place).type, wanted.type):
            raise StoreDamaged(
                f"{root}: the column {wanted.name!r} of {dataset} holds {found.field(place).type}, expected {wanted.type}: "
                "coldframe did not write it; 'coldframe verify' says more"
            )


def check_times(con: duckdb.DuckDBPyConnection, root: Path, dataset: str) -> None:
    """Raises:
    StoreDamaged: a time of ours is none that Python's calendar has, or leaves no room for a later one.
    """
    known = set(con.view(f"data.{dataset}").columns)
    times = [one.name for one in SCHEMAS[dataset] if pa.types.is_timestamp(one.type) and one.name in known]
    if not times:
        return
    beyond = " or ".join(f"{name} not between '{FIRST_TIME}' and '{LAST_TIME}'" for name in times)
    if con.sql(f"select 1 from data.{dataset} where {beyond} limit 1").fetchall():
        raise StoreDamaged(
            f"{root}: {dataset} holds a time before the year 1 or at the end of 9999 or later: coldframe did not write it, and a "
            "store with it cannot be used"
        )
