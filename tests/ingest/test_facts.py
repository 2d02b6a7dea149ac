"""Facts of pictures: measured once, asked for in SQL, and used by rules and splits."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

from store.schemas import SCHEMAS
from tests.support.coldframe import Catalogue, Coldframe, picture

CAMERA = {0x010F: "Acme\0", 0x0110: "Trail\tCam 3"}
START = datetime.datetime(2024, 5, 1, 12, 0, 0)


def exif(
    taken: str | None = None, camera: dict[int, Any] | None = None, place: Any = None, serial: str | None = None
) -> Image.Exif:
    found = Image.Exif()
    found.update(camera or {})
    inner = found.get_ifd(0x8769)
    if taken:
        inner[0x9003] = taken
    if serial:
        inner[0xA431] = serial
    if place:
        found.get_ifd(0x8825).update({1: place[0], 2: place[1], 3: place[2], 4: place[3]})
    return found


def save(catalogue: Catalogue, name: str, image: Image.Image, **options: Any) -> None:
    file = catalogue.add(name, "moth", name=f"{name}.jpg")
    file.parent.mkdir(parents=True, exist_ok=True)
    image.save(file, "JPEG", quality=95, **options)


def by_id(cf: Coldframe, *columns: str) -> dict[str, dict[str, Any]]:
    listed = ", ".join(columns or ("facts.*",))
    return {
        row["image_id"]: row for row in cf.rows(f"select image_id, {listed} from images join facts using (content_id)")
    }


def test_facts_say_what_pixels_are_like_and_rules_use_them(cf: Coldframe, catalogue: Catalogue) -> None:
    catalogue.rows.clear()
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 256, (240, 320, 3), np.uint8))
    sharp = Image.fromarray(
        np.kron(np.random.default_rng(2).integers(0, 256, (24, 32, 3)), np.ones((10, 10, 1))).astype(np.uint8)
    )
    save(catalogue, "noise", noise)
    save(catalogue, "sharp", sharp)
    save(catalogue, "blurred", sharp.filter(ImageFilter.GaussianBlur(6)))
    save(catalogue, "sharp-large", sharp.resize((960, 720), Image.Resampling.NEAREST))
    save(catalogue, "flat", Image.new("RGB", (64, 48), (255, 255, 255)))
    save(catalogue, "dark", sharp.point(lambda level: level // 12))
    save(catalogue, "tiny", Image.new("RGB", (1, 1)))
    catalogue.write()
    cf.ingest(catalogue)
    facts = by_id(cf)
    assert facts["sharp"]["sharpness"] > 10 * facts["blurred"]["sharpness"] > 0
    assert 0.3 < facts["sharp-large"]["sharpness"] / facts["sharp"]["sharpness"] < 3
    assert (facts["flat"]["entropy"], facts["flat"]["sharpness"], facts["flat"]["brightness"]) == (0, 0, 255)
    assert facts["noise"]["entropy"] > 6
    assert facts["dark"]["brightness"] < 15
    assert facts["flat"]["darkest"] == facts["flat"]["lightest"] == 255
    assert facts["sharp"]["darkest"] < 50 < 200 < facts["sharp"]["lightest"]
    assert facts["tiny"]["sharpness"] == 0
    assert all(one["white"] == 255 and one["taken_at"] is None and one["camera"] is None for one in facts.values())
    for rule, threshold, out in (("blurred", 20, {"blurred", "flat"}), ("dark", 16, {"dark"}), ("flat", 0.5, {"flat"})):
        assert "--threshold NUMBER" in cf("filter", rule, "--plan", rule, code=1).stderr
        cf("filter", rule, "--threshold", threshold, "--plan", rule)
        taken = cf.rows(f"select image_id from exclusions where plan = '{rule}' and value < threshold")
        assert {row["image_id"] for row in taken} >= out, rule
        assert "sharp" not in {row["image_id"] for row in taken}
    worst = {view: cf.rows(f"from {view}") for view in ("blurred", "dark", "flat")}
    assert all([row["rank"] for row in rows] == list(range(1, 8)) for rows in worst.values())
    assert worst["flat"][0]["image_id"] in ("flat", "tiny")
    assert "0 files read" in cf.ingest(catalogue).stderr
    # a store made before there were facts has none, until its files are read again
    with cf.store.commit("test") as commit:
        commit.replace("facts", SCHEMAS["facts"].empty_table())
    assert "out of date: curate" in cf("status").stdout
    said = cf("curate", "--plan", "dark").stderr
    assert "7 images have no facts and stay in: 'coldframe ingest" in said
    assert "with --rehash reads all pictures again" in said
    assert cf.value("select count(*) from blurred") == 0
    cf.ingest(catalogue, "--rehash")
    assert by_id(cf, "sharpness").keys() == facts.keys()


def test_exif_says_when_by_what_and_where(cf: Coldframe, catalogue: Catalogue) -> None:
    catalogue.rows.clear()
    place = ("S", (33.0, 30.0, 36.0), "E", (151.0, 0.0, 0.0))
    save(catalogue, "all", picture("moth", 1), exif=exif("2024:05:01 12:34:56", CAMERA, place))
    save(
        catalogue,
        "zeros",
        picture("moth", 2),
        exif=exif("0000:00:00 00:00:00", {}, ("N", (0.0, 0.0, 0.0), "E", (0.0, 0.0, 0.0))),
    )
    save(
        catalogue,
        "wrong",
        picture("moth", 3),
        exif=exif("yesterday", {0x0110: "\x1b[31m" + "x" * 999}, ("N", (95.0, 0.0, 0.0), "E", (1.0, 0.0, 0.0))),
    )
    save(catalogue, "broken", picture("moth", 4), exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff garbage")
    catalogue.write()
    cf.ingest(catalogue)
    facts = by_id(cf, "taken_at::varchar as taken_at", "camera", "latitude", "longitude")
    assert facts["all"] == {
        "image_id": "all", "taken_at": "2024-05-01 12:34:56", "camera": "Acme Trail Cam 3",
        "latitude": pytest.approx(-33.51), "longitude": 151.0,
    }  # fmt: skip
    for name in ("zeros", "wrong", "broken"):
        assert [facts[name][column] for column in ("taken_at", "latitude", "longitude")] == [None] * 3, name
    assert facts["wrong"]["camera"] == "[31m" + "x" * 96
    assert not {"taken_at", "camera", "latitude"} & set(cf.store.snapshot().columns("images"))


def test_bursts_are_kept_together(cf: Coldframe, catalogue: Catalogue) -> None:
    """Pictures of one camera with at most so many seconds from one to the next; of others, and without a time, each by itself."""
    catalogue.rows.clear()
    for burst in range(12):
        for shot in range(4):
            taken = START + datetime.timedelta(minutes=burst, seconds=7 * shot)
            words = exif(taken.strftime("%Y:%m:%d %H:%M:%S"), CAMERA, serial=f"no {burst % 2}")
            save(catalogue, f"b{burst:02d}-{shot}", picture("moth", 10 * burst + shot), exif=words)
    save(catalogue, "alone", picture("moth", 999))
    catalogue.write()
    cf.ingest(catalogue)
    said = cf("split", "test", "0.3", "--by", "burst").stderr
    assert "1 images have no camera or no time" in said
    of_burst = "select substr(image_id, 1, 3) from splits where image_id <> 'alone' group by 1 having count(distinct split) > 1"
    divided = f"select count(*) from ({of_burst})"
    assert cf.value(divided) == 0
    assert cf.value("select count(*) from splits where split = 'test'") >= 12
    assert "everything is up to date" in cf("status").stdout
    # with fewer seconds each picture stands by itself
    assert (
        "it kept burst together, now burst within 5 s"
        in cf("split", "test", "0.3", "--by", "burst", "--seconds", "5", code=1).stderr
    )
    cf("split", "test", "0.3", "--by", "burst", "--seconds", "5", "--reassign")
    assert cf.value(divided) > 0
    for wrong in (
        ("--seconds", "5"),
        ("--by", "burst", "--seconds", "0"),
        ("--by", "label", "--seconds", "3"),
    ):
        cf("split", "test", "0.3", *wrong, "--plan", "other", code=1)


def test_without_times_there_are_no_bursts(ready: Coldframe) -> None:
    said = ready("split", "test", "0.3", "--by", "burst", code=1).stderr
    assert "no picture has a camera and a time in its EXIF" in said
    assert "--rehash" in said


@pytest.mark.exhaustive
def test_a_column_called_burst_comes_first(cf: Coldframe, catalogue: Catalogue) -> None:
    for number, row in enumerate(catalogue.rows):
        row["burst"] = str(number // 4)
    catalogue.write()
    cf.ingest(catalogue)
    cf("split", "test", "0.3", "--by", "burst")
    divided = (
        "select i.burst from splits s join images i using (image_id) group by 1 having count(distinct s.split) > 1"
    )
    assert cf.value(f"select count(*) from ({divided})") == 0
