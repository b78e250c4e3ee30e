"""Telegram's limits on what a bot sends, kept for each chat: one that has to wait never delays another.

The library's `AIORateLimiter` halts every request of the bot when one chat answers 429, so this takes its place.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Final

from telegram.constants import FloodLimit
from telegram.error import BadRequest, NetworkError, RetryAfter, TimedOut

from bot.core.clock import MONOTONIC, Clock
from generator.backoff import Backoff

GIVE_UP_SECONDS: Final = 180.0
"""To send something; the answer is of no use later."""
BACKOFF: Final = Backoff(first=1.0, longest=30.0)
"""Between attempts while the network fails."""
SPARE_SHARE: Final = 0.5
"""Of each limit, up to which it is used by what can be left out: the rest is for answers."""
MAX_CHATS: Final = 2048
"""That are remembered: more than the bot can send messages to in the longest period of a limit, a minute."""


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` messages in any period of `seconds`."""

    count: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Limits:
    """What Telegram allows: https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this.

    "In a single chat, avoid sending more than one message per second. We may allow short bursts that go over this
    limit"; "In a group, bots are not be able to send more than 20 messages per minute"; about 30 messages a second
    for the bot as a whole. How long a burst may be is not documented: 5 is ours.
    """

    overall: Rate = Rate(int(FloodLimit.MESSAGES_PER_SECOND), 1.0)
    chat: Rate = Rate(5, 5.0 / FloodLimit.MESSAGES_PER_SECOND_PER_CHAT)
    group: Rate = Rate(int(FloodLimit.MESSAGES_PER_MINUTE_PER_GROUP), 60.0)


ALLOWED: Final = Limits()


class _Bucket:
    """What one chat, or the whole bot, may send: for each rate the times of the last `count` messages.

    Nothing may be sent before `blocked_until`. The task that holds `turn` sends next.
    """

    def __init__(self, *rates: Rate) -> None:
        self.windows = [(rate, deque[float](maxlen=rate.count)) for rate in rates]
        self.blocked_until = 0.0
        self.turn = asyncio.Lock()

    def allowed_at(self) -> float:
        """When the next message may be sent."""
        full = (times[0] + rate.seconds for rate, times in self.windows if len(times) == rate.count)
        return max(self.blocked_until, *full, 0.0)

    def has_spare(self, now: float) -> bool:
        """Whether nothing waits, and at most `SPARE_SHARE` of each limit would be used by one more."""
        used = max(recent / rate.count for rate, recent in self.recent(now))
        return now >= self.blocked_until and not self.turn.locked() and used < SPARE_SHARE

    def recent(self, now: float) -> list[tuple[Rate, int]]:
        """Returns each rate with the messages that count for it now."""
        return [(rate, sum(sent > now - rate.seconds for sent in times)) for rate, times in self.windows]

    def count(self, now: float) -> None:
        """Counts a message that is sent now."""
        for _, times in self.windows:
            times.append(now)


