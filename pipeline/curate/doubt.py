"""How much the label of an image is doubted, and the label that the images most like it suggest: arrays and tables.

The vectors are centred and scaled to length 1. Two images i and j have the weight W_ij = exp(β (min(cos_ij, 0.9) - 1)): a pair
that is closer than the cap of 0.9 counts no more for it, since it may be two photographs of one animal. With *own* the sum of W
over the 20 nearest images of the same class, *other* the sum over those of the 50 nearest images that have another label, and the
level c the median of own + other,

    s = ln(c + other) - ln(own)

So c is a floor: where no other class is near, s tells how far the classmates are, and stays finite. In a class of m + 1 images,
ln(own) is raised by β δ(m): what the nearest classmate loses in large classes if only m of 19 classmates are kept. An image
without a classmate takes the lower quartile of ln(own) of the others.

Then the images vote once more, each with the weight of its own trust σ(θ - s), θ being the 90 % quantile of s, so that a wrong
label says little about the others. A classmate's trust is judged without the image that it vouches for; in a class of at most
four it is one half, since none can tell there whom to trust.

The doubt is s / 16, since β is 16 divided by the standard deviation of the similarity to the nearest classmate (at least 0.02, so
that β stays finite where all are alike). So a doubt of 1 is what an image has whose classmates are one such deviation less like
it than usual, or images of other classes so much more.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.curate.nearest import centred, nearest
from store.matrices import FloatMatrix, Vectors

Floats = npt.NDArray[np.float64]
Positions = npt.NDArray[np.int64]

NEIGHBOURS, CLASSMATES = 50, 20
SHOWN = 10  # of the nearest images, how many the evidence counts
CAP = 0.9  # of a cosine
SHARPNESS = 16.0  # β times the standard deviation of the cosines of nearest classmates
LEAST_DEVIATION = 0.02  # of those cosines
SMALL, SMALL_TRUST = 4, 0.5  # images of a class in which none can tell whom to trust
DOUBTED = 0.9  # quantile of s, at which an image is trusted by half
ALONE = 0.25  # quantile of ln(own) that an image without a classmate gets
PER_CLASS = 100  # images of a class by which the drop of similarity in small classes is measured
CHUNK_ROWS = 8192


@dataclass(frozen=True)
class Doubts:
    """One value an entry: doubt; class suggested; how many nearest there are, have the class suggested, have the own class."""

    doubt: Floats
    suggested: Positions
    nearest: Positions
    agreeing: Positions
    of_own: Positions


@dataclass(frozen=True)
class _Near:
    """Entries near each entry: positions (-1 for none) and logarithms of weights (-inf there), both of shape (n, k)."""

    rows: Positions
    log_weight: Floats


def of_images(known: Vectors, images: pa.Table) -> pa.Table:
    """The doubt of each labelled image that has a vector.

    Images of equal content and label are one: they do not vouch for each other, and vote once. Equal content under another label
    is an image like any other.

    Args:
        images: ``image_id, content_id, label``, and further columns, which are kept.

    Returns:
        The rows of ``images`` with ``value`` (float64), ``suggested`` (a label; NULL where it is their own) and ``evidence``,
        such as "9 of its 10 nearest are parulidae". No rows where no class has two such images.
    """
    rows = known.positions(images["content_id"])
    usable = (rows >= 0) & images["label"].is_valid().to_numpy()
    images, rows = images.filter(pa.array(usable)), rows[usable]
    labels = images["label"].combine_chunks().dictionary_encode()
    names, classes = labels.dictionary, labels.indices.to_numpy().astype(np.int64)
    count = max(len(names), 1)
    pairs, entry = np.unique(rows * count + classes, return_inverse=True)
    place = pairs // count
    # the vectors of all contents, once each, are taken as they are: a copy may be gigabytes
    is_all = np.array_equal(place, np.arange(len(known.matrix)))
    found = doubts(known.matrix if is_all else known.matrix[place], pairs % count) if len(pairs) else None
    if found is None:
        return _with_columns(images.slice(0, 0), np.zeros(0), [], [])
    suggested: list[str | None] = []
    evidence = []
    words = names.to_pylist()
    for own, one in zip(classes.tolist(), entry.tolist(), strict=True):
        label = words[int(found.suggested[one])]
        suggested.append(None if found.suggested[one] == own else label)
        counts = (int(found.nearest[one]), int(found.agreeing[one]), int(found.of_own[one]))
        evidence.append(_evidence(words[own], label, *counts))
    return _with_columns(images, found.doubt[entry], suggested, evidence)


def _with_columns(images: pa.Table, values: Floats, suggested: list[str | None], evidence: list[str]) -> pa.Table:
    return (
        images.append_column("value", pa.array(values))
        .append_column("suggested", pa.array(suggested, pa.string()))
        .append_column("evidence", pa.array(evidence, pa.string()))
    )


def _evidence(own: str, suggested: str, count: int, agreeing: int, of_own: int) -> str:
    if suggested == own or 2 * agreeing >= count:
        return f"{_some(agreeing, count)} {suggested}"
    return f"{_some(of_own, count)} {own}; {agreeing or 'none'} {'is' if agreeing < 2 else 'are'} {suggested}"


def _some(part: int, count: int) -> str:
    return f"{part or 'none'} of its {count} nearest {'is' if part < 2 else 'are'}"


def doubts(matrix: FloatMatrix, classes: Positions) -> Doubts | None:
    """The doubt of each entry; None where no class has two entries.

    Args:
        matrix: vectors, shape (n, d), float32.
        classes: the class of each, shape (n,), 0 and above.
    """
    unit = centred(matrix)
    everyone = np.arange(len(unit))
    near, near_cosines = nearest(unit, everyone, everyone, NEIGHBOURS)
    mates, mate_cosines = _classmates(unit, classes)
    closest = mate_cosines[mates[:, 0] >= 0, 0]
    if not len(closest):
        return None
    beta = SHARPNESS / max(float(closest.std(dtype=np.float64)), LEAST_DEVIATION)
    boost = _boost(unit, classes, beta)
    is_other = (near >= 0) & (classes[near] != classes[:, None])
    others = _Near(np.where(is_other, near, -1), np.where(is_other, _log_weight(near_cosines, beta), -np.inf))
    judged = _vote(_Near(mates, _log_weight(mate_cosines, beta)), others, classes, boost)
    return _suggest(judged, near[:, :SHOWN], classes)


def _classmates(unit: FloatMatrix, classes: Positions) -> tuple[Positions, FloatMatrix]:
    """The nearest of the own class: positions and cosines, both of shape (n, CLASSMATES)."""
    rows = np.full((len(unit), CLASSMATES), -1, np.int64)
    cosines = np.full((len(unit), CLASSMATES), -np.inf, np.float32)
    for members in _members(classes):
        at, value = nearest(unit, members, members, CLASSMATES)
        rows[members, : at.shape[1]], cosines[members, : at.shape[1]] = at, value
    return rows, cosines


def _members(classes: Positions) -> list[Positions]:
    order = np.argsort(classes, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(classes[order])) + 1)


def _log_weight(cosines: FloatMatrix, beta: float) -> Floats:
    """ln W of each pair; -inf stays."""
    return beta * (np.minimum(cosines.astype(np.float64), CAP) - 1.0)


def _boost(unit: FloatMatrix, classes: Positions, beta: float) -> Floats:
    """What small classes lack, as β δ(m) for an image of m classmates, shape (n,).

    δ(m) is the median drop of the similarity of the nearest classmate when only m of 19 classmates are kept, over every choice of
    m. It is measured in classes of 20 and more, or in the largest ones where all are smaller.
    """
    sizes = np.bincount(classes)
    full = min(CLASSMATES, int(sizes.max())) - 1  # classmates of which some are left out
    rng = np.random.default_rng(0)
    similar = []
    for members in _members(classes):
        if len(members) <= full or full < 2:
            continue
        taken = rng.permutation(len(members))[:PER_CLASS]
        cosines = unit[members[taken]] @ unit[members].T
        order = rng.permuted(np.tile(np.arange(len(members)), (len(taken), 1)), axis=1)
        order = order[order != taken[:, None]].reshape(len(taken), -1)[:, :full]  # not the image itself
        similar.append(np.take_along_axis(cosines, order, axis=1))
    if not similar:
        return np.zeros(len(classes))
    best_first = -np.sort(-np.concatenate(similar).astype(np.float64), axis=1)
    drop = np.zeros(full + 1)
    for kept in range(1, full):
        # the chance that the best of `kept` of them is the one at each place
        chance = [comb(full - 1 - place, kept - 1) / comb(full, kept) for place in range(full)]
        drop[kept] = np.median(best_first[:, 0] - best_first @ chance)
    return beta * drop[np.minimum(sizes[classes] - 1, full)]


@dataclass(frozen=True)
class _Judged:
    """After the votes: doubt, ln of the weight of the own class, other entries near and ln of their weights."""

    doubt: Floats
    log_own: Floats
    others: _Near


def _vote(mates: _Near, others: _Near, classes: Positions, boost: Floats) -> _Judged:
    """Two rounds: in the second, each vote counts as much as its own label is trusted."""
    log_own, log_other = _log_sum(mates.log_weight), _log_sum(others.log_weight)
    log_level = float(np.median(np.logaddexp(log_own, log_other)))
    first = _doubt(log_own + boost, log_other, log_level)
    limit = float(np.quantile(first, DOUBTED))
    log_trust = _log_sigmoid(limit - first)
    in_mates = _log_trust_without(mates, log_other, classes, boost, limit, log_level)
    trusted_mates = _Near(mates.rows, mates.log_weight + in_mates)
    trusted_others = _Near(others.rows, others.log_weight + log_trust[others.rows])
    log_own, log_other = _log_sum(trusted_mates.log_weight), _log_sum(trusted_others.log_weight)
    log_level = float(np.median(np.logaddexp(log_own, log_other)))
    doubt = _doubt(log_own + boost, log_other, log_level) / SHARPNESS
    return _Judged(doubt, log_own + boost, trusted_others)


def _log_sum(log_weight: Floats) -> Floats:
    """ln of the sum of weights whose logarithms are given, over the last axis; -inf for none."""
    most = log_weight.max(axis=-1, initial=-np.inf)
    shift = np.where(np.isfinite(most), most, 0.0)
    with np.errstate(divide="ignore"):
        total: Floats = shift + np.log(np.exp(log_weight - shift[..., None]).sum(axis=-1))
    return total


def _doubt(log_own: Floats, log_other: Floats, log_level: float) -> Floats:
    """s of each entry; one without a classmate has the lower quartile of the others' own weight."""
    alone = ~np.isfinite(log_own)
    log_own = np.where(alone, np.quantile(log_own[~alone], ALONE), log_own)
    return np.logaddexp(log_level, log_other) - log_own


