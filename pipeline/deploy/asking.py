"""Options for asking a model. Nothing heavy is imported here: the process of an artefact's model must start before that."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.ingest.limits import MAX_SECONDS
from pipeline.steps.settings import LARGEST_COUNT, setting


@dataclass(frozen=True)
class Settings:
    """How a model answers."""

    top: int = setting(5, "Number of classes to name.", least=1, most=LARGEST_COUNT)
    neighbours: int = setting(
        3, "Nearest training images to name; 0 leaves out these and the distance.", least=0, most=LARGEST_COUNT
    )
    max_seconds: float = setting(
        MAX_SECONDS, "Seconds that one file may take, to decode and in an artefact's model.", least=1e-3, most=1e6
    )
