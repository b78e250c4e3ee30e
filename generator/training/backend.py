"""Keras, imported without the notes that TensorFlow writes from C++ to standard error, over any progress bar."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def _quiet_unless_it_fails() -> Iterator[None]:
    """Holds back what native code writes to file descriptor 2; written after all when the block raises."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        kept = os.dup(2)
        os.dup2(held.fileno(), 2)
        failed = True
        try:
            yield
            failed = False
        finally:
            os.dup2(kept, 2)
            if failed:
                held.seek(0)
                with os.fdopen(kept, "wb", closefd=False) as stderr:
                    shutil.copyfileobj(held, stderr)
            os.close(kept)


with _quiet_unless_it_fails():
    import keras

    # The first operation finds out which devices there are, and what is wrong with them is said then.
    keras.ops.zeros(1)

__all__ = ["keras"]
