"""The nearest class centroid."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipeline.train.heads import Settings
from pipeline.train.layers import Arrays, softmax
from pipeline.train.loop import Fit, Task
from store.arrays import is_float
from store.matrices import FloatMatrix

SETTINGS = ()
DEFAULTS = {"input": "raw"}
TEMPERATURES = np.geomspace(1e-3, 1e3, 121)  # of the mean squared distance of a row to its own centroid


def fit(task: Task, settings: Settings) -> Fit:
    """The mean of each class's training rows, and the temperature: how fast probability falls with squared distance.

    The temperature minimises cross-entropy on the training rows. Each row is measured against its class's centroid without that
    row, d·n/(n−1), so that a class with few rows does not look surer than it is.
    """
    matrix, targets = task.training.matrix, task.training.targets
    centroids = np.zeros((task.classes, task.dimensions))
    np.add.at(centroids, targets, matrix)
    sizes = np.bincount(targets, minlength=task.classes)
    centroids /= sizes[:, None]
    distances = _squared_distances(matrix, centroids)
    rows, size = np.arange(len(targets)), sizes[targets]
    several = size > 1
    distances[rows[several], targets[several]] *= (size[several] / (size[several] - 1)) ** 2
    unit = max(float(distances[rows, targets].mean()), 1e-12)
    losses = [-np.log(softmax(-distances / (unit * one))[rows, targets] + 1e-12).mean() for one in TEMPERATURES]
    arrays = {
        "centroids": centroids.astype(np.float32),
        "temperature": np.array(unit * TEMPERATURES[int(np.argmin(losses))]),
    }
    return Fit(arrays)


def fits(arrays: Arrays, dimensions: int) -> bool:
    """Whether the arrays have the form that :func:`fit` gives, for vectors with ``dimensions`` values."""
    centroids, temperature = arrays["centroids"], arrays["temperature"]
    return (
        is_float(centroids, dimensions=2)
        and centroids.shape[0] > 0
        and centroids.shape[1] == dimensions
        and is_float(temperature, dimensions=0)
        and float(temperature) > 0
    )


def predict(arrays: Arrays, matrix: FloatMatrix) -> npt.NDArray[np.float64]:
    """Softmax of the negative squared distance over the temperature."""
    return softmax(-_squared_distances(matrix, arrays["centroids"]) / float(arrays["temperature"]))


def _squared_distances(matrix: FloatMatrix, centroids: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """‖x − c‖² = ‖x‖² − 2x·c + ‖c‖², shape (n, classes)."""
    wide = centroids.astype(np.float64)
    lengths = np.einsum("ij,ij->i", matrix, matrix, dtype=np.float64)
    found: npt.NDArray[np.float64] = lengths[:, None] - 2 * (matrix @ wide.T) + (wide**2).sum(axis=1)
    return np.maximum(found, 0)
