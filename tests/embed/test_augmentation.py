"""Augmentation: views that are the same every time, and no further from the picture than their settings say."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.embed.augmentation import FILLS, LARGEST, Augmentation, Draw, draw, to_unit_square, views
from pipeline.ingest.decoding import resize
from store.errors import ColdframeError

SIZE = (48, 60)
sides = st.integers(1, 90)
angles = st.floats(-math.pi, math.pi)
magnifications = st.floats(0.5, 1.5)


def smooth(width: int, height: int, seed: int = 0) -> Image.Image:
    """A picture without an edge: what resampling can do to it is little."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def pixels(image: Image.Image) -> npt.NDArray[np.int64]:
    return np.asarray(image).astype(np.int64)


@given(content=st.text("0123456789abcdef", max_size=32), view=st.integers(1, 1000), seed=st.integers(0, 2**32 - 1))
def test_a_draw_depends_on_seed_content_and_number_alone_and_keeps_to_its_ranges(
    content: str, view: int, seed: int
) -> None:
    how = Augmentation(brightness=0.2, contrast=0.3, channel_shift=0.1, seed=seed)
    drawn = draw(how, content, view)
    assert drawn == draw(how, content, view)
    assert abs(drawn.angle) <= math.radians(15)
    assert abs(drawn.magnification - 1) <= 0.1 + 1e-12
    assert abs(drawn.contrast - 1) <= 0.3 + 1e-12
    assert max(map(abs, drawn.shifts)) <= 255 * (0.2 + 0.1) + 1e-9
    # a setting that is off moves no other draw
    plain = draw(Augmentation(rotation=0, seed=seed), content, view)
    assert (plain.is_flipped, plain.magnification) == (drawn.is_flipped, drawn.magnification)


def test_draws_are_those_of_every_earlier_version() -> None:
    drawn = draw(Augmentation(), "00112233445566778899aabbccddeeff", 1)
    assert drawn.is_flipped
    assert drawn.angle == pytest.approx(0.0630017525100407, abs=1e-12)
    assert drawn.magnification == pytest.approx(0.9911780308306402, abs=1e-12)


def test_draws_fill_their_ranges_evenly() -> None:
    drawn = [draw(Augmentation(), f"{number:032x}", view) for number in range(500) for view in (1, 2, 3, 4)]
    assert 0.46 < np.mean([one.is_flipped for one in drawn]) < 0.54
    for values, most in (
        ([math.degrees(one.angle) for one in drawn], 15),
        ([one.magnification - 1 for one in drawn], 0.1),
    ):
        shares, _ = np.histogram(values, bins=10, range=(-most, most))
        assert shares.sum() == len(drawn)
        assert 140 < shares.min() <= shares.max() < 260
    assert len(set(drawn)) == len(drawn)


@settings(max_examples=40)
@given(width=sides, height=sides, angle=angles, magnification=magnifications, fill=st.sampled_from(sorted(FILLS)))
def test_the_same_draw_gives_the_same_pixels_alone_or_among_others(
    width: int, height: int, angle: float, magnification: float, fill: str
) -> None:
    image = smooth(width, height)
    one = Draw(is_flipped=True, angle=angle, magnification=magnification, shifts=(9, 0, -9))
    far = Draw(angle=2.0, magnification=0.5)
    (alone,) = views(image, [one], size=SIZE, fill=fill)
    assert alone.size == (SIZE[1], SIZE[0])
    assert np.array_equal(pixels(alone), pixels(views(image, [far, one, Draw()], size=SIZE, fill=fill)[1]))


@settings(max_examples=40)
@given(width=sides, height=sides)
def test_without_turn_and_zoom_it_is_the_plain_resize(width: int, height: int) -> None:
    image = smooth(width, height)
    plain = pixels(resize(image, *SIZE))
    as_is, flipped = views(image, [Draw(), Draw(is_flipped=True)], size=SIZE)
    assert np.array_equal(pixels(as_is), plain)
    assert np.array_equal(pixels(flipped), plain[:, ::-1])


@settings(max_examples=40)
@given(width=st.integers(20, 300), height=st.integers(20, 300), is_flipped=st.booleans())
def test_the_least_turn_is_hardly_another_picture(width: int, height: int, is_flipped: bool) -> None:
    image = smooth(width, height)
    plain = pixels(resize(image, *SIZE))
    plain = plain[:, ::-1] if is_flipped else plain
    turned = pixels(views(image, [Draw(is_flipped=is_flipped, angle=1e-9)], size=SIZE)[0])
    assert np.abs(turned - plain).mean() < 1


@given(angle=angles, magnification=magnifications, aspect=st.floats(0.3, 3), is_flipped=st.booleans())
def test_a_draw_and_what_undoes_it_are_the_identity(
    angle: float, magnification: float, aspect: float, is_flipped: bool
) -> None:
    there = to_unit_square(Draw(is_flipped, angle, magnification), aspect=aspect)
    back = to_unit_square(Draw(is_flipped, angle if is_flipped else -angle, 1 / magnification), aspect=aspect)
    assert np.allclose(there @ back, np.eye(2), atol=1e-9)
    assert np.linalg.det(there) == pytest.approx((-1 if is_flipped else 1) / magnification**2)


