"""Telegram's limits on how much is sent, kept chat by chat: a chat that has to wait never makes another one wait.

The library's own `AIORateLimiter` halts every request of the bot when one chat answers 429, so this takes its place.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from telegram.constants import FloodLimit
from telegram.error import RetryAfter
from telegram.ext import BaseRateLimiter

LONGEST_WAIT: Final = 300.0
"""Seconds that an answer may wait for its turn. Nobody reads it later than that, so it is given up (`RetryAfter`)."""
SLACK: Final = 0.1
"""Seconds on top of `retry_after`, which is a whole number and may be rounded down."""
_SWEEP_AT: Final = 1024
"""Chats that are remembered before those at rest are forgotten."""
_MESSAGES: Final = ("send", "edit")
"""How the methods begin that the limits count. Answers to queries are not messages."""
_NEVER_WAITS: Final = "sendChatAction"
"""Said later than now, "typing" would be wrong."""


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` messages in any stretch of `seconds`."""

    count: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Limits:
    """What Telegram allows: https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this.

    "In a single chat, avoid sending more than one message per second. We may allow short bursts that go over this
    limit"; "In a group, bots are not be able to send more than 20 messages per minute"; about 30 messages a second
    for the bot as a whole. How long a burst may be is not said: 5 is ours. `typing` is ours, too: when very many wait,
    telling each of them again and again would leave the bot less time to write. So are `refusals`, for when the limit
    for the whole is reached: a refusal takes the place of an answer, so answers have two thirds of it.
    """

    overall: Rate = Rate(int(FloodLimit.MESSAGES_PER_SECOND), 1.0)
    chat: Rate = Rate(5, 5.0 / FloodLimit.MESSAGES_PER_SECOND_PER_CHAT)
    group: Rate = Rate(int(FloodLimit.MESSAGES_PER_MINUTE_PER_GROUP), 60.0)
    typing: Rate = Rate(10, 1.0)
    refusals: Rate = Rate(10, 1.0)


ALLOWED: Final = Limits()


class _Window:
    """When the messages under one rate were sent or will be, in order."""

    def __init__(self, rate: Rate, times: Iterable[float] = ()) -> None:
        self._rate = rate
        self._times: deque[float] = deque(times, maxlen=rate.count)

    def copy(self) -> _Window:
        return _Window(self._rate, self._times)

    def earliest(self, now: float) -> float:
        """When one more may go."""
        if not self._times:
            return now
        full = len(self._times) == self._rate.count
        return max(now, self._times[-1], self._times[0] + self._rate.seconds if full else now)

    def take(self, at: float) -> None:
        self._times.append(at)

    def resting(self, now: float) -> bool:
        return not self._times or self._times[-1] + self._rate.seconds <= now


class _Chat:
    """One chat's windows, and until when Telegram wants nothing from it."""

    def __init__(self, *rates: Rate) -> None:
        self._windows = tuple(map(_Window, rates))
        self.shut_until = 0.0
        self.users = 0

    def reserve(self, now: float) -> float:
        """The time at which one more message may go; it is taken. Raises `RetryAfter` when that is too far away."""
        at = max([self.shut_until, *(window.earliest(now) for window in self._windows)])
        if at - now > LONGEST_WAIT:
            raise RetryAfter(timedelta(seconds=at - now))
        for window in self._windows:
            window.take(at)
        return at

    def wait(self, now: float, ahead: int) -> float:
        """Seconds until one more message could go if `ahead` others went first; nothing is taken."""
        windows = [window.copy() for window in self._windows]
        at = now
        for _ in range(ahead + 1):
            at = max([self.shut_until, *(window.earliest(now) for window in windows)])
            for window in windows:
                window.take(at)
        return at - now

    def forgettable(self, now: float) -> bool:
        return not self.users and self.shut_until <= now and all(window.resting(now) for window in self._windows)


