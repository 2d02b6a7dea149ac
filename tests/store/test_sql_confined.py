"""``sql`` cannot write, whatever is sent, and keeps its limits of time and memory."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from store import confined, spill
from store.errors import ColdframeError, QueryRefused, TooLittleMemory
from store.store import Snapshot
from tests.support.coldframe import Coldframe, drawn, environment
from tests.support.statements import shown, snapshot, throw

pytestmark = pytest.mark.variants

SECONDS = 2.0  # of statements in these tests; many more are in the chaos


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store and something beside it."""
    folder = tmp_path_factory.mktemp("world")
    cf = Coldframe(folder / "store")
    cf.ingest(drawn(folder / "catalogue", 2))
    cf("embed", "mean-colour")
    cf("gc", "--grace", "0s")
    (folder / "outside.csv").write_text("a\n1\n")
    return folder


@pytest.fixture
def untouched(world: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Snapshot]:
    """A moment of that store; afterwards every byte is what it was, in the store and beside it."""
    monkeypatch.chdir(world)
    before = snapshot(world)
    yield Coldframe(world / "store").store.snapshot()
    assert snapshot(world) == before


WRITES = [
    "with x as (copy (select 1 a, 2 b) to 'STORE/manifests' (format csv, partition_by (a), overwrite)) from x",
    "with x as materialized (copy (select 1) to 'outside.csv') from x",
    "with x as (with y as (copy (select 1) to 'STORE/x.parquet') from y) select * from x",
    "from (with x as (copy (select 1) to 'STORE/x.csv') from x)",
    "select (with x as (copy (select 1 a) to 'BESIDE/new.csv') select 1)",
    "with x as (insert into data.images values (1)) select 1",
    "with x as (delete from data.images returning 1) from x",
    "explain (analyze /*)select 1 --*/) copy (select 1) to 'STORE/x.csv'",
    "explain (analyze --)\n) copy (select 1) to 'STORE/x.csv'",
    "explain analyze /* select 1 */ copy (select 1) to 'STORE/x.csv'",
    "explain /*(analyze)*/ analyze with x as (copy (select 1) to 'STORE/x.csv') from x",
    "from json_execute_serialized_sql(json_serialize_sql('with x as (copy (select 1) to ''STORE/x.csv'') from x'))",
    "from JSON_EXECUTE_SERIALIZED_SQL('{}')",
    "from query('with x as (copy (select 1) to ''STORE/x.csv'') from x')",
    "from enable_logging(storage = 'file', storage_config = {'path': 'BESIDE/log'})",
    "select * from main.enable_logging(storage = 'file', storage_path = 'BESIDE/log') as t",
    "select (select count(*) from enable_profiling(save_location = 'BESIDE/profile'))",
    "from checkpoint()",
    "copy (select 1) to 'store://parts/images/x.parquet'",
    "copy images to 'outside.csv'",
    "attach 'BESIDE/new.db' as other",
    "export database 'BESIDE/new'",
    "select 1; copy (select 1) to 'STORE/x.csv'",
    "select write_log('x')",
    "update extensions",
    "update extensions (json)",
    "explain update extensions",
    "explain analyze update extensions",
]


@pytest.mark.parametrize("query", WRITES)
def test_what_would_write_is_refused(untouched: Snapshot, query: str) -> None:
    query = query.replace("STORE", str(untouched.root)).replace("BESIDE", str(untouched.root.parent))
    with pytest.raises(QueryRefused, match=r"refused|one query|cannot be read|write EXPLAIN"):
        untouched.ask(query, {})


@pytest.mark.parametrize("query", [query for query in WRITES if "write_log" not in query and "delete" not in query])
def test_the_connection_itself_cannot_write(untouched: Snapshot, query: str, tmp_path: Path) -> None:
    """Without the judge: what it would overlook does no harm either."""
    con = shown(untouched.root, untouched.manifest)
    confined._confine(con, 10**9)
    query = query.replace("STORE", str(untouched.root)).replace("BESIDE", str(untouched.root.parent))
    with suppress(Exception):
        con.execute(query).fetchall()
    con.close()


