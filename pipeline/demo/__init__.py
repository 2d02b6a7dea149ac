"""A drawn world: pictures of invented creatures, with the faults of a real catalogue, and two small models for it."""

from __future__ import annotations

from pathlib import Path

MODELS = Path(__file__).resolve().parent / "models"
