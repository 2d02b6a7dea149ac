"""Copies: which contents show the same picture, from stored vectors and hashes and one look at each picture."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from operator import itemgetter
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.curate import units
from pipeline.curate.likeness import candidates
from pipeline.curate.likeness.alignment import LEAST_LOCAL, Likeness, Limits, likeness, opencv
from pipeline.curate.likeness.candidates import Pairs
from pipeline.curate.likeness.thumbnails import Thumbnails
from pipeline.embed import feature_sets
from pipeline.ingest import images
from pipeline.ingest.pictures import image_root
from pipeline.runtime.processes import cores
from pipeline.runtime.progress import Progress
from pipeline.steps.config import Config
from pipeline.steps.records import NEVER, Record
from pipeline.steps.settings import as_json, check, from_json, incidental, options, setting
from store.commits import Commit
from store.errors import ColdframeError
from store.schemas import SCHEMAS
from store.store import Snapshot, Store

STEP = "copies"
METHOD = "1"  # raised when a change of the code would find other copies
PAIRS_AT_A_TIME = 64  # that a thread compares

Found = dict[tuple[int, int], Likeness]


@dataclass(frozen=True)
class Settings:
    """Which pairs to look at, and what counts as a copy."""

    embedder: str | None = setting(
        None,
        "Feature set whose vectors tell which pictures to compare.",
        metavar="SET",
        default_text=feature_sets.DEFAULT_TEXT,
    )
    neighbours: int = setting(10, "Compare each picture with so many nearest by centred cosine.", least=1, most=1000)
    bits: int = setting(
        12, "Compare pictures whose hashes, plain or mirrored, differ in at most so many of 64 bits.", least=0, most=20
    )
    correlation: float = setting(
        0.9,
        f"Least correlation of grey levels where two copies overlap. Within small blocks it is {LEAST_LOCAL} whatever this says.",
        least=0.5,
        most=1,
    )
    overlap: float = setting(0.5, "Least share of the smaller copy that overlaps.", above=0, most=1)
    inliers: int = setting(12, "Least number of keypoints in the same places.", least=4, most=200)


@dataclass(frozen=True)
class Outcome:
    """What was looked at and found.

    Attributes:
        contents: in the store.
        compared: pairs of them.
        kinds: how many pairs are copies of each kind.
        groups: of connected pairs.
        failed: contents whose picture could not be read.
    """

    contents: int
    compared: int
    kinds: dict[str, int]
    groups: int
    failed: int


def find(store: Store, settings: Settings, *, quiet: bool = False) -> Outcome:
    """Find the near copies among all contents of the store and put them in place of those found before.

    Those found before of a content that cannot be read this time stay.

    Raises:
        ColdframeError: the feature set does not exist, the image folder is gone, no picture can be read, or there is no room for
            small pictures.
        Locked: copies are being looked for already.
    """
    started = time.monotonic()
    check(STEP, settings)
    with store.lock(STEP):
        snapshot = store.snapshot()
        embedder = feature_sets.choose(snapshot, settings.embedder)
        contents = snapshot.query("steps/curate/copies/contents")
        pairs = _pairs(snapshot, embedder, contents, settings)
        wanted = np.unique(pairs)
        content_ids = contents["content_id"].to_numpy()
        with _one_thread_each(), closing(Thumbnails(snapshot, content_ids[wanted].tolist(), quiet=quiet)) as thumbnails:
            limits = Limits(settings.correlation, settings.overlap, settings.inliers)
            failed = thumbnails.failed
            if failed and len(failed) == len(wanted):
                raise _nothing_readable(snapshot, failed)
            found = _copies(thumbnails, np.searchsorted(wanted, pairs), limits, contents.take(wanted), quiet=quiet)
        table = _table([*_rows(found, content_ids[wanted]), *_found_before(snapshot, failed)])
        kinds = table["kind"].value_counts().to_pylist()
        with store.commit(STEP) as commit:
            commit.replace("copies", table)
            _replace_failures(snapshot, commit, failed)
            commit.record_step(
                STEP,
                "",
                settings=asdict(settings) | {"embedder": embedder},
                inputs=_inputs(snapshot, embedder),
                seconds=time.monotonic() - started,
                rows_in=len(contents),
                rows_out=len(table),
            )
    return Outcome(
        len(contents),
        len(pairs),
        {one["values"]: one["counts"] for one in kinds},
        len(set(table["group_id"].to_pylist())),
        len(failed),
    )


def out_of_date(moment: Snapshot | None, config: Config) -> str | None:
    """Why copies have to be looked for again; None if they need not be.

    If ``config`` has no section for them, the settings are those that they were looked for with.
    """
    record = Record.of(moment, STEP, "")
    if record is None or moment is None:
        return NEVER
    is_asked = STEP in config.tables
    settings = config.settings(Settings, STEP, flags={}) if is_asked else from_json(Settings, record.settings)
    embedder = feature_sets.choose(moment, settings.embedder)
    failed = moment.value("steps/curate/copies/count_failed")
    unread = f"{failed} contents could not be read" if failed else None
    return record.difference(as_json(settings) | {"embedder": embedder}, _inputs(moment, embedder), Settings) or unread


def again(moment: Snapshot, config: Config) -> list[str]:
    """The command that looks for copies again."""
    record = Record.of(moment, STEP, "")
    if record is None:
        return [STEP]
    made = from_json(Settings, record.settings)
    return [STEP, *options(Settings, made, config.defaults(Settings, STEP), leave_out=tuple(incidental(Settings)))]


def _inputs(snapshot: Snapshot, embedder: str) -> dict[str, str]:
    return {
        f"embeddings of {embedder}": feature_sets.digest(snapshot, embedder),
        "contents and hashes": snapshot.value("steps/curate/copies/contents_digest"),
        "method": METHOD,
    }


def _pairs(snapshot: Snapshot, embedder: str, contents: pa.Table, settings: Settings) -> Pairs:
    """Pairs of positions in ``contents`` that may be copies."""
    known = feature_sets.vectors(snapshot, embedder)
    ids = contents["content_id"].to_numpy()
    nearest = np.searchsorted(ids, known.content_ids.astype(ids.dtype))[
        candidates.by_vectors(known.matrix, settings.neighbours)
    ]
    hashes = candidates.as_numbers(contents["phash"].to_pylist())
    hashed = np.flatnonzero(hashes)
    alike = hashed[candidates.by_hashes(hashes[hashed], settings.bits, settings.neighbours)]
    # what was found by a vector that is not there now is looked at all the same
    before = _found_before(snapshot, np.setdiff1d(ids.astype(str), known.content_ids.astype(str)).tolist())
    known_pairs = [[row["content_id"], row["other_id"]] for row in before]
    return candidates.merged(nearest, alike, np.searchsorted(ids, np.array(known_pairs, ids.dtype).reshape(-1, 2)))


def _copies(thumbnails: Thumbnails, pairs: Pairs, limits: Limits, contents: pa.Table, *, quiet: bool) -> Found:
    """The pairs that are copies, and the best of each group with each other member of it, where those are copies too."""
    found = dict(_compared(thumbnails, pairs, limits, "compare", quiet=quiet))
    rank = np.lexsort((contents["image_id"].to_numpy().astype(str), -contents["pixels"].to_numpy()))
    place = np.argsort(rank)
    groups = _groups(found)
    best: dict[int, int] = {}
    for member, group in groups.items():
        best[group] = min(best.get(group, member), member, key=lambda one: place[one])
    more = {tuple(sorted((best[group], member))) for member, group in groups.items() if best[group] != member}
    left = np.array(sorted(more - found.keys()), np.int64).reshape(-1, 2)
    return found | dict(_compared(thumbnails, left, limits, "compare with the best", quiet=quiet))


def _compared(
    thumbnails: Thumbnails, pairs: Pairs, limits: Limits, what: str, *, quiet: bool
) -> Iterator[tuple[tuple[int, int], Likeness]]:
    """The pairs that are copies. Threads compare them: OpenCV gives up Python's lock while it works."""

    def compare(some: Pairs) -> list[tuple[tuple[int, int], Likeness]]:
        kept = []
        first = -1
        for one, other in some.tolist():
            if not (thumbnails.has_keypoints(one) and thumbnails.has_keypoints(other)):
                continue
            if one != first:
                first, picture = one, thumbnails.read(one)
            like = likeness(picture, thumbnails.read(other), limits)
            if like is not None:
                kept.append(((one, other), like))
        return kept

    pieces = (pairs[start : start + PAIRS_AT_A_TIME] for start in range(0, len(pairs), PAIRS_AT_A_TIME))
    with ThreadPoolExecutor(cores()) as pool, Progress(len(pairs), what, quiet=quiet) as progress:
        while some := list(islice(pieces, 16 * cores())):
            for piece, kept in zip(some, pool.map(compare, some), strict=True):
                yield from kept
                progress.advance(len(piece))


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Have OpenCV start no threads of its own beside ours."""
    cv2 = opencv()
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _groups(pairs: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
    """The group of each content or position that is in a pair: the least one connected with it."""
    links = [(end, pair[0]) for pair in sorted(pairs) for end in pair]
    if not links:
        return {}
    found = units.connected(pa.table({"member": [end for end, _ in links], "link": [link for _, link in links]}))
    return dict(zip(found["member"].to_pylist(), found["unit"].to_pylist(), strict=True))


def _rows(found: Found, content_ids: Any) -> list[dict[str, Any]]:
    return [
        {
            "content_id": content_ids[one],
            "other_id": content_ids[other],
            "kind": like.kind,
            "correlation": round(like.correlation, 4),
            "overlap": round(like.overlap, 4),
            "inliers": like.inliers,
        }
        for (one, other), like in found.items()
    ]


def _found_before(snapshot: Snapshot, missed: Iterable[str]) -> list[dict[str, Any]]:
    """Pairs found before, of contents without a picture or a vector now: these may be copies still."""
    snapshot.register("missed", pa.table({"content_id": pa.array(list(missed), pa.string())}))
    return snapshot.rows("steps/curate/copies/found_before")


def _table(rows: list[dict[str, Any]]) -> pa.Table:
    groups = _groups((row["content_id"], row["other_id"]) for row in rows)
    rows = [row | {"group_id": groups[row["content_id"]]} for row in rows]
    return pa.Table.from_pylist(sorted(rows, key=itemgetter("content_id", "other_id")), SCHEMAS["copies"])


def _nothing_readable(snapshot: Snapshot, failed: dict[str, str]) -> ColdframeError:
    reason = next(iter(failed.values()))
    return ColdframeError(
        f"{image_root(snapshot)}: none of {len(failed)} pictures could be read ({reason}); what was found before stays: "
        "make them readable, then run the command again"
    )


def _replace_failures(before: Snapshot, commit: Commit, failed: dict[str, str]) -> None:
    """One row of ``failures`` per image of a content that gave no picture, in place of those of the last time."""
    if failed or before.query("steps/ingest/failures_of", step=STEP, name="").num_rows:
        commit.replace("failures", images.failure_rows(before, STEP, "", failed), key=f"{STEP}/")
