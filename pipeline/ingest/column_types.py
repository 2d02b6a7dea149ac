"""The one type that a column of the catalogue has in the store, for rows stored before and rows that come now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from store.connection import quoted

if TYPE_CHECKING:
    from duckdb.sqltypes import DuckDBPyType

TEXT = "VARCHAR"
NOTHING = "null"  # DuckDB's id for the type of a column that has no value
KEPT_AS = {"enum": TEXT, "uuid": TEXT, "varchar": TEXT, "timestamp_s": "TIMESTAMP", "timestamp_ms": "TIMESTAMP"}
# Types whose values another type holds as they are, and that type. None holds those of signed integers and of UBIGINT.
WIDEST = dict.fromkeys(("tinyint", "smallint", "integer", "bigint", "utinyint", "usmallint", "uinteger"), "BIGINT")
WIDEST |= {"float": "DOUBLE", "double": "DOUBLE"}


def of_both(before: Mapping[str, DuckDBPyType], now: Mapping[str, DuckDBPyType]) -> dict[str, str]:
    """For each column that comes now, the type to have it in; text if the store has another kind of value there."""
    return {name: _common(before.get(name, kind), kind) or TEXT for name, kind in now.items()}


def _common(one: DuckDBPyType, other: DuckDBPyType) -> str | None:
    """The type that holds the values of both as they are, as Parquet gives it back; None if they are of different kinds."""
    if NOTHING in (one.id, other.id):
        some = other if one.id == NOTHING else one
        return str(some) if some.id == NOTHING else _common(some, some)
    if one.id in ("list", "array") and other.id in ("list", "array"):
        inner = _common(_parts(one)[0][1], _parts(other)[0][1])
        return inner and f"{inner}[]"
    if one.id == other.id and one.id in ("struct", "map"):
        if [name for name, _ in _parts(one)] != [name for name, _ in _parts(other)]:
            return None
        kinds = [_common(first, second) for (_, first), (_, second) in zip(_parts(one), _parts(other), strict=True)]
        if not kinds or None in kinds:
            return None if kinds else str(one)
        if one.id == "map":
            return f"MAP({kinds[0]}, {kinds[1]})"
        fields = (f"{quoted(name)} {kind}" for (name, _), kind in zip(_parts(one), kinds, strict=True))
        return f"STRUCT({', '.join(fields)})"
    kept = KEPT_AS.get(one.id, str(one))
    if kept == KEPT_AS.get(other.id, str(other)):
        return kept
    widest = WIDEST.get(one.id)
    return widest if widest == WIDEST.get(other.id) else None


def _parts(kind: DuckDBPyType) -> Any:
    """What DuckDB says a type is made of: names and types."""
    return kind.children
