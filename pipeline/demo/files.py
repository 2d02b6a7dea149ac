"""Writing a file whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

PART = ".part"


def put(file: Path, content: bytes) -> None:
    """Write ``content`` under another name and rename it, so that a killed process leaves no half of it."""
    part = file.with_name(f"{os.getpid()}{PART}")  # of this process alone, and never too long a name
    part.write_bytes(content)
    part.replace(file)
