"""Verify: every claim a store makes about itself, as queries that return no rows, and its files against the manifest."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb

from store import manifest, parts, queries
from store.errors import StoreDamaged
from store.store import Store

EXAMPLES = 5


@dataclass(frozen=True)
class Finding:
    """One claim that was checked, and what speaks against it."""

    check: str
    problems: tuple[str, ...]


def verify(store: Store, *, deep: bool = False) -> list[Finding]:
    """Check the files of the latest manifest (with ``deep`` their SHA-256 too), then every query of ``sql/checks``."""
    snapshot = store.snapshot()
    findings = [_check_files(store, snapshot.manifest, deep=deep), _check_manifests(store)]
    if findings[0].problems:
        return findings  # queries over damaged parts would only say so again
    for name in queries.names("checks"):
        try:
            rows = snapshot.rows(f"checks/{name.replace('-', '_')}")
        except (duckdb.Error, StoreDamaged) as error:
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
            path = store.root / part.path
            if not path.is_file():
                problems.append(f"{path}: missing, {part.rows} rows of {dataset} are lost")
            elif path.stat().st_size != part.bytes:
                problems.append(f"{path}: {path.stat().st_size} bytes, expected {part.bytes} ({dataset})")
            elif deep and parts.sha256_of(path) != part.sha256:
                problems.append(f"{path}: its bytes are not those that were written ({dataset})")
    return Finding("files-deep" if deep else "files", tuple(problems))


def _check_manifests(store: Store) -> Finding:
    return Finding(
        "manifests", tuple(f"{path}: not whole; the one before it is used" for path in manifest.torn(store.root))
    )
