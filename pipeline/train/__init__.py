"""Train: heads on vectors, networks on pixels."""
