"""The demo's closing report: the steps, how many planted faults the rules found, and how good the heads are."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from pipeline.demo import planting
from pipeline.demo.faults import NOT_ANIMALS, UNTRAINED
from pipeline.demo.world import DOUBT_PLAN, PLANT_NONE, PLANT_REPORT, REPORT_PLAN, World
from pipeline.runtime.output import as_text
from pipeline.runtime.terminal import escaped
from store.schemas import DEFAULT_PLAN
from store.store import Snapshot

# The report's counts; it does not list the passes of the centroid rule separately.
REPORT = {
    "rows in the catalogue": 11_983,
    "out: greyscale": 183,
    "out: CMYK": 176,
    "out: CLIP quality": 640,
    "test rows, at first": 1_648,
    "train": 7_780,
    "val": 865,
    "test": 1_495,
    "kept in all": 10_140,
}


@dataclass(frozen=True)
class Quality:
    """CLIP quality over all pictures: how many bad ones, of trained and other kinds, and how many it would take out."""

    trained: int
    trained_found: int
    untrained: int
    untrained_found: int
    flagged: int

    @property
    def bad_flagged(self) -> int:
        """Bad pictures, of trained kinds or not, among all that it would take out."""
        return self.trained_found + self.untrained_found


def with_truth(snapshot: Snapshot, world: World) -> Snapshot:
    """The snapshot with two more tables: ``truth`` (image_id, kind, standing) and ``outcomes`` of each plan."""
    truth = {
        "image_id": [row.image_id for row in world.rows],
        "kind": [row.kind for row in world.rows],
        "standing": [_standing(row.kind) for row in world.rows],
    }
    snapshot.register("truth", pa.table(truth))
    snapshot.materialise("outcomes", "steps/demo/outcomes")
    return snapshot


def _standing(kind: str) -> str:
    if kind in planting.GOOD:
        return "good"
    if kind in NOT_ANIMALS:
        return "untrained" if kind in UNTRAINED else "trained"
    return "other"


def quality(snapshot: Snapshot) -> Quality:
    """CLIP quality at the threshold of the default plan, from a snapshot with the truth."""
    return Quality(**snapshot.rows("steps/demo/quality", plan=DEFAULT_PLAN)[0])


def accuracies(snapshot: Snapshot) -> pa.Table:
    """Test accuracy of each head and of guessing the largest class, in percent, with 95 % intervals.

    Intervals are Wilson's for a share of independent rows (Wilson 1927, JASA 22:209-212), from ``scipy.stats.binomtest``.
    """
    from scipy.stats import binomtest

    rows = snapshot.rows("steps/demo/heads")
    rows += [{"name": "guessing the largest class", **row} for row in snapshot.rows("steps/demo/guessing")]
    shown = []
    for row in sorted(rows, key=lambda one: one["plan"]):
        share = binomtest(row["right"], row["rows"]).proportion_ci(method="wilson")
        shown.append(
            {
                "head": row["name"],
                "plan": row["plan"],
                "test_rows": row["rows"],
                "accuracy": f"{100 * row['right'] / row['rows']:.1f} %",
                "interval_95": f"{100 * share.low:.1f} to {100 * share.high:.1f} %",
            }
        )
    return pa.Table.from_pylist(shown)


def steps(snapshot: Snapshot, world: World) -> pa.Table:
    """Rows in, rows out and seconds of each step, drawing first; a second run draws nothing."""
    drawing = {
        "step": "draw",
        "name": "",
        "rows_in": len(world.rows),
        "rows_out": world.drawn,
        "seconds": world.seconds,
    }
    rows = [drawing, *snapshot.rows("steps/demo/steps")]
    return pa.Table.from_pylist([row | {"seconds": f"{row['seconds']:.1f}"} for row in rows])


def rehearsal(snapshot: Snapshot) -> pa.Table:
    """The report's counts beside those of the plans ``default`` (apply_to train) and ``report`` (apply_to all)."""
    train, everything = (snapshot.rows("steps/demo/rehearsal", plan=plan) for plan in (DEFAULT_PLAN, REPORT_PLAN))
    return pa.table(
        {
            "step": [row["step"] for row in train],
            "report": [f"{REPORT[row['step']]:,}" if row["step"] in REPORT else "" for row in train],
            "apply_to_train": [f"{row['images']:,}" for row in train],
            "apply_to_all": [f"{row['images']:,}" for row in everything],
        }
    )


