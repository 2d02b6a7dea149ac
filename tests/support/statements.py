"""SQL of every kind, thrown at a store: a grammar over statements that write, nested in each other and in what reads.

``python -m tests.support.statements STORE SECONDS`` throws for so many seconds and prints how many; it ends with 1 when a byte
changed.
"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import duckdb
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from store import connection, queries
from store.digests import of_json
from store.errors import ColdframeError
from store.manifest import Manifest
from store.part_files import PartFiles
from store.store import Snapshot, Store
from store.worker import Died, TookTooLong, Worker

Text = st.SearchStrategy[str]


@functools.cache
def functions() -> dict[str, list[str]]:
    """DuckDB's own list: the names of its functions by kind."""
    rows = duckdb.connect().execute("select distinct function_type, function_name from duckdb_functions()").fetchall()
    found: dict[str, list[str]] = {}
    for kind, name in sorted(rows):
        if name.isidentifier():
            found.setdefault(kind, []).append(name)
    return found


def places(store: Path) -> list[str]:
    """Files and folders that a query might reach: of the store, beside it, and of the machine."""
    beside = store.parent
    return [
        str(store / "manifests"),
        str(store / "manifests" / "00000001.json"),
        str(store / "parts" / "images" / "*.parquet"),
        str(store / "new.csv"),
        str(beside / "outside.csv"),
        str(beside / "new.parquet"),
        "outside.csv",
        "store://parts/images/new.parquet",
        "store://../outside.csv",
        f"file://{beside}/outside.csv",
        "/etc/hostname",
        "/dev/stdout",
        "http://127.0.0.1:9/x.csv",
        "s3://bucket/x",
        ":memory:",
        "",
    ]


def statements(store: Path) -> Text:
    """One statement, or several."""
    path = st.sampled_from(places(store)).map(lambda text: "'" + text.replace("'", "''") + "'")
    value = st.one_of(
        path,
        st.sampled_from(
            ["1", "null", "true", "'x'", "[1]", "{'path': 'x'}", "{'a': [1, 2]}", "-1", "1e9", "'images'", "'select 1'"]
        ),
    )
    known = functions()
    named = st.tuples(
        st.sampled_from(["path", "storage", "storage_config", "save_location", "format", "level"]), value
    ).map(lambda pair: f"{pair[0]} := {pair[1]}")
    arguments = st.lists(st.one_of(value, named), max_size=4).map(", ".join)

    def call(kind: str) -> Text:
        return st.builds(lambda name, given: f"{name}({given})", st.sampled_from(known[kind]), arguments)

    table = st.one_of(
        st.sampled_from(
            ["images", "embeddings", "data.steps", "range(3)", "duckdb_settings()", "nearest('a', 'mean-colour', 2)"]
        ),
        path,
        call("table"),
        call("table_macro"),
    )
    reading = st.one_of(
        st.just("select 1"),
        table.map(lambda one: f"from {one}"),
        st.one_of(call("scalar"), call("aggregate"), call("macro")).map(lambda one: f"select {one}"),
        st.builds(lambda one, other: f"select {one} from {other}", call("scalar"), table),
    )
    options = st.sampled_from(
        [
            "",
            " (format csv)",
            " (format parquet, partition_by (a), overwrite)",
            " (format csv, per_thread_output)",
            " (overwrite_or_ignore, format json)",
            " (append)",
        ]
    )

    def writing(inner: Text) -> Text:
        return st.one_of(
            st.builds(lambda query, to, how: f"copy ({query}) to {to}{how}", inner, path, options),
            st.builds(
                lambda one, to, how: f"copy {one} to {to}{how}",
                st.sampled_from(["images", "data.images"]),
                path,
                options,
            ),
            st.builds(lambda of: f"copy data.images from {of}", path),
            st.builds(lambda to: f"export database {to}", path),
            st.builds(lambda of: f"import database {of}", path),
            st.builds(
                lambda of, how: f"attach {of} as other{how}",
                path,
                st.sampled_from(["", " (read_only)", " (type sqlite)"]),
            ),
            st.sampled_from(
                [
                    "install httpfs",
                    "load httpfs",
                    "checkpoint",
                    "vacuum",
                    "detach memory",
                    "use memory",
                    "begin",
                    "abort",
                ]
            ),
            st.builds(lambda name, to: f"set {name} = {to}", st.sampled_from(SETTINGS), value),
            st.builds(lambda name, to: f"set global {name} = {to}", st.sampled_from(SETTINGS), value),
            st.builds(lambda name: f"reset {name}", st.sampled_from(SETTINGS)),
            st.builds(lambda one: f"pragma {one}", st.one_of(call("pragma"), call("table")))
            if "pragma" in known
            else reading,
            st.builds(lambda name, to: f"pragma {name} = {to}", st.sampled_from(SETTINGS), value),
            call("table").map(lambda one: f"call {one}"),
            st.builds(lambda query: f"create or replace table t as {query}", inner),
            st.builds(lambda query: f"create or replace macro m() as table {query}", inner),
            st.builds(lambda to: f"create secret s (type http, bearer_token {to})", value),
            st.builds(lambda query: f"insert into data.images {query}", inner),
            st.sampled_from(
                [
                    "delete from data.images",
                    "update data.images set label = 'x'",
                    "truncate data.images",
                    "drop schema data cascade",
                    "drop view images",
                    "alter view images rename to x",
                ]
            ),
            st.builds(lambda query: f"prepare p as {query}", inner),
        )

    comment = st.sampled_from([" ", "/*)*/", "/* select 1 */", "--)\n", "/*)select 1 --*/", "\t", "\n", "/**/"])
    sound = st.sampled_from(["select 1 as a, 2 as b", "from images", "select 'x' as a", "from range(3) t(a)"])
    inside = st.sampled_from(
        [f"'{store}/{name}'" for name in ("manifests", "new.csv", "parts/images/new.parquet", "manifests/1.json")]
    )
    copying = st.builds(
        lambda query, to, how: f"copy ({query}) to {to}{how}", sound, st.one_of(inside, inside, path), options
    )

    def nested(inner: Text) -> Text:
        quoted = inner.map(lambda one: "'" + one.replace("'", "''") + "'")
        return st.one_of(
            st.builds(
                lambda one, more: f"with x as ({one}) {more}",
                inner,
                st.sampled_from(["from x", "select 1", "select * from x, x y"]),
            ),
            st.builds(lambda one: f"with x as materialized ({one}) from x", inner),
            st.builds(lambda one: f"with recursive x as ({one} union all from x) from x", inner),
            st.builds(lambda gap, one: f"explain{gap}{one}", comment, inner),
            st.builds(lambda gap, one: f"explain{gap}analyze {one}", comment, inner),
            st.builds(lambda gap, one: f"explain (analyze{gap}){gap}{one}", comment, inner),
            st.builds(lambda one: f"select * from ({one})", inner),
            st.builds(lambda one: f"select ({one})", inner),
            st.builds(lambda one: f"from query({one})", quoted),
            st.builds(lambda one: f"from json_execute_serialized_sql(json_serialize_sql({one}))", quoted),
            st.builds(lambda one: f"select json_serialize_sql({one})", quoted),
            st.builds(lambda one, other: f"{one} union all {other}", inner, inner),
            st.builds(lambda one, other: f"{one}; {other}", inner, inner),
            st.builds(lambda one: f"describe {one}", inner),
            st.builds(lambda one: f"summarize {one}", inner),
            st.builds(lambda gap, one: f"{gap}{one}", comment, inner),
            writing(inner),
        )

    # the ways in which something got through once
    hidden = st.sampled_from(
        ["with x as ({}) from x", "with x as materialized ({}) select 1", "explain (analyze /*)select 1 --*/) {}"]
    )
    smuggled = st.builds(str.format, hidden, copying)
    return st.one_of(
        smuggled, smuggled, nested(smuggled), st.recursive(st.one_of(reading, writing(reading)), nested, max_leaves=4)
    )