@pytest.mark.parametrize(
    "query",
    [
        "explain select * from images",
        "explain (format json) select * from images",
        "EXPLAIN ANALYZE select 'ü' -- ü",
        "explain (analyze, format json) /* ü */ select 'ü'",
        "/* before */ explain /* between */ analyze -- it\n select 1",
        "describe images",
        "summarize select width from images",
        "show tables",
        "from nearest('moth-00', 'mean-colour', 2)",
        "with recursive a(n) as (select 1 union all select n + 1 from a where n < 5) select sum(n) from a",
        "pivot images on label in ('moth', 'finch') using count(*)",
        "select json_extract('{\"a\": 1}', '$.a'), list_transform([1, 2], lambda x: x + 1)",
        "from read_parquet('store://parts/images/*.parquet', union_by_name = true)",
        "from parquet_metadata('store://parts/images/*.parquet')",
        "from 'STORE/parts/images/*.parquet'",
        "select * from query_table('images')",
        "values (1), (2)",
        "table images",
    ],
)
def test_what_reads_is_answered(untouched: Snapshot, query: str) -> None:
    assert untouched.ask(query.replace("STORE", str(untouched.root)), {}).num_rows


@pytest.mark.parametrize(
    "query",
    [
        "from read_csv('outside.csv')",
        "from read_text('/etc/hostname')",
        "from glob('/etc/*')",
        "from read_parquet('file:///etc/hostname')",
        "from 'store://../outside.csv'",
        "from read_blob('store:///etc/hostname')",
        "from read_json('STORE/manifests/*.json')",
        "from read_csv('http://127.0.0.1:9/x')",
        "from sniff_csv('outside.csv')",
        "from read_text('SPILL/*')",
    ],
)
def test_nothing_else_is_read(untouched: Snapshot, query: str) -> None:
    query = query.replace("STORE", str(untouched.root)).replace("SPILL", tempfile.gettempdir())
    with suppress(ColdframeError):
        assert not untouched.ask(query, {}).num_rows


@pytest.mark.filterwarnings("ignore:Generating overly large repr")
def test_whatever_is_sent_every_byte_stays(untouched: Snapshot) -> None:
    assert throw(untouched, SECONDS)


@pytest.mark.variants
@pytest.mark.parametrize(
    "query",
    [
        "with recursive a(n) as (select 1 union all select n + 1 from a) select count(*) from a",
        "select levenshtein(repeat('a', 1000000), repeat('b', 1000000))",
        "select count(*) from range(1000000000) a, range(1000000) b",
    ],
)
def test_the_limit_of_time_is_kept(untouched: Snapshot, query: str) -> None:
    with pytest.raises(
        QueryRefused,
        match=r"the query ran longer than 0.5 seconds: narrow it; 'coldframe sql' gives more with --timeout",
    ):
        untouched.ask(query, {}, timeout=0.5)
    assert untouched.ask("select 1 as n", {}).to_pylist() == [{"n": 1}]


@pytest.mark.parametrize(
    "query",
    [
        "select list(a) from range(1000000000) t(a)",
        "from range(100000000000)",
        "select string_agg(repeat('x', 1000000), '') from range(100000)",
    ],
)
def test_the_limit_of_memory_is_kept(untouched: Snapshot, query: str) -> None:
    with pytest.raises((TooLittleMemory, QueryRefused)):
        untouched.ask(query, {}, timeout=60, memory=300_000_000)


@pytest.mark.parametrize(
    "query",
    [
        "select " + "(" * 120_000 + "1" + ")" * 120_000,
        "select " + "[" * 100_000,
        "with a as (" * 30_000,
        "not " * 90_000,
    ],
)
def test_a_query_that_is_hard_to_read_is_refused(untouched: Snapshot, query: str) -> None:
    with pytest.raises(ColdframeError) as raised:
        untouched.ask(query, {}, timeout=30)
    assert len(str(raised.value)) < 3000


def children(process: int) -> list[int]:
    """The processes that another started, and that still run."""
    listed = subprocess.run(
        ["ps", "-o", "pid=,stat=", "--ppid", str(process)], capture_output=True, text=True, check=False
    )
    return [int(line.split()[0]) for line in listed.stdout.splitlines() if not line.split()[1].startswith("Z")]


