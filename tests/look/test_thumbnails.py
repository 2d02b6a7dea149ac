"""Thumbnails: made once, kept whole, never through a link, and refused for what is no image of the store."""

from __future__ import annotations

import io
import os
import shutil
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.ingest import decoding
from pipeline.look.embedded import GONE, Pictures
from pipeline.look.thumbnails import NoSuchPicture, PictureUnreadable, Thumbnails
from store import whole
from tests.support.coldframe import Catalogue, Coldframe, moved, picture

Ingested = tuple[Coldframe, Catalogue]


@pytest.fixture(scope="module")
def _once(tmp_path_factory: pytest.TempPathFactory) -> Ingested:
    folder = tmp_path_factory.mktemp("once")
    cf, catalogue = Coldframe(folder / "store"), Catalogue(folder / "catalogue", [])
    catalogue.images.mkdir(parents=True)
    catalogue.add("plain", "moth", picture("moth", 1), "plain.png")
    wide = np.zeros((1500, 3000, 3), np.uint8)
    wide[:, :, 0] = np.linspace(0, 255, 3000)
    catalogue.add("wide", "moth", Image.fromarray(wide), "wide.jpg")
    catalogue.write()
    cf.ingest(catalogue)
    return cf, catalogue


@pytest.fixture
def ingested(tmp_path: Path, _once: Ingested) -> Ingested:
    """A store with a small picture and a wide one."""
    cf, catalogue = Coldframe(tmp_path / "store"), Catalogue(tmp_path / "catalogue", list(_once[1].rows))
    shutil.copytree(_once[0].path, cf.path, copy_function=shutil.copy)
    shutil.copytree(_once[1].folder, catalogue.folder)
    moved(cf.store, _once[1].folder, catalogue.folder)
    return cf, catalogue


def opened(cf: Coldframe) -> Thumbnails:
    return Thumbnails(cf.store.snapshot())


def content(cf: Coldframe, image: str) -> str:
    found: str = cf.value(f"select content_id from images where image_id = '{image}'")
    return found


def file_of(cf: Coldframe, content_id: str) -> Path:
    return cf.path / "thumbnails" / content_id[:2] / f"{content_id}.webp"


def test_a_thumbnail_is_made_once_and_kept(ingested: Ingested, monkeypatch: pytest.MonkeyPatch) -> None:
    cf, _ = ingested
    wide = content(cf, "wide")
    made = opened(cf).thumbnail(wide)
    image = Image.open(io.BytesIO(made))
    assert (image.format, image.size) == ("WEBP", (256, 128))
    assert file_of(cf, wide).read_bytes() == made
    monkeypatch.setattr(decoding, "decode_content", None)  # what is kept is not made again
    assert opened(cf).thumbnail(wide) == made
    cf("verify")


def test_a_draft_looks_like_the_whole_picture(ingested: Ingested) -> None:
    cf, catalogue = ingested
    image = Image.open(io.BytesIO(opened(cf).thumbnail(content(cf, "wide")))).convert("RGB")
    whole = Image.open(catalogue.images / "wide.jpg").convert("RGB").resize((256, 128), Image.Resampling.LANCZOS)
    assert np.abs(np.asarray(image, float) - np.asarray(whole, float)).mean() < 3


def test_a_large_picture_is_not_kept_and_not_enlarged(ingested: Ingested) -> None:
    cf, _ = ingested
    found = opened(cf)
    assert Image.open(io.BytesIO(found.picture(content(cf, "wide")))).size == (1600, 800)
    small = Image.open(io.BytesIO(found.picture(content(cf, "plain"))))
    assert max(small.size) < 1600
    assert not (cf.path / "thumbnails").exists()


@pytest.mark.parametrize("bad", ["", "ab", "../../../etc/passwd", "0" * 32, "/etc/passwd", "é" * 32])
def test_a_content_of_no_image_is_refused(ingested: Ingested, bad: str) -> None:
    found = opened(ingested[0])
    with pytest.raises(NoSuchPicture, match="no image of this store"):
        found.thumbnail(bad)
    with pytest.raises(NoSuchPicture, match="no image of this store"):
        found.picture(bad)


def test_a_picture_that_is_gone_says_why(ingested: Ingested) -> None:
    cf, catalogue = ingested
    plain, wide = content(cf, "plain"), content(cf, "wide")
    kept = opened(cf).thumbnail(wide)
    (catalogue.images / "plain.png").unlink()
    with pytest.raises(PictureUnreadable, match=r"plain.png: missing: no such file"):
        opened(cf).thumbnail(plain)
    (catalogue.images / "wide.jpg").write_bytes((catalogue.images / "wide.jpg").read_bytes()[:-100])
    with pytest.raises(PictureUnreadable, match=r"wide.jpg: changed since it was ingested"):
        opened(cf).picture(wide)
    catalogue.images.rename(catalogue.images.with_name("elsewhere"))
    with pytest.raises(PictureUnreadable, match="the image folder is not there any more"):
        opened(cf).thumbnail(plain)
    assert opened(cf).thumbnail(wide) == kept


# Bytes behind the head of a picture, in place of its own.
BROKEN = {"ones": b"\xff" * 600, "words": b"junk" * 150, "few": b"\0" * 9}


