"""A session: the board of the newest moment, the desk, and what is slow to make, each made once and when it is needed."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pipeline.embed import feature_sets
from pipeline.look import choosing
from pipeline.look.board import Board
from pipeline.look.choosing import plans_of
from pipeline.look.desk import Desk
from pipeline.look.making import Maps
from pipeline.look.similar import Similar
from pipeline.look.thumbnails import Thumbnails
from pipeline.steps.config import Config
from store import digests, manifest
from store.errors import ColdframeError
from store.matrices import FloatMatrix
from store.store import Snapshot, Store

TEXT_NETWORK = "clip"
WARM_AFTER = 3.0  # seconds


class Session:
    """What all requests share. What needs the board runs one at a time: that is short. What takes longer does without it."""

    def __init__(self, store: Store, config: Config, plan: str | None = None) -> None:
        self.store, self.config = store, config
        self._wanted_plan = plan
        self._lock = threading.RLock()
        snapshot = store.snapshot()
        self._board = Board(snapshot, choosing.plan(plans_of(snapshot), self._wanted_plan))
        self.desk = Desk(store, config, self._board)
        self.thumbnails = Thumbnails(snapshot)
        self._telling, self._loading = threading.Lock(), threading.Lock()
        self._told: Snapshot | None = None
        self._similar: dict[str, Similar] = {}
        self._readers: dict[str, Callable[[Sequence[str]], FloatMatrix]] = {}
        self.maps = Maps()
        at = store.root.stat()
        self.identity = digests.of_json([str(store.root.absolute()), at.st_dev, at.st_ino])  # of the store
        self.answered: dict[str, dict[str, Any]] = {}  # by the name that a page gave its act

    @contextlib.contextmanager
    def board(self) -> Iterator[Board]:
        """The board of the newest moment, for one request alone."""
        with self._lock:
            self._keep_up()
            yield self._board

    @contextlib.contextmanager
    def telling(self) -> Iterator[Snapshot]:
        """The moment of the board by another connection, for what takes longer than a verdict may wait."""
        with self._telling:
            number = self._board.snapshot.manifest.number
            if self._told is None or self._told.manifest.number != number:
                if self._told is not None:
                    self._told.close()
                self._told = self.store.snapshot(number)
            yield self._told

    def similar(self, name: str | None) -> Similar | None:
        """The vectors of a feature set; None where the store has none. To be called with the board held."""
        name = name or choosing.feature_set(self._board.snapshot)
        if name is None:
            return None
        if name not in self._similar:
            self._similar[name] = Similar(self._board, name)
        return self._similar[name]

    def text_set(self) -> str | None:
        """The first feature set that has a text side, as CLIP has; None where there is none. To be called with the board held."""
        for row in self._board.snapshot.rows("steps/look/networks"):
            if row["network"] == TEXT_NETWORK:
                return str(row["embedder"])
        return None

    def reader(self, name: str) -> Callable[[Sequence[str]], FloatMatrix]:
        """What turns texts into vectors of a feature set. To be called without the board: its network is loaded first.

        Raises:
            ColdframeError: its network has no text side, or its weights are not those that the set was made with.
        """
        with self._loading:
            if name not in self._readers:
                with contextlib.closing(self.store.snapshot()) as snapshot:
                    self._readers[name] = feature_sets.reader(snapshot, name, "searching by words")
            return self._readers[name]

    def thumbnail(self, content_id: str) -> bytes:
        """A small picture of a content."""
        return self.thumbnails.thumbnail(content_id)

    def whole(self, content_id: str) -> bytes:
        """A large picture of a content."""
        return self.thumbnails.picture(content_id)

    def warm(self, stop: threading.Event) -> None:
        """Make the thumbnails that are not there, those of the first queues first, until ``stop`` is set.

        Not at once: the first page has the machine to itself.
        """
        if stop.wait(WARM_AFTER):
            return
        with self.board() as board:
            at = [int(one) for queue in board.queues.values() for one in queue.positions]
            contents = [board.contents[one] for one in dict.fromkeys([*at, *range(len(board.ids))])]
        self.thumbnails.warm(contents, stop=stop, threads=1)

    def choose(self, plan: str) -> None:
        """Show another plan.

        Raises:
            ColdframeError: the store has no such plan.
        """
        with self._lock:
            if plan not in plans_of(self._board.snapshot):
                raise ColdframeError(f"{plan}: no plan of this store")
            self._wanted_plan = plan
            self._renew()

    def close(self) -> None:
        """Let go of the files that queries have opened."""
        with self._lock:
            self._board.snapshot.close()
        with self._telling:
            if self._told is not None:
                self._told.close()

    def renew(self) -> None:
        """Read the store again, as after a replay."""
        with self._lock:
            self._renew()

    def _keep_up(self) -> None:
        """Go on with a newer moment if something other than this session has made one.

        Raises:
            ColdframeError: the store is gone.
        """
        newest = manifest.newest_file(self.store.root)
        if newest != self.desk.ledger.newest_file:
            if not newest[0]:
                raise ColdframeError(f"{self.store.root}: the store is gone: put it back, or end 'coldframe look'")
            self._renew()

    def _renew(self) -> None:
        snapshot = self.store.snapshot()
        before = self._board.snapshot
        self._board = Board(snapshot, choosing.plan(plans_of(snapshot), self._wanted_plan))
        self.desk.sit_at(self._board)
        self.thumbnails = Thumbnails(snapshot)
        self._similar.clear()
        before.close()
