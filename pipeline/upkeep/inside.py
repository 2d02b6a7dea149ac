"""Check inside a part: whether it has the right columns, and in deep checks, whether its values match its statistics.

A stranger may have made it. So text is read as dictionary codes, some thousand rows at a time: a file of a few hundred bytes may
hold a long text a million times.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from store import opening
from store.parts import Part
from store.schemas import GROWN_DATASETS, SCHEMAS

ROWS_AT_ONCE = 65_536
TEXT = "BYTE_ARRAY"  # Parquet's name for text


def problem(root: Path, dataset: str, part: Part, *, deep: bool) -> str | None:
    """What is wrong with a part; None if nothing is, or if it was replaced and collected meanwhile.

    Args:
        deep: also read it. This checks that its text is text, and that the least and greatest values stated in the file are true,
            because queries skip rows by them.
    """
    try:
        with opening.open_regular(root / part.path, below=root) as opened, pq.ParquetFile(opened) as file:
            return _of_columns(dataset, part, file) or (_of_values(opened, file) if deep else None)
    except FileNotFoundError:
        return None
    except MemoryError:
        return "cannot be read (it takes more memory than there is)"
    except Exception as error:  # reading a malformed file raises many kinds
        return f"cannot be read ({str(error).splitlines()[0] if str(error) else type(error).__name__})"


def _of_columns(dataset: str, part: Part, file: pq.ParquetFile) -> str | None:
    if file.metadata.num_rows != part.rows:
        return f"{file.metadata.num_rows} rows, expected {part.rows}"
    found = file.schema_arrow
    names = [name.lower() for name in found.names]  # SQL ignores case
    for field in SCHEMAS[dataset]:
        count = names.count(field.name)
        if count > 1 or (not count and dataset not in GROWN_DATASETS):
            return f"{count or 'no'} columns called {field.name}, expected one"
        if count and not _fits(field.type, found.field(names.index(field.name)).type):
            return f"its {field.name} is {found.field(names.index(field.name)).type}, expected {field.type}"
    return None


def _fits(expected: pa.DataType, found: pa.DataType) -> bool:
    """Whether a column can be read as the expected type; numbers may be wider or narrower."""
    types = pa.types
    if types.is_list(expected):
        is_list = types.is_list(found) or types.is_fixed_size_list(found) or types.is_large_list(found)
        return is_list and _fits(expected.value_type, found.value_type)
    for kind in (types.is_integer, types.is_floating, types.is_string, types.is_boolean, types.is_timestamp):
        if kind(expected):
            return bool(kind(found))
    return bool(expected == found)


def _of_values(opened: Any, file: pq.ParquetFile) -> str | None:
    schema, groups = file.schema, file.num_row_groups
    columns = [schema.column(number) for number in range(len(schema))]
    if any(
        _has_index(file.metadata.row_group(group).column(at)) for group in range(groups) for at in range(len(schema))
    ):
        return "it has an index of its values, which coldframe does not write"
    texts = [one.path for one in columns if one.physical_type == TEXT]
    plain = {one.path: at for at, one in enumerate(columns) if one.path in file.schema_arrow.names}
    with_text = {path.split(".", 1)[0] for path in texts}
    with pq.ParquetFile(opened, read_dictionary=texts) as coded:
        for group in range(groups):
            said = file.metadata.row_group(group)
            nulls = dict.fromkeys(plain, 0)
            for batch in coded.iter_batches(ROWS_AT_ONCE, row_groups=[group], columns=sorted({*plain, *with_text})):
                for name, values in zip(batch.schema.names, batch.columns, strict=True):
                    if name in with_text:
                        values.validate(full=True)
                    if name in plain:
                        nulls[name] += values.null_count
                        if not _is_within(values, said.column(plain[name]).statistics):
                            return f"its {name} has values beyond the least or greatest that the file tells of"
            for name, count in nulls.items():
                told = said.column(plain[name]).statistics
                if told is not None and told.has_null_count and told.null_count != count:
                    return f"its {name} has {count} empty values in a group of rows, and the file tells of {told.null_count}"
    return None


def _has_index(chunk: Any) -> bool:
    return bool(chunk.has_column_index or getattr(chunk, "bloom_filter_offset", None) is not None)


def _is_within(values: pa.Array, told: Any) -> bool:
    """Whether all values lie between the least and the greatest that the statistics state."""
    if told is None or not told.has_min_max:
        return True
    if pa.types.is_dictionary(values.type):
        values = values.dictionary.take(pc.unique(values.indices.drop_null()))
    if pa.types.is_floating(values.type):
        values = values.filter(pc.invert(pc.is_nan(values)))
    found = pc.min_max(values).as_py()
    if found["min"] is None:
        return True
    return bool(told.min <= found["min"] and found["max"] <= told.max)
