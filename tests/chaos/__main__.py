"""``python -m tests.chaos``."""

# Helper processes import this file again, so it holds nothing.
if __name__ == "__main__":
    import sys

    from tests.chaos.program import main

    sys.exit(main())
