"""The demo recipe's prompts for CLIP, and its threshold."""

from __future__ import annotations

import json

from pipeline.curate.scorers import clip_quality
from pipeline.demo import MODELS
from pipeline.demo.faults import UNTRAINED

# The prompts of clip-quality, without the kinds that the model was never told of, plus two for pictures of anything else.
BAD_PROMPTS = (
    *(prompt for prompt in clip_quality.BAD if not set(UNTRAINED) & set(prompt.split())),
    "a photo of an object",
    "an empty landscape",
)

THRESHOLD_FILE = "threshold.json"  # beside the small CLIP, written by the script that trains it


def threshold() -> float:
    """CLIP quality below which a picture is taken out: the small model's training found it (see the model card).

    It is not 0: since the model is small, too many animals are below that.
    """
    return float(json.loads((MODELS / "clip" / THRESHOLD_FILE).read_text())["clip-quality"])
