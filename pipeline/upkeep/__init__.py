"""Upkeep: what the store holds, whether it is intact, and how to repair it."""
