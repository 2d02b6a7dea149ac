"""Text for people: text from files and options is shown, and never obeyed by the terminal.

A label, a path or a column name may hold anything, including escape sequences. Every message and table goes through here; the
formats for programs (csv, json, ndjson, parquet) are exact and do not.
"""

from __future__ import annotations

import io
import sys
import threading
import traceback
import unicodedata
import warnings
from types import TracebackType
from typing import Any

import click

from store.errors import ColdframeError

# Controls, invisible formatting (including text direction), surrogates, ends of lines and paragraphs.
ESCAPED = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# Invisible according to Unicode, although unassigned; tags are around them.
RESERVED = (
    range(0x2065, 0x2066),
    range(0xFFF0, 0xFFF9),
    range(0xE0000, 0xE0100),
    range(0xE01F0, 0xE1000),
)
JOINERS = "\u200c\u200d"
JOINED_FROM = "\u0600"  # Arabic: below it are Latin, Greek, Cyrillic and Hebrew, which need no joiners
VIRAMA = 9  # its combining class


def escaped(text: str, *, keep: str = "\n") -> str:
    r"""The text with everything escaped that a terminal would obey or that is invisible: ``\x1b``, ``\u202e``, ``\U000e0041``.

    A backslash stays as it is. So do joiners where the script needs them: Persian, Indic scripts and emoji would change without
    them, and they move no cursor.

    Args:
        keep: characters of our own layout. A value inside a message or a cell keeps none, so that it adds no line.
    """
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() or one in keep or not _is_hidden(text, at) else _written_out(one)
        for at, one in enumerate(text)
    )


def _is_hidden(text: str, at: int) -> bool:
    one = text[at]
    if one in JOINERS:
        return not _joins(text, at)
    return unicodedata.category(one) in ESCAPED or any(ord(one) in reserved for reserved in RESERVED)


def _joins(text: str, at: int) -> bool:
    """Whether a joiner has an effect: after a virama (RFC 5892, A.1), or between two characters that may join."""
    before, after = text[at - 1 : at], text[at + 1 : at + 2]
    if before and unicodedata.combining(before) == VIRAMA:
        return True
    return all(one >= JOINED_FROM and unicodedata.category(one)[0] in "LMS" for one in (before, after))


def _written_out(one: str) -> str:
    return one.encode("unicode_escape").decode("ascii")


def encodable(text: str, err: bool = False) -> str:
    """The text with everything escaped that the encoding of stdout or stderr cannot express. UTF-8 can express everything."""
    encoding = getattr(sys.stderr if err else sys.stdout, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.encode(encoding, "backslashreplace").decode(encoding)
    return text


def echo(text: str, err: bool = False) -> None:
    """Print one line; line breaks in it are escaped too."""
    click.echo(encodable(escaped(text, keep=""), err), err=err)


def echo_lines(text: str, err: bool = False) -> None:
    """Print several lines of our own layout, whose values are already escaped."""
    for line in text.split("\n"):
        echo(line, err=err)


def is_shown() -> bool:
    """Whether stdout is a terminal. There may be no stdout."""
    return bool(sys.stdout and sys.stdout.isatty())


def refuse_binary(fmt: str) -> None:
    """Refuse to write binary data to a terminal.

    Raises:
        ColdframeError: stdout is a terminal.
    """
    if is_shown():
        raise ColdframeError(f"{fmt} is binary, and no terminal can show it: send it to a file ('> FILE')")


def traced(error: BaseException) -> str:
    """The traceback of an exception, in Python's format."""
    pieces = []
    for piece in traceback.TracebackException.from_exception(error).format():
        # Python's own text may have several lines; an exception's text, which starts with its type, gets one.
        is_layout = piece.startswith((" ", "\n", "Traceback "))
        pieces.append(escaped(piece.removesuffix("\n"), keep="\n" if is_layout else ""))
    return "\n".join(pieces)


def guard() -> None:
    """Escape what Python itself prints on stderr: uncaught exceptions, and warnings.

    On stdout, as on stderr, escape what the encoding cannot express, whoever prints it: help texts have such characters too.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    sys.excepthook = _uncaught
    sys.unraisablehook = _unraisable
    threading.excepthook = _uncaught_in_thread
    plain = warnings.formatwarning

    def format_warning(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
    ) -> str:
        return escaped(plain(escaped(str(message), keep=""), category, filename, lineno, line), keep="\n\t")

    warnings.formatwarning = format_warning


def guard_logs() -> None:
    """Escape what libraries log, with any handlers."""
    import logging  # not needed for --help

    class Record(logging.LogRecord):
        def __init__(self, *given: Any, **more: Any) -> None:
            super().__init__(*given, **more)
            if self.exc_info and self.exc_info[1]:
                self.exc_text = traced(self.exc_info[1])  # formatters use it as it is

        def getMessage(self) -> str:
            return escaped(super().getMessage(), keep="")

    if logging.getLogRecordFactory() is logging.LogRecord:
        logging.setLogRecordFactory(Record)


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    echo_lines(traced(error.with_traceback(trace)), err=True)


def _uncaught_in_thread(given: threading.ExceptHookArgs) -> None:
    if given.exc_value is None or isinstance(given.exc_value, SystemExit):
        return
    echo(f"Exception in thread {given.thread.name if given.thread else '?'}:", err=True)
    echo_lines(traced(given.exc_value), err=True)


def _unraisable(given: Any) -> None:
    echo(f"{given.err_msg or 'Exception ignored in'}: {given.object!r}", err=True)
    if given.exc_value is not None:
        echo_lines(traced(given.exc_value), err=True)
