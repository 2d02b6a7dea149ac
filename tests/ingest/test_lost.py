"""A reason for each cause why a row has no picture, with the way out."""

from __future__ import annotations

import os
import unicodedata
import zlib
from pathlib import Path

import pytest

from pipeline.ingest import lost
from pipeline.ingest.decoding import MISSING
from tests.support.coldframe import Catalogue, Coldframe, picture

E_ACUTE = "\u00e9"
# the path in the catalogue, the file on disk, and what the reason says beside "did you mean"
MEANT = {
    "backslashes": ("moth\\owl moth.png", "moth/owl moth.png", "It has backslashes"),
    "quotation marks": ("'moth/m.png'", "moth/m.png", "It has quotation marks around it"),
    "percent-encoded": ("moth/owl%20moth.png", "moth/owl moth.png", "It is percent-encoded"),
    "percent-encoded on disk": ("moth/fly 1.png", "moth/fly%201.png", "It is percent-encoded"),
    "NFC": (f"moth/{E_ACUTE}.png", unicodedata.normalize("NFD", f"moth/{E_ACUTE}.png"), "NFC or NFD"),
    "NFD": (unicodedata.normalize("NFD", f"moth/{E_ACUTE}s.png"), f"moth/{E_ACUTE}s.png", "NFC or NFD"),
    "case": ("Moth/Upper.PNG", "moth/upper.png", "Upper and lower case differ"),
    "case of the ending": ("moth/b.png", "moth/b.PNG", "Upper and lower case differ"),
    "ending": ("moth/c.jpeg", "moth/c.png", "Its ending is another"),
    "blank at the end": ("moth/d.png ", "moth/d.png", "It has a blank at an end"),
    "blank in the folder": (" moth/e.png", "moth/e.png", "It has a blank at an end"),
    "blank on disk": ("moth/f.png", "moth/f.png ", "It has a blank at an end"),
    "doubled folder": ("images/moth/g.png", "moth/g.png", "Paths count from the image folder"),
    "folder on the way": ("h/h.png", "images/h/h.png", "Paths count from the image folder"),
    "of Windows": ("C:\\pics\\moth\\i.png", "moth/i.png", "It has backslashes, and paths count from"),
    "absolute": ("/data/images/moth/j.png", "moth/j.png", "Paths count from the image folder"),
    "a URL": ("https://example.org/moth/k.png", "moth/k.png", ""),
    "several": ("images\\Moth\\L%20l.PNG", "moth/l l.png", "It has backslashes, and it is percent-encoded, and upper"),
}


