"""What rows of a store keep as JSON. A store may come from a stranger, and a text column may hold anything."""

from __future__ import annotations

import json
from typing import Any

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


def not_ours(where: str, why: str) -> StoreDamaged:
    """A sentence for a row that coldframe would not have written."""
    return StoreDamaged(f"{where}: {why}: coldframe did not write this row; do that step again, or use another store")
