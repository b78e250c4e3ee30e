"""Telegram's limits on what a bot sends, kept for each chat: one that has to wait never delays another.

The library's `AIORateLimiter` halts every request of the bot when one chat answers 429, so this takes its place.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, TypeVar

from telegram.constants import FloodLimit
from telegram.error import RetryAfter

from bot.core.clock import MONOTONIC, Clock

MAX_WAIT_SECONDS: Final = 300.0
"""For a message to be sent. It is of no use later, so `RetryAfter` is raised."""
RETRY_MARGIN_SECONDS: Final = 0.1
"""On top of `retry_after`, which is a whole number and may be rounded down."""
_SWEEP_AT: Final = 1024
"""Chats that are remembered before idle ones are evicted; then twice as many as are left."""
T = TypeVar("T")


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
    for the bot as a whole. How long a burst may be is not documented: 5 is ours. So is `refusals`: each takes the place
    of an answer when the bot as a whole is at its limit, and two thirds are left for answers.
    """

    overall: Rate = Rate(int(FloodLimit.MESSAGES_PER_SECOND), 1.0)
    chat: Rate = Rate(5, 5.0 / FloodLimit.MESSAGES_PER_SECOND_PER_CHAT)
    group: Rate = Rate(int(FloodLimit.MESSAGES_PER_MINUTE_PER_GROUP), 60.0)
    refusals: Rate = Rate(10, 1.0)


ALLOWED: Final = Limits()


class _Bucket:
    """What one chat, or the whole bot, may send: a sliding window for each rate, and a time before which nothing is.

    A window holds the times of the last `count` messages, sent or reserved, in order.
    """

    def __init__(self, *rates: Rate) -> None:
        self._windows = [(rate, deque[float](maxlen=rate.count)) for rate in rates]
        self.blocked_until = 0.0

    def earliest(self, now: float, ahead: int = 0) -> float:
        """The time at which one more message is allowed after `ahead` others."""
        return max([now, self.blocked_until, *(_earliest(now, ahead, *window) for window in self._windows)])

    def reserve(self, now: float) -> float:
        """Reserves the earliest time for one more message. Raises `RetryAfter` when that is too far away."""
        at = self.earliest(now)
        if at - now > MAX_WAIT_SECONDS:
            raise RetryAfter(timedelta(seconds=at - now))
        for _, times in self._windows:
            times.append(at)
        return at

    def is_idle(self, now: float) -> bool:
        return self.blocked_until <= now and all(
            not times or times[-1] + rate.seconds <= now for rate, times in self._windows
        )


def _earliest(now: float, ahead: int, rate: Rate, times: deque[float]) -> float:
    full_periods = 0
    while ahead >= rate.count:  # so many messages, each period's share of them at its beginning
        ahead, full_periods = ahead - rate.count, full_periods + 1
    oldest = len(times) + ahead - rate.count  # of the `count` messages before this one
    at = max(now, times[-1]) if times else now
    if oldest >= 0:
        at = max(at, times[oldest] + rate.seconds)
    return at + full_periods * rate.seconds


class RateLimiter:
    """Sends the messages of each chat at its own pace, in the order in which they were requested.

    A 429 blocks the chat that it was answered for, for its `retry_after`; then the message is sent again. When a
    second chat gets one before any message has been accepted, it is the bot that sends too much, and all chats wait.
    """

    def __init__(self, limits: Limits = ALLOWED, clock: Clock = MONOTONIC) -> None:
        self._limits = limits
        self._clock = clock
        self._overall = _Bucket(limits.overall)
        self._refusals = _Bucket(limits.refusals)
        self._chats: dict[int | str, _Bucket] = {}
        self._sweep_at = _SWEEP_AT
        self._refused: set[int | str] = set()
        """Chats that got a 429 since a message was last accepted."""

    async def send(self, chat: int | str | None, request: Callable[[], Awaitable[T]]) -> T:
        """Makes a request that sends or edits a message, when the limits allow it; again after a 429.

        `chat`: its number, or the identifier of an inline message; `None` for a request that is no message. Raises
        what the request raises; `RetryAfter` only when the wait is too long.
        """
        while True:
            if chat is not None:
                await self._acquire(self._chat(chat))
            try:
                result = await request()
            except RetryAfter as error:
                wait = seconds(error.retry_after) + RETRY_MARGIN_SECONDS
                if chat is not None:
                    self._block(chat, wait)
                if wait > MAX_WAIT_SECONDS:
                    raise
                if chat is None:
                    await self._clock.sleep(wait)
            else:
                if chat is not None:
                    self._refused.clear()
                return result

    def delay(self, chat: int | None, ahead: int) -> float:
        """Returns the seconds until one more message could be sent to a chat after `ahead` others.

        `None`: to a chat that had no message for a while, so because of all the others.
        """
        now = self._clock.time()
        bucket = self._overall if chat is None else self._chats.get(chat) or self._new_chat(chat)
        return bucket.earliest(now, ahead) - now

    def may_refuse(self) -> bool:
        """Returns whether one more refusal may be sent now, and counts it."""
        now = self._clock.time()
        return self._refusals.earliest(now) <= now and self._refusals.reserve(now) == now

    def may_type(self, chat: int) -> bool:
        """Returns whether "typing" may be shown in a chat now. Later than now it would be wrong."""
        return max(self._chat(chat).blocked_until, self._overall.blocked_until) <= self._clock.time()

    async def _acquire(self, chat: _Bucket) -> None:
        """Waits until a message may be sent. The chat's wait comes first, so that it holds no share of the whole."""
        while True:
            for bucket in (chat, self._overall):
                now = self._clock.time()
                await self._clock.sleep(bucket.reserve(now) - now)
            if max(chat.blocked_until, self._overall.blocked_until) <= self._clock.time():
                return

    def _block(self, chat: int | str, wait: float) -> None:
        """Lets nothing be sent to the chat for so long; nor to any other if it is not the chat's own limit."""
        until = self._clock.time() + wait
        bucket = self._chat(chat)
        bucket.blocked_until = max(bucket.blocked_until, until)
        self._refused.add(chat)
        if len(self._refused) > 1:
            self._overall.blocked_until = max(self._overall.blocked_until, until)

    def _chat(self, chat: int | str) -> _Bucket:
        if len(self._chats) >= self._sweep_at:
            now = self._clock.time()
            self._chats = {chat: bucket for chat, bucket in self._chats.items() if not bucket.is_idle(now)}
            self._sweep_at = max(_SWEEP_AT, 2 * len(self._chats))
        return self._chats.setdefault(chat, self._new_chat(chat))

    def _new_chat(self, chat: int | str) -> _Bucket:
        # Groups, supergroups and channels have negative numbers: https://core.telegram.org/bots/api#chat
        is_group = isinstance(chat, int) and chat < 0
        return _Bucket(self._limits.chat, self._limits.group) if is_group else _Bucket(self._limits.chat)


def seconds(duration: int | timedelta) -> float:
    """Returns `RetryAfter.retry_after` in seconds: it is a number or a `timedelta`, as the environment says."""
    return duration.total_seconds() if isinstance(duration, timedelta) else float(duration)
