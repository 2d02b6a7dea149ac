"""A store: open it, read one moment of it, commit to it."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from store import asking, files, locks, manifest, opening, parts, places, queries, rows
from store.commits import Commit
from store.errors import ColdframeError, Locked, StoreDamaged
from store.manifest import Manifest
from store.parts import FOLDER, paths

if TYPE_CHECKING:
    from duckdb.sqltypes import DuckDBPyType

    from store.connection import Views

COMMIT_WAIT_SECONDS = 60.0
# Bytes that a connection told to hold little may hold: in any case, and for what it is shown.
LITTLE, LITTLE_A_COLUMN, LITTLE_A_ROW = 32_000_000, 1_000_000, 256


class Store:
    """A folder of parts and manifests.

    Every read goes through a :class:`Snapshot`, every write through a :class:`Commit`; both may be used while
    other processes read and write.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        places.know(root)

    @classmethod
    def open(cls, root: Path) -> Store:
        """Open an existing store.

        Raises:
            ColdframeError: ``root`` holds no store.
            StoreDamaged: a folder of it is a link.
        """
        if not (root / manifest.FOLDER).is_dir():
            if (root / manifest.FOLDER).is_symlink():
                _refuse_links(root)
            raise ColdframeError(
                f"{root}: no store here; make one with 'coldframe ingest METADATA --images DIR', or name another "
                "with --store"
            )
        store = cls(root)
        _refuse_links(root)
        if not manifest.numbers(root):
            raise ColdframeError(
                f"{root / manifest.FOLDER}: no manifest there; restore one from a backup, or ingest anew"
            )
        return store

    @classmethod
    def create(cls, root: Path) -> Store:
        """Open the store in ``root``, making an empty one if there is none.

        Raises:
            ColdframeError: ``root`` is a file, or a folder with other things in it.
        """
        if root.exists() and not root.is_dir():
            raise ColdframeError(f"{root}: a file, expected a folder for the store: name another with --store")
        if root.is_dir() and not (root / manifest.FOLDER).is_dir():
            others = sorted(path.name for path in root.iterdir() if path.name not in (FOLDER, "locks"))
            if others:
                raise ColdframeError(
                    f"{root}: not a store and not empty (it has {others[0]}): name another folder with --store"
                )
        files.make_folder(root)
        store = cls(root)
        _refuse_links(root)
        files.make_folder(root / manifest.FOLDER)
        if manifest.read(root) == manifest.EMPTY:
            with store.commit("create") as commit:
                commit.create_datasets()
        return store

    def snapshot(self, at: int | None = None) -> Snapshot:
        """The store as it is now, or as manifest number ``at`` left it."""
        return Snapshot(self.root, manifest.read(self.root, at))

    def lock(self, name: str, *, wait: float = 0.0) -> AbstractContextManager[None]:
        """Hold a lock against other writers of the same thing; see :func:`store.locks.held`."""
        return locks.held(self.root, name, wait=wait)

    @contextmanager
    def commit(self, step: str, *, seen: Manifest | None = None) -> Iterator[Commit]:
        """Collect changes and publish them as one manifest when the block ends without an error.

        Parts are written as they are handed over, outside the commit lock; the lock is held for the manifest alone.

        Raises:
            Locked: another process holds the commit lock for a minute; or it has changed a slice that is to change here
                since the moment ``seen``, where one is given: then nothing is published.
        """
        commit = Commit(self.root)
        yield commit
        if not commit.changes():
            return
        with self.lock("commit", wait=COMMIT_WAIT_SECONDS):
            # a repair is there to go on from a manifest that others refuse to go by
            latest = manifest.read(self.root) if seen is None else manifest.newest_whole(self.root)
            if seen is not None and any(latest.parts(*one) != seen.parts(*one) for one in commit.slices()):
                raise Locked(
                    f"{self.root}: another coldframe process has changed the same rows meanwhile, so nothing was changed: "
                    f"run 'coldframe {step}' again"
                )
            commit.dropped = [swap for swap in commit.swapped if not swap.applies_to(latest.datasets)]
            commit.swapped = [swap for swap in commit.swapped if swap.applies_to(latest.datasets)]
            if not commit.changes():
                return
            self._check_still_there(commit)
            datasets = manifest.merge(latest.datasets, commit.replaced, commit.added, commit.swapped)
            manifest.publish(self.root, manifest.successor(self.root, latest, step, datasets))

    def _check_still_there(self, commit: Commit) -> None:
        """A process that was stopped for long may find its parts removed: nothing named them, so they were taken for waste.

        Raises:
            Locked: they were.
        """
        new = [part for _, part in commit.added] + [part for swap in commit.swapped for part in swap.new]
        gone = [part.path for part in new if parts.problem_of(self.root, part, deep=False)]
        if gone:
            raise Locked(
                f"{self.root / gone[0]}: removed before it was committed, by a 'coldframe gc' while this command stood still, so "
                "nothing was changed: run the command again"
            )


