"""A clock that stands still until a test moves it, for everything that takes a `bot.core.clock.Clock`."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Awaitable
from typing import Final, TypeVar

from bot.core.clock import Clock

_SETTLE_ROUNDS: Final = 50
"""Turns of the event loop after which tasks that wait for nothing outside have done what they can."""
T = TypeVar("T")


class ManualClock(Clock):
    """Time that passes by `advance` alone."""

    def __init__(self, now: float = 1000.0) -> None:
        self._now = now
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()
        self._slept = asyncio.Condition()

    def time(self) -> float:
        """Return the seconds on this clock."""
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Return when the clock has been moved by that much."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        wake: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + seconds, next(self._numbers), wake))
        async with self._slept:
            self._slept.notify_all()
        await wake

    @property
    def sleeping(self) -> int:
        """The number of tasks that wait for this clock."""
        return sum(not wake.done() for _, _, wake in self._sleepers)

    async def sleepers(self, count: int = 1) -> None:
        """Wait until at least `count` tasks sleep."""
        async with self._slept:
            await self._slept.wait_for(lambda: self.sleeping >= count)

    async def advance(self, seconds: float) -> None:
        """Move the clock, and wake each sleeper at its time and in order."""
        end = self._now + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            self._now, _, wake = heapq.heappop(self._sleepers)
            if not wake.done():
                wake.set_result(None)
                await settle()
        self._now = end

    async def pass_until(self, awaitable: Awaitable[T], step: float = 0.5) -> T:
        """Await something that another process or a thread has a part in, while time passes quickly."""
        task = asyncio.ensure_future(awaitable)
        while not task.done():
            await asyncio.wait({task}, timeout=0.01)
            await self.advance(step)
        return await task

    async def run(self, awaitable: Awaitable[T]) -> T:
        """Await something that waits for nothing but this clock, which jumps to the next sleeper each time."""
        task = asyncio.ensure_future(awaitable)
        try:
            while True:
                await settle()
                if task.done():
                    return await task
                if not self._sleepers:
                    raise AssertionError("it waits for something other than the clock")
                await self.advance(self._sleepers[0][0] - self._now)
        finally:
            task.cancel()


async def settle() -> None:
    """Let every task run that waits for nothing outside this process."""
    for _ in range(_SETTLE_ROUNDS):
        await asyncio.sleep(0)
