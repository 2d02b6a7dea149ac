"""Digests that say whether something a step read has changed since."""

from __future__ import annotations

import hashlib
import json
from typing import Any

SHORT = 16  # characters of a short digest: two values that share one can be found by trying


def of_json(value: Any) -> str:
    """Short digest of anything JSON can hold; keys in any order give the same one."""
    return whole_of_json(value)[:SHORT]


def whole_of_json(value: Any) -> str:
    """As :func:`of_json`, but long enough that nobody finds two values that share it: for what a stranger may describe."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
