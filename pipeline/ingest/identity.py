"""Identity: pictures that a catalogue gives another id, and what becomes of the verdicts on them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from pipeline.ingest.settings import STEP, Settings
from pipeline.steps.records import Record
from store.errors import ColdframeError
from store.store import Snapshot

WITHDRAWN = "unset"  # what the command of that name records
SENTENCES = {
    "lost": (
        "{count_verdicts} verdicts apply to no image any more, such as {verdict} of {image_id}: 'coldframe sql \"from "
        "lost_verdicts\"' lists them, and 'coldframe unset' withdraws them"
    ),
    "stale": (
        "{count_verdicts} verdicts were given for other bytes than their images have now, such as {verdict} of {image_id}: look "
        "again ('coldframe sql \"from verdicts where is_stale\"')"
    ),
}


def check(now: Snapshot, settings: Settings) -> list[str]:
    """Check that most pictures of the store keep their ids in a catalogue, by the views of ``now``.

    Rows that go with ``--prune`` may come back under other ids. Of fewer a sentence says how many there are.

    Raises:
        ColdframeError: more than half of the rows are there under another id, as after a change of the id column.
    """
    found = now.rows("steps/ingest/other_ids")[0]
    other = found["swapped"] + (0 if settings.prune else found["gone"])
    if settings.new_ids or 2 * other <= found["rows"]:
        if not found["gone"]:
            return []
        return [
            f"{found['gone']} pictures have another id now: their new rows replace the old ones, and their verdicts go with them"
        ]
    record = Record.of(now, STEP, "")
    before = _told(record.settings.get("id")) if record is not None else "another"
    now_told = _told(settings.id)
    if before == now_told:
        why = f"The id column is {before} as before, so paths or ids are written in another way, or count from another folder"
    else:
        why = f"The id column was {before} and is now {now_told}. Give the one that it was"
    raise ColdframeError(
        f"{Path(settings.metadata).name}: {other} pictures of the store have another id here, such as "
        f"{found['image_id']!r}, which is now {found['new_id']!r}. {why}; or --new-ids (or --prune), if all of this is "
        "meant: the new rows replace the old ones, and what persons said follows its picture"
    )


def _told(column: object) -> str:
    return "the path (no --id)" if column is None else f"{column!r} (--id)"


def verdicts(now: Snapshot) -> tuple[pa.Table, list[str]]:
    """The verdicts to record for pictures that come to other ids, and a sentence on those that hold, if there are any.

    Args:
        now: a moment with the views of the wanted catalogue.
    """
    found = now.query("steps/ingest/moved_verdicts", now=now.value("steps/steps/next_time"))
    holding = [row for row in found.to_pylist() if row["verdict"] != WITHDRAWN]
    told = [
        f"{len(holding)} verdicts follow their pictures to other ids, such as {one['verdict']} of {one['old_id']} to "
        f"{one['image_id']}"
        for one in holding[:1]
    ]
    return found.drop_columns(["old_id"]), told


def notes(moment: Snapshot) -> list[str]:
    """Sentences on verdicts that no longer apply, or that were given for other bytes."""
    return [SENTENCES[row["state"]].format_map(row) for row in moment.rows("steps/ingest/unsettled_verdicts")]
