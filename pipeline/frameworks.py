"""Loading Keras without the noise its backends print before they can be told not to."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def load_keras() -> Any:
    """The ``keras`` module, on the backend that ``KERAS_BACKEND`` names (TensorFlow if it names none)."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _native_stderr_aside():
        import keras

    return keras


@contextmanager
def _native_stderr_aside() -> Iterator[None]:
    """Keep what C++ code writes to file descriptor 2; it is shown only when the block fails."""
    try:
        kept = os.dup(2)
    except OSError:  # no stderr at all
        yield
        return
    sys.stderr.flush()
    with tempfile.TemporaryFile() as aside:
        os.dup2(aside.fileno(), 2)
        try:
            yield
        except BaseException:
            aside.seek(0)
            os.write(kept, aside.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
