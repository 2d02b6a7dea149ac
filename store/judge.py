"""Judging SQL by DuckDB's own parse of it: one statement, and nothing in it that does more than read.

This gives a stranger's query a clear answer. What keeps the store safe whatever is sent is :mod:`store.confined`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import duckdb

from store import queries
from store.errors import QueryRefused

_QUERIES = {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"}
# Of DuckDB's table functions those that only look. Others take SQL as text, change settings, or write logs to files.
_LOOKING = {
    "collations", "database_list", "database_size", "duckdb_columns", "duckdb_constraints", "duckdb_databases",
    "duckdb_dependencies", "duckdb_extensions", "duckdb_functions", "duckdb_indexes", "duckdb_keywords", "duckdb_memory",
    "duckdb_optimizers", "duckdb_schemas", "duckdb_sequences", "duckdb_settings", "duckdb_tables", "duckdb_types",
    "duckdb_variables", "duckdb_views", "functions", "generate_series", "glob", "histogram", "histogram_values",
    "icu_calendar_names", "json_each", "json_tree", "parquet_bloom_probe", "parquet_file_metadata", "parquet_full_metadata",
    "parquet_kv_metadata", "parquet_metadata", "parquet_scan", "parquet_schema", "pg_timezone_names", "platform",
    "pragma_database_size", "pragma_platform", "pragma_show", "pragma_table_info", "pragma_version", "query_table", "range",
    "read_blob", "read_csv", "read_csv_auto", "read_json", "read_json_auto", "read_json_objects", "read_json_objects_auto",
    "read_ndjson", "read_ndjson_auto", "read_ndjson_objects", "read_parquet", "read_text", "repeat", "repeat_row", "show",
    "show_databases", "show_tables", "show_tables_expanded", "sniff_csv", "summary", "table_info", "test_all_types",
    "test_vector_types", "unnest", "user_agent", "version",
}  # fmt: skip
_WRITING = {"write_log", "nextval", "setseed"}


# Of the looking functions those that look at no table or view of ours.
_BLIND = {
    "generate_series",
    "glob",
    "json_each",
    "json_tree",
    "range",
    "read_parquet",
    "repeat",
    "repeat_row",
    "unnest",
}


@dataclass(frozen=True)
class Query:
    """A statement that only reads, to be run in place of what was sent.

    Attributes:
        relations: the tables, views and files that it names.
        own: its names for queries within it, which count among ``relations`` where they are used.
        functions: those that it calls, in lower case.
        looks_around: whether it may look at relations that it does not name.
    """

    sql: str
    relations: frozenset[str]
    own: frozenset[str]
    functions: frozenset[str]
    looks_around: bool


def judged(con: duckdb.DuckDBPyConnection, sql: str) -> Query:
    """The one statement that ``sql`` holds, if it only reads.

    Raises:
        QueryRefused: it is no single statement, is wrong, or would do more than read.
    """
    found = _statements(con, sql)
    if len(found) != 1:
        raise QueryRefused(f"expected one query, got {len(found) or 'none'}: ask one at a time")
    if _kind(found[0]) == duckdb.StatementType.EXPLAIN:
        how, explained = _explained(sql)
        return _checked(con, explained, f"{how} {explained}")
    return _checked(con, sql, sql)


def _statements(con: duckdb.DuckDBPyConnection, sql: str) -> list[duckdb.Statement]:
    try:
        return con.extract_statements(sql)
    except duckdb.Error as error:
        raise QueryRefused(f"the query cannot be read: {str(error).splitlines()[0][:300]}") from error


def _kind(statement: duckdb.Statement) -> duckdb.StatementType | None:
    """What a statement is; None where Python has no name for it, though DuckDB has."""
    try:
        return statement.type
    except ValueError:
        return None


def _explained(sql: str) -> tuple[str, str]:
    """``explain`` with its options in our own words, and the query that stands behind it."""
    text = sql.encode()
    starts = [at for at, kind in duckdb.tokenize(sql) if kind != duckdb.token_type.comment]
    words = [_word(text, at) for at in starts]
    end = 1
    if words[1:2] == ["("]:
        end = words.index(")") + 1 if ")" in words else len(words)
        options = words[2 : end - 1]
        is_plain = all(re.fullmatch(r"[a-z_]+|,", one) for one in options)
    else:
        end += words[1:2] in (["analyze"], ["analyse"])
        options, is_plain = words[1:end], True
    if words[0] != "explain" or not is_plain or end >= len(words):
        raise QueryRefused("write EXPLAIN, its options if any, such as (analyze, format json), and then the query")
    how = f"explain ({' '.join(options)})" if words[1] == "(" else " ".join(words[:end])
    return how, text[starts[end] :].decode()


def _word(text: bytes, at: int) -> str:
    """The word at a place, in lower case; a sign for itself."""
    found = re.match(rb"[A-Za-z_]+|.", text[at:], re.DOTALL)
    return found[0].decode(errors="replace").lower() if found else ""


def _checked(con: duckdb.DuckDBPyConnection, sql: str, whole: str) -> Query:
    """``whole``, with what its query ``sql`` names; raises as :func:`judged`."""
    found = _statements(con, sql)
    kind = _kind(found[0]) if len(found) == 1 else None
    if kind == duckdb.StatementType.MULTI:
        raise QueryRefused("PIVOT needs its values named here: pivot … on column in (value, …) using …")
    if kind != duckdb.StatementType.SELECT:
        raise QueryRefused(_only_reads(kind.name if kind is not None else "that"))
    allowed, looks_around = _LOOKING | queries.table_macros(), False
    relations, own, functions = set(), set(), set()
    for node in _nodes(_parsed(con, sql)):
        type_ = node.get("type")
        if isinstance(type_, str) and type_.endswith("_NODE") and type_ not in _QUERIES:
            raise QueryRefused(_only_reads(type_.removesuffix("_NODE").removesuffix("_QUERY").replace("_", " ")))
        if type_ == "TABLE_FUNCTION":
            name = str(node["function"].get("function_name", "")).lower()
            if name not in allowed:
                raise QueryRefused(f"sql only reads: the table function {name} is refused")
            looks_around |= name not in _BLIND | queries.table_macros()
        functions.add(str(node.get("function_name", "")).lower())
        relations.add(str(node.get("table_name", "")))
        own |= {str(one.get("key")) for one in _ctes(node)}
    forbidden = functions & _WRITING
    if forbidden:
        raise QueryRefused(f"sql only reads: the function {min(forbidden)} is refused")
    return Query(whole, frozenset(relations - {""}), frozenset(own), frozenset(functions), looks_around)


def _ctes(node: dict[str, Any]) -> list[dict[str, Any]]:
    """The queries that a query has names for."""
    named = node.get("cte_map")
    return named.get("map", []) if isinstance(named, dict) else []


def _only_reads(what: str) -> str:
    return (
        f"sql only reads: {what} is refused; a store changes through the other commands, and --format writes results to "
        "standard output"
    )


def _parsed(con: duckdb.DuckDBPyConnection, sql: str) -> Any:
    """DuckDB's parse tree of a query."""
    ((text,),) = con.execute(
        "select json_serialize_sql($1::varchar, skip_null := true, skip_empty := true)", [sql]
    ).fetchall()
    try:
        tree = json.loads(text)
    except (RecursionError, ValueError):
        raise QueryRefused("the query is nested too deeply to be judged: write it with fewer levels") from None
    if tree.get("error", True):
        raise QueryRefused(f"the query cannot be judged: {tree.get('error_message', 'no parse tree')}")
    return tree


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Each object in a JSON tree."""
    todo = [tree]
    while todo:
        one = todo.pop()
        if isinstance(one, dict):
            yield one
            todo += one.values()
        elif isinstance(one, list):
            todo += one
