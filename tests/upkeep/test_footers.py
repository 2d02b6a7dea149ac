"""Whatever the footer or a page of a part says of its values, but for where they lie, is what coldframe would have written."""

from __future__ import annotations

import io
import struct
from copy import deepcopy
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.upkeep import footers
from pipeline.upkeep.thrift import I32, I64, LIST, STRUCT, Reader, Struct, value
from tests.support.parquet import chunks, element, encoded, footer, with_footer

ROWS = 3000
TABLE = pa.table(
    {
        "name": [f"n{at}" for at in range(ROWS)],
        "value": pa.array([at / 7 for at in range(ROWS)]),
        "whole": pa.array([None if at % 5 == 0 else at for at in range(ROWS)], pa.int32()),
        "vector": pa.array([[at, at + 1.0] for at in range(ROWS)], pa.list_(pa.float32())),
        "inside": pa.array([{"text": str(at % 3)} for at in range(ROWS)]),
    }
)


def written(table: pa.Table = TABLE, **options: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", row_group_size=2000, **options)
    return buffer.getvalue()


ITS_OWN = written()
AGAIN = written(store_schema=False)


def problem(data: bytes, again: bytes = AGAIN) -> str | None:
    with pq.ParquetFile(io.BytesIO(data)) as file:
        return footers.problem(io.BytesIO(data), io.BytesIO(again), file)


def test_nothing_is_wrong_with_our_own() -> None:
    assert problem(ITS_OWN) is None
    assert problem(AGAIN) is None
    assert problem(written(TABLE.slice(0, 0)), written(TABLE.slice(0, 0), store_schema=False)) is None
    pages = {"data_page_size": 512, "write_batch_size": 100}
    assert problem(written(**pages)) is None
    assert problem(written(**pages, data_page_version="2.0")) is None


def test_less_may_be_said() -> None:
    def less(found: Struct) -> None:
        del found[7]
        for column in chunks(found, "name"):
            column.pop(16, None)
            del value(column, 12, STRUCT)[5]

    assert problem(with_footer(ITS_OWN, less)) is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(
            lambda found: element(found, "name").pop(6), "its types", id="bytes to one reader, text to others"
        ),
        pytest.param(lambda found: element(found, "name").update({6: (5, 19)}), "its types", id="JSON to one reader"),
        pytest.param(
            lambda found: element(found, "whole").update({6: (6, 15)}), "its types", id="of a type passed over"
        ),
        pytest.param(
            lambda found: value(chunks(found, "value")[0], 12, STRUCT).update({9: (6, 1)}),
            "its statistics",
            id="count of NaNs",
        ),
        pytest.param(
            lambda found: value(chunks(found, "whole")[1], 12, STRUCT).update({3: (6, 0)}),
            "its statistics",
            id="count of NULLs",
        ),
        pytest.param(
            lambda found: chunks(found, "name")[0].update({14: (6, 4)}), "its statistics", id="a Bloom filter"
        ),
        pytest.param(
            lambda found: chunks(found, "name")[0].update({99: (8, b"x")}), "its statistics", id="a new field"
        ),
        pytest.param(
            lambda found: value(found, 4, LIST)[0].update({4: (LIST, (STRUCT, []))}),
            "its statistics",
            id="an order of rows",
        ),
        pytest.param(lambda found: found.update({6: (8, b"somebody")}), "its footer", id="another writer"),
        pytest.param(
            lambda found: value(found, 5, LIST).append({1: (8, b"geo"), 2: (8, b"{}")}),
            "its footer",
            id="other metadata",
        ),
        pytest.param(lambda found: chunks(found, "value")[0].update({11: (6, 3)}), "its columns overlap", id="a place"),
    ],
)
def test_what_no_part_of_ours_says(change: Any, said: str) -> None:
    assert said in str(problem(with_footer(ITS_OWN, change)))


PLACES = {  # what may differ: by the field that holds a struct, from the footer down
    (): {5, 6},
    (4,): {2, 5, 6},
    (4, 1): {2},
    (4, 1, 3): {2, 6, 7, 9, 11, 13},
}


def fields(found: Struct, path: tuple[int, ...] = ()) -> list[tuple[Struct, int, bool]]:
    """Each field of a struct and of those in it, and whether it may differ."""
    all_fields = []
    for field, (kind, inner) in found.items():
        may_differ = field in PLACES.get(path, set())
        all_fields.append((found, field, may_differ))
        if not may_differ:
            structs = inner[1] if kind == LIST and inner[0] == STRUCT else [inner] if kind == STRUCT else []
            for one in structs:
                all_fields += fields(one, (*path, field))
    return all_fields


