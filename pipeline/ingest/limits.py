"""Limits of what one file may take."""

MAX_SECONDS = 60.0  # to decode; the slowest of a camera's takes one or two
