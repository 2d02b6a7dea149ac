"""Ingest: read a catalogue, look at every picture once."""
