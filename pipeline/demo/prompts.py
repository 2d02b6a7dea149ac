"""What the demo's recipe asks of CLIP, and where it draws the line."""

from __future__ import annotations

import json

from pipeline.curate.scorers import clip_quality
from pipeline.demo import MODELS
from pipeline.demo.faults import UNTRAINED

# Those of clip-quality without the kinds that the model was never told of, and two for pictures of anything else.
BAD_PROMPTS = (
    *(prompt for prompt in clip_quality.BAD if not set(UNTRAINED) & set(prompt.split())),
    "a photo of an object",
    "an empty landscape",
)

THRESHOLD_FILE = "threshold.json"  # beside the small CLIP, as the script that trains it finds it


def threshold() -> float:
    """CLIP quality below which a picture goes: what the small model's training found (the model card says how).

    Not 0: below that go too many animals, since the model is small.
    """
    return float(json.loads((MODELS / "clip" / THRESHOLD_FILE).read_text())["clip-quality"])
