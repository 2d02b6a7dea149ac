"""Changes: what two moments of a store differ in: pictures, labels, verdicts, plans with their splits, and runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.look import asked, choosing
from pipeline.look.board import Board
from pipeline.look.page import count
from pipeline.look.session import Session
from store import manifest
from store.errors import ColdframeError
from store.store import Snapshot

SHOWN = 60  # pictures of a strip
GIVEN = {
    "keep": ("keep", "keeps"),
    "drop": ("drop", "drops"),
    "relabel": ("label", "labels"),
    "unset": ("taken back", "taken back"),
}


@dataclass(frozen=True)
class Moment:
    """What a moment of a store holds, as far as moments are compared.

    Attributes:
        labels: by image.
        splits: by plan, of the images that are in.
        verdicts: how many of each kind were given so far.
        runs: names by run.
        evaluations: runs, evaluations and splits.
        sets: the feature sets.
        scorers: the scorers with scores.
    """

    labels: Mapping[str, str | None]
    splits: Mapping[str, Mapping[str, str]]
    verdicts: Mapping[str, int]
    runs: Mapping[str, str]
    evaluations: frozenset[tuple[str, str, str]]
    sets: frozenset[str]
    scorers: frozenset[str]

    @classmethod
    def of(cls, snapshot: Snapshot) -> Moment:
        """Read it."""
        labels = snapshot.query("steps/look/labels")
        splits: dict[str, dict[str, str]] = {plan: {} for plan in choosing.plans_of(snapshot)}
        for row in snapshot.rows("steps/look/kept"):
            splits.setdefault(row["plan"], {})[row["image_id"]] = row["split"]
        known = snapshot.rows("steps/look/known_runs")
        return cls(
            dict(zip(labels["image_id"].to_pylist(), labels["label"].to_pylist(), strict=True)),
            splits,
            {row["verdict"]: row["verdicts"] for row in snapshot.rows("steps/look/given_verdicts")},
            {row["run_id"]: row["name"] for row in known},
            frozenset((row["run_id"], row["evaluation"], row["split"]) for row in known if row["evaluation"]),
            frozenset(row["embedder"] for row in snapshot.rows("steps/look/networks")),
            frozenset(row["scorer"] for row in snapshot.rows("steps/curate/scored")),
        )


def between(session: Session, given: Mapping[str, str]) -> dict[str, Any]:
    """What changed between two moments, in sentences, and the pictures that it concerns."""
    first, last = sorted(asked.count(given, name, 0, 10**9) for name in ("a", "b"))
    for number in (first, last):
        if number not in manifest.numbers(session.store.root):
            raise ColdframeError(f"moment {number} is not kept any more")
    before, after = (_moment(session, number) for number in (first, last))
    with session.board() as board:
        strips = [_strip(board, title, found) for title, found in _moved(before, after) if found]
    return {
        "sentences": [*_of_pictures(before, after), *_of_plans(before, after), *_of_steps(before, after)],
        "strips": strips,
    }


def _moment(session: Session, number: int) -> Moment:
    snapshot = session.store.snapshot(number)
    try:
        return Moment.of(snapshot)
    finally:
        snapshot.close()


def _of_pictures(before: Moment, after: Moment) -> Iterator[str]:
    came, went = after.labels.keys() - before.labels.keys(), before.labels.keys() - after.labels.keys()
    if came or went:
        yield f"Catalogue: {count(len(came), 'picture')} came, {len(went):,} went, {len(after.labels):,} are there."
    given = {kind: number - before.verdicts.get(kind, 0) for kind, number in after.verdicts.items()}
    said = [count(number, *GIVEN.get(kind, (kind, kind))) for kind, number in given.items() if number > 0]
    if said:
        yield f"Verdicts that were given: {', '.join(said)}."
    changed = len(_relabelled(before, after))
    if changed:
        yield f"Labels: {count(changed, 'picture has', 'pictures have')} another one."


def _of_plans(before: Moment, after: Moment) -> Iterator[str]:
    for plan in sorted({*before.splits, *after.splits}):
        was, now = before.splits.get(plan, {}), after.splits.get(plan, {})
        came, went, other = len(now.keys() - was.keys()), len(was.keys() - now.keys()), len(_resplit(was, now))
        if not (came or went or other):
            continue
        moved = f"; {count(other, 'picture is', 'pictures are')} in another split" if other else ""
        yield f"Plan {plan}: {count(came, 'picture')} came in, {went:,} went out, {len(now):,} are in{moved}."


def _of_steps(before: Moment, after: Moment) -> Iterator[str]:
    for what, was, now in (
        ("Feature sets", before.sets, after.sets),
        ("Scores", before.scorers, after.scorers),
    ):
        if now - was:
            yield f"{what} that are new: {', '.join(sorted(now - was))}."
    new = [name for run, name in after.runs.items() if run not in before.runs]
    if new:
        yield f"Runs that are new: {', '.join(sorted(new))}."
    for run, evaluation, split in sorted(after.evaluations - before.evaluations):
        how = "" if evaluation == "plain" else f", {evaluation}"
        yield f"{after.runs[run]} was evaluated on {split}{how}."


def _moved(before: Moment, after: Moment) -> Iterator[tuple[str, list[str]]]:
    """Pictures that changed, each list with its title."""
    yield "with another label", _relabelled(before, after)
    for plan in sorted({*before.splits, *after.splits}):
        was, now = before.splits.get(plan, {}), after.splits.get(plan, {})
        yield f"that came into the plan {plan}", sorted(now.keys() - was.keys())
        yield f"that went out of the plan {plan}", sorted(was.keys() - now.keys())
        yield f"in another split of the plan {plan}", _resplit(was, now)


def _relabelled(before: Moment, after: Moment) -> list[str]:
    return sorted(one for one, label in after.labels.items() if one in before.labels and before.labels[one] != label)


def _resplit(was: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    return sorted(one for one, split in now.items() if was.get(one, split) != split)


def _strip(board: Board, title: str, image_ids: list[str]) -> dict[str, Any]:
    rows = [board.row(board.place[one]) for one in image_ids if one in board.place][:SHOWN]
    return {"title": f"{count(len(image_ids), 'picture')} {title}", "images": len(image_ids), "rows": rows}