def tell(snapshot: Snapshot, world: World) -> Iterator[str]:
    """The summary, paragraph by paragraph, with its values escaped."""
    yield f"{escaped(str(world.folder), keep='')}: {len(world.rows):,} rows, {len({row.family for row in world.rows})} families\n"
    yield as_text(steps(snapshot, world)) + "\n"
    if world.plant != PLANT_NONE:
        yield from _findings(with_truth(snapshot, world))
    if world.plant == PLANT_REPORT:
        yield as_text(rehearsal(snapshot)) + "\n"
    yield as_text(accuracies(snapshot)) + "\n"
    yield from _next(snapshot, world)


def _findings(snapshot: Snapshot) -> Iterator[str]:
    yield as_text(snapshot.query("steps/demo/kinds", plan=DEFAULT_PLAN)) + "\n"
    yield as_text(snapshot.query("steps/demo/rules", plan=DEFAULT_PLAN)) + "\n"
    yield from _instead_of_centroid(snapshot)
    found = quality(snapshot)
    trained, untrained = _share(found.trained_found, found.trained), _share(found.untrained_found, found.untrained)
    yield (
        "CLIP quality over all pictures, whichever rule takes them out: it finds\n"
        f"  {trained} of the bad pictures of kinds its model was trained on,\n"
        f"  {untrained} of kinds it never saw;\n"
        f"  {_share(found.bad_flagged, found.flagged)} of what it would take out is bad.\n"
    )


def _instead_of_centroid(snapshot: Snapshot) -> Iterator[str]:
    """What label-doubt finds and costs, in the plan that has it in place of centroid."""
    rules = snapshot.query("steps/demo/rules", plan=DOUBT_PLAN)
    doubt = [row for row in rules.to_pylist() if row["rule"] == "label-doubt"]
    if doubt:  # a demo that an earlier version drew has no such plan
        yield f"Plan {DOUBT_PLAN}, which has label-doubt in place of centroid, otherwise the same:\n"
        yield as_text(pa.Table.from_pylist(doubt)) + "\n"


def _share(part: int, whole: int) -> str:
    return f"{part} of {whole} ({100 * part / whole:.1f} %)" if whole else "none of 0"


def _next(snapshot: Snapshot, world: World) -> Iterator[str]:
    # 'make demo' runs it from an environment that is not on the path
    coldframe = (
        "coldframe" if shutil.which("coldframe") else shlex.quote(str(Path(sys.executable).with_name("coldframe")))
    )
    narrowly = snapshot.rows("steps/demo/narrowly_out", plan=DEFAULT_PLAN)
    image_id = narrowly[0]["image_id"] if narrowly else world.rows[0].image_id
    folder = escaped(shlex.quote(str(world.folder)), keep="")
    yield "See the pictures, and judge them, in a browser; or write a report that can be mailed:"
    yield f"  cd {folder}"
    yield f"  {coldframe} look"
    yield f"  {coldframe} report"
    yield ""
    yield "Try next:"
    yield f"  cd {folder}"
    yield f"  {coldframe} why -- {escaped(shlex.quote(image_id), keep='')}"
    yield f"  {coldframe} filter centroid --percentile 90 --embedder efficientnet --what-if"
    query = (
        "select label, predicted, images from confusion join runs using (run_id) "
        "where name = 'mlp' and evaluation = 'plain' and label <> predicted order by images desc"
    )
    yield f'  {coldframe} sql "{query}"'
    yield f'  {coldframe} sql "select image_id, suggested, sentence from suspects limit 10"'
