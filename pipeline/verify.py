"""Verify: every claim a store makes about itself, as queries that return no rows, and its files against the manifest."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb

from store import garbage, manifest, parts, queries
from store.errors import ColdframeError
from store.store import Store

EXAMPLES = 5
REPAIR = "run 'coldframe repair': it takes out what is damaged, keeps it aside, and says how to make the rows again"


@dataclass(frozen=True)
class Finding:
    """One claim that was checked, what speaks against it and what to do then; and what is no fault but worth a word."""

    check: str
    problems: tuple[str, ...]
    way_out: str = ""
    note: str = ""


def verify(store: Store, *, deep: bool = False) -> list[Finding]:
    """Check the files of the latest manifest (with ``deep`` their SHA-256 too), then every query of ``sql/checks``."""
    snapshot = store.snapshot()
    findings = [_check_files(store, snapshot.manifest, deep=deep), _check_manifests(store)]
    if findings[0].problems:
        return findings  # queries over damaged parts would only say so again
    for name in queries.names("checks"):
        try:
            rows = snapshot.rows(f"checks/{name.replace('-', '_')}")
        except (duckdb.Error, ColdframeError) as error:
            findings.append(Finding(name, (f"cannot be checked: {error}",)))
            continue
        problems = [", ".join(f"{key} {value}" for key, value in row.items()) for row in rows[:EXAMPLES]]
        if len(rows) > EXAMPLES:
            problems.append(f"and {len(rows) - EXAMPLES} more")
        findings.append(Finding(name, tuple(problems)))
    return findings


def _check_files(store: Store, moment: manifest.Manifest, *, deep: bool) -> Finding:
    problems = []
    for dataset, live in sorted(moment.datasets.items()):
        for part in live:
            problem = parts.problem_of(store.root, part, deep=deep)
            if problem:
                problems.append(f"{store.root / part.path}: {problem}, {part.rows} rows of {dataset} are lost")
    return Finding("files-deep" if deep else "files", tuple(problems), REPAIR, _strays(store))


def _strays(store: Store) -> str:
    named = {path for one in manifest.whole(store.root) for path in garbage.paths_named(store.root, one)}
    strays = garbage.stray_parts(store.root, named)
    if not strays:
        return ""
    return f"{len(strays)} files that no manifest names: another command is writing them, or one was killed ('coldframe gc')"


def _check_manifests(store: Store) -> Finding:
    problems = tuple(f"{path}: not whole; the one before it is used" for path in manifest.torn(store.root))
    return Finding("manifests", problems, REPAIR)
