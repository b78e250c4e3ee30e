"""Retry with backoff: how long to wait before the next attempt."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses that double from `first` to `longest` seconds, each drawn evenly between 0 and that.

    This is "full jitter" of https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/: many clients of
    one failed server do not come back all at once. `draw` gives numbers from 0 to 1.
    """

    first: float = 1.0
    longest: float = 300.0
    draw: Callable[[], float] = random.random

    def pause(self, failures: int) -> float:
        """Returns the pause, in seconds, after so many failures in a row (at least one)."""
        doublings = min(failures - 1, 32)  # every pause has grown to `longest` by then, and 2**1000 is no float
        return min(self.longest, self.first * 2.0**doublings) * self.draw()
