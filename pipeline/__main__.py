"""``python -m pipeline`` is ``coldframe``."""

from pipeline.cli import main

if __name__ == "__main__":
    main()
