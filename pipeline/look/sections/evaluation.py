"""What a run gets wrong: its mistakes, what it confuses, and the runs side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from pipeline.look import plots
from pipeline.look.groups import MOST_GROUPS, groups_of_labels, in_order
from pipeline.look.page import Html, between, code, count, interval, join, percent, table, tag
from pipeline.look.source import Missing, Section, Source, case, cut, gallery, mosaic, named
from pipeline.steps import hints

MISTAKES, PAIRS = 16, 8
MOST_CLASSES = MOST_GROUPS  # of a matrix of classes; more are put into groups, or the most confused are shown
MOST_RUNS = 20
GUESSED = "plain"


def sections(source: Source) -> Iterator[Section | Missing]:
    """Mistakes, confusion, runs."""
    run = source.run
    if run is None:
        how = "evaluate" if source.facts["runs"] else "train --head linear"
        begin = "No run was evaluated yet" if source.facts["runs"] else "There is no run yet"
        yield Missing("Mistakes, confusion and runs", Html(f"{begin}. {code(f'coldframe {how}')} makes one."))
        return
    key = {"run_id": run["run_id"], "evaluation": run["evaluation"], "split": run["split"]}
    mistakes = source.rows("mistakes", most=source.most(MISTAKES), **key)
    yield Section("mistakes", "Misclassified", _mistakes(source, run, mistakes))
    cells = source.snapshot.rows("steps/look/cells", **key)
    yield Section("confusion", "Confusion", _confusion(source, cells, key))
    yield Section("runs", "Runs", _runs(source, run))


def _told(run: dict[str, Any]) -> Html:
    """The run and the rows that figures are of."""
    if run["evaluation"].startswith("folds:"):
        rows = "each row predicted by a head that was trained without it"
    else:
        rows = f"evaluated on the split {run['split']}"
        rows += "" if run["evaluation"] == GUESSED else f" as {run['evaluation']}"
    made = f" ({run['head']} on {run['embedder']})" if run["embedder"] else f" ({run['head']})"
    return join(["The run ", tag("b", run["name"], class_="label"), made, f", {rows}: {run['rows'] or 0:,} rows. "])


def _mistakes(source: Source, run: dict[str, Any], rows: list[dict[str, Any]]) -> Html:
    if not rows:
        return tag("p", _told(run), "It gets all of them right.")
    whole = rows[0]["of_all"]
    cards = []
    for row in rows:
        line = join([_called(row), f", {percent(row['probability'], 0)} sure"])
        beside = [mosaic(source, one, row["content_id"]) for one in (row["label"], row["predicted"])]
        told = f"{row['image_id']}, {row['label']}, called {row['predicted']}"
        cards.append(case(source, row["content_id"], told, [line, named(row["image_id"], row["path"])], *beside))
    flattered = (
        "Look for wrong labels here, but do not only judge test rows that a run got wrong: that makes its score look better "
        "than it is."
    )
    return join(
        [
            tag("p", _told(run), f"It gets {count(whole, 'row')} wrong. The surest mistakes come first. {flattered}"),
            gallery(cards, wide=True),
            cut(len(rows), whole, "mistakes"),
        ]
    )


def _called(row: dict[str, Any]) -> Html:
    return join([tag("b", row["label"], class_="label"), " called ", tag("b", row["predicted"], class_="label wrong")])


def _confusion(source: Source, cells: list[dict[str, Any]], key: dict[str, Any]) -> Html:
    labels = sorted({row["label"] for row in cells} | {row["predicted"] for row in cells})
    about = "Rows are the labels, columns what the run says. The stronger the colour, the larger the share of the row."
    if len(labels) < source.facts["labels"]:
        about += f" {len(labels)} of the {source.facts['labels']:,} classes occur among these images."
    parts: list[Any] = []
    groups = groups_of_labels(source.snapshot, labels)
    if len(labels) <= MOST_CLASSES:
        parts += [tag("p", about), _matrix(in_order(labels, groups), cells, "The confusion matrix.")]
    else:
        column, group_of = groups.column, groups.of_label
        if column is not None:
            grouped = [
                {"label": group_of[row["label"]], "predicted": group_of[row["predicted"]], "images": row["images"]}
                for row in cells
            ]
            parts.append(tag("p", f"The {len(labels)} classes are put together by the column {column}. {about}"))
            parts.append(_matrix(sorted(set(group_of.values())), grouped, f"The confusion matrix by {column}."))
        else:
            chosen = _most_confused(cells)
            within = [row for row in cells if row["label"] in chosen and row["predicted"] in chosen]
            parts.append(tag("p", f"The {len(chosen)} classes of {len(labels)} with the most mistakes. {about}"))
            parts.append(_matrix(chosen, within, "The confusion matrix of the classes with the most mistakes."))
    pairs = source.rows("pairs", most=PAIRS, **key)
    if pairs:
        parts += [
            tag("h3", "The pairs that are confused most"),
            gallery([_pair(source, row) for row in pairs], wide=True),
        ]
    return join(parts)


def _matrix(labels: Sequence[str], cells: list[dict[str, Any]], told: str) -> Html:
    place = {label: at for at, label in enumerate(labels)}
    numbers = [[0] * len(labels) for _ in labels]
    for row in cells:
        numbers[place[row["label"]]][place[row["predicted"]]] += row["images"]
    return plots.matrix(labels, numbers, told)


def _most_confused(cells: list[dict[str, Any]]) -> list[str]:
    wrong: Counter[str] = Counter()
    for row in cells:
        if row["label"] != row["predicted"]:
            wrong[row["label"]] += row["images"]
            wrong[row["predicted"]] += row["images"]
    return sorted(label for label, _ in wrong.most_common(MOST_CLASSES - 2))


def _pair(source: Source, row: dict[str, Any]) -> Html:
    line = join([f"{row['images']:,} × ", _called(row)])
    told = f"{row['image_id']}, {row['label']}, called {row['predicted']}"
    beside = [mosaic(source, one, row["content_id"]) for one in (row["label"], row["predicted"])]
    return case(source, row["content_id"], told, [line], *beside)


def _runs(source: Source, run: dict[str, Any]) -> Html:
    split, evaluation = run["split"], run["evaluation"]
    board = source.snapshot.rows("steps/evaluate/leaderboard", split=split, evaluation=evaluation)
    known = [row for row in board if row["accuracy"] is not None]
    known.sort(key=lambda row: (-row["accuracy"], row["run_id"]))
    shown = known[:MOST_RUNS]
    drawn = [
        plots.Interval(
            str(row["name"]),
            row["accuracy"],
            interval(row["accuracy_low"], row["accuracy_high"]),
            percent(row["accuracy"]),
        )
        for row in shown
    ]
    cells = [
        (
            row["name"], row["head"], row["embedder"], row["plan"], f"{row['train_rows'] or 0:,}", f"{row['rows'] or 0:,}",
            percent(row["accuracy"]), between(row["accuracy_low"], row["accuracy_high"]),
            percent(row["f1_macro"]), _moment(row["created_at"]),
        )
        for row in shown
    ]  # fmt: skip
    head = ("run", "head", "features", "plan", "trained on", "rows", "accuracy", "95 % interval", "macro F1", "made")
    parts: list[Any] = [
        tag(
            "p",
            f"Accuracy on the split {split}, with 95 % intervals. Where intervals overlap much, no run is surely better.",
        ),
        plots.intervals(drawn, "Accuracy of each run with its interval."),
        table(head, cells, (4, 5, 6, 7, 8)),
        cut(len(shown), len(known), "runs") if len(known) > MOST_RUNS and not source.everything else None,
    ]
    if len({row["rows"] for row in shown}) > 1:
        parts.append(tag("p", "They were not all evaluated on the same rows, so compare with care.", class_="note"))
    if any(row["rows_trained_on"] or row["rows_selected_on"] for row in shown):
        seen = "Some runs had seen some of these rows when they were trained: their figures are too good."
        parts.append(tag("p", seen, class_="note"))
    if len(board) > len(known):
        missing = count(len(board) - len(known), "run has", "runs have")
        how = code(hints.line("evaluate", "RUN", "--split", split))
        parts.append(tag("p", f"{missing} no such evaluation: ", how, class_="note"))
    return join(parts)


def _moment(moment: datetime | None) -> Html | str:
    return "" if moment is None else tag("span", f"{moment:%Y-%m-%d %H:%M}", class_="whole")
