"""The settings of an ingest, from flags and coldframe.toml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.ingest import catalogue, decoding
from pipeline.ingest.limits import MAX_SECONDS
from pipeline.ingest.readers.delimited import Dialect
from pipeline.steps.config import Config
from pipeline.steps.settings import LARGEST_COUNT, setting
from store.errors import ColdframeError

STEP = "ingest"


@dataclass(frozen=True)
class Settings:
    """The settings of ``ingest``. Paths are as given; the store remembers them as absolute paths."""

    metadata: str = setting("", holds_path=True, is_option=False)  # an argument of the command
    images: str | None = setting(
        None,
        "Folder the catalogue's paths count from.",
        metavar="DIR",
        holds_path=True,
        default_text="METADATA, where that is a folder; the folder of an archive",
    )
    id: str | None = setting(None, "Column with a unique id.", metavar="COL", default_text="the path")
    path: str | None = setting(
        None, "Column with the path of each image.", metavar="COL", default_text=", ".join(catalogue.PATH_COLUMNS)
    )
    label: str | None = setting(
        None, "Column with the class of each image.", metavar="COL", default_text=" or ".join(catalogue.LABEL_COLUMNS)
    )
    delimiter: str | None = setting(
        None,
        "What divides the cells of a text: a character, or tab, comma, semicolon, pipe, space.",
        metavar="CHAR",
        default_text="what the header has",
    )
    quote: str | None = setting(
        None,
        "What encloses cells of a text: a character, or none if quotes are part of it.",
        metavar="CHAR",
        default_text='", where that fits every line, else none',
    )
    escape: str | None = setting(
        None, "Character that stands before one to take as it is, in a text.", metavar="CHAR", default_text="none"
    )
    encoding: str | None = setting(
        None, "Encoding of a text, such as cp1252.", metavar="NAME", default_text="UTF-8, or UTF-16 with its mark"
    )
    exclude: tuple[str, ...] = setting(
        (), "Leave out paths, folders or names that fit this, such as thumbs or '*.gif'.", metavar="GLOB"
    )
    follow_links: bool = setting(False, "Follow links that lead out of the image folder.")
    prune: bool = setting(False, "Remove rows the catalogue no longer has.")
    prune_limit: int | None = setting(
        None,
        "Rows whose pictures --prune may remove for good.",
        least=0,
        most=LARGEST_COUNT,
        default_text="a tenth of the rows",
        incidental=True,
    )
    new_ids: bool = setting(
        False, "Go on though most pictures of the store have another id in the catalogue.", incidental=True
    )
    rehash: bool = setting(False, "Read every file again, even where size and mtime are the same.", incidental=True)
    max_pixels: int = setting(decoding.MAX_PIXELS, "Largest picture to decode, in pixels.", least=1, most=LARGEST_COUNT)
    max_seconds: float = setting(MAX_SECONDS, "Seconds that one file may take to decode.", least=1e-3, incidental=True)
    workers: int | None = setting(
        None,
        "Number of decoding processes.",
        least=1,
        most=LARGEST_COUNT,
        default_text="the number of cores",
        incidental=True,
    )
    commit_seconds: float = setting(
        5.0, "Seconds between commits: the most work that a kill can cost.", least=0, incidental=True
    )

    @property
    def how(self) -> Dialect:
        """How a text is to be read."""
        return Dialect(self.delimiter, self.quote, self.escape, self.encoding)


def resolved(settings: Settings) -> Settings:
    """The settings with absolute paths, as a store remembers them."""
    source = Path(settings.metadata)
    root = image_folder(source, settings.images)
    return replace(settings, metadata=str(source.resolve()), images=str(root.resolve()))


def wanted(config: Config, flags: Mapping[str, Any]) -> Settings:
    """The settings of an ingest.

    Raises:
        ColdframeError: neither a flag nor the file names the catalogue.
    """
    settings = config.settings(Settings, STEP, flags=flags)
    if not settings.metadata:
        raise ColdframeError("which catalogue? Give METADATA, or 'metadata' under [ingest] in coldframe.toml")
    return settings


def image_folder(source: Path, images: str | None, *, follow_links: bool = False) -> Path:
    """The folder to which the paths of a catalogue are relative.

    Raises:
        ColdframeError: there is no such folder.
    """
    beside = source.parent if source.suffix.lower() == ".zip" else source
    root = Path(images) if images else beside
    if not root.is_dir():
        what = "no such folder" if images else "no image folder given"
        raise ColdframeError(f"{root}: {what}; name the folder the catalogue's paths start from with --images DIR")
    return decoding.folder(root, follow_links=follow_links)
