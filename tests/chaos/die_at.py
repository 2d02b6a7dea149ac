"""``python -m tests.chaos.die_at POINT -- COMMAND…``: a ``coldframe`` that kills itself at a point of its file operations."""

from __future__ import annotations

import sys

from tests.chaos.operations import DieAt, watch


def main() -> None:
    """Run the command, and die there; the last point is after its work."""
    point, dashes, *arguments = sys.argv[1:]
    if dashes != "--" or not point.isdigit():
        raise SystemExit("usage: python -m tests.chaos.die_at POINT -- COMMAND…")
    from pipeline.cli.app import cli

    death = DieAt(int(point))
    watch(death)
    try:
        cli.main(arguments, prog_name="coldframe")
    finally:
        death.end()


if __name__ == "__main__":
    main()
