"""Units: values that differ only in a NUL character at the end are two groups."""

from __future__ import annotations

import numpy as np

from pipeline.curate import units
from tests.support.coldframe import Catalogue, Coldframe


def test_values_that_end_in_nul_characters_are_groups_of_their_own(cf: Coldframe, catalogue: Catalogue) -> None:
    """NumPy's arrays of text lose such characters."""
    values = ["sea", "sea\0", "sea\0\0"]
    for number, row in enumerate(catalogue.rows):
        row["area"] = values[number % 3]
    catalogue.write()
    cf.ingest(catalogue)
    cf("split", "test", 0.4, "--by", "area")
    ids = np.array([row["id"] for row in catalogue.rows])
    unit = units.of_rows(cf.store.snapshot(), "default", ids)
    assert [len(set(unit[start::3].tolist())) for start in range(3)] == [1, 1, 1]
    assert len(set(unit.tolist())) == 3
