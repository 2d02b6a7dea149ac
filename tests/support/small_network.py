"""Networks for OpenVINO that are made in a moment and have the same weights, for tests of the cache of converted ones."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

WEIGHTS = "of a small network"


def load(kind: str = "mean") -> tuple[dict[str, Any], Callable[[], Any]]:
    """As ``pipeline.runtime.openvino`` wants it: the mean, or another reduction, of pixels; pictures float32 (4, 3)."""

    def convert() -> Any:
        from pipeline.runtime import quiet

        openvino = quiet.load("openvino")
        pixels = openvino.opset13.parameter([4, 3], name="pixels")
        reduce = getattr(openvino.opset13, f"reduce_{kind}")
        reduced = reduce(pixels, openvino.opset13.constant([1]), keep_dims=True)
        return openvino.Model([reduced], [pixels], "small")

    return {"weights": WEIGHTS, "dimensions": 1, "architecture": kind}, convert


KINDS = {kind: partial(load, kind) for kind in ("mean", "sum")}
