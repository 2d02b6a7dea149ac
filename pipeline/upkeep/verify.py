"""Verify: every claim a store makes about itself, as queries that return no rows, and its files against the manifest."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from store import garbage, manifest, opening, parts, queries
from store.errors import StoreDamaged
from store.parts import Part
from store.schemas import GROWN_DATASETS, SCHEMAS
from store.store import Store

EXAMPLES = 5
REMOVE = "coldframe did not make these, and will not follow or remove them: remove them yourself"
TAKE_AGAIN = "coldframe did not write it: take the store from where you got it once more, or ingest anew"
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
    try:
        snapshot = store.snapshot()
    except StoreDamaged as error:
        return [Finding("manifests", (str(error),), REPAIR)]
    findings = _check_files(store, snapshot.manifest, deep=deep)
    if findings[0].problems:
        return findings  # queries over damaged parts would only say so again
    findings.append(_check_columns(store, snapshot.manifest, deep=deep))
    for name in queries.names("checks"):
        try:
            rows = snapshot.rows(f"checks/{name.replace('-', '_')}")
        except Exception as error:  # rows that nobody of ours wrote may hold what no reader can take
            findings.append(Finding(name, (f"cannot be checked: {error}",)))
            continue
        problems = [", ".join(f"{key} {value}" for key, value in row.items()) for row in rows[:EXAMPLES]]
        findings.append(Finding(name, _some(problems, len(rows))))
    return findings


def _check_files(store: Store, moment: manifest.Manifest, *, deep: bool) -> list[Finding]:
    """The live parts, with a word on files that nothing names, and the manifests."""
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


def _check_columns(store: Store, moment: manifest.Manifest, *, deep: bool) -> Finding:
    """Whether each part holds the columns and as many rows as it should, with ``deep`` whether its text is text."""
    problems = []
    for dataset in SCHEMAS:
        for part in moment.parts(dataset):
            problem = _problem_inside(store, dataset, part, deep=deep)
            if problem:
                problems.append(f"{store.root / part.path}: {problem}")
    return Finding("columns", _some(problems[:EXAMPLES], len(problems)), TAKE_AGAIN)


def _problem_inside(store: Store, dataset: str, part: Part, *, deep: bool) -> str | None:
    try:
        with opening.open_regular(store.root / part.path, below=store.root) as opened, pq.ParquetFile(opened) as file:
            if file.metadata.num_rows != part.rows:
                return f"{file.metadata.num_rows} rows, expected {part.rows}"
            found = file.schema_arrow
            for field in SCHEMAS[dataset]:
                count = found.names.count(field.name)
                if count > 1 or (not count and dataset not in GROWN_DATASETS):
                    return f"{count or 'no'} columns called {field.name}, expected one"
                if count and not _fits(field.type, found.field(field.name).type):
                    return f"its {field.name} is {found.field(field.name).type}, expected {field.type}"
            texts = [field.name for field in found if pa.types.is_string(field.type)]
            for number in range(file.num_row_groups if deep else 0):
                file.read_row_group(number, columns=texts).validate(full=True)
    except FileNotFoundError:  # replaced, and collected, since
        return None
    except Exception as error:  # the reader of a file that makes no sense raises kinds of its own
        return f"cannot be read ({str(error).splitlines()[0] if str(error) else type(error).__name__})"
    return None


def _fits(expected: pa.DataType, found: pa.DataType) -> bool:
    """Whether a column can be read as it should be; numbers may be wider or narrower."""
    types = pa.types
    if types.is_list(expected):
        is_list = types.is_list(found) or types.is_fixed_size_list(found) or types.is_large_list(found)
        return is_list and _fits(expected.value_type, found.value_type)
    for kind in (types.is_integer, types.is_floating, types.is_string, types.is_boolean, types.is_timestamp):
        if kind(expected):
            return bool(kind(found))
    return bool(expected == found)


def _some(problems: list[str], count: int) -> tuple[str, ...]:
    """The first problems of so many."""
    return (*problems, *([f"and {count - len(problems)} more"] if count > len(problems) else []))
