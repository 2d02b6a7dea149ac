"""Pictures in a report: small ones inside the file, or those of the store in a folder beside it."""

from __future__ import annotations

import base64
import io
import re
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from PIL import Image

from pipeline.look.page import Html, join, tag
from pipeline.look.thumbnails import NoSuchPicture, PictureUnreadable, Thumbnails
from pipeline.runtime.processes import cores

SIDE, QUALITY = 112, 62  # of a picture inside the file: pixels of its longer side, and of WebP
EFFORT = 4
GONE = "can no longer be read"


class Pictures:
    """The pictures that a page asks for. What :meth:`show` gives is a place, and :meth:`fill` puts the pictures there.

    A picture that is shown several times is in the file once.
    """

    def __init__(self, thumbnails: Thumbnails, folder: str | None = None) -> None:
        self._thumbnails, self._folder = thumbnails, folder
        self._mark = uuid.uuid4().hex  # no text of a store can be taken for a place
        self._asked: list[tuple[str, str]] = []
        self._made: dict[str, tuple[bytes, int, int]] = {}
        self._drawn: dict[str, Image.Image] = {}
        self.failed: dict[str, str] = {}

    def show(self, content_id: str, told: str) -> Html:
        """The place of a picture; ``told`` describes it to whoever does not see it."""
        self._asked.append((content_id, told))
        return Html(f"{self._mark}:{len(self._asked) - 1};")

    def draw(self, image: Image.Image, told: str) -> Html:
        """The place of a picture that is no content of the store; it is always inside the file."""
        name = f"drawn-{len(self._drawn)}"
        self._drawn[name] = image
        return self.show(name, told)

    @property
    def count(self) -> int:
        """How many different pictures were asked for."""
        return len({content for content, _ in self._asked})

    def fill(self, page: Html) -> Html:
        """The page with its pictures."""
        self._make()
        times = Counter(content for content, _ in self._asked)
        shared = {
            content for content, n in times.items() if n > 1 and content in self._made and not self._is_beside(content)
        }
        parts = re.split(rf"{self._mark}:([0-9]+);", page)
        filled = [Html(part) if at % 2 == 0 else self._element(int(part), shared) for at, part in enumerate(parts)]
        return Html(join(filled).replace(self.library, join(self._symbols(shared)), 1))

    @property
    def library(self) -> Html:
        """The place for the pictures that are shown several times: at the beginning of a page."""
        return Html(f"{self._mark}-library")

    def files(self) -> dict[str, bytes]:
        """The files of the folder beside the report, by name."""
        return {f"{content}.webp": made for content, (made, _, _) in self._made.items() if self._is_beside(content)}

    def _is_beside(self, content: str) -> bool:
        return self._folder is not None and content not in self._drawn

    def _make(self) -> None:
        contents = list(dict.fromkeys(content for content, _ in self._asked))
        with ThreadPoolExecutor(cores()) as pool:
            for content, made in zip(contents, pool.map(self._one, contents), strict=True):
                if isinstance(made, str):
                    self.failed[content] = made
                else:
                    self._made[content] = made

    def _one(self, content: str) -> tuple[bytes, int, int] | str:
        try:
            if content in self._drawn:
                return _small(self._drawn[content])
            thumbnail = self._thumbnails.thumbnail(content)
            with Image.open(io.BytesIO(thumbnail), formats=["WEBP"]) as image:
                return (thumbnail, image.width, image.height) if self._is_beside(content) else _small(image)
        except (NoSuchPicture, PictureUnreadable) as error:
            return str(error)

    def _element(self, at: int, shared: set[str]) -> Html:
        content, told = self._asked[at]
        if content not in self._made:
            return tag("span", GONE, class_="pic gone", title=f"{told}: {self.failed.get(content, GONE)}")
        made, width, height = self._made[content]
        if content in shared:
            # the box of a symbol is square, so that it stands in the middle of any place
            return tag("svg", tag("use", href=f"#p-{content}"), class_="pic", viewBox=_BOX, role="img", aria_label=told)
        source = f"{self._folder}/{content}.webp" if self._is_beside(content) else _inside(made)
        lazy = "lazy" if self._is_beside(content) else None
        return tag("img", class_="pic", src=source, alt=told, width=width, height=height, loading=lazy)

    def _symbols(self, shared: set[str]) -> Iterator[Html]:
        for content in sorted(shared):
            made, width, height = self._made[content]
            x, y = (SIDE - width) / 2, (SIDE - height) / 2
            image = tag("image", href=_inside(made), x=f"{x:g}", y=f"{y:g}", width=width, height=height)
            yield tag("symbol", image, id=f"p-{content}", viewBox=_BOX)


_BOX = f"0 0 {SIDE} {SIDE}"


def _inside(made: bytes) -> str:
    return f"data:image/webp;base64,{base64.b64encode(made).decode()}"


def _small(image: Image.Image) -> tuple[bytes, int, int]:
    """A picture as it is inside the file, with its size."""
    small = image.convert("RGB")
    small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    made = io.BytesIO()
    small.save(made, "WEBP", quality=QUALITY, method=EFFORT)
    return made.getvalue(), small.width, small.height