def test_it_turns_counter_clockwise_about_the_middle_and_keeps_shapes() -> None:
    """As Pillow turns the picture in its own aspect, before its sides are made those of the network."""
    image, degrees = smooth(160, 90), 12
    whole = resize(image.rotate(degrees, Image.Resampling.BICUBIC), *SIZE)
    made = views(image, [Draw(angle=math.radians(degrees))], size=SIZE)[0]
    middle = np.s_[14:34, 12:48]  # what both see of the picture itself
    assert np.abs(pixels(made)[middle] - pixels(whole)[middle]).mean() < 2
    wrong = views(image, [Draw(angle=math.radians(-degrees))], size=SIZE)[0]
    assert np.abs(pixels(wrong)[middle] - pixels(whole)[middle]).mean() > 10


def test_it_grows_about_the_middle() -> None:
    image = smooth(120, 96)
    whole = resize(image.crop((12, 9, 108, 87)), *SIZE)
    made = views(image, [Draw(magnification=120 / 96, angle=0)], size=SIZE)[0]
    assert np.abs(pixels(made)[8:-8, 8:-8] - pixels(whole)[8:-8, 8:-8]).mean() < 4


def test_a_shrunk_picture_is_antialiased() -> None:
    """Stripes finer than a pixel of the view become grey, turned or not."""
    stripes = np.zeros((600, 600, 3), np.uint8)
    stripes[:, ::2] = 255
    made = pixels(views(Image.fromarray(stripes), [Draw(angle=0.1)], size=(60, 60))[0])
    assert np.abs(made - 127).max() <= 8


@pytest.mark.parametrize(
    ("fill", "corner"), [("reflect", 200), ("nearest", 200), ("wrap", 200), ("constant", 0)], ids=list(FILLS)
)
def test_what_lies_beyond_the_edges(fill: str, corner: int) -> None:
    even = Image.new("RGB", (80, 80), (200, 200, 200))
    made = pixels(views(even, [Draw(angle=0.26, magnification=0.9)], size=(64, 64), fill=fill)[0])
    assert (made[0, 0] == corner).all()
    assert (made[32, 32] == 200).all()


def test_reflected_at_the_edge_itself() -> None:
    """... c b a | a b c ...: as Keras' layers have it."""
    ramp = np.repeat(np.linspace(0, 240, 64).astype(np.uint8)[None, :, None], 64, axis=0).repeat(3, axis=2)
    row = pixels(views(Image.fromarray(ramp), [Draw(magnification=0.5)], size=(64, 64))[0])[32, :, 0]
    assert row[:16].tolist() == pytest.approx(row[16:32][::-1].tolist(), abs=2)
    assert row[0] > row[14]


def test_a_long_strip_takes_no_more_memory_than_any_picture() -> None:
    strip = smooth(4000, 4)
    made = views(strip, [Draw(angle=math.radians(15), magnification=0.9)], size=(64, 64))
    assert made[0].size == (64, 64)


def test_colours() -> None:
    image = smooth(60, 48)
    plain = pixels(resize(image, *SIZE))
    brighter, flat, redder = (
        pixels(one)
        for one in views(image, [Draw(shifts=(20, 20, 20)), Draw(contrast=0.0), Draw(shifts=(20, 0, -300))], size=SIZE)
    )
    assert np.array_equal(brighter, (plain + 20).clip(0, 255))
    assert np.abs(flat - plain.mean(axis=(0, 1))).max() <= 1
    assert np.array_equal(redder[..., 0], (plain[..., 0] + 20).clip(0, 255))
    assert np.array_equal(redder[..., 1], plain[..., 1])
    assert not redder[..., 2].any()


def test_it_survives_its_own_json() -> None:
    how = Augmentation(rotation=30, fill="wrap", seed=7)
    assert Augmentation.from_json(how.to_json()) == how
    assert Augmentation(rotation=15).to_json() == Augmentation(rotation=15.0).to_json()


@pytest.mark.parametrize("name", LARGEST)
def test_settings_out_of_range(name: str) -> None:
    for value in (-0.1, LARGEST[name] + 0.1, math.nan):
        given: dict[str, Any] = {name: value}
        with pytest.raises(ColdframeError, match=f"views: {name} = .*, expected from 0 to {LARGEST[name]:g}"):
            replace(Augmentation(), **given)


def test_fills_and_seeds_that_are_none() -> None:
    with pytest.raises(ColdframeError, match="fill = 'grey', expected one of reflect, nearest, wrap, constant"):
        Augmentation(fill="grey")
    with pytest.raises(ColdframeError, match="views: seed = -1, expected from 0 to 4294967295"):
        Augmentation(seed=-1)
