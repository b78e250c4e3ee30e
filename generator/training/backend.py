"""Keras, imported without the notes that TensorFlow writes from C++ to standard error."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import Final

sys.stderr.flush()
_stderr = os.dup(2)
_nothing = os.open(os.devnull, os.O_WRONLY)


def _stop(_: int, __: FrameType | None) -> None:
    """Ends the process at Ctrl-C. An exception would be lost, or become another one, in the libraries' own imports."""
    os.write(_stderr, b"\ntrain.py: stopped while TensorFlow was loading; nothing was begun: start it again\n")
    os._exit(130)


os.dup2(_nothing, 2)
_handler = signal.signal(signal.SIGINT, _stop)
try:
    import keras

    # The first operation finds out which devices there are, and what is wrong with them is said then.
    keras.ops.zeros(1)
finally:
    signal.signal(signal.SIGINT, _handler)
    os.dup2(_stderr, 2)
    os.close(_stderr)
    os.close(_nothing)

ON_TENSORFLOW: Final = keras.backend.backend() == "tensorflow"

__all__ = ["ON_TENSORFLOW", "keras"]
