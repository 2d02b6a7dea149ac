"""Likeness: which pictures may show the same thing, and whether two of them do."""
