"""Keras, imported without the notes that TensorFlow writes from C++ to standard error."""

from __future__ import annotations

import os
import sys
from typing import Final

sys.stderr.flush()
_stderr = os.dup(2)
_nothing = os.open(os.devnull, os.O_WRONLY)
os.dup2(_nothing, 2)
try:
    import keras

    # The first operation finds out which devices there are, and what is wrong with them is said then.
    keras.ops.zeros(1)
finally:
    os.dup2(_stderr, 2)
    os.close(_stderr)
    os.close(_nothing)

ON_TENSORFLOW: Final = keras.backend.backend() == "tensorflow"

__all__ = ["ON_TENSORFLOW", "keras"]
