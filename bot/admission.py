"""Who may have a text now: one at a time for each person, a short rest after it, and a fair turn for each chat."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from generator import Busy

LONGEST_WAIT: Final = 30.0
"""Seconds after which nobody waits for a text any more: who asked so long ago, or would have to wait so long, is told
when to come back. Without it, a bot that is asked for more than it can write would answer everybody minutes late."""
_FORGET_AFTER: Final = 1_000
"""People whose rest is remembered before those whose rest is over are thrown out."""


class StillWriting(Exception):
    """The person's last text is not finished."""


class TooSoon(Exception):
    """The person's last text is only just finished; `retry_after` seconds are left."""

    def __init__(self, retry_after: float) -> None:
        super().__init__(f"{retry_after:.1f} s too soon")
        self.retry_after = retry_after


class TooLate(Exception):
    """The person asked so long ago that the text is left out; `retry_after` seconds from now there is time for it."""

    def __init__(self, retry_after: float) -> None:
        super().__init__(f"not begun within {LONGEST_WAIT:g} s")
        self.retry_after = retry_after


class Admission:
    """Lets texts begin.

    `places` run at once and `queue` wait, chat after chat in turn, so that a busy chat delays itself and not the
    others. When the queue is full, or so long that its last one would wait for more than `LONGEST_WAIT`, the chat that
    has most in it gives way. `rest`: seconds between two texts of a person. `patience(n)`: seconds after which n
    waiting texts will have begun.
    """

    def __init__(self, places: int, queue: int, rest: float, patience: Callable[[int], float]) -> None:
        self._free = places
        self._queue = queue
        self._rest = rest
        self._patience = patience
        self._writing: set[str] = set()
        self._rested: dict[str, float] = {}
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    @property
    def queued(self) -> int:
        """Texts that wait."""
        return sum(len(line) for line in self._waiting.values())

    @asynccontextmanager
    async def text(self, chat: str, person: str, *, trusted: bool, asked: float | None = None) -> AsyncIterator[None]:
        """Waits for the chat's turn and holds a place for one text. `trusted` people need no rest.

        `asked`: when the person did, on the clock of `time.monotonic` (default: now). Raises `StillWriting`, `TooSoon`,
        `Busy`, or, `LONGEST_WAIT` after they asked, `TooLate`.
        """
        if person in self._writing:
            raise StillWriting
        left = 0.0 if trusted else self._rested.get(person, 0.0) - time.monotonic()
        if left > 0:
            raise TooSoon(left)
        self._writing.add(person)
        try:
            await self._take_place_in_time(chat, time.monotonic() if asked is None else asked)
            try:
                yield
            finally:
                self._give_place_on()
        finally:
            self._writing.discard(person)
            self._let_rest(person)

    async def _take_place_in_time(self, chat: str, asked: float) -> None:
        left = asked + LONGEST_WAIT - time.monotonic()
        if left <= 0:
            raise TooLate(self._patience(self.queued))
        try:
            async with asyncio.timeout(left):
                await self._take_place(chat)
        except TimeoutError:
            raise TooLate(self._patience(self.queued)) from None

    async def _take_place(self, chat: str) -> None:
        if self._free > 0:
            self._free -= 1
            return
        if self.queued >= self._queue or self._patience(self.queued + 1) > LONGEST_WAIT:
            self._make_room(chat)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(chat, deque()).append(turn)
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._give_place_on()  # the place came and the caller was cancelled at the same moment
            else:
                self._leave(chat, turn)
            raise

    def _make_room(self, chat: str) -> None:
        """Sends the newest of the chat that has most waiting away; raises `Busy` when that is this chat."""
        longest = max(self._waiting, key=lambda name: len(self._waiting[name]), default=chat)
        busy = Busy(self._patience(self.queued))
        if len(self._waiting.get(longest, ())) <= len(self._waiting.get(chat, ())) + 1:
            raise busy
        turn = self._waiting[longest][-1]
        self._leave(longest, turn)
        turn.set_exception(busy)

    def _give_place_on(self) -> None:
        """Lets the next one in, from the chat whose turn it is, or leaves the place free."""
        while self._waiting:
            chat, line = next(iter(self._waiting.items()))
            turn = line.popleft()
            if line:
                self._waiting.move_to_end(chat)
            else:
                del self._waiting[chat]
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    def _leave(self, chat: str, turn: asyncio.Future[None]) -> None:
        line = self._waiting.get(chat)
        if line is not None and turn in line:
            line.remove(turn)
            if not line:
                del self._waiting[chat]

    def _let_rest(self, person: str) -> None:
        if not self._rest:
            return
        now = time.monotonic()
        self._rested[person] = now + self._rest
        if len(self._rested) > _FORGET_AFTER:
            self._rested = {name: until for name, until in self._rested.items() if until > now}
