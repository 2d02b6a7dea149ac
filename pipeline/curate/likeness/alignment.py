"""Alignment: lay one picture on another, and say whether they show the same.

Keypoints (ORB: Rublee et al., "ORB: an efficient alternative to SIFT or SURF", 2011) are matched, a transformation is fitted to
the matches (RANSAC), one picture is warped onto the other, and their grey levels are compared where they overlap. Matches alone
prove little: the wings of two butterflies of one species match.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.runtime import quiet

SIDE = 320  # pixels of the longer side of a grey picture
LEAST_SIDE = 40  # pixels of its shorter side: keypoints need room around them
FLAT = 5.0  # standard deviation of its grey levels: below, there is nothing to match
KEYPOINTS = 200  # the strongest; copies have 13 or more in common, mostly over 60
RATIO = 0.8  # of the distance to the second best match: Lowe's test
REPROJECTION = 3.0  # pixels that an inlier may be off
MANY_MORE = 1.2  # times the inliers of a similarity, which an affine transformation must have to be looked at
TRIES = 200  # of RANSAC: enough if a quarter of the matches are right, even for three of them
MOST_STRETCH, MOST_SCALE = 2.0, 5.0
BLUR = 1.0  # pixels: what is left of compression and of resampling
BLOCK = 20  # pixels of a side
TEXTURED = 3.0  # standard deviation of the grey levels of a block, in either picture
LEAST_BLOCKS = 6
# Share of blocks left out of the correlation, the worst: a line of text or a badge covers about as much.
LEFT_OUT = 0.1
# Median correlation within blocks. Of hard copies of photographs, 99.5 % have more. Other pictures that pass all else have up to
# 0.65 if they are photographs (one species on a plain ground), up to 0.91 if they are drawings of one figure.
LEAST_LOCAL = 0.9
SYMMETRIC = 0.97  # median correlation within blocks: above, the mirror image is not looked at
PART, TURNED = 0.9, 2.0  # of the larger picture that the other shows, or it is a part; degrees

Grey = npt.NDArray[np.uint8]
Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Limits:
    """What two pictures need to count as copies: correlation, share of the smaller that overlaps, keypoints in place."""

    correlation: float
    overlap: float
    inliers: int


@dataclass(frozen=True)
class Keypoints:
    """Strongest first: ``points`` float32 (n, 2), x and y in pixels; ``descriptors`` uint8 (n, 32)."""

    points: npt.NDArray[np.float32]
    descriptors: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Picture:
    """A grey picture with its keypoints, and those of its mirror image."""

    grey: Grey
    plain: Keypoints
    mirrored: Keypoints


@dataclass(frozen=True)
class Likeness:
    """How two pictures show the same.

    Attributes:
        kind: ``mirrored``, ``rotated``, ``cropped`` (one shows a part of the other) or ``near``; the first that is true.
        correlation: of the grey levels where they overlap, without the worst tenth of its blocks, 0 to 1.
        overlap: share of the smaller picture, 0 to 1.
        inliers: keypoints in place.
        local: median correlation within blocks.
    """

    kind: str
    correlation: float
    overlap: float
    inliers: int
    local: float


@functools.cache
def opencv() -> Any:
    """OpenCV, loaded once: not by several threads."""
    return quiet.load("cv2")


def keypoints(grey: Grey) -> Keypoints:
    """The keypoints of a grey picture; none of one that is flat or narrow."""
    cv2 = opencv()
    nothing = Keypoints(np.zeros((0, 2), np.float32), np.zeros((0, 32), np.uint8))
    if min(grey.shape) < LEAST_SIDE or grey.std() < FLAT:
        return nothing
    finder = cv2.ORB.create(nfeatures=KEYPOINTS, edgeThreshold=16, patchSize=31, fastThreshold=7)
    points, descriptors = finder.detectAndCompute(grey, None)
    if descriptors is None:
        return nothing
    # ORB gives more where several are as strong as the last: of a grid of dots thousands, which take a second to compare
    order = np.argsort([-one.response for one in points], kind="stable")[:KEYPOINTS]
    return Keypoints(np.array([points[one].pt for one in order], np.float32), descriptors[order])


def mirror(grey: Grey) -> Grey:
    """A picture, left for right."""
    return np.ascontiguousarray(grey[:, ::-1])


def likeness(one: Picture, other: Picture, limits: Limits) -> Likeness | None:
    """How two pictures show the same, plain or mirrored; None if they do not."""
    found = [_compared(one.grey, one.plain, other, limits, is_mirrored=False)]
    if found[0] is None or found[0].local < SYMMETRIC:  # a symmetric picture is like its mirror image, but less
        found.append(_compared(mirror(one.grey), one.mirrored, other, limits, is_mirrored=True))
    return max((one for one in found if one is not None), key=lambda one: one.local, default=None)


def _compared(grey: Grey, own: Keypoints, other: Picture, limits: Limits, *, is_mirrored: bool) -> Likeness | None:
    cv2 = opencv()
    matches = _matches(own, other.plain)
    if len(matches) < max(limits.inliers, 4):
        return None
    source, target = own.points[matches[:, 0]], other.plain.points[matches[:, 1]]
    before = 0
    # a squashed copy needs an affine transformation, which fits too much to be tried first, and has many more inliers then
    for estimate in (cv2.estimateAffinePartial2D, cv2.estimateAffine2D):
        transformation, inliers = estimate(
            source, target, method=cv2.RANSAC, ransacReprojThreshold=REPROJECTION, maxIters=TRIES, confidence=0.99
        )
        count = 0 if transformation is None else int(inliers.sum())
        if count >= max(limits.inliers, MANY_MORE * before):
            found = _overlaid(grey, other.grey, transformation, count, is_mirrored, limits)
            if found and found.correlation >= limits.correlation:
                return found
        before = count
    return None


def _matches(one: Keypoints, other: Keypoints) -> npt.NDArray[np.int64]:
    """Positions of keypoints that match, shape (n, 2)."""
    cv2 = opencv()
    if min(len(one.points), len(other.points)) < 2:
        return np.zeros((0, 2), np.int64)
    distances, nearest = cv2.batchDistance(
        one.descriptors, other.descriptors, cv2.CV_32S, normType=cv2.NORM_HAMMING, K=2
    )
    is_match = distances[:, 0] < RATIO * distances[:, 1]
    return np.stack([np.flatnonzero(is_match), nearest[is_match, 0]], axis=1)


def _overlaid(
    grey: Grey, target: Grey, transformation: Array, inliers: int, is_mirrored: bool, limits: Limits
) -> Likeness | None:
    """The two compared where they overlap; None if the transformation is none of a copy, or there is too little to compare.

    The picture that shows more of the scene keeps its place: to enlarge the other would blur it.
    """
    cv2 = opencv()
    stretch = np.linalg.svd(transformation[:, :2], compute_uv=False)
    scale = float(stretch[0] * stretch[1]) ** 0.5
    if not 1 / MOST_SCALE < scale < MOST_SCALE or stretch[0] > MOST_STRETCH * stretch[1]:
        return None
    if scale > 1:
        grey, target, transformation = target, grey, cv2.invertAffineTransform(transformation)
    height, width = target.shape
    warped = cv2.warpAffine(grey, transformation, (width, height), flags=cv2.INTER_LINEAR)
    inside = cv2.warpAffine(np.ones_like(grey), transformation, (width, height), flags=cv2.INTER_NEAREST)
    areas = sorted([abs(np.linalg.det(transformation[:, :2])) * grey.size, target.size])
    shared = float(inside.sum())
    if shared < limits.overlap * areas[0]:
        return None
    correlation, local = _correlations(
        cv2.GaussianBlur(warped, (0, 0), BLUR), cv2.GaussianBlur(target, (0, 0), BLUR), inside
    )
    if local < LEAST_LOCAL:
        return None
    if is_mirrored:
        kind = "mirrored"
    elif (
        abs(np.degrees(np.arctan2(transformation[1, 0] - transformation[0, 1], np.trace(transformation[:, :2]))))
        > TURNED
    ):
        kind = "rotated"
    else:
        kind = "cropped" if shared < PART * areas[1] else "near"
    return Likeness(kind, correlation, min(1.0, shared / areas[0]), inliers, local)


def _correlations(one: Grey, other: Grey, inside: Grey) -> tuple[float, float]:
    """Correlation over all blocks but the worst tenth, and the median of the correlations within blocks that have texture."""
    sums = _sums(one, other, inside)
    sums = sums[:, sums[0] >= BLOCK * BLOCK / 2]
    count, x, y, xx, yy, xy = sums
    if sums.shape[1] < LEAST_BLOCKS:
        return 0.0, 0.0
    spread_x, spread_y = xx - x * x / count, yy - y * y / count
    has_texture = np.maximum(spread_x, spread_y) > TEXTURED**2 * count
    if has_texture.sum() < LEAST_BLOCKS:
        return 0.0, 0.0
    within = (xy - x * y / count) / np.sqrt(np.maximum(spread_x * spread_y, 1e-9))
    kept = sums
    for _ in range(2):  # the fit changes once the worst are out
        _, slope, offset = _line(kept.sum(axis=1))
        residual = yy - 2 * slope * xy - 2 * offset * y + slope**2 * xx + 2 * slope * offset * x + count * offset**2
        kept = sums[:, residual / count <= np.quantile(residual / count, 1 - LEFT_OUT)]
    return _line(kept.sum(axis=1))[0], float(np.median(within[has_texture]))


def _sums(one: Grey, other: Grey, inside: Grey) -> Array:
    """For each block the sums of 1, x, y, x², y² and xy over the pixels inside, shape (6, blocks)."""
    cv2 = opencv()
    down, across = (side // BLOCK for side in inside.shape)
    mask, x, y = (each[: down * BLOCK, : across * BLOCK].astype(np.float32) for each in (inside, one, other))
    x, y = x * mask, y * mask
    # a reduction by a whole number is the mean of each block
    means = [
        cv2.resize(each, (across, down), interpolation=cv2.INTER_AREA) for each in (mask, x, y, x * x, y * y, x * y)
    ]
    return np.stack(means).astype(np.float64).reshape(6, -1) * BLOCK**2


def _line(sums: Array) -> tuple[float, float, float]:
    """Correlation of y with x, and slope and offset of the least-squares line, from sums of 1, x, y, x², y² and xy."""
    count, x, y, xx, yy, xy = sums
    spread_x, spread_y, common = xx - x * x / count, yy - y * y / count, xy - x * y / count
    slope = common / max(spread_x, 1e-9)
    return float(common / max(spread_x * spread_y, 1e-9) ** 0.5), float(slope), float((y - slope * x) / count)
