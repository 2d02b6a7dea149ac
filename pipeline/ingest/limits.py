"""Limits for one file."""

MAX_SECONDS = 60.0  # to decode; the slowest files from a camera take one or two