class Snapshot:
    """One moment of a store. Queries are files of ``sql/``, named without their ending."""

    def __init__(self, root: Path, moment: Manifest) -> None:
        self.root = root
        self.manifest = moment

    @functools.cached_property
    def _views(self) -> Views:
        """DuckDB with the views of this moment; made on first use."""
        from store import connection

        return connection.Views.of(self.root, self.manifest)

    def close(self) -> None:
        """Let go of the files that queries have opened."""
        self._views.con.close()

    def query(self, name: str, /, **parameters: Any) -> pa.Table:
        """Rows of ``sql/<name>.sql``."""
        from store import connection

        sql = queries.text(name)
        with connection.explaining(self.root):
            return connection.run(self._views.needed_by(sql), sql, parameters)

    def stream(self, name: str, /, **parameters: Any) -> Iterator[pa.Table]:
        """Rows of ``sql/<name>.sql``, some thousand at a time, as they are found; no other query may run meanwhile."""
        from store import connection

        sql = queries.text(name)
        with connection.explaining(self.root):
            yield from connection.stream(self._views.needed_by(sql), sql, parameters)

    def rows(self, name: str, /, **parameters: Any) -> list[dict[str, Any]]:
        """Rows of ``sql/<name>.sql`` as dictionaries."""
        return rows.dictionaries(self.query(name, **parameters), f"{self.root}, rows of {name}")

    def value(self, name: str, /, **parameters: Any) -> Any:
        """The only value of ``sql/<name>.sql``."""
        return self.query(name, **parameters).column(0)[0].as_py()

    def columns(self, view: str) -> list[str]:
        """The names of a view's columns."""
        return list(self._views.needed_by(view).view(view).columns)

    def select(self, view: str, *columns: str) -> pa.Table:
        """Some columns of a view or a table of this snapshot, which it must have; no columns give their types alone."""
        import duckdb

        from store import connection

        with connection.explaining(self.root):
            relation = self._views.needed_by(view).view(view)
            if not columns:
                return relation.limit(0).to_arrow_table()
            return relation.select(*(duckdb.ColumnExpression(name) for name in dict.fromkeys(columns))).to_arrow_table()

    def materialise(self, table: str, name: str, /, **parameters: Any) -> None:
        """Make a temporary table of this snapshot's connection out of ``sql/<name>.sql``, replacing one of that name."""
        from store import connection

        sql = queries.text(name)
        with connection.explaining(self.root):
            connection.create_table(self._views.needed_by(sql), table, sql, parameters)

    def define(self, view: str, name: str, /) -> None:
        """Make ``sql/<name>.sql`` a temporary view of this snapshot's connection, replacing one of that name."""
        from store import connection

        sql = queries.text(name)
        with connection.explaining(self.root):
            self._views.needed_by(sql).execute(f"create or replace temp view {view} as {sql}")

    def register(self, table: str, rows: pa.Table) -> None:
        """Show ``rows`` to this snapshot's connection as a temporary table, replacing one of that name."""
        from store import connection

        with connection.explaining(self.root):
            self.show("given_rows", rows)
            connection.create_table(self._views.con, table, "select * from given_rows", {})
            self._views.con.unregister("given_rows")

    def show(self, view: str, rows: pa.Table) -> None:
        """Show ``rows`` to this snapshot's connection where they lie, replacing what it was shown under that name."""
        from store import connection

        if rows.nbytes >= connection.SMALL_BYTES:
            self._views.con.execute("reset threads")
        self._views.con.register(view, rows)

    def types(self, view: str) -> dict[str, DuckDBPyType]:
        """The columns of a view or a table of this snapshot, and their types."""
        from store import connection

        with connection.explaining(self.root):
            relation = self._views.needed_by(view).view(view)
            return dict(zip(relation.columns, relation.types, strict=True))

    def cast(self, view: str, source: str, types: Mapping[str, str]) -> None:
        """Show the view ``source`` to this snapshot's connection as ``view``, with some columns of other types."""
        from store import connection

        casts = ", ".join(
            f"{name}::{kind} as {name}" for name, kind in ((connection.quoted(n), t) for n, t in types.items())
        )
        columns = f"* replace ({casts})" if casts else "*"
        self._views.needed_by(source).execute(f"create or replace temp view {view} as select {columns} from {source}")

    def hold_little(self, shown: pa.Table) -> None:
        """Have queries over rows like ``shown`` spill early; one that needs more raises :class:`store.errors.TooLittleMemory`."""
        limit = LITTLE + LITTLE_A_COLUMN * shown.num_columns + LITTLE_A_ROW * shown.num_rows + shown.nbytes
        self._views.con.execute("set threads = 1")
        self._views.limit_memory(limit // 10**6)

    def ask(
        self,
        sql: str,
        parameters: dict[str, str],
        *,
        timeout: float | None = None,
        memory: int | None = None,
        rows: int | None = None,
    ) -> pa.Table:
        """Rows of a user's own query, which may only read, and only the store, with a value for each ``$name``.

        The limits are those of :func:`store.asking.ask`.

        Raises:
            QueryRefused: the query would write, reach outside, is wrong, takes too long, or gives more rows.
            TooLittleMemory: it needs more.
        """
        return asking.ask(self.root, self.manifest, sql, parameters, timeout=timeout, memory=memory, rows=rows)

    def file(self, dataset: str, key: str) -> Path:
        """The path of the file stored under ``key``, a regular file.

        Raises:
            ColdframeError: there is none.
            StoreDamaged: it is missing or no regular file.
        """
        from store import connection

        live = self.manifest.parts(dataset, key)
        if not live:
            raise ColdframeError(f"{self.root}: no {dataset} stored for {key}")
        try:
            return Path(paths(self.root, live[-1:])[0])
        except OSError as error:
            raise connection.cannot_read(self.root, error) from error


def _refuse_links(root: Path) -> None:
    """Raises:
    StoreDamaged: a folder of the store is a link: what is behind it is not the store's.
    """
    below = root / FOLDER
    for folder in (*root.iterdir(), *(below.iterdir() if opening.is_plain_folder(below) else ())):
        if folder.is_symlink():
            raise StoreDamaged(
                f"{folder}: a link, and a store holds its own files alone: put what it leads to there instead (a link to the "
                "whole store may be named with --store)"
            )