SETTINGS = [
    "allowed_directories", "allowed_paths", "custom_extension_repository", "enable_external_access", "enable_logging",
    "enable_profiling", "extension_directory", "home_directory", "lock_configuration", "log_query_path", "logging_storage",
    "max_memory", "profiling_output", "secret_directory", "temp_directory", "threads",
]  # fmt: skip


def snapshot(folder: Path) -> dict[str, str]:
    """Every file below a folder with a digest of its bytes, every folder, every link."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            found[str(path)] = f"link to {path.readlink()}"
        elif path.is_dir():
            found[str(path)] = "folder"
        else:
            found[str(path)] = of_json(path.read_bytes().hex())
    return found


class Enough(KeyboardInterrupt):
    """The time is over: hypothesis lets this one through."""


def throw(asked: Snapshot, seconds: float) -> int:
    """Throw statements at a store for some seconds; how many.

    Each goes the way of ``sql``, and past the judge straight to the confined connection.

    Raises:
        AssertionError: a byte in the store or beside it is another one afterwards; it names the statement.
    """
    world = asked.root.parent
    before, until, thrown = snapshot(world), time.monotonic() + seconds, 0

    @settings(
        max_examples=10**6,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(statements(asked.root))
    def one(sql: str) -> None:
        nonlocal thrown
        if time.monotonic() > until:
            raise Enough
        thrown += 1
        with suppress(ColdframeError):
            asked.ask(sql, {}, timeout=1, memory=500_000_000)
        with suppress(Exception, TookTooLong, Died):
            worker.call(unjudged, asked, sql, seconds=1)
        assert snapshot(world) == before, sql

    with Worker() as worker, suppress(Enough):
        one()
    return thrown


def shown(root: Path, moment: Manifest) -> duckdb.DuckDBPyConnection:
    """A connection with all of a moment, as a query that looks around gets it."""
    views = connection.Views(connection.opened(PartFiles(root, moment), spill_to=""), root, moment)
    views.make(queries.everything())
    return views.con


def unjudged(asked: Snapshot, sql: str) -> Iterator[Any]:
    """Run a statement on a confined connection, whatever it is."""
    from store import confined

    root = asked.root.absolute()
    con = shown(root, asked.manifest)
    confined._confine(con, 500_000_000)
    with suppress(Exception):
        con.execute(sql).fetchmany(10)
    con.close()
    return iter(())


if __name__ == "__main__":
    try:
        print(throw(Store.open(Path(sys.argv[1]).absolute()).snapshot(), float(sys.argv[2])))
    except AssertionError as error:
        sys.exit(str(error))
