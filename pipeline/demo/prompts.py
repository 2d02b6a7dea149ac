"""What the demo's recipe asks of CLIP, and where it draws the line."""

from __future__ import annotations

from pipeline.demo.faults import UNTRAINED
from pipeline.scorers import clip_quality

# Those of clip-quality without the kinds that the model was never told of, and two for pictures of anything else.
BAD_PROMPTS = (
    *(prompt for prompt in clip_quality.BAD if not set(UNTRAINED) & set(prompt.split())),
    "a photo of an object",
    "an empty landscape",
)

# Below it a picture goes. The model is small and takes one animal in 100 for something else: at 0 they all would go. Chosen on
# drawings of the held-out world, which neither training nor a demo shows; the model's card has the shares at both.
THRESHOLD = -0.12
