"""Digests that say whether something a step read has changed since."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def of_json(value: Any) -> str:
    """Short digest of anything JSON can hold; keys in any order give the same one."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
