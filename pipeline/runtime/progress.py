"""Progress on stderr: a bar on a terminal, plain lines elsewhere, nothing when quiet."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from tqdm import tqdm

from pipeline.runtime.terminal import echo, escaped

PLAIN_LINE_SECONDS = 10.0


class Progress:
    """Counts finished things out of ``total``."""

    def __init__(self, total: int, what: str, *, quiet: bool = False) -> None:
        self._total, self._what, self._quiet = total, what, quiet
        self._done, self._failed = 0, 0
        self._started = self._last_line = time.monotonic()
        is_bar = sys.stderr.isatty() and not quiet
        self._bar = tqdm(total=total, desc=escaped(what, keep=""), unit="", leave=False) if is_bar else None

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        elif self._done and kind is None:
            self._line()

    def advance(self, count: int, *, failed: int = 0) -> None:
        """``count`` more are done; ``failed`` of all so far have failed."""
        self._done += count
        self._failed = failed
        if self._bar is not None:
            if failed:
                self._bar.set_postfix(failed=failed, refresh=False)
            self._bar.update(count)
        elif time.monotonic() - self._last_line > PLAIN_LINE_SECONDS:
            self._line()

    def _line(self) -> None:
        self._last_line = time.monotonic()
        rate = self._done / max(self._last_line - self._started, 1e-9)
        if not self._quiet:
            left = (self._total - self._done) / max(rate, 1e-9)
            parts = [f"{self._done}/{self._total}", f"{rate:.1f}/s"]
            parts += [f"{tqdm.format_interval(left)} left"] if self._done < self._total else []
            parts += [f"{self._failed} failed"] if self._failed else []
            echo(f"{self._what}: {', '.join(parts)}", err=True)
