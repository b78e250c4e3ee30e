"""The clock that rate limits, timeouts and pauses go by, so that a test can bring its own."""

from __future__ import annotations

import asyncio
import time
from typing import Final, Protocol


class Clock(Protocol):
    """Seconds that only ever grow, and waiting by them."""

    def time(self) -> float:
        """Returns the seconds since some moment in the past."""

    async def sleep(self, seconds: float) -> None:
        """Returns after that many seconds."""


class MonotonicClock:
    """The machine's monotonic clock."""

    def time(self) -> float:
        """See `Clock`."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """See `Clock`."""
        await asyncio.sleep(seconds)


MONOTONIC: Final = MonotonicClock()
