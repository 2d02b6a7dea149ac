"""Evaluate: the probabilities of a run, and how good they are."""
