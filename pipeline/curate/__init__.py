"""Curate: scores, rules, splits and verdicts."""