def _log_sigmoid(value: Floats) -> Floats:
    return -np.logaddexp(0.0, -value)


def _log_trust_without(
    mates: _Near, log_other: Floats, classes: Positions, boost: Floats, limit: float, log_level: float
) -> Floats:
    """ln of the trust in each classmate, shape (n, k), judged without the entry that it vouches for."""
    result = np.empty(mates.log_weight.shape)
    tells = np.bincount(classes) > SMALL
    for start in range(0, len(classes), CHUNK_ROWS):
        part = slice(start, min(start + CHUNK_ROWS, len(classes)))
        mate = mates.rows[part]
        is_me = mates.rows[mate] == np.arange(part.start, part.stop)[:, None, None]
        log_own = _log_sum(np.where(is_me, -np.inf, mates.log_weight[mate])) + boost[mate]
        doubt = np.logaddexp(log_level, log_other[mate]) - log_own  # without any other classmate: infinite
        result[part] = np.where(tells[classes[mate]], _log_sigmoid(limit - doubt), np.log(SMALL_TRUST))
    return result


def _suggest(judged: _Judged, shown: Positions, classes: Positions) -> Doubts:
    """The class with the most weight around each entry, and how many of its nearest have it."""
    suggested = classes.copy()
    rows, log_weight = judged.others.rows, judged.others.log_weight
    for one in range(len(classes)):
        there = rows[one] >= 0
        labels, at = np.unique(classes[rows[one][there]], return_inverse=True)
        if not len(labels):
            continue
        most = log_weight[one][there].max()
        shares = np.bincount(at, weights=np.exp(log_weight[one][there] - most))
        if np.log(shares.max()) + most > judged.log_own[one]:
            suggested[one] = labels[shares.argmax()]
    near = shown >= 0
    agreeing, of_own = (
        (near & (classes[shown] == wanted[:, None])).sum(axis=1, dtype=np.int64) for wanted in (suggested, classes)
    )
    return Doubts(judged.doubt, suggested, near.sum(axis=1, dtype=np.int64), agreeing, of_own)
