"""How the demo's own two small models are trained from scratch, on drawings that no demo shows.

``python -m pipeline.demo.training.clip`` and ``python -m pipeline.demo.training.efficientnet``, each in a separate process, write
``pipeline/demo/models/``; ``make models`` runs both.
"""

from __future__ import annotations

# The worlds of the families. A demo's world is a number, so it shares no family with these.
TRAINING_WORLD = "training"
HELD_OUT_WORLD = "held out"
THRESHOLD_WORLD = "threshold"
