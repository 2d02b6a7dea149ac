"""Tests: real behaviour through commands, queries and files."""
