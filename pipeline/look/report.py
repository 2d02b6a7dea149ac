"""Report: one HTML file that shows a store, without script and without a network.

It opens from disk and can be mailed. Nothing in it is taken from a store unescaped, and its own policy lets no script run.
"""

from __future__ import annotations

import html
import os
import re
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pipeline.look.embedded import Pictures
from pipeline.look.page import Html, count, join, percent, tag
from pipeline.look.sections import SECTIONS
from pipeline.look.source import Missing, Section, Source
from pipeline.look.thumbnails import Thumbnails
from store import files, opening, whole
from store.errors import ColdframeError
from store.store import Snapshot, Store

FILE = "coldframe-report.html"
SUFFIXES = (".html", ".htm")
# A file is ours if it begins so: nothing else is replaced without being told to.
BEGIN = (
    '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<meta name="generator" content="coldframe report">\n'
)
POLICY = "default-src 'none'; img-src data:{beside}; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
BESIDE = " 'self' file:"  # for the folder beside the report
_PICTURE = re.compile(r"[0-9a-f]{32}\.webp")
_STYLE = Path(__file__).with_name("report.css")


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
        check(file, beside=self.folder is not None, force=force)
        if self.folder is not None and self.folder != folder_of(file):
            raise ColdframeError(
                f"{file}: this report shows the pictures of {self.folder}: save it as {_name_of(self.folder)}"
            )
        try:
            if self.folder is not None:
                _write_pictures(file.with_name(self.folder), self.pictures)
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
    return of_snapshot(opened.snapshot(), plan=plan, everything=everything, file=Path(file))


def of_snapshot(
    snapshot: Snapshot, *, plan: str | None = None, everything: bool = False, file: Path = Path(FILE)
) -> Report:
    """A report of one moment of a store; see :func:`report`."""
    folder = folder_of(file) if everything else None
    pictures = Pictures(Thumbnails(snapshot), quote(folder) if folder is not None else None)
    source = Source.of(snapshot, pictures, plan, everything=everything)
    made = [one for function in SECTIONS for one in function(source)]
    page = pictures.fill(_page(source, made, beside=everything))
    return Report(page, pictures.files(), folder, dict(pictures.failed), pictures.count)


def folder_of(file: Path) -> str:
    """The name of the folder of pictures beside a report."""
    return f"{file.stem}-pictures"


def _name_of(folder: str) -> str:
    return folder.removesuffix("-pictures") + SUFFIXES[0]


def check(file: Path, *, beside: bool, force: bool) -> None:
    """Check that a report may be written here.

    Raises:
        ColdframeError: the name does not end in .html, something stands there that is no report of coldframe, or the folder of
            its pictures holds something else.
    """
    if file.suffix.lower() not in SUFFIXES:
        raise ColdframeError(f"{file}: expected a name ending in {' or '.join(SUFFIXES)}")
    if os.path.lexists(file) and not _is_ours(file):
        if file.is_dir() and not file.is_symlink():
            raise ColdframeError(f"{file}: a folder; name a file, such as {file.name}/{FILE}")
        if not force:
            raise ColdframeError(
                f"{file}: not a report of coldframe, so it stays; name another file, or replace it with --force"
            )
    if beside:
        _check_folder(file.with_name(folder_of(file)), force=force)


def _is_ours(file: Path) -> bool:
    try:
        with opening.open_regular(file) as opened:
            return opened.read(len(BEGIN)) == BEGIN.encode()
    except OSError:
        return False


def _check_folder(folder: Path, *, force: bool) -> None:
    if not os.path.lexists(folder):
        return
    if not opening.is_plain_folder(folder):
        raise ColdframeError(
            f"{folder}: a link or no folder, and the pictures of the report go there: name another file"
        )
    other = next(
        (one for one in opening.entries(folder) if not (one.is_file and _PICTURE.fullmatch(one.path.name))), None
    )
    if other is not None and not force:
        raise ColdframeError(
            f"{folder}: it holds {other.path.name!r}, which is no picture of a report; name another file, or add --force, which "
            "leaves that where it is"
        )


