"""Identity: pictures that a catalogue gives another id, and what becomes of the verdicts on them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pipeline.ingest.settings import STEP, Settings
from pipeline.steps.records import Record
from store.errors import ColdframeError
from store.store import Snapshot

MOVED = "moved"
SENTENCES = {
    MOVED: "{count_verdicts} verdicts follow their pictures to other ids, such as {verdict} of {image_id} to {new_id}",
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
    """Check that most pictures of the store keep their ids in a catalogue: the tables ``listed`` and ``stored`` of ``now``.

    Rows that go with ``--prune`` may come back under other ids. Of fewer a sentence says how many there are.

    Raises:
        ColdframeError: more than half of the rows are there under another id, as after a change of the id column.
    """
    found = now.rows("steps/ingest/other_ids")[0]
    moved = found["swapped"] + (0 if settings.prune else found["gone"])
    if settings.new_ids or 2 * moved <= found["rows"]:
        if settings.prune or not found["gone"]:
            return []
        return [
            f"{found['gone']} pictures of the store have another id here and are in twice now: --prune removes the old rows"
        ]
    record = Record.of(now, STEP, "")
    before = _told(record.settings.get("id")) if record is not None else "another"
    now_told = _told(settings.id)
    if before == now_told:
        why = f"The id column is {before} as before, so paths or ids are written in another way, or count from another folder"
    else:
        why = f"The id column was {before} and is now {now_told}. Give the one that it was"
    prune = "" if settings.prune else "; --prune to remove the old rows, and what persons said follows its picture"
    twice = "" if found["swapped"] else ": they would be in twice"
    raise ColdframeError(
        f"{Path(settings.metadata).name}: {moved} pictures of the store have another id here, such as "
        f"{found['image_id']!r}, which is now {found['new_id']!r}{twice}. {why}{prune}; or "
        "--new-ids, if all of this is meant"
    )


def _told(column: object) -> str:
    return "the path (no --id)" if column is None else f"{column!r} (--id)"


def judged_twice(now: Snapshot) -> Iterator[str]:
    """A sentence on pictures that a person judged and that are there under a new id too; the old id is still in the store."""
    found = now.rows("steps/ingest/judged_twice")[0]
    if found["pictures"]:
        yield (
            f"{found['pictures']} pictures that a person kept or dropped are there under two ids, and that applies to one of "
            f"them: such as to {found['image_id']}, not to {found['new_id']}: --prune removes the old rows, and the verdicts "
            "follow"
        )


def notes(moment: Snapshot, *, moved: bool = False) -> list[str]:
    """Sentences on verdicts that no longer apply, that were given for other bytes, or that have ``moved`` to other ids."""
    rows = moment.rows("steps/ingest/unsettled_verdicts")
    return [SENTENCES[row["state"]].format_map(row) for row in rows if moved or row["state"] != MOVED]