def put(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    picture("moth", zlib.crc32(os.fsencode(file))).save(file, "PNG")


def test_the_file_that_a_path_may_mean_is_named(cf: Coldframe, catalogue: Catalogue) -> None:
    catalogue.rows.clear()
    for name, (path, on_disk, _) in MEANT.items():
        catalogue.add(name, "moth", name=path)
        put(catalogue.images / on_disk)
    catalogue.add("none", "moth", name="moth/nothing like it.png")
    catalogue.add("elsewhere", "moth", name="https://example.org/else.png")
    catalogue.write()
    cf.ingest(catalogue, code=3)
    reasons = {row["image_id"]: row["reason"] for row in cf.rows("select image_id, reason from failures")}
    assert reasons.pop("none") == MISSING
    assert reasons.pop("elsewhere").startswith("a URL, and nothing is fetched: download")
    assert reasons.keys() == MEANT.keys()
    for name, (_, on_disk, why) in MEANT.items():
        assert f"did you mean {on_disk!r}?" in reasons[name], (name, reasons[name])
        assert why in reasons[name], (name, reasons[name])
    assert reasons["a URL"].startswith("a URL, and nothing is fetched")


def test_a_link_that_leaves_is_named_with_its_target_and_can_be_followed(cf: Coldframe, catalogue: Catalogue) -> None:
    away = catalogue.folder / "away"
    for name in ("one.png", "two.png"):
        put(away / name)
    (catalogue.images / "one.png").symlink_to(away / "one.png")
    (catalogue.images / "folder").symlink_to("../away")
    catalogue.rows.clear()
    for image_id, name in {"file": "one.png", "folder": "folder/two.png", "up": "../away/two.png"}.items():
        catalogue.add(image_id, "moth", name=name)
    catalogue.write()
    cf.ingest(catalogue, code=3)
    reasons = {row["image_id"]: row["reason"] for row in cf.rows("select image_id, reason from failures")}
    assert f"through the link 'one.png', which leads to {str(away / 'one.png')!r}" in reasons["file"]
    assert "through the link 'folder', which leads to '../away'" in reasons["folder"]
    assert "by its path" in reasons["up"]
    assert "--follow-links" in reasons["file"]
    assert "--follow-links" in reasons["folder"]
    cf.ingest(catalogue, "--follow-links", code=3)
    assert {row["image_id"] for row in cf.rows("select image_id from images")} == {"file", "folder"}
    assert "2 embedded, 0 failed" in cf("embed", "mean-colour").stderr


def test_what_lies_outside_is_neither_looked_for_nor_named(cf: Coldframe, catalogue: Catalogue) -> None:
    put(catalogue.folder / "away" / "Secret.png")
    (catalogue.images / "link").symlink_to("../away")
    (catalogue.images / "secret.PNG").symlink_to("../away/Secret.png")
    catalogue.rows.clear()
    for name in (
        "../away/secret.png",
        "..\\away\\Secret.png",
        "link/secret.png",
        "secret.png",
        "x/../../away/SECRET.png",
    ):
        catalogue.add(name, "moth", name=name)
    catalogue.write()
    cf.ingest(catalogue, code=3)
    reasons = [row["reason"] for row in cf.rows("select reason from failures")]
    assert len(reasons) == 5
    assert not any("did you mean" in reason or "Secret" in reason for reason in reasons), reasons


@pytest.mark.exhaustive
def test_a_name_that_is_not_utf_8_is_said_to_be_one(cf: Coldframe, tmp_path: Path) -> None:
    put(tmp_path / "images" / "moth" / "a.png")
    os.rename(tmp_path / "images" / "moth" / "a.png", os.fsencode(tmp_path / "images" / "moth") + b"/caf\xe9.png")
    put(tmp_path / "images" / "moth" / "b.png")
    cf("ingest", tmp_path / "images", code=3)
    assert "not UTF-8: rename it" in cf.value("select reason from failures")
    catalogue = Catalogue(tmp_path, [])
    catalogue.add("latin", "moth", name="moth/caf\u00e9.png")
    cf.ingest(
        Catalogue(tmp_path, catalogue.rows) if catalogue.write() else catalogue, "--prune", "--prune-limit", 2, code=3
    )
    assert r"moth/caf\xe9.png' is there, whose name is not UTF-8" in cf.value("select reason from failures").replace(
        "\\\\", "\\"
    )


def test_the_work_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.png", "b.png"):
        put(tmp_path / name)
    monkeypatch.setattr(lost, "MOST_EXPLAINED", 1)
    found = lost.Lost(tmp_path)
    assert "did you mean" in found.reason("A.PNG", MISSING)
    assert found.reason("B.PNG", MISSING) == MISSING
    monkeypatch.setattr(lost, "MOST_NAMES", 0)
    assert lost.Lost(tmp_path).reason("A.PNG", MISSING) == MISSING


OTHERS = {
    "lfs": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        "Git LFS pointer: run 'git lfs pull'",
    ),
    "html": (b"\n<!DOCTYPE HTML><html><body>403</body></html>", "HTML page"),
    "html with a mark": (b"\xef\xbb\xbf<html>", "HTML page"),
    "html with a comment": (b"<!-- saved from --><html>", "HTML page"),
    "json": (b'{"error": "not found"}', "text (XML or JSON)"),
    "xml": (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "text (XML or JSON)"),
    "svg": (b"<?xml version='1.0'?>\n<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
    "pdf": (b"%PDF-1.7\n", "PDF"),
    "zip": (b"PK\x03\x04rest", "archive"),
    "zeros": (bytes(5000), "zero bytes"),
    "film": (b"\0\0\0\x18ftypmp42\0\0\0\0", "film"),
}


def test_what_a_file_is_instead_of_a_picture_is_said(cf: Coldframe, catalogue: Catalogue) -> None:
    catalogue.rows.clear()
    for name, (data, _) in OTHERS.items():
        catalogue.add(name, "moth", name=f"{name}.jpg").write_bytes(data)
    catalogue.write()
    cf.ingest(catalogue, code=3)
    reasons = {row["image_id"]: row["reason"] for row in cf.rows("select image_id, reason from failures")}
    assert reasons.keys() == OTHERS.keys()
    for name, (_, why) in OTHERS.items():
        assert why in reasons[name], (name, reasons[name])
