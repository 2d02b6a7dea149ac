"""A network for OpenVINO that is made in a moment, for tests of the cache of converted ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

WEIGHTS = "of a small network"


def load() -> tuple[dict[str, Any], Callable[[], Any]]:
    """As ``pipeline.runtime.openvino`` wants it: the mean of each picture's pixels, pictures float32 (4, 3)."""

    def convert() -> Any:
        from pipeline.runtime import quiet

        openvino = quiet.load("openvino")
        pixels = openvino.opset13.parameter([4, 3], name="pixels")
        mean = openvino.opset13.reduce_mean(pixels, openvino.opset13.constant([1]), keep_dims=True)
        return openvino.Model([mean], [pixels], "small")

    return {"weights": WEIGHTS, "dimensions": 1}, convert
