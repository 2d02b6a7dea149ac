"""Maps: the vectors of a feature set in two dimensions, made once and kept under what they were made of."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline.embed import feature_sets
from pipeline.look import asked
from pipeline.look.board import Board
from pipeline.look.making import Points
from pipeline.look.session import Session
from pipeline.look.similar import Similar
from store import digests, garbage, opening, whole
from store.errors import ColdframeError

METHODS = ("tsne", "pca")
COMPONENTS = 50
PERPLEXITY = 30.0
MOST_TSNE = 20_000  # contents: of more, the rest are laid where their nearest are
LEAST_SPREAD = 1e-6  # along the first component, of vectors of length 1
VERSION = 1
FILE = "points.npy"


def state(session: Session, given: Mapping[str, str]) -> dict[str, Any]:
    """Whether a map is there; it is begun where it is not."""
    with session.board() as board:
        similar, method, digest = _asked(session, board, given)
        points = session.maps.get(digest)
        if points is None:
            points = _kept(session, digest, len(similar.unit))
        if points is not None:
            session.maps.put(digest, points)
            return {"state": "ready", "count": len(board.ids), "digest": digest}
        unit = similar.unit
        session.maps.make(digest, lambda: _made(session, digest, unit, method))
        stage, seconds = session.maps.progress(digest)
        return {"state": "making", "stage": stage, "seconds": seconds}


def points(session: Session, given: Mapping[str, str]) -> bytes:
    """x and y of each image, 0 to 1, float32, in the order of :func:`facts`; NaN for one without a vector."""
    with session.board() as board:
        similar, _, digest = _asked(session, board, given)
        found = session.maps.get(digest)
        if found is None:
            raise ColdframeError("the map is not made yet")
        rows = similar.rows
        placed = np.full((len(board.ids), 2), np.nan, np.float32)
        placed[rows >= 0] = found[rows[rows >= 0]]
        return placed.astype("<f4").tobytes()


def facts(session: Session, given: Mapping[str, str]) -> dict[str, Any]:
    """What the points can be coloured by."""
    with session.board() as board:
        shown: dict[str, Any] = {"ids": list(board.ids), "contents": list(board.contents)}
        for plural, name, column in (
            ("labels", "label", board.labels),
            ("splits", "split", board.splits),
            ("rules", "rule", board.rules),
            ("verdicts", "verdict", board.verdicts),
        ):
            names = sorted({one for one in column if one is not None})
            place = {one: at for at, one in enumerate(names)}
            shown |= {plural: names, name: [place.get(one, -1) for one in column]}
        shown["doubt"] = [None if one is None or not np.isfinite(one) else round(one, 3) for one in board.doubts]
        return shown


def _asked(session: Session, board: Board, given: Mapping[str, str]) -> tuple[Similar, str, str]:
    method = asked.text(given, "method") or "tsne"
    if method not in METHODS:
        raise ColdframeError(f"{method}: no way to make a map; expected one of {', '.join(METHODS)}")
    similar = session.similar(asked.text(given, "set") or None)
    if similar is None or not len(similar.unit):
        raise ColdframeError("a map needs vectors: 'coldframe embed' makes them")
    made_of = feature_sets.digest(board.snapshot, similar.name)
    return similar, method, digests.of_json([VERSION, method, similar.name, made_of])


def _kept(session: Session, digest: str, count: int) -> Points | None:
    """A map of an earlier session."""
    file = session.store.root / garbage.MAPS / digest / FILE
    size = len(_written(np.zeros((0, 2), np.float32))) + 8 * count
    try:
        data = opening.read_regular(file, most=size)
        if len(data) != size:  # a header may claim any
            return None
        found = np.load(io.BytesIO(data), allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    is_ours = found.shape == (count, 2) and found.dtype == np.float32 and bool(np.isfinite(found).all())
    return found if is_ours else None


def _made(session: Session, digest: str, unit: Points, method: str) -> Points:
    from sklearn.decomposition import PCA

    session.maps.begin(digest, f"{len(unit):,} vectors are made shorter")
    low = PCA(min(COMPONENTS, *unit.shape), svd_solver="randomized", random_state=0).fit_transform(unit)
    has_spread = low[:, 0].std() > LEAST_SPREAD  # t-SNE divides by it
    if method == "pca" or len(low) < 4 or low.shape[1] < 2 or not has_spread:
        found = _scaled(low[:, :2])
    else:
        laid = min(len(low), MOST_TSNE)
        session.maps.begin(digest, f"{laid:,} pictures are laid beside those that are like them")
        found = _scaled(_tsne(low))
    try:
        folder = opening.make_own_folder(session.store.root, garbage.MAPS, digest)
        whole.replace(folder / FILE, lambda out: out.write(_written(found)))
    except OSError:
        pass  # a full or read-only disk: it is made again next time
    return found


def _written(found: Points) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, found, allow_pickle=False)
    return buffer.getvalue()


def _tsne(low: Points) -> Points:
    """t-SNE (van der Maaten and Hinton, 2008) of at most so many; the others where their nearest one is."""
    from sklearn.manifold import TSNE
    from sklearn.neighbors import NearestNeighbors

    rng = np.random.default_rng(0)
    chosen = np.sort(rng.permutation(len(low))[:MOST_TSNE])
    perplexity = min(PERPLEXITY, (len(chosen) - 1) / 3)
    laid = TSNE(perplexity=perplexity, init="pca", random_state=0, max_iter=500).fit_transform(low[chosen])
    if len(chosen) == len(low):
        return np.asarray(laid, np.float32)
    nearest = NearestNeighbors(n_neighbors=1).fit(low[chosen]).kneighbors(low, return_distance=False)[:, 0]
    spread = laid.std() * 0.01
    found = laid[nearest] + rng.normal(0, spread, (len(low), 2))
    found[chosen] = laid
    return np.asarray(found, np.float32)


def _scaled(found: Points) -> Points:
    """Both axes from 0 to 1, with room at the edge."""
    if found.shape[1] < 2:
        found = np.column_stack([found, np.zeros(len(found))])
    low, high = np.nanmin(found, axis=0), np.nanmax(found, axis=0)
    scaled = 0.02 + 0.96 * (found - low) / np.maximum(high - low, 1e-9)
    return np.asarray(scaled, np.float32)
