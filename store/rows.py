"""What rows of a store keep as JSON. A store may come from a stranger, and a text column may hold anything."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from store.errors import StoreDamaged


def json_of(text: Any, where: str) -> dict[str, Any]:
    """The JSON object that a row keeps in a text column.

    Args:
        where: what the text is, for the sentence: ``the settings of step 'curate'``.

    Raises:
        StoreDamaged: it holds something else.
    """
    try:
        found = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise not_ours(where, f"{ascii(text)[:60]}, expected a JSON object")
    return found


def dictionaries(table: pa.Table, where: str) -> list[dict[str, Any]]:
    """Rows as dictionaries.

    Raises:
        StoreDamaged: a value is none that Python has, such as a day after the year 9999.
    """
    try:
        return list(table.to_pylist())
    except OverflowError as error:
        raise not_ours(where, str(error)) from error


def not_ours(where: str, why: str) -> StoreDamaged:
    """A sentence for a row that coldframe would not have written."""
    return StoreDamaged(f"{where}: {why}: coldframe did not write this row; do that step again, or use another store")
