"""Who may have a text now: one at a time for each person, a short rest after it, and a fair turn for each chat."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from generator import Overloaded

LONGEST_WAIT: Final = 30.0
"""Seconds after which nobody waits for a text any more: who asked so long ago is told when to come back. Without it, a
bot whose event loop or database was held up would go on with what nobody waits for."""
PROMPT: Final = 0.6
"""Seconds in which a text should be there, the wait for its turn included. As many texts are let in as can be done in
that; whoever comes beyond that is told so at once, which is better than a late text. Telling and sending come on top.
"""
_CHAT_SHARE: Final = 1 / 8
"""Of the places, for the texts of one chat that are written at the same time. The more texts are written together, the
longer each takes: this is how much one chat can slow the others down. Of 24 places these are 3; the others' texts then
take 1.5 times as long (`python -m benchmarks.service --only fairness`)."""
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

    `places` run at once, and some wait, chat after chat in turn, so that a busy chat delays itself and not the others.
    At most `queue` wait, and only as many that the last of them is done within `PROMPT` seconds. On a machine that
    needs longer for a full house anyway, people are used to wait: there as many may wait as run, or nearly. Where one
    more would be too many, the chat that has most in the queue gives way. Who finds a free place is never refused.

    `rest`: seconds between two texts of a person. `patience(n)`: seconds in which n texts are written.
    """

    def __init__(self, places: int, queue: int, rest: float, patience: Callable[[int], float]) -> None:
        self._places = places
        self._queue = queue
        self._rest = rest
        self._patience = patience
        self._running: Counter[str] = Counter()
        """Texts of each chat that are being written."""
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
        `Overloaded`, or, `LONGEST_WAIT` after they asked, `TooLate`.
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
                self._give_place_on(chat)
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
        if self._may_begin(chat):
            self._running[chat] += 1
            return
        if self.queued >= self._room:
            self._make_room(chat)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(chat, deque()).append(turn)
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._give_place_on(chat)  # the place came and the caller was cancelled at the same moment
            else:
                self._leave(chat, turn)
            raise

    def _may_begin(self, chat: str) -> bool:
        """Whether there is a place, and the chat has not all of its share."""
        share = max(1, int(_CHAT_SHARE * self._places))
        return self._running.total() < self._places and self._running[chat] < share

    @property
    def _room(self) -> int:
        """How many texts may wait."""
        prompt = PROMPT / max(self._patience(1), 1e-9)
        return min(self._queue, int(max(prompt, 2 * self._places - prompt)) - self._running.total())

    def _make_room(self, chat: str) -> None:
        """Sends the newest of the chat that has most waiting away; raises `Overloaded` when that is this chat."""
        longest = max(self._waiting, key=lambda name: len(self._waiting[name]), default=chat)
        busy = Overloaded(self._patience(self.queued))
        if len(self._waiting.get(longest, ())) <= len(self._waiting.get(chat, ())) + 1:
            raise busy
        turn = self._waiting[longest][-1]
        self._leave(longest, turn)
        turn.set_exception(busy)

    def _give_place_on(self, chat: str) -> None:
        """Takes the chat's place back, and lets in whose turn it is."""
        self._running[chat] -= 1
        if not self._running[chat]:
            del self._running[chat]
        while (following := next(filter(self._may_begin, self._waiting), None)) is not None:
            line = self._waiting[following]
            turn = line.popleft()
            if line:
                self._waiting.move_to_end(following)
            else:
                del self._waiting[following]
            if not turn.done():
                self._running[following] += 1
                turn.set_result(None)

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
