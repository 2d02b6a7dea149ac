"""``coldframe``, and ``python -m pipeline``, which is the same."""

import os
import sys
from pathlib import Path

# `python -m` and an empty entry of PYTHONPATH put the working folder first: a stranger's modules may lie there.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from store.importing import keep_children_out, without_working_folder

sys.path[:] = without_working_folder(sys.path[1:])


def main() -> None:
    """The ``coldframe`` command."""
    keep_children_out(os.environ)
    from pipeline.cli import main as run

    run()


if __name__ == "__main__":
    main()
