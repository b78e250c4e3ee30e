"""What one person asks in one chat is done in order; what others ask goes on beside it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from types import TracebackType
from typing import Final

LONGEST_LANE: Final = 20
"""Requests of one person in one chat that wait. Nobody types so many before the first is answered; a program does."""

Work = Callable[[], Awaitable[None]]


class Lanes:
    """A queue for each key, with a task that exists only while the queue has something to do.

    `async with` it: leaving cancels what is not done, and waits for that. Work must not raise.
    """

    def __init__(self) -> None:
        self._lanes: dict[Hashable, deque[tuple[Work, asyncio.Future[None]]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._open: set[asyncio.Future[None]] = set()
        self._overflowing: set[Hashable] = set()

    async def __aenter__(self) -> Lanes:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        tasks = self._tasks.copy()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for done in self._open.copy():  # of tasks that were cancelled before they began
            done.cancel()
        self._lanes.clear()

    def __len__(self) -> int:
        return len(self._lanes)

    def put(self, key: Hashable, work: Work) -> bool:
        """Has `work` done after everything else with this key; `False` when too much waits already."""
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = deque()
            task = asyncio.create_task(self._run(key, lane))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif len(lane) >= LONGEST_LANE:
            return False
        done = asyncio.get_running_loop().create_future()
        self._open.add(done)
        done.add_done_callback(self._open.discard)
        lane.append((work, done))
        return True

    def overflows(self, key: Hashable) -> bool:
        """To be asked when `put` has failed: whether that is the first time since the lane was empty."""
        if key in self._overflowing:
            return False
        self._overflowing.add(key)
        return True

    async def settled(self) -> None:
        """Waits until all that was put before now is done."""
        if self._open:
            await asyncio.wait(self._open.copy())

    async def _run(self, key: Hashable, lane: deque[tuple[Work, asyncio.Future[None]]]) -> None:
        try:
            while lane:
                work, done = lane.popleft()
                try:
                    await work()
                finally:
                    done.set_result(None)
        finally:
            del self._lanes[key]
            self._overflowing.discard(key)
