"""Embed: vectors of pictures, made once."""
