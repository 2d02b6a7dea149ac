"""How many pictures does the demo draw in a second? Files written, processes started, everything counted.

    python -m tests.benchmarks.drawing [ROWS]

The last line is one JSON object.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path

from pipeline.demo import drawing, planting


def main() -> None:
    """Draw a sample into a folder that is thrown away."""
    rows = planting.plant_sample(planting.sample(int(sys.argv[1]) if len(sys.argv) > 1 else 2000, 0), 0)
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        drawn = drawing.draw(rows, Path(folder), 0, top=Path(folder), quiet=True)
        seconds = time.monotonic() - started
    print(json.dumps({"pictures": drawn, "cores": os.cpu_count(), "pictures_per_second": round(drawn / seconds, 1)}))


if __name__ == "__main__":
    main()
