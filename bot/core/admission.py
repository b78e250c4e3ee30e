"""Admission control: one request per user at a time, a queue that is fair to chats, and a cooldown after each text.

Work is counted as the generator does it: in rows of its batch, and in characters. /ladder is five rows.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from bot.core.clock import MONOTONIC, Clock
from bot.core.reply import Passing
from generator import Overloaded

MAX_USER_REQUESTS: Final = 20
"""Requests of one user that run or wait. No person types so many before the first is answered; a program does."""
MAX_WAIT_SECONDS: Final = 30.0
"""After that a request is refused, not run: when the process was held up, its user has given up waiting."""
TARGET_LATENCY_SECONDS: Final = 0.6
"""Seconds in which a text should be finished, the queue included. As many are admitted as can be finished in that; the
others are refused at once, which is better than a late text. Sending the text and the refusal comes on top."""
_MAX_RUN_SECONDS: Final = 0.7
"""Seconds in which an ordinary text should be generated, once it runs. Where a full batch takes longer, fewer texts run
at once: each is finished sooner, and nearly as many are, since smaller batches make faster steps."""
_MOST_TYPICAL: Final = 460.0
"""Characters of the longest text that is meant by that: one of the default `[bot] length`, which may be set higher."""
FEWEST_ROWS: Final = 10
"""Rows that run at once on the slowest machine: two /ladder."""
_CHAT_SHARE: Final = 1 / 8
"""Of the rows, for the texts of one chat that run at the same time. The more rows run, the longer each takes: this is
how much one chat can slow the others down. Of 32 rows these are 4; the 99th percentile of the others was then 1.1 to
1.8 times as long (a Xeon, `python -m benchmarks.service --only fairness`, three runs)."""
_MAX_LONG_WORK: Final = 3.0
"""Long texts start while the running work is at most that many times a batch of ordinary texts. Otherwise they would
hold every row for many seconds: of 32 rows, nine may be texts ten times as long as ordinary ones."""
_GAIN: Final = 1 / 32
"""How much of what a text is late or early counts for the number of texts that are admitted after it."""
_TOO_LATE_SECONDS: Final = 0.9
_TOO_LATE_WEIGHT: Final = 10.0
"""A text that takes longer than that counts so many times as much: beside other programs a few texts take more than a
second while most are early (docs/benchmarks.md)."""
_SLOWEST: Final = 4.0
"""So many times fewer texts are admitted at most. So the admission recovers soon when the machine is quick again."""


@dataclass(eq=False, slots=True)
class _Job:
    """Texts that start together: how many rows, and characters in all. `started` is set when their turn comes.

    `under_load`: whether it was admitted when there was work for half of `TARGET_LATENCY_SECONDS`.
    """

    chat: str
    rows: int
    characters: float
    started: asyncio.Future[None]
    under_load: bool = False


class Admission:
    """Decides which request runs, which waits and which is refused.

    `rows()` run at once, a number that changes with a pool's replicas; on a slow machine fewer. The others wait, chat
    after chat in turn. At most `max_waiting` texts wait, and only as many that the last one is finished within
    `TARGET_LATENCY_SECONDS`, by the generator's speed; fewer while texts take longer than that, since other programs
    use the processor, and so does sending the texts. Beyond that, the newest request of the chat with the most waiting
    work is refused. A request that can start at once is never refused: where those that run take longer, none waits.

    `typical`: characters of an ordinary text. `speed`: returns the characters per second of a full batch. `cooldown`:
    seconds between two texts of a user.
    """

    def __init__(
        self,
        rows: Callable[[], int],
        max_waiting: int,
        cooldown: float,
        *,
        typical: float,
        speed: Callable[[], float],
        clock: Clock = MONOTONIC,
    ) -> None:
        self._rows = rows
        self.configure(max_waiting, cooldown, typical=typical)
        self._speed = speed
        self._clock = clock
        self._locks: dict[str, asyncio.Lock] = {}
        self._requests: Counter[str] = Counter()
        self._cooldowns: OrderedDict[str, float] = OrderedDict()
        """When each user's cooldown ends, the earliest first."""
        self._running: set[_Job] = set()
        self._waiting: OrderedDict[str, deque[_Job]] = OrderedDict()
        """The jobs of each chat; the chat whose turn is next comes first."""
        self._slowness = 1.0
        """Times that the work takes longer than by the generator's speed. It grows until texts are in time."""
        self.refused = 0
        """Texts that were refused because there were too many, or that waited for too long."""

    def configure(self, max_waiting: int, cooldown: float, *, typical: float) -> None:
        """Changes what the constructor took; cooldowns that run end when they would have ended."""
        self._max_waiting = max_waiting
        self._cooldown = cooldown
        self._typical = typical

    @property
    def texts_per_second(self) -> float:
        """Ordinary texts that all rows together finish in a second."""
        return self._speed() / self._typical

    @property
    def waiting(self) -> int:
        """Texts that wait."""
        return sum(job.rows for queue in self._waiting.values() for job in queue)

    @asynccontextmanager
    async def one_at_a_time(self, user: str) -> AsyncIterator[None]:
        """Waits until the user's earlier requests are answered. Raises `Passing` if they are too many.

        So two quick /continue continue one another, and after /forgetme no text is stored that was begun before it.
        """
        if self._requests[user] >= MAX_USER_REQUESTS:
            raise Passing("queue-full")
        self._requests[user] += 1
        try:
            async with self._locks.setdefault(user, asyncio.Lock()):
                yield
        finally:
            self._requests[user] -= 1
            if not self._requests[user]:
                del self._requests[user], self._locks[user]

    @asynccontextmanager
    async def slot(
        self, chat: str, user: str, *, characters: float, rows: int = 1, trusted: bool = False, asked_at: float
    ) -> AsyncIterator[float]:
        """Waits for the chat's turn and holds `rows` of the batch for texts of so many characters in all.

        Yields the seconds of waiting. Once the block has succeeded, the user's cooldown begins; `trusted` users have
        none. `asked_at`: when the user asked, on the clock of `time.monotonic`. Raises `Passing` during the cooldown,
        or `Overloaded`.
        """
        if not trusted and (left := self._cooldowns.get(user, 0.0) - self._clock.time()) > 0:
            raise Passing("cooldown", seconds=math.ceil(left))
        job = _Job(chat, rows, characters, asyncio.get_running_loop().create_future())
        began = self._clock.time()
        try:
            await self._start(job, asked_at + MAX_WAIT_SECONDS - began)
            yield self._clock.time() - began
        finally:
            self._remove(job)
            self._start_next()
        now = self._clock.time()
        if job.under_load and not self._is_long(job):
            took = now - began
            gain = _GAIN * (_TOO_LATE_WEIGHT if took > _TOO_LATE_SECONDS else 1.0)
            late = min(took / TARGET_LATENCY_SECONDS, _SLOWEST) - 1.0
            self._slowness = min(max(1.0, self._slowness * (1.0 + gain * late)), _SLOWEST)
        self._cooldowns[user] = now + self._cooldown
        self._cooldowns.move_to_end(user)
        while self._cooldowns and next(iter(self._cooldowns.values())) <= now:
            self._cooldowns.popitem(last=False)

    async def _start(self, job: _Job, seconds_left: float) -> None:
        try:
            async with asyncio.timeout(seconds_left):
                if seconds_left <= 0:
                    raise TimeoutError
                self._waiting.setdefault(job.chat, deque()).append(job)
                self._start_next()
                job.under_load = self._is_late(TARGET_LATENCY_SECONDS / 2)
                self._shed_load(job)
                await job.started
        except TimeoutError:
            self._remove(job)
            self.refused += job.rows
            raise Overloaded(self._seconds_left()) from None

    def _start_next(self) -> None:
        while (job := self._next()) is not None:
            self._remove(job)
            if job.chat in self._waiting:  # its next turn is after those of the other chats
                self._waiting.move_to_end(job.chat)
            if not job.started.done():  # done: it was cancelled a moment ago
                self._running.add(job)
                job.started.set_result(None)

    def _next(self) -> _Job | None:
        """The next job. The first that only waits for rows keeps them free, or small jobs would always overtake it."""
        characters, rows, all_rows = _work(self._running), Counter[str](), self._rows()
        slots = min(all_rows, self._rows_in_time())
        for job in self._running:
            rows[job.chat] += job.rows
        for job in (queue[0] for queue in self._waiting.values()):
            if job.chat in rows and rows[job.chat] + job.rows > _CHAT_SHARE * all_rows:
                continue
            is_long = self._is_long(job)
            if is_long and characters and characters + job.characters > _MAX_LONG_WORK * slots * self._typical:
                continue
            return job if not self._running or rows.total() + job.rows <= slots else None
        return None

    def _rows_in_time(self) -> int:
        """Returns how many ordinary texts may run at once, so that each is generated in time."""
        return max(FEWEST_ROWS, int(_MAX_RUN_SECONDS / self._seconds(min(self._typical, _MOST_TYPICAL))))

    def _shed_load(self, newest: _Job) -> None:
        """Refuses the newest job of the chat with the most waiting work, until the last job is in time.

        The work is compared in ordinary texts; where no chat has more, `newest` itself is refused. Then the others
        stay, though the generator may have become slower: a refusal comes at once, or makes room for another chat.
        """
        while not newest.started.done() and (self.waiting > self._max_waiting or self._is_late(TARGET_LATENCY_SECONDS)):
            chat = max(
                self._waiting, key=lambda chat: (round(_work(self._waiting[chat]) / self._typical), chat == newest.chat)
            )
            victim = self._waiting[chat][-1]
            self._remove(victim)
            if not victim.started.done():
                self.refused += victim.rows
                victim.started.set_exception(Overloaded(self._seconds_left()))

    def _is_late(self, seconds: float) -> bool:
        """Whether the last job is finished later than that. A long text holds its row, the others become free."""
        running = sum(min(job.characters, job.rows * self._typical) for job in self._running)
        return self._seconds(running + sum(map(_work, self._waiting.values()))) > seconds

    def _is_long(self, job: _Job) -> bool:
        return job.characters > job.rows * self._typical * 2

    def _seconds_left(self) -> float:
        return self._seconds(sum(map(_work, (self._running, *self._waiting.values()))))

    def _seconds(self, characters: float) -> float:
        speed = self._speed()
        return characters * self._slowness / speed if speed else MAX_WAIT_SECONDS  # a pool may be gone

    def _remove(self, job: _Job) -> None:
        self._running.discard(job)
        queue = self._waiting.get(job.chat)
        if queue is not None and job in queue:
            queue.remove(job)
            if not queue:
                del self._waiting[job.chat]


def _work(jobs: Iterable[_Job]) -> float:
    return sum(job.characters for job in jobs)
