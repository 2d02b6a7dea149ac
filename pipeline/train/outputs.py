"""The outputs of a run as one network, in this order: float32 of shape (n, classes) and (n, dimensions)."""

PROBABILITIES, VECTORS = "probabilities", "vectors"
