"""Telegram's limits on what a bot sends, kept for each chat: one that has to wait never delays another.

The library's own `AIORateLimiter` halts every request of the bot when one chat answers 429, so this takes its place.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from telegram.constants import FloodLimit
from telegram.error import RetryAfter
from telegram.ext import BaseRateLimiter

from bot.core.clock import MONOTONIC, Clock

MAX_WAIT_SECONDS: Final = 300.0
"""For a message to be sent. It is of no use later, so `RetryAfter` is raised."""
RETRY_MARGIN_SECONDS: Final = 0.1
"""On top of `retry_after`, which is a whole number and may be rounded down."""
_SWEEP_AT: Final = 1024
"""Chats that are remembered before idle ones are evicted; then twice as many as are left."""
_MESSAGE_METHODS: Final = ("send", "edit")
"""How the methods begin that the limits count. Answers to queries are not messages."""
_CHAT_ACTION: Final = "sendChatAction"
"""Never waits: sent later than now, "typing" would be wrong."""


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
    for the bot as a whole. How long a burst may be is not documented: 5 is ours. So are `typing`, which would
    otherwise cost more than the answers when very many users wait, and `refusals`, each of which takes the place of an
    answer when the bot as a whole is at its limit: two thirds are left for answers.
    """

    overall: Rate = Rate(int(FloodLimit.MESSAGES_PER_SECOND), 1.0)
    chat: Rate = Rate(5, 5.0 / FloodLimit.MESSAGES_PER_SECOND_PER_CHAT)
    group: Rate = Rate(int(FloodLimit.MESSAGES_PER_MINUTE_PER_GROUP), 60.0)
    typing: Rate = Rate(10, 1.0)
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

    def reserve(self, now: float, max_wait: float = MAX_WAIT_SECONDS) -> float:
        """Reserves the earliest time for one more message. Raises `RetryAfter` when that is too far away."""
        at = self.earliest(now)
        if at - now > max_wait:
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


class ChatRateLimiter(BaseRateLimiter[None]):
    """Sends the messages of each chat at its own pace, in the order in which they were requested.

    A 429 blocks the chat that it was answered for, for its `retry_after`; then the message is sent again. When a
    second chat gets one before any message has been accepted, it is the bot that sends too much, and all chats wait.
    """

    def __init__(self, limits: Limits = ALLOWED, clock: Clock = MONOTONIC) -> None:
        self._limits = limits
        self._clock = clock
        self._overall = _Bucket(limits.overall)
        self._typing = _Bucket(limits.typing)
        self._refusals = _Bucket(limits.refusals)
        self._chats: dict[object, _Bucket] = {}
        self._sweep_at = _SWEEP_AT
        self._refused: set[object] = set()
        """Chats that got a 429 since a message was last accepted."""

    async def initialize(self) -> None:
        """Nothing to open."""

    async def shutdown(self) -> None:
        """Nothing to close: requests that wait are cancelled with their tasks."""

    async def process_request(  # noqa: PLR0917 - the signature is the library's
        self,
        callback: Callable[..., Coroutine[Any, Any, Any]],
        args: Any,
        kwargs: dict[str, Any],
        endpoint: str,
        data: dict[str, Any],
        rate_limit_args: None,  # noqa: ARG002 - likewise
    ) -> Any:
        """Calls `callback` when it is allowed. Raises what it raises; `RetryAfter` only when the wait is too long."""
        key = data.get("chat_id", data.get("inline_message_id"))
        chat = _Bucket() if key is None else self._chat(key)  # a request about no chat waits for itself
        counted = key is not None and endpoint.startswith(_MESSAGE_METHODS) and endpoint != _CHAT_ACTION
        while True:
            if endpoint == _CHAT_ACTION:
                self._take_chat_action(chat)
            else:
                await self._acquire(chat, counted=counted)
            try:
                result = await callback(*args, **kwargs)
            except RetryAfter as error:
                wait = seconds(error.retry_after) + RETRY_MARGIN_SECONDS
                self._block(chat, key if counted else None, wait)
                if endpoint == _CHAT_ACTION or wait > MAX_WAIT_SECONDS:
                    raise
            else:
                if counted:
                    self._refused.clear()
                return result

    def chat_delay(self, chat: int, ahead: int) -> float:
        """Seconds until one more message could be sent to that chat after `ahead` others that are still to come."""
        now = self._clock.time()
        return (self._chats.get(chat) or self._new_chat(chat)).earliest(now, ahead) - now

    def overall_delay(self, ahead: int) -> float:
        """As `chat_delay`, for a chat that had no message for a while: because of all the others."""
        now = self._clock.time()
        return self._overall.earliest(now, ahead) - now

    def may_refuse(self) -> bool:
        """Returns whether one more refusal may be sent now, and count it."""
        try:
            self._refusals.reserve(self._clock.time(), max_wait=0.0)
        except RetryAfter:
            return False
        return True

    async def _acquire(self, chat: _Bucket, *, counted: bool) -> None:
        """Waits until a request may be sent. The chat's wait comes first, so that it holds no share of the whole."""
        while True:
            for bucket in (chat, self._overall):
                now = self._clock.time()
                at = bucket.reserve(now) if counted else bucket.blocked_until
                await self._clock.sleep(at - now)
            if max(chat.blocked_until, self._overall.blocked_until) <= self._clock.time():
                return

    def _take_chat_action(self, chat: _Bucket) -> None:
        """Counts a chat action. Raises `RetryAfter` when it would have to wait."""
        now = self._clock.time()
        blocked = max(chat.blocked_until, self._overall.blocked_until) - now
        if blocked > 0:
            raise RetryAfter(timedelta(seconds=blocked))
        self._typing.reserve(now, max_wait=0.0)

    def _block(self, chat: _Bucket, key: object, wait: float) -> None:
        """Sends nothing to the chat for so long; nor to any other if it is not the chat's own limit."""
        until = self._clock.time() + wait
        chat.blocked_until = max(chat.blocked_until, until)
        if key is not None:
            self._refused.add(key)
            if len(self._refused) > 1:
                self._overall.blocked_until = max(self._overall.blocked_until, until)

    def _chat(self, key: object) -> _Bucket:
        if len(self._chats) >= self._sweep_at:
            now = self._clock.time()
            self._chats = {key: chat for key, chat in self._chats.items() if not chat.is_idle(now)}
            self._sweep_at = max(_SWEEP_AT, 2 * len(self._chats))
        return self._chats.setdefault(key, self._new_chat(key))

    def _new_chat(self, key: object) -> _Bucket:
        # Groups, supergroups and channels have negative numbers: https://core.telegram.org/bots/api#chat
        is_group = isinstance(key, int) and key < 0
        return _Bucket(self._limits.chat, self._limits.group) if is_group else _Bucket(self._limits.chat)


def seconds(duration: int | timedelta) -> float:
    """Returns `RetryAfter.retry_after` in seconds: it is a number or a `timedelta`, as the environment says."""
    return duration.total_seconds() if isinstance(duration, timedelta) else float(duration)
