"""Report: one HTML file that shows a store, without script and without a network.

It opens from disk and can be mailed. Nothing in it is taken from a store unescaped, and its own policy lets no script run.
"""

from __future__ import annotations

import html
import os
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from pipeline.look import beside
from pipeline.look.page import count
from store import opening, whole
from store.errors import ColdframeError
from store.store import Snapshot, Store

FILE = "coldframe-report.html"
PICTURES = "-pictures"  # ends the name of the folder beside a report
SUFFIXES = (".html", ".htm")
# A file is ours if it begins so: nothing else is replaced without being told to.
BEGIN = (
    '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<meta name="generator" content="coldframe report">\n'
)


@dataclass(frozen=True)
class Report:
    """A report. In a notebook it shows itself; :meth:`save` writes it.

    Attributes:
        html: the whole page.
        pictures: the files of the folder beside it, by name; none unless all pictures were asked for.
        folder: the name of that folder, for which the page is made.
        failed: the reason of each picture that can no longer be read, by content.
    """

    html: str = field(repr=False)
    pictures: dict[str, bytes] = field(default_factory=dict, repr=False)
    folder: str | None = None
    failed: dict[str, str] = field(default_factory=dict, repr=False)
    shown: int = 0

    def _repr_html_(self) -> str:
        style = "width:100%;height:80vh;min-height:480px;border:1px solid #8888;border-radius:6px"
        return f'<iframe sandbox srcdoc="{html.escape(self.html)}" title="coldframe report" style="{style}"></iframe>'

    def save(self, path: str | Path = FILE, *, force: bool = False) -> Path:
        """Write the report, whole or not at all, with its folder of pictures if it has one.

        Args:
            force: whether to replace a file that is no report, and to use a folder that holds something else.

        Raises:
            ColdframeError: the name does not end in .html, or something stands there that is no report of coldframe.
        """
        file = Path(path)
        check(file, everything=self.folder is not None, force=force)
        if self.folder is not None and self.folder != folder_of(file):
            raise ColdframeError(
                f"{file}: this report shows the pictures of {self.folder}: save it as {_name_of(self.folder)}"
            )
        try:
            if self.folder is not None:
                beside.write(file.with_name(self.folder), self.pictures)
            whole.replace(file, lambda out: out.write(self.html.encode()))
        except OSError as error:
            raise ColdframeError(
                f"{error.filename or file}: the report cannot be written ({error.strerror})"
            ) from error
        return file


def report(
    store: str | Path | Store, *, plan: str | None = None, everything: bool = False, file: str | Path = FILE
) -> Report:
    """A report of a store as it is now.

    Args:
        store: the store or its folder.
        plan: the plan whose rules are shown, if not the default one.
        everything: whether to show all pictures, from a folder beside ``file``, rather than some inside the page.

    Raises:
        ColdframeError: there is no such store or plan.
    """
    opened = store if isinstance(store, Store) else Store.open(Path(store))
    snapshot = opened.snapshot()
    try:
        return of_snapshot(snapshot, plan=plan, everything=everything, file=Path(file))
    finally:
        snapshot.close()


def of_snapshot(
    snapshot: Snapshot, *, plan: str | None = None, everything: bool = False, file: Path = Path(FILE)
) -> Report:
    """A report of one moment of a store; see :func:`report`."""
    # not for those who import this package for its pages: the steps that the sections name take a second to import
    from pipeline.look import document

    folder = folder_of(file) if everything else None
    page, pictures = document.make(snapshot, plan, beside=quote(folder) if folder is not None else None)
    return Report(BEGIN + page, pictures.files(), folder, dict(pictures.failed), pictures.count)


def folder_of(file: Path) -> str:
    """The name of the folder of pictures beside a report."""
    return f"{file.stem}{PICTURES}"


def _name_of(folder: str) -> str:
    return folder.removesuffix(PICTURES) + SUFFIXES[0]


def check(file: Path, *, everything: bool, force: bool) -> None:
    """Check that a report may be written here; with ``everything``, also the folder of its pictures.

    Raises:
        ColdframeError: the name does not end in .html, something stands there that is no report of coldframe, or the folder of
            its pictures holds something else.
    """
    if file.suffix.lower() not in SUFFIXES:
        raise ColdframeError(f"{file}: expected a name ending in {' or '.join(SUFFIXES)}")
    if not file.parent.is_dir():
        raise ColdframeError(f"{file.parent}: no such folder; make it, or name a file elsewhere")
    if os.path.lexists(file) and not _is_ours(file):
        if file.is_dir() and not file.is_symlink():
            raise ColdframeError(f"{file}: a folder; name a file, such as {file.name}/{FILE}")
        if not force:
            raise ColdframeError(
                f"{file}: not a report of coldframe, so it stays; name another file, or replace it with --force"
            )
    if everything:
        beside.check(file.with_name(folder_of(file)), force=force)


def _is_ours(file: Path) -> bool:
    try:
        with opening.open_regular(file) as opened:
            return opened.read(len(BEGIN)) == BEGIN.encode()
    except OSError:
        return False


def told(made: Report, file: Path) -> str:
    """A sentence about a report that was written."""
    size = len(made.html.encode())
    sentence = f"{file}: {count(made.shown, 'picture')}, {size / 1e6:.1f} MB"
    if made.folder is not None:
        size = sum(map(len, made.pictures.values()))
        sentence += f", and {size / 1e6:.1f} MB in {made.folder}, which goes with it"
    if made.failed:
        reason = next(iter(made.failed.values()))
        sentence += f"; {count(len(made.failed), 'picture')} can no longer be read, such as: {reason}"
    return sentence
