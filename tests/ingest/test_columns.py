"""The columns of a catalogue over several ingests: their names, their types, and their values as text."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from store.names import unique_names
from tests.support.coldframe import Catalogue, Coldframe, assert_whole, parts_of

pytestmark = pytest.mark.slow

Ingest = Callable[..., str]
TEXTS = ["a", "b\n'", "NULL", ""]
TIMES = {
    f"{unit} {zone}": pa.array([1, 2, None, 4], pa.timestamp(unit, zone))
    for unit, zone in itertools.product(("s", "ms", "us", "ns"), (None, "UTC", "America/New_York", "+02:00"))
}
CODED = pa.array(TEXTS).dictionary_encode()
ODD: dict[str, pa.Array] = TIMES | {
    "large text": pa.array(TEXTS, pa.large_string()),
    "text view": pa.array(TEXTS, pa.string_view()),
    "coded": CODED,
    "uuid": pa.array([b"0" * 16, b"1" * 16, None, b"3" * 16], pa.uuid()),
    "json": pa.array(['{"a": 1}', "[1,2]", None, "1"], pa.json_()),
    "large lists": pa.array([["a", None], ["b\nc"], None, []], pa.large_list(pa.large_string())),
    "lists of views": pa.array([["a", "b"], ["c"], None, []], pa.list_(pa.string_view())),
    "list views": pa.array([[1], [2], None, []], pa.list_view(pa.int64())),
    "fixed lists": pa.array([[1.5, 2], [3, 4], None, [5, 6]], pa.list_(pa.float32(), 2)),
    "coded structures": pa.StructArray.from_arrays([CODED], ["k"]),
    "structures": pa.array([{"a b": [{"c": 1}], "INTEGER": 0.5}, None] * 2),
    "named items": pa.array([[1]] * 4, pa.list_(pa.field("element", pa.int64(), nullable=False))),
    "times of day": pa.array([1, 2, None, 3], pa.time32("s")),
    "finer times of day": pa.array([1, 2, None, 3], pa.time32("ms")),
    "lists of times": pa.array([[1], [], None, [2, 3]], pa.list_(pa.timestamp("ms"))),
    "days": pa.array([86400000, None] * 2, pa.date64()),
    "small": pa.array([1, None] * 2, pa.int8()),
    "largest": pa.array([2**64 - 1, None] * 2, pa.uint64()),
    "single": pa.array([0.1, float("nan"), float("inf"), -0.0], pa.float32()),
    "long": pa.array([Decimal("0.123456789012345678901234567890"), None] * 2, pa.decimal128(38, 30)),
    "short": pa.array([Decimal("1.10"), None] * 2, pa.decimal32(5, 2)),
    "map": pa.array([[("a", 1)], [], None, [("b", None)]], pa.map_(pa.string(), pa.int64())),
    "truth": pa.array([1, 0, None, 1], pa.bool8()),
    "nothing": pa.nulls(4),
    "lists of nothing": pa.array([[], [None], None, []], pa.list_(pa.null())),
}


@pytest.fixture
def ingest(cf: Coldframe, catalogue: Catalogue) -> Ingest:
    """Ingest columns for the first pictures of the catalogue, or for those that ``at`` names; a negative one has no file."""

    def ingest(columns: dict[str, Any], at: tuple[int, ...] = (), code: int = 0) -> str:
        count = len(next(iter(columns.values())))
        paths = [catalogue.rows[n]["file_path"] if n >= 0 else f"gone{n}.png" for n in at or range(count)]
        pq.write_table(pa.table({"path": paths, **columns}), catalogue.folder / "m.parquet")
        command = ("ingest", catalogue.folder / "m.parquet", "--images", catalogue.images, "--path", "path")
        return cf(*command, code=code).stderr

    return ingest


@pytest.mark.exhaustive
def test_the_same_catalogue_again_changes_no_type_and_no_value(cf: Coldframe, ingest: Ingest) -> None:
    """Neither where nothing else changes, nor where all is written again, beside rows that are no longer there."""

    def stored() -> tuple[object, ...]:
        shown = "* exclude (label, user_label, given_label)"
        return (
            cf.rows("select typeof(columns(*)) from images limit 1"),
            cf(*("sql", f"select {shown} from images order by path", "--format", "json")).stdout,
            cf(*("sql", "select * from failures", "--format", "json")).stdout,
        )

    at = (0, 1, 2, -1)
    assert "4 added" in ingest(ODD | {"label": list("abcd")}, at, code=3)
    before = stored()
    assert "0 updated, 4 unchanged" in ingest(ODD | {"label": list("abcd")}, at, code=3)
    assert stored() == before
    some = {name: pa.chunked_array([column[:1], column[2:]]) for name, column in ODD.items()}
    assert "1 updated, 2 unchanged, 1 gone" in ingest(some | {"label": list("axd")}, (0, 2, -1), code=3)
    assert stored() == before
    assert_whole(cf)


INTEGERS, NUMBERS = pa.array([[10, 20], [1]]), pa.array([[10.4, 20.6], [0.5]])
FINE = dt.datetime(2026, 1, 2, 3, 4, 5, 678901)
OTHER_KINDS = {
    "lists": (INTEGERS, NUMBERS),
    "lists and text": (INTEGERS, pa.array(["[10.4, 20.6]", "[not a list"])),
    "text and lists": (pa.array(["[10.4]", "[not a list"]), INTEGERS),
    "large integers and numbers": (pa.array([2**53 + 1, 2]), pa.array([0.5, 0.25])),
    "signed and unsigned": (pa.array([-1, 2]), pa.array([2**64 - 1, 1], pa.uint64())),
    "decimals": (pa.array([Decimal("0.1234"), None]), pa.array([Decimal("123456.1"), None])),
    "structures": (pa.array([{"a": 2**53 + 1, "b": 1}] * 2), pa.array([{"a": 1.5}] * 2)),
    "text and truth": (pa.array(["007", "1e2"]), pa.array([True, False])),
    "times and days": (pa.array([FINE, FINE]), pa.array([FINE.date()] * 2)),
    "days and zones": (pa.array([FINE.date()] * 2), pa.array([FINE] * 2, pa.timestamp("us", "Asia/Tokyo"))),
}


@pytest.mark.variants
@pytest.mark.parametrize(
    "kind",
    [
        "lists and text",
        *(pytest.param(one, marks=pytest.mark.variants) for one in OTHER_KINDS if "lists and" not in one),
    ],
)
@pytest.mark.parametrize("name", ["MORE", pytest.param("more", marks=pytest.mark.variants)])
def test_a_column_of_another_kind_becomes_text(cf: Coldframe, ingest: Ingest, kind: str, name: str) -> None:
    """Under its name in another case too; in one notation for the rows that come again and those that do not."""
    before, now = OTHER_KINDS[kind]
    ingest({"more": before})
    ingest({name: now[:1]})
    assert cf.rows("select distinct typeof(more) as t from images") == [{"t": "VARCHAR"}]
    assert list(cf.rows("select more from images limit 1")[0]) == ["more"]
    shown = [row["more"] for row in cf.rows("select more from images order by image_id")]
    cf.path = cf.path.with_name("another")
    ingest({"more": pa.concat_arrays([now[:1], now[1:]])})
    as_now = cf.rows("select more::varchar as more from images order by image_id")
    cf.path = cf.path.with_name("third")
    ingest({"more": before})
    as_before = cf.rows("select more::varchar as more from images order by image_id")
    assert shown == [as_now[0]["more"], as_before[1]["more"]]


PAIRS = pa.array([[1, 2], [3, 4]], pa.list_(pa.int8(), 2))
OF_ONE_KIND = {
    "integers": (pa.array([1, 2], pa.int8()), pa.array([2**40], pa.int64()), "BIGINT"),
    "integers without a sign": (pa.array([2**40, 2]), pa.array([200], pa.uint8()), "BIGINT"),
    "floats": (pa.array([0.5, 2], pa.float32()), pa.array([0.1]), "DOUBLE"),
    "lists of integers": (pa.array([[1], [2]], pa.list_(pa.int8())), pa.array([[2**40]]), "BIGINT[]"),
    "lists of a length": (PAIRS, pa.array([[1, 2, 3]], pa.list_(pa.int8(), 3)), "TINYINT[]"),
    "times": (pa.array([FINE] * 2), pa.array([1], pa.timestamp("s")), "TIMESTAMP"),
    "nothing and integers": (pa.nulls(2), pa.array([5]), "BIGINT"),
    "integers and nothing": (pa.array([5, 6]), pa.nulls(1), "BIGINT"),
    "empty lists": (pa.array([[], None], pa.list_(pa.null())), pa.array([["a"]]), "VARCHAR[]"),
}  # fmt: skip


@pytest.mark.variants
@pytest.mark.parametrize(
    "kind", ["integers", *(pytest.param(one, marks=pytest.mark.variants) for one in OF_ONE_KIND if one != "integers")]
)
def test_a_column_of_another_width_keeps_its_kind(cf: Coldframe, ingest: Ingest, kind: str) -> None:
    before, now, shown = OF_ONE_KIND[kind]
    ingest({"more": before})
    last = cf.rows("select more from images order by image_id")[1]
    ingest({"more": now})
    assert cf.rows("select distinct typeof(more) as t from images") == [{"t": shown}]
    assert cf.rows("select more from images order by image_id")[1] == last
    assert "0 updated" in ingest({"more": now})


@pytest.mark.exhaustive
def test_columns_that_differ_in_case_may_come_in_another_order(cf: Coldframe, ingest: Ingest) -> None:
    ingest({"A": [1, 2], "a": [10, 20]})
    before = cf.rows("select * from images")
    assert "0 updated" in ingest({"a": [10, 20], "A": [1, 2]})
    assert cf.rows("select * from images") == before
    assert "0 updated" in ingest({"A": [1, 2], "a": [10, 20]})


@pytest.mark.parametrize("names", itertools.permutations(["a", "A", "a_2", "b"]))
def test_names_stay_as_they_were_given_out(names: tuple[str, ...]) -> None:
    first = unique_names(names)
    assert len({name.lower() for name in first}) == len(names)
    assert unique_names(names, first) == first
    assert unique_names([name.upper() for name in first], first) == first
    assert unique_names(["new", *names], first) == ["new", *first]


@pytest.mark.variants
@pytest.mark.parametrize(
    "name", ["content_id\0", *(pytest.param(n, marks=pytest.mark.variants) for n in ("split\0", "a\0b", "\0"))]
)
def test_a_name_with_a_nul_is_refused(cf: Coldframe, catalogue: Catalogue, ingest: Ingest, name: str) -> None:
    """SQL ends a name there: such a column would stand in for another."""
    with pytest.raises(AssertionError, match=r"the name of column .* has a NUL character: remove it"):
        ingest({name: ["f" * 32]})
    catalogue.metadata.write_text(f"path,label,{name}\nfinch/finch-00.png,a,b\n")
    said = cf("ingest", catalogue.metadata, "--images", catalogue.images, code=1).stderr
    assert f"the name of column {name!r} has a NUL character".replace("\0", "\\x00") in said
    assert not cf.path.exists()


@pytest.mark.variants
@pytest.mark.parametrize(
    "column",
    [
        ("label\0", pa.string()),
        pytest.param(("more", pa.struct([("a\0b", pa.string())])), marks=pytest.mark.variants),
        pytest.param(("mo\0re", pa.list_(pa.int8())), marks=pytest.mark.variants),
    ],
)
def test_no_part_has_such_a_name(cf: Coldframe, ingest: Ingest, column: tuple[str, pa.DataType]) -> None:
    ingest({"label": ["a", "b"]})
    (part,) = parts_of(cf, "images")
    table = pq.read_table(cf.path / part.path)
    with cf.store.commit("test") as commit:
        commit.replace("images", table.append_column(column[0], pa.nulls(2, column[1])))
    said = cf("verify", code=4).stdout
    assert "which coldframe does not write" in said
    assert "\\x00" in said


NESTED: dict[str, tuple[list[Any], list[Any]]] = {
    "name": ([[1], [2]], [[1], [3]]),
    "step": ([["a"], ["b"]], [["a"], ["c"]]),
    "reason": ([{"a": 1}, {"a": 2}], [{"a": 1}, {"a": 3}]),
    "more": ([dt.date(2026, 1, 1)] * 2, [dt.date(2026, 1, 1), dt.date(2026, 1, 2)]),
}


@pytest.mark.exhaustive
@pytest.mark.variants
@pytest.mark.parametrize(
    "name", ["name", *(pytest.param(n, marks=pytest.mark.variants) for n in ("step", "reason", "more"))]
)
def test_an_image_and_a_failure_need_not_be_of_one_type(cf: Coldframe, ingest: Ingest, name: str) -> None:
    before, now = NESTED[name]
    ingest({"more": ["[not a list", "text"]}, (-1, -2), code=3)
    ingest({name: before}, (0, -1), code=3)
    assert "1 updated, 1 unchanged" in ingest({name: now}, (0, -1), code=3)
    assert "0 updated, 2 unchanged" in ingest({name: now}, (0, -1), code=3)
    assert "1 added, 0 updated, 1 unchanged" in ingest({name: now}, (0, 1), code=3)
    assert_whole(cf)