@given(st.data())
def test_no_field_anywhere_may_differ_but_those_of_places(data: st.DataObject) -> None:
    found = footer(ITS_OWN)[1]
    changed = deepcopy(found)
    which = data.draw(st.integers(0, len(fields(changed)) - 1))
    of, field, may_differ = fields(changed)[which]
    kind, before = of[field]
    other = {
        1: st.just(not before),
        5: st.integers(-(2**31), 2**31 - 1),
        6: st.integers(-(2**63), 2**63 - 1),
        8: st.binary(max_size=20),
    }.get(kind)
    if other is not None:
        of[field] = kind, data.draw(other.filter(lambda one: one != before))
    elif kind == LIST:
        of[field] = kind, (before[0], before[1][:-1] if before[1] else [{}])
    else:
        before[77] = 5, 1
    if not may_differ:
        theirs, ours = footers._without(changed, footers.LAYOUT), footers._without(found, footers.LAYOUT)
        assert changed.get(2) != found.get(2) or not footers._is_within(theirs, ours)


@pytest.mark.parametrize("options", [{}, {"data_page_size": 512, "write_batch_size": 100}], ids=["a page", "pages"])
def test_statistics_before_a_page(options: dict[str, Any]) -> None:
    """DuckDB passes over a page by them."""
    numbers = TABLE.select(["whole"])
    data = written(numbers, use_dictionary=False, **options)
    least, most = struct.pack("<i", 1), struct.pack("<i", ROWS - 1)
    end = len(footer(data)[0])
    for at in range(end - 4):
        if data[at : at + 4] in (least, most):
            changed = data[:at] + struct.pack("<i", 7) + data[at + 4 :]
            break
    again = written(numbers, store_schema=False)
    assert problem(data, again) is None
    assert "its statistics" in str(problem(changed, again))


@pytest.mark.parametrize(
    "data", [b"", b"PAR1", b"PAR1" * 2, ITS_OWN[:-1], b"x" + ITS_OWN[-8:], ITS_OWN[:-8] + b"\xff" * 4 + b"PAR1"]
)
def test_what_has_no_footer(data: bytes) -> None:
    with pytest.raises((ValueError, EOFError)):
        footers.read(io.BytesIO(data))


@pytest.mark.parametrize(
    "written",
    [
        pytest.param(b"\x05\x8a\x80\x08\x02\x00", id="a field whose number another reader cuts to 16 bits"),
        pytest.param(b"\x15\x80\x80\x80\x80\x20\x00", id="a number that another reader cuts to 32 bits"),
        pytest.param(b"\x15\x82\x00\x00", id="a number longer than it need be"),
        pytest.param(b"\x15\x02\x05\x02\x04\x00", id="a field twice"),
        pytest.param(b"\x05\x01\x02\x00", id="a field below none"),
        pytest.param(b"\x05\x00\x02\x00", id="field none"),
        pytest.param(b"\x1d\x00", id="a type that is none"),
        pytest.param(b"\x18\x80\x80\x80\x80\x10\x00", id="a text of 2^32 bytes"),
    ],
)
def test_what_another_reader_takes_for_something_else_is_refused(written: bytes) -> None:
    with pytest.raises(ValueError, match=r"field|number|type"):
        Reader(written).struct()


@pytest.mark.parametrize("field", [11, 13])
def test_a_place_of_another_type_is_no_place(field: int) -> None:
    """Other readers pass over it."""
    changed = with_footer(ITS_OWN, lambda found: chunks(found, "name")[0].update({field: (I32, 4)}))
    with pytest.raises(ValueError, match="another type"):
        problem(changed)


def test_the_header_of_a_page_says_no_more_than_ours() -> None:
    numbers = TABLE.select(["whole"])
    data = written(numbers, use_dictionary=False)
    column = chunks(footer(data)[1], "whole")[0]
    place = value(column, 9, I64)
    reader = Reader(data[place:])
    header = reader.struct()
    again = written(numbers, store_schema=False)

    def with_header(changed: Struct) -> bytes:
        return data[:place] + encoded(changed) + data[place + reader.place :]

    assert problem(with_header(header), again) is None
    for more in (
        {9: (I32, 1)},
        {4: (I32, 1)},
        {1: (I64, 0)},
        {5: (STRUCT, {**value(header, 5, STRUCT), 9: (STRUCT, {})})},
    ):
        with pytest.raises((ValueError, EOFError)):
            problem(with_header({**header, **more}), again)
