"""Comparisons that take minutes; their results are in BENCHMARKS.md."""