class ChatRateLimiter(BaseRateLimiter[None]):
    """Sends each chat's messages at its own pace, in the order in which they were asked for.

    A 429 shuts the chat that it was said about, for the `retry_after` in it; the message goes out after that.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._overall = _Chat(limits.overall)
        self._typing = _Window(limits.typing)
        self._refusals = _Window(limits.refusals)
        self._chats: dict[object, _Chat] = {}

    async def initialize(self) -> None:
        """Nothing to open."""

    async def shutdown(self) -> None:
        """Nothing to close: those who wait are cancelled with their tasks."""

    async def process_request(  # noqa: PLR0917 - the signature is the library's
        self,
        callback: Callable[..., Coroutine[Any, Any, Any]],
        args: Any,
        kwargs: dict[str, Any],
        endpoint: str,
        data: dict[str, Any],
        rate_limit_args: None,  # noqa: ARG002 - likewise
    ) -> Any:
        """Calls `callback` when it may be. Raises what that raises; `RetryAfter` only when the wait is too long."""
        key = data.get("chat_id", data.get("inline_message_id"))
        with self._chat(key) as chat:
            while True:
                if endpoint == _NEVER_WAITS:
                    now = time.monotonic()
                    if (at := max(chat.shut_until, self._typing.earliest(now))) > now:
                        raise RetryAfter(timedelta(seconds=at - now))
                    self._typing.take(now)
                else:
                    await self._turn(chat, counted=key is not None and endpoint.startswith(_MESSAGES))
                try:
                    return await callback(*args, **kwargs)
                except RetryAfter as error:
                    wait = seconds(error.retry_after) + SLACK
                    chat.shut_until = max(chat.shut_until, time.monotonic() + wait)
                    if endpoint == _NEVER_WAITS or wait > LONGEST_WAIT:
                        raise

    def wait(self, chat: int, ahead: int) -> float:
        """Seconds until one more message could go to that chat if `ahead` that nobody has sent yet went first."""
        return (self._chats.get(chat) or self._new_chat(chat)).wait(time.monotonic(), ahead)

    def crowd(self, ahead: int) -> float:
        """As `wait`, for a chat that had no message for a while: because of all the others."""
        return self._overall.wait(time.monotonic(), ahead)

    def may_refuse(self) -> bool:
        """Whether there is room for one more refusal now; it is taken."""
        now = time.monotonic()
        if self._refusals.earliest(now) > now:
            return False
        self._refusals.take(now)
        return True

    async def _turn(self, chat: _Chat, *, counted: bool) -> None:
        while True:
            for place in (chat, self._overall) if counted else ():
                # The chat first: one that has to wait takes nobody's share of the whole meanwhile.
                now = time.monotonic()
                await asyncio.sleep(place.reserve(now) - now)
            wait = chat.shut_until - time.monotonic()
            if wait <= 0:
                return
            if not counted:
                await asyncio.sleep(wait)

    @contextmanager
    def _chat(self, key: object) -> Iterator[_Chat]:
        """The chat's state, which is not forgotten while it is in use. Requests about no chat have one each."""
        if key is None:
            yield _Chat()
            return
        if len(self._chats) >= _SWEEP_AT:
            now = time.monotonic()
            self._chats = {k: chat for k, chat in self._chats.items() if not chat.forgettable(now)}
        chat = self._chats.setdefault(key, self._new_chat(key))
        chat.users += 1
        try:
            yield chat
        finally:
            chat.users -= 1

    def _new_chat(self, key: object) -> _Chat:
        # Groups, supergroups and channels have negative numbers: https://core.telegram.org/bots/api#chat
        group = (self._limits.group,) if isinstance(key, int) and key < 0 else ()
        return _Chat(self._limits.chat, *group)


def seconds(duration: int | timedelta) -> float:
    """`RetryAfter.retry_after` is a number or a `timedelta`, as the environment says."""
    return duration.total_seconds() if isinstance(duration, timedelta) else float(duration)
