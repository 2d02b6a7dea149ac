"""Keypoints: few enough to compare quickly, whatever a picture shows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from pipeline.curate.likeness.alignment import KEYPOINTS
from pipeline.curate.likeness.thumbnails import picture_of
from tests.support.hard_copies import photograph

Y, X = np.mgrid[:320, :320]


@pytest.mark.parametrize(
    "drawn",
    [
        lambda: (X % 4 == 0) & (Y % 4 == 0),
        *(
            pytest.param(one, marks=pytest.mark.variants)
            for one in (
                lambda: (X % 5 == 0) & (Y % 5 == 0),
                lambda: (X % 7 == 0) & (Y % 4 == 0),
                lambda: (X % 8 < 2) & (Y % 8 < 2),
                lambda: (X // 4 + Y // 4) % 2 == 0,
                lambda: np.random.default_rng(0).random((320, 320)) < 0.02,
            )
        ),
    ],
)
def test_a_pattern_has_no_more_keypoints_than_a_photograph(drawn: Callable[[], npt.NDArray[np.bool_]]) -> None:
    """All dots of a grid are as strong as each other."""
    picture = picture_of(Image.fromarray(drawn().astype(np.uint8) * 255).convert("RGB"))
    for found in (picture.plain, picture.mirrored):
        assert len(found.points) == len(found.descriptors) <= KEYPOINTS


def test_a_photograph_has_as_many_as_looked_for() -> None:
    assert len(picture_of(photograph(0)).plain.points) == KEYPOINTS
