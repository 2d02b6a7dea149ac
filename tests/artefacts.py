"""Artefacts that a test makes by hand."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from pipeline.deploy import artefact
from pipeline.ingest import decoding

CLASSES = ["finch", "heron", "moth"]


def put_card(folder: Path, listed: list[str], **other: Any) -> Path:
    """Put a card for these files of a folder there, in which some values are others; the folder."""
    card = {
        "card_version": artefact.VERSION,
        "decoding": decoding.RULES_VERSION,
        "format": "onnx",
        "size": [8, 6],
        "max_pixels": 10**6,
        "classes": CLASSES,
        "taxonomy": {},
        "files": {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in listed},
    }
    (folder / artefact.CARD).write_text(json.dumps(card | other))
    return folder
