"""The parts of a step: its settings, and the record it leaves."""