@pytest.mark.variants
@pytest.mark.parametrize("damage", ["cut", "zeros", "text", "huge", "link", "folder", *BROKEN])
def test_what_is_no_thumbnail_is_made_again(ingested: Ingested, tmp_path: Path, damage: str) -> None:
    cf, _ = ingested
    plain = content(cf, "plain")
    made, file = opened(cf).thumbnail(plain), file_of(cf, plain)
    file.unlink()
    outside = tmp_path / "outside.webp"
    outside.write_bytes(b"outside")
    if damage == "link":
        file.symlink_to(outside)
    elif damage == "folder":
        file.mkdir()
    else:
        large = io.BytesIO()
        Image.new("RGB", (2000, 2000)).save(large, "WEBP", quality=10)
        broken = {name: _with_size(made[:30] + rest) for name, rest in BROKEN.items()}
        odd = broken | {
            "cut": made[:-1],
            "zeros": bytes(len(made)),
            "text": b"<svg onload=x>",
            "huge": large.getvalue(),
        }
        file.write_bytes(odd[damage])
    assert opened(cf).thumbnail(plain) == made
    assert outside.read_bytes() == b"outside"


def _with_size(data: bytes) -> bytes:
    """A RIFF file whose head says how long it is, and its one chunk too."""
    return data[:4] + struct.pack("<I", len(data) - 8) + data[8:16] + struct.pack("<I", len(data) - 20) + data[20:]


def test_nothing_is_written_through_a_link(ingested: Ingested, tmp_path: Path) -> None:
    cf, _ = ingested
    found, plain = opened(cf), content(cf, "plain")
    outside = tmp_path / "outside"
    outside.mkdir()
    (cf.path / "thumbnails").symlink_to(outside)
    assert found.thumbnail(plain)
    assert not list(outside.iterdir())


def test_a_store_that_cannot_be_written_still_shows(ingested: Ingested, monkeypatch: pytest.MonkeyPatch) -> None:
    cf, _ = ingested

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(whole, "replace", full)
    assert opened(cf).thumbnail(content(cf, "plain"))


def test_gc_drops_thumbnails_not_used_for_long(ingested: Ingested) -> None:
    cf, _ = ingested
    plain = content(cf, "plain")
    opened(cf).thumbnail(plain)
    folder = file_of(cf, plain).parent
    os.utime(folder, (1, 1))
    opened(cf).thumbnail(plain)  # used: it stays
    assert "thumbnails" not in cf("gc").stdout
    os.utime(folder, (1, 1))
    assert "1 folders of thumbnails" in cf("gc").stdout
    assert not folder.exists()
    assert opened(cf).thumbnail(plain)


def test_verify_tells_of_links_among_thumbnails(ingested: Ingested, tmp_path: Path) -> None:
    cf, _ = ingested
    plain = content(cf, "plain")
    opened(cf).thumbnail(plain)
    (file_of(cf, plain).with_name("ab.webp")).symlink_to(tmp_path)
    assert "own-files" in cf("verify", code=4).stdout


def test_many_at_once_and_a_stop(ingested: Ingested) -> None:
    cf, catalogue = ingested
    found, both = opened(cf), [content(cf, "plain"), content(cf, "wide")]
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(found.thumbnail, both * 20))) == 2
    for one in both:
        file_of(cf, one).unlink()
    stop = threading.Event()
    stop.set()
    assert found.warm(both, stop=stop) == {}
    assert not file_of(cf, both[0]).exists()
    (catalogue.images / "plain.png").unlink()
    failed = found.warm([*both, "none"])
    assert set(failed) == {both[0], "none"}
    assert file_of(cf, both[1]).exists()


@pytest.mark.parametrize("folder", [None, "pictures"])
def test_a_broken_thumbnail_does_not_end_a_report(ingested: Ingested, folder: str | None) -> None:
    cf, _ = ingested
    plain = content(cf, "plain")
    made, file = opened(cf).thumbnail(plain), file_of(cf, plain)
    file.write_bytes(made[:30] + b"\xff" * (len(made) - 30))
    pictures = Pictures(opened(cf), folder)
    assert GONE not in pictures.fill(pictures.show(plain, "a moth"))
    assert not pictures.failed
    assert file.read_bytes() == made


@pytest.mark.parametrize("other", ["folder", "file", "link"])
def test_gc_tells_what_it_removes_and_not_what_others_keep(ingested: Ingested, other: str) -> None:
    cf, _ = ingested
    plain = content(cf, "plain")
    opened(cf).thumbnail(plain)
    file = file_of(cf, plain)
    kept = file.parent / "of-somebody-else"
    if other == "folder":
        kept.mkdir()
    elif other == "file":
        kept.write_bytes(b"x" * 5_000_000)
    else:
        kept.symlink_to(file.parent)
    os.utime(file.parent, (1, 1))
    assert "1 folders of thumbnails, 0.0 MB" in cf("gc", "--dry-run").stdout
    assert "removes 1 folders of thumbnails, 0.0 MB" in cf("gc").stdout
    assert not file.exists()
    assert os.path.lexists(kept)
    os.utime(file.parent, (1, 1))
    assert "thumbnails" not in cf("gc").stdout
    assert os.path.lexists(kept)