def _write_pictures(folder: Path, pictures: dict[str, bytes]) -> None:
    """Make the folder hold these pictures, and none of an earlier report."""
    files.make_folder(folder)
    known = {one.path.name for one in opening.entries(folder) if one.is_file}
    for name, data in pictures.items():
        if name not in known or not _is_same(folder / name, data):
            whole.replace(folder / name, lambda out, data=data: out.write(data))  # type: ignore[misc]
    for name in known - set(pictures):
        if _PICTURE.fullmatch(name):
            files.remove(folder / name)


def _is_same(file: Path, data: bytes) -> bool:
    with suppress(OSError):
        return opening.read_regular(file, most=len(data)) == data
    return False


def _page(source: Source, made: list[Section | Missing], *, beside: bool) -> Html:
    shown = [one for one in made if isinstance(one, Section) and one.body]
    missing = [one for one in made if isinstance(one, Missing)]
    name = source.where.resolve().name
    title = f"{source.where.resolve().parent.name}/{name}" if name == "coldframe-store" else name
    library = tag("svg", source.pictures.library, class_="library", aria_hidden="true", width=0, height=0)
    body = join(
        [
            tag("header", tag("h1", title), tag("p", _when(source), class_="when"), _tiles(source)),
            tag("nav", *(tag("a", one.title, href=f"#{one.key}") for one in shown), aria_label="Sections"),
            tag(
                "main",
                *(tag("section", tag("h2", one.title), one.body, id=one.key) for one in shown),
                _missing(missing),
            ),
            tag("footer", tag("p", "Made by coldframe report. It runs no script and loads nothing from anywhere.")),
        ]
    )
    policy = tag("meta", http_equiv="Content-Security-Policy", content=POLICY.format(beside=BESIDE if beside else ""))
    width = tag("meta", name="viewport", content="width=device-width, initial-scale=1")
    style = Html(_STYLE.read_text(encoding="utf-8"))
    head = [policy, width, tag("title", f"{title} – coldframe report"), tag("style", style)]
    return Html(f"{BEGIN}{join(head, chr(10))}\n<body>\n{library}\n{body}\n</body>\n</html>\n")


def _when(source: Source) -> str:
    moment = source.snapshot.manifest
    made = f"{datetime.now().astimezone():%d %B %Y, %H:%M}"
    return (
        f"Report of {made}. It shows the store as 'coldframe {moment.step}' left it, its change number {moment.number}."
    )


def _tiles(source: Source) -> Html:
    facts = source.facts
    tiles: list[tuple[Any, str]] = [(f"{facts['images']:,}", "images"), (f"{facts['labels']:,}", "classes")]
    if source.plan is not None:
        kept = sum(row["images"] for row in source.rows("splits", plan=source.plan))
        tiles.append((f"{kept:,}", f"kept by the plan {source.plan}"))
    tiles.append((f"{facts['failures']:,}", "failures"))
    if source.run is not None:
        run = source.run
        between = ""
        if run["accuracy_low"] is not None and run["accuracy_high"] is not None:
            between = f" ({100 * run['accuracy_low']:.1f} to {100 * run['accuracy_high']:.1f} %)"
        tiles.append((percent(run["accuracy"]), f"accuracy of {run['name']} on {run['split']}{between}"))
    return tag("div", *(tag("div", tag("b", number), tag("span", what)) for number, what in tiles), class_="tiles")


def _missing(missing: list[Missing]) -> Html:
    if not missing:
        return Html("")
    listed = [tag("li", tag("b", one.title), ": ", one.sentence) for one in missing]
    return tag("section", tag("h2", "Not in this report"), tag("ul", *listed), id="missing")


def told(made: Report, file: Path) -> str:
    """A sentence about a report that was written."""
    size = len(made.html.encode())
    sentence = f"{file}: {count(made.shown, 'picture')}, {size / 1e6:.1f} MB"
    if made.folder is not None:
        beside = sum(map(len, made.pictures.values()))
        sentence += f", and {beside / 1e6:.1f} MB in {made.folder}, which goes with it"
    if made.failed:
        reason = next(iter(made.failed.values()))
        sentence += f"; {count(len(made.failed), 'picture')} can no longer be read, such as: {reason}"
    return sentence