@pytest.mark.parametrize(
    "query",
    [
        "select count(*) from range(1000000000) a, range(1000000) b",
        "select levenshtein(repeat('a', 3000000), repeat('b', 3000000))",
    ],
)
def test_a_killed_command_leaves_nothing_running_and_no_spilled_rows(world: Path, tmp_path: Path, query: str) -> None:
    command = Coldframe(world / "store").command("sql", query)
    process = subprocess.Popen(
        command, env=environment(TMPDIR=str(tmp_path)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    wait_for(lambda: bool(children(process.pid)) and bool(list(tmp_path.glob(f"{spill.PREFIX}*"))))
    (folder,) = tmp_path.glob(f"{spill.PREFIX}*")
    assert folder.stat().st_mode & 0o777 == 0o700
    started = children(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_for(lambda: not any(map(lives, started)))
    Coldframe(world / "store").process("sql", "select 1", env=environment(TMPDIR=str(tmp_path)))
    assert not list(tmp_path.iterdir()), "the next one has removed it, and its own"


def lives(process: int) -> bool:
    """Whether a process runs."""
    with suppress(OSError):
        os.kill(process, 0)
        return Path(f"/proc/{process}/stat").read_text().split(")")[1].split()[0] != "Z"
    return False


def wait_for(happened: Callable[[], bool]) -> None:
    """Wait until something has happened."""
    for _ in range(6000):
        if happened():
            return
        time.sleep(0.01)
    raise AssertionError("it never happened")


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("select case when range < 200000 then 1 else error('late ' || range) end from range(300000)", "late 200000"),
        ("select (case when range < 200000 then '1' else 'x' end)::int from range(300000)", "Could not convert|cast"),
        ("select '\ud800'", "not valid UTF-8"),
    ],
)
def test_what_goes_wrong_late_or_before_is_said_of_the_query(untouched: Snapshot, query: str, said: str) -> None:
    with pytest.raises(QueryRefused, match=said):
        untouched.ask(query, {})


@pytest.mark.parametrize(
    ("query", "said"),
    [
        (f"select '{'é' * 60}'::json", "Malformed JSON.*é{20}\ufffd"),
        (f"select '{'€' * 60}'::json", "Malformed JSON.*€{15}\ufffd"),
        (f"select ['{'😀' * 60}']::json[]", "Malformed JSON.*😀{10}\ufffd"),
        ("select '😀'::bit", "bit conversion: '\ufffd'"),
        ("select strptime('a', '%é')", "Unrecognized format.*%\ufffd"),
        ("select case when range < 200000 then null else '€'::bit end from range(300000)", "bit conversion"),
    ],
)
def test_a_message_that_is_cut_inside_a_character_is_told(untouched: Snapshot, query: str, said: str) -> None:
    with pytest.raises(QueryRefused, match=said):
        untouched.ask(query, {})


@pytest.mark.variants
@pytest.mark.parametrize("fmt", ["ndjson", "csv", "json"])
def test_the_limit_of_time_is_that_of_the_answer_too(world: Path, fmt: str) -> None:
    command = ("sql", "--timeout", 1, "--format", fmt, "select null as a from range(100000000)")
    done = Coldframe(world / "store").process(*command, code=1, timeout=60)
    assert "longer than 1 seconds" in done.stderr or "take more than" in done.stderr


def test_pieces_are_the_whole(world: Path) -> None:
    """What comes in pieces is what would come at once."""
    query = "select range as a, {'b': [range, null]} as c, repeat('ü\n', 3) as d from range(9000)"
    asked = Coldframe(world / "store")
    rows = asked.store.snapshot().ask(query, {}).to_pylist()
    assert asked("sql", query, "--format", "json").stdout == json.dumps(rows, indent=1) + "\n"
    assert asked("sql", "select 1 as a where false", "--format", "json").stdout == "[]\n"


NESTED = ("[{}]", "{{'a': {}}}", "map {{'a': {}}}", "{}::variant", "[{}::variant]", "[[{}, null]]")
INNER = (
    "date '2026-01-02'",
    "1.5::decimal(4, 1)",
    "'\\xff'::blob",
    "'a'::blob",
    "time '10:00'",
    "1::hugeint",
    "'nan'::double",
)


@pytest.mark.parametrize("inner", INNER)
def test_csv_has_what_json_has(world: Path, inner: str) -> None:
    """Of lists, structures, maps and variants of what JSON has no type for."""
    asked = Coldframe(world / "store")
    query = "select " + ", ".join(f"{outer.format(inner)} as a{number}" for number, outer in enumerate(NESTED))
    names, cells = csv.reader(asked("sql", query, "--format", "csv").stdout.splitlines())
    (row,) = asked.rows(query)
    assert names == list(row)
    for value, cell in zip(row.values(), cells, strict=True):
        if isinstance(value, list | dict):
            assert cell == json.dumps(value).replace("null", "NaN", "double" in inner), value


def test_a_list_of_times_is_csv(world: Path) -> None:
    said = Coldframe(world / "store")("sql", "select list(created_at) from steps", "--format", "csv").stdout
    _, (times,) = csv.reader(said.splitlines())
    assert all(time.endswith("+00:00") for time in json.loads(times))