class RateLimiter:
    """Sends the messages of each chat at its own pace, in the order in which they were requested.

    A 429 blocks the chat that it was answered for, for its `retry_after`. When a second chat gets one before any
    message has been accepted, it is the bot that sends too much, and all chats wait.
    """

    def __init__(self, limits: Limits = ALLOWED, clock: Clock = MONOTONIC) -> None:
        self._limits = limits
        self.clock = clock
        self._overall = _Bucket(limits.overall)
        self._chat = lru_cache(MAX_CHATS)(lambda chat: _Bucket(*self._rates(chat)))
        self._waiting = 0
        """Messages that wait because of all chats together."""
        self._refused: set[int | str] = set()
        """Chats that got a 429 since a message was last accepted."""

    def delay(self, chat: int, ahead: int) -> float:
        """Returns about how many seconds a message to the chat would have to wait for `ahead` others to it."""
        rate = self._rates(chat)[-1]
        return ahead // rate.count * rate.seconds

    def overall_delay(self, ahead: int) -> float:
        """Returns about how many seconds a message would have to wait because of all chats together.

        `ahead`: the messages that will be sent before it, as far as that is known.
        """
        now = self.clock.time()
        [(rate, recent)] = self._overall.recent(now)
        excess = max(0, max(ahead, self._waiting) + recent + 1 - rate.count)
        return max(self._overall.blocked_until - now, 0.0) + excess / rate.count * rate.seconds

    def has_room(self, chat: int | None) -> bool:
        """Returns whether a message to the chat would be sent at once, before no other."""
        buckets = (self._overall,) if chat is None else (self._overall, self._chat(chat))
        return not self._waiting and all(bucket.allowed_at() <= self.clock.time() for bucket in buckets)

    async def send(
        self, chat: int | str | None, request: Callable[[], Awaitable[object]], *, idempotent: bool = False
    ) -> None:
        """Makes a request when the limits allow it; again after a 429, and while the network fails.

        `chat`: its number, or the identifier of an inline message; `None` if the request sends no message.
        `idempotent`: twice does no more than once. Otherwise `TimedOut`, after which Telegram may have accepted the
        message or not, is raised at once. Raises `TelegramError`.
        """
        give_up_at = self.clock.time() + GIVE_UP_SECONDS
        for failures in itertools.count(1):
            if chat is not None:
                await self._acquire(self._chat(chat), give_up_at)
            try:
                await request()
            except BadRequest:
                raise  # a `NetworkError` by its class only: Telegram understood, and refuses
            except (RetryAfter, NetworkError) as error:
                pause = retry_pause(error, failures)
                if isinstance(error, RetryAfter) and chat is not None:
                    self._block(chat, pause)
                if self.clock.time() + pause > give_up_at or (isinstance(error, TimedOut) and not idempotent):
                    raise
                await self.clock.sleep(pause)
            else:
                if chat is not None:
                    self._refused.clear()
                return

    async def send_spare(self, chat: int, request: Callable[[], Awaitable[object]]) -> None:
        """Makes a request once and at once, if that takes the place of no answer; else leaves it out.

        Raises `TelegramError`.
        """
        buckets, now = (self._chat(chat), self._overall), self.clock.time()
        if not all(bucket.has_spare(now) for bucket in buckets):
            return
        for bucket in buckets:
            bucket.count(now)
        try:
            await request()
        except RetryAfter as error:
            self._block(chat, retry_pause(error, 1))
            raise

    async def _acquire(self, chat: _Bucket, give_up_at: float) -> None:
        """Waits until a message may be sent. The chat's wait comes first, so that it holds up no other chat."""
        async with chat.turn:
            await self._wait(chat, give_up_at)
            self._waiting += 1
            try:
                async with self._overall.turn:
                    await self._wait(self._overall, give_up_at)
            finally:
                self._waiting -= 1
            for bucket in (chat, self._overall):
                bucket.count(self.clock.time())

    async def _wait(self, bucket: _Bucket, give_up_at: float) -> None:
        while (pause := bucket.allowed_at() - self.clock.time()) > 0:
            if bucket.allowed_at() > give_up_at:
                raise RetryAfter(timedelta(seconds=pause))
            await self.clock.sleep(pause)

    def _block(self, chat: int | str, pause: float) -> None:
        self._refused.add(chat)
        buckets = [self._chat(chat)] if len(self._refused) == 1 else [self._chat(chat), self._overall]
        for bucket in buckets:
            bucket.blocked_until = max(bucket.blocked_until, self.clock.time() + pause)

    def _rates(self, chat: int | str) -> tuple[Rate, ...]:
        # Groups, supergroups and channels have negative numbers: https://core.telegram.org/bots/api#chat
        is_group = isinstance(chat, int) and chat < 0
        return (self._limits.chat, self._limits.group) if is_group else (self._limits.chat,)


def retry_pause(error: Exception, failures: int) -> float:
    """Returns the pause, in seconds, after so many failures in a row: as long as a 429 demands, else by backoff."""
    if not isinstance(error, RetryAfter):
        return BACKOFF.pause(failures)
    wait = error.retry_after  # a number or a `timedelta`, as the environment says
    return wait.total_seconds() if isinstance(wait, timedelta) else float(wait)
