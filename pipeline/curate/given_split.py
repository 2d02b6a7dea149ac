"""A split that exists already: the rows where a condition on the catalogue holds."""

from __future__ import annotations

import pyarrow as pa

from pipeline.curate.plans import Stage
from store import digests
from store.errors import ColdframeError, QueryRefused, TooLittleMemory
from store.store import Snapshot

SECONDS = 60.0  # that a condition may take: as long as others wait for the lock of curation


def is_given(stage: Stage) -> bool:
    """Whether a stage is such a split."""
    return stage.kind == "split" and stage.settings.get("where") is not None


def take(snapshot: Snapshot, stage: Stage) -> None:
    """Choose the rows of the split (``carved``) out of ``candidates``.

    Raises:
        ColdframeError: the condition is wrong, or holds for no image.
    """
    found = _selected(snapshot, stage)
    if not len(found):
        raise ColdframeError(
            f"split {stage.name}: {stage.settings['where']!r} holds for no image: look at the column with 'coldframe sql'"
        )
    snapshot.register("given_split", found)
    snapshot.materialise("carved", "steps/curate/given_rows")


def digest(snapshot: Snapshot, stage: Stage) -> str:
    """A digest of the images for which the condition holds: which columns it reads cannot be told from its text.

    Raises:
        ColdframeError: the condition cannot be answered.
    """
    return digests.of_json(sorted(_selected(snapshot, stage)["image_id"].to_pylist()))


def _selected(snapshot: Snapshot, stage: Stage) -> pa.Table:
    """The images for which the condition holds.

    It is answered as a user's own query is, which can only read the store, within limits: it may come with a store of someone
    else.

    Raises:
        ColdframeError: the condition cannot be answered within the limits.
    """
    where = stage.settings["where"]
    most = sum(part.rows for part in snapshot.manifest.parts("images"))
    try:
        found = snapshot.ask(f"select image_id from images where (\n{where}\n)", {}, timeout=SECONDS, rows=most)
    except (QueryRefused, TooLittleMemory) as error:
        raise ColdframeError(f"split {stage.name}: the condition {where!r} cannot be answered: {error}") from error
    if found.column_names != ["image_id"] or found["image_id"].null_count:
        raise ColdframeError(f"split {stage.name}: {where!r} is no condition on an image, such as \"set = 'test'\"")
    return found


def leaks(snapshot: Snapshot, stage: Stage) -> list[str]:
    """Remarks on copies that the split divides, by where a whole replay leaves them (``state``)."""
    row = snapshot.rows("steps/curate/copies_outside", split=stage.name)[0]
    if not row["images"]:
        return []
    return [
        f"split {stage.name}: {row['images']} of its images have copies outside it, such as {row['image_id']} and "
        f"{row['copy_id']} in {row['copy_split']}: a score on them may be too high"
    ]
