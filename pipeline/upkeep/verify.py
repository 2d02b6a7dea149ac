"""Verify: check every claim a store makes about itself, by queries that return no rows, and its files against the manifest."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.upkeep import inside
from store import garbage, manifest, parts, queries
from store.errors import StoreDamaged
from store.schemas import SCHEMAS
from store.store import Snapshot, Store

EXAMPLES = 5
REMOVE = "coldframe did not make these, and will not follow or remove them: remove them yourself"
TAKE_AGAIN = "coldframe did not write it: take the store from where you got it once more, or ingest anew"
WAYS_OUT = {
    "near-copies-have-one-split": "run 'coldframe curate' with each --plan: it moves copies into the split that one of them is "
    "already in, and says how many; with --reassign it draws the splits anew"
}
REPAIR = "run 'coldframe repair': it takes out what is damaged, keeps it aside, and says how to make the rows again"


@dataclass(frozen=True)
class Finding:
    """One checked claim, the problems found and what to do about them, and notes on what is not a fault."""

    check: str
    problems: tuple[str, ...]
    way_out: str = ""
    note: str = ""


def verify(store: Store, *, deep: bool = False) -> list[Finding]:
    """Check the files of the latest manifest (with ``deep`` their SHA-256 too), then every query of ``sql/checks``."""
    try:
        snapshot = store.snapshot()
    except StoreDamaged as error:
        return [Finding("manifests", (str(error),), REPAIR)]
    findings = _check_files(store, snapshot.manifest, deep=deep)
    if findings[0].problems:
        return findings  # queries over damaged parts would only repeat it
    findings.append(_check_columns(store, snapshot, deep=deep))
    for name in queries.names("checks"):
        try:
            rows = snapshot.query(f"checks/{name.replace('-', '_')}")
            shown = rows.slice(0, EXAMPLES).to_pylist()
        except Exception as error:  # rows from elsewhere may hold values that cannot be read
            findings.append(Finding(name, (f"cannot be checked: {error}",)))
            continue
        problems = [", ".join(f"{key} {value}" for key, value in row.items()) for row in shown]
        findings.append(Finding(name, _some(problems, rows.num_rows), WAYS_OUT.get(name, "")))
    return [*findings, *_leaks_as_given(snapshot)]


def _leaks_as_given(snapshot: Snapshot) -> list[Finding]:
    """A note on copies that a column of the catalogue puts into different splits: that is the user's choice, and no fault."""
    try:
        rows = snapshot.rows("steps/upkeep/given_leaks")
    except Exception:  # the checks above say what cannot be read
        return []
    if not rows:
        return []
    shown = "; ".join(f"plan {row['plan']}: {', '.join(row['images'])}" for row in rows[:EXAMPLES])
    note = f"{len(rows)} groups of copies are divided by the catalogue's own split ('coldframe inspect leaks'): {shown}"
    return [Finding("splits-as-given", (), note=note)]


def _check_files(store: Store, moment: manifest.Manifest, *, deep: bool) -> list[Finding]:
    """Check the live parts and the manifests, with a note on unreferenced files."""
    problems = []
    for dataset, live in sorted(moment.datasets.items()):
        for part in live:
            problem = parts.problem_of(store.root, part, deep=deep)
            if problem:
                problems.append(f"{store.root / part.path}: {problem}, {part.rows} rows of {dataset} are lost")
    named: set[str] = set()
    torn: list[str] = []
    for path, one in manifest.each(store.root):
        if one is None:
            torn.append(manifest.why_not(path))
        else:
            named |= garbage.paths_named(one)
    strays = len(garbage.stray_parts(store.root, named))
    note = f"{strays} files that no manifest names: another command is writing them, or one was killed ('coldframe gc')"
    strange = garbage.strange(store.root)
    links = [f"{path}: a link, a pipe or the like" for path in strange[:EXAMPLES]]
    return [
        Finding("files-deep" if deep else "files", tuple(problems), REPAIR, note if strays else ""),
        Finding("manifests", tuple(torn), REPAIR),
        Finding("own-files", _some(links, len(strange)), REMOVE),
    ]


def _check_columns(store: Store, snapshot: Snapshot, *, deep: bool) -> Finding:
    """Check the inside of the parts, see :mod:`pipeline.upkeep.inside`, and that queries can read them."""
    problems = []
    with inside.Parts(store.root, snapshot.manifest) as held:
        for dataset in SCHEMAS:
            for part, problem in held.problems(dataset, snapshot.manifest.parts(dataset), deep=deep):
                problems.append(f"{store.root / part.path}: {problem}")
    for dataset in SCHEMAS if not problems else ():
        try:
            snapshot.select(f"data.{dataset}")
        except StoreDamaged as error:
            problems.append(str(error))
    return Finding("columns", _some(problems[:EXAMPLES], len(problems)), TAKE_AGAIN)


def _some(problems: list[str], count: int) -> tuple[str, ...]:
    """The first of ``count`` problems."""
    return (*problems, *([f"and {count - len(problems)} more"] if count > len(problems) else []))
