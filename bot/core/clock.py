"""The clock that rate limits, timeouts and pauses go by, so that a test can bring its own."""

from __future__ import annotations

import asyncio
import time
from typing import Final


class Clock:
    """The machine's monotonic clock, in seconds."""

    def time(self) -> float:
        """Returns the seconds since some moment in the past."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Returns after that many seconds."""
        await asyncio.sleep(seconds)


MONOTONIC: Final = Clock()
