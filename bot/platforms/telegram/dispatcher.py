"""Requests of users, done in order for each of them; and those that are too many, refused.

A button or an inline message is always answered, since that sends no message. A message is refused at most once a
minute to the same user, so that a user who floods a chat does not make the bot flood it.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Final

from telegram.error import Forbidden, TelegramError

from bot import logs
from bot.core.admission import MAX_USER_REQUESTS
from bot.platforms.base import Recent
from bot.platforms.telegram.rate_limit import RateLimiter

MAX_CHAT_DELAY_SECONDS: Final = 60.0
"""To send all that is pending for a chat, at the pace that Telegram allows: a group has 20 messages a minute."""
MAX_OVERALL_DELAY_SECONDS: Final = 0.7
"""For the next message because of all chats together, so that a text is there within a second: it is written meanwhile.
50 users may ask at once."""
_WRITING_SECONDS: Final = 2.0
"""Within which an answer is written. A user who asked earlier waits for their own chat."""
MAX_REFUSALS: Final = 100
"""That wait to be sent: the updates of one request (https://core.telegram.org/bots/api#getupdates), which come together
after an outage."""
REFUSE_WITHIN_SECONDS: Final = 5.0
"""A refusal is of no use later. Until then it waits while answers do: of 60 texts a second that were asked for, 18 were
written when 20 refusals took their places, and 28 when 4 did."""
_LOOK_EVERY_SECONDS: Final = 0.1
CHAT_FULL: Final = "chat-full"
OVERLOADED: Final = "overloaded"
_REFUSALS: Final = "refusals"
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Request:
    """Work to do for a user, after everything else that the user asked for in the same chat.

    `scope`: that chat, by any name. `chat`: its number, if an answer is sent there. `refuse` shows why the work is not
    done, a message of `locales`; `None` if no user would miss it. `as_message`: as a message.
    """

    user: Hashable
    scope: Hashable
    work: Callable[[], Awaitable[None]]
    chat: int | None = None
    refuse: Callable[[str], Awaitable[None]] | None = None
    as_message: bool = False

    @property
    def key(self) -> Hashable:
        """Requests with the same key are done one at a time."""
        return self.scope, self.user


class Dispatcher:
    """Runs requests as tasks of `group`. `on_failure` is called when an answer could not be sent."""

    def __init__(self, group: asyncio.TaskGroup, limiter: RateLimiter, on_failure: Callable[[], None]) -> None:
        self._group = group
        self._limiter = limiter
        self._on_failure = on_failure
        self._last: dict[Hashable, asyncio.Task[None]] = {}
        """By key, the request that is done after all others with that key."""
        self._pending: Counter[Hashable] = Counter()
        """Requests that are not done, of each user and in each chat."""
        self._asked_at: OrderedDict[Hashable, float] = OrderedDict()
        """When each user who has no answer yet asked last, the latest at the end."""
        self._refusing = asyncio.Lock()
        self._refused = Recent(limiter.clock)
        """To whom, or in which chat, a refusal was given just now; and warnings of an overload."""

    async def join(self) -> None:
        """Returns when everything that was submitted before is done."""
        if self._last:
            await asyncio.wait(self._last.values())

    def submit(self, request: Request) -> None:
        """Has a request done, or refused; returns at once."""
        reason = self._reason_to_refuse(request)
        if not reason:
            if request.refuse is not None:
                self._asked_at[request.user] = self._limiter.clock.time()
                self._asked_at.move_to_end(request.user)
            self._start(request)
        elif request.refuse is not None and self._pending[_REFUSALS] < MAX_REFUSALS:
            recipient = request.chat if reason == CHAT_FULL else request.key
            if not request.as_message or self._refused.is_first(recipient):
                refuse = partial(request.refuse, reason)
                work = partial(self._refuse, refuse, request.chat, reason) if request.as_message else refuse
                self._start(Request(_REFUSALS, request.key, work))  # beside what is being done for the user

    def _reason_to_refuse(self, request: Request) -> str:
        # The users who asked before that wait for the generator, or for their own chat.
        just_now = self._limiter.clock.time() - _WRITING_SECONDS
        active = len(list(itertools.takewhile(just_now.__lt__, reversed(self._asked_at.values()))))
        if request.refuse is not None and self._limiter.overall_delay(active) >= MAX_OVERALL_DELAY_SECONDS:
            if self._refused.is_first(OVERLOADED):
                log.warning("requests.overloaded active_users=%d", active)
            return OVERLOADED
        chat = request.chat
        if chat is not None and self._limiter.delay(chat, self._pending[chat]) >= MAX_CHAT_DELAY_SECONDS:
            return CHAT_FULL
        return "queue-full" if self._pending[request.user] >= MAX_USER_REQUESTS else ""

    async def _refuse(self, refuse: Callable[[], Awaitable[None]], chat: int | None, reason: str) -> None:
        """Refuses by a message, one after another, when no answer has to wait for it.

        That a chat is full is said when its limit allows it, which holds up no other refusal.
        """
        one_by_one, chat = (nullcontext(), None) if reason == CHAT_FULL else (self._refusing, chat)
        give_up_at = self._limiter.clock.time() + REFUSE_WITHIN_SECONDS
        while self._limiter.clock.time() < give_up_at:
            async with one_by_one:
                if self._limiter.has_room(chat):
                    await refuse()
                    return
            await self._limiter.clock.sleep(_LOOK_EVERY_SECONDS)

    def _start(self, request: Request) -> None:
        self._pending.update((request.user, request.chat))
        previous = self._last.get(request.key)
        self._last[request.key] = self._group.create_task(self._run(request, previous))

    async def _run(self, request: Request, previous: asyncio.Task[None] | None) -> None:
        """Does the work; what goes wrong is logged here, without a word of what the user wrote."""
        if previous is not None:
            await asyncio.wait({previous})
        with logs.request():
            try:
                await request.work()
            except Forbidden as error:  # the user blocked the bot, or the chat removed it: nothing to do about it
                log.info("reply.forbidden reason=%s", logs.format_error(error))
            except TelegramError as error:
                log.warning("reply.undelivered reason=%s", logs.format_error(error))
                self._on_failure()
            except Exception:
                log.exception("update.failed")
        for name in (request.user, request.chat):
            self._pending[name] -= 1
            if not self._pending[name]:
                del self._pending[name]
                self._asked_at.pop(name, None)
        if self._last[request.key] is asyncio.current_task():
            del self._last[request.key]
            self._refused.forget(request.key)  # a full queue is refused once until it is empty
