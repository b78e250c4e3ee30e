"""A queue that a test reads with a deadline."""

from __future__ import annotations

import asyncio
from typing import Final, Generic, TypeVar

PATIENCE: Final = 10.0
"""Seconds that a test waits for something before it fails."""
T = TypeVar("T")


class Inbox(Generic[T]):
    """Items in the order in which they came; each is returned once. `all` keeps every one."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._unread: asyncio.Queue[T] = asyncio.Queue()
        self.all: list[T] = []

    def put(self, item: T) -> None:
        self.all.append(item)
        self._unread.put_nowait(item)

    async def next(self, patience: float = PATIENCE) -> T:
        try:
            async with asyncio.timeout(patience):
                return await self._unread.get()
        except TimeoutError:
            raise AssertionError(f"no {self._what} within {patience} s") from None

    @property
    def unread(self) -> int:
        return self._unread.qsize()
