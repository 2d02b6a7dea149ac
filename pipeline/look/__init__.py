"""Look: pages on which a person sees pictures and judges them, and a report that can be mailed.

``from pipeline.look import report``; ``report("coldframe-store")`` shows itself in a notebook.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.look.reporting import Report
    from store.store import Store


def report(store: str | Path | Store, **options: Any) -> Report:
    """A report of a store, see :func:`pipeline.look.reporting.report`; nothing is imported before it is asked for."""
    from pipeline.look.reporting import report

    return report(store, **options)
