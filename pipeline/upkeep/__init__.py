"""Upkeep: what the store holds, whether it is whole, and how to mend it."""
