"""The kinds of catalogue that are read, a file each. Every reader returns the same thing: a ``Listed``."""
