"""The rules about the next character, as a sequence and its batch apply them together."""

from __future__ import annotations

import numpy as np

from generator.serving.constraints import WrittenText


def constrain(text: WrittenText, logits: np.ndarray, *, may_open: bool, late: float, may_space: bool = True) -> None:
    """Changes the logits of the next character in place, as a sequence and its batch do."""
    logits += text.bias(may_open=may_open, may_space=may_space)
    if text.needs_closing(late=late > 0):
        text.help_to_close(logits, late)
