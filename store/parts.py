"""Immutable files of a store: written whole or not at all, known by their SHA-256."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from store import files, opening, whole
from store.errors import ColdframeError
from store.schemas import SCHEMAS

# What the system says of a file that may be whole.
UNSEEN = (errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE)
FOLDER = "parts"  # of the store: in it a folder for each dataset
MODELS = "models"  # the dataset whose parts are files of trained heads and networks
_NAMES = {MODELS: re.compile(r"[0-9a-f]{32}\.(npz|keras)(\.tmp)?")}
DATASETS = frozenset({*SCHEMAS, MODELS})
_TABLE = re.compile(r"[0-9a-f]{32}\.parquet(\.tmp)?")
ROW_GROUP_ROWS = 8192
ROW_GROUP_BYTES = 1 << 20  # in memory: what reading, merging and writing hold many times over


@dataclass(frozen=True)
class Part:
    """One live file of a dataset.

    ``path`` is relative to the store; ``key`` is the slice of the dataset it belongs to (a feature set, a
    plan, a run), so that a commit can replace that slice and no other.
    """

    path: str
    key: str
    rows: int
    bytes: int
    sha256: str


def sha256_of(path: Path, *, follow: bool = True) -> str:
    """Hex SHA-256 of a regular file's bytes; ``follow`` allows the path to be a link."""
    with opening.open_regular(path, follow=follow) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_dataset(name: str) -> bool:
    """Whether a dataset of ours may have this name."""
    return name in DATASETS


def is_name_of(dataset: str, name: str) -> bool:
    """Whether we would have given a part of a dataset this file name, or its temporary one."""
    return is_dataset(dataset) and _NAMES.get(dataset, _TABLE).fullmatch(name) is not None


def is_path_of(dataset: str, path: str) -> bool:
    """Whether a part of a dataset may lie at a path, relative to the store: one that we would have written."""
    steps = path.split("/")
    return (
        len(steps) == 3 and steps[:2] == [FOLDER, dataset] and is_name_of(dataset, steps[2]) and ".tmp" not in steps[2]
    )


def paths(root: Path, live: Iterable[Part]) -> list[str]:
    """Absolute paths of parts, each a regular file that is reached through no link.

    Raises:
        OSError: one is not there, is no such file, or may not be read.
    """
    top = root.resolve()
    for part in live:
        opening.open_regular(top / part.path, below=top).close()
    return [str(top / part.path) for part in live]


def problem_of(root: Path, part: Part, *, deep: bool) -> str | None:
    """How the file of a part differs from what was written; None where it does not. Only ``deep`` reads it whole."""
    try:
        with opening.open_regular(root / part.path, below=root) as file:
            size = os.fstat(file.fileno()).st_size
            if size != part.bytes:
                return f"{size} bytes, expected {part.bytes}"
            if deep and hashlib.file_digest(file, "sha256").hexdigest() != part.sha256:
                return "its bytes are not those that were written"
    except FileNotFoundError:
        return "missing"
    except OSError as error:
        if error.errno in UNSEEN:
            raise ColdframeError(
                f"{root / part.path}: cannot be looked at ({error.strerror}), so nobody can say whether it is damaged: make "
                "sure that you may read it, then run the command again"
            ) from error
        return f"cannot be read ({error.strerror})"
    return None


def rows_a_group(table: pa.Table) -> int:
    """How many rows like those of ``table`` make a row group: fewer where they are wide, as vectors are."""
    by_bytes: int = ROW_GROUP_BYTES * max(table.num_rows, 1) // max(table.nbytes, 1)
    return max(1, min(ROW_GROUP_ROWS, by_bytes))


def write_table(root: Path, dataset: str, key: str, table: pa.Table) -> Part:
    """Write ``table`` as one Parquet part (zstd, row groups of some thousand rows or a MB)."""

    def write(file: BinaryIO) -> int:
        pq.write_table(table, file, compression="zstd", row_group_size=rows_a_group(table))
        return int(table.num_rows)

    return _write(root, dataset, key, ".parquet", write)


def write_stream(root: Path, dataset: str, key: str, schema: pa.Schema, groups: Iterable[pa.Table]) -> Part:
    """Write tables that come one by one as the row groups of one Parquet part."""

    def write(file: BinaryIO) -> int:
        rows = 0
        with pq.ParquetWriter(file, schema, compression="zstd") as writer:
            for group in groups:
                writer.write_table(group, row_group_size=rows_a_group(group))
                rows += group.num_rows
        return rows

    return _write(root, dataset, key, ".parquet", write)


def write_bytes(root: Path, dataset: str, key: str, suffix: str, content: bytes) -> Part:
    """Write ``content`` as one part that is not Parquet, such as a trained head."""

    def write(file: BinaryIO) -> int:
        file.write(content)
        return 1

    return _write(root, dataset, key, suffix, write)


def _write(root: Path, dataset: str, key: str, suffix: str, write: Callable[[BinaryIO], int]) -> Part:
    """Temporary name in the same folder, fsync, rename, fsync the folder; ``write`` says how many rows it wrote."""
    folder = opening.make_own_folder(root, FOLDER, dataset)
    final = folder / f"{uuid.uuid4().hex}{suffix}"
    rows: list[int] = []
    whole.write(final, lambda file: rows.append(write(file)))
    files.sync_folder(folder)
    size, digest = final.lstat().st_size, sha256_of(final, follow=False)
    pa.default_memory_pool().release_unused()  # else a process that writes all night holds more and more of it
    return Part(final.relative_to(root).as_posix(), key, rows[0], size, digest)
