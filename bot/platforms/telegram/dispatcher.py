"""Requests of users, done in order for each of them; and those that are too many, refused.

One policy for all refusals: a button or an inline message is always answered, since that sends no message. A message is
refused at most once a minute to the same user (`Limits.refusals` says how often for the whole bot), so that a user who
floods a chat does not make the bot flood it.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Final

from telegram.error import Forbidden, TelegramError

from bot import logs
from bot.core import messages
from bot.core.clock import MONOTONIC, Clock
from bot.logs import format_error
from bot.platforms.dedup import RecentKeys
from bot.platforms.telegram.bot_client import is_token_rejected
from bot.platforms.telegram.rate_limit import RateLimiter

MAX_PENDING_PER_USER: Final = 20
"""Requests of one user, in all chats, that are not answered. A person types fewer before the first is; a program may
type more."""
MAX_CHAT_DELAY_SECONDS: Final = 60.0
"""To send all that is pending for a chat, at the pace that Telegram allows: a group has 20 messages a minute."""
MAX_OVERALL_DELAY_SECONDS: Final = 2.0
"""For the next message because of all chats together: sixty users may ask at once. With more, answers would come ever
later."""
REFUSE_EVERY_SECONDS: Final = 60.0
"""Between two refusals of messages to the same user in a chat, and between two warnings of an overload."""
_WARNED: Final = object()
Work = Callable[[], Awaitable[None]]
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Request:
    """Work to do for a user, after everything else that the user asked for in the same chat.

    `scope`: that chat, by any name. `chat`: its number, if Telegram tells and an answer is sent there. `refuse` says
    why the work is not done; `None` if no user would miss it. `as_message`: a refusal is a message.
    """

    user: Hashable
    scope: Hashable
    work: Work
    chat: int | None = None
    refuse: Callable[[str], Awaitable[None]] | None = None
    as_message: bool = False

    @property
    def key(self) -> Hashable:
        """Requests with the same key are done one at a time."""
        return self.scope, self.user

    @property
    def counted(self) -> tuple[Hashable, ...]:
        """What the request counts for: the user, and the chat if an answer is sent there."""
        return (self.user,) if self.chat is None else (self.user, self.chat)


class Dispatcher:
    """Runs requests as tasks of `group`, which one ends with `InvalidToken` if Telegram rejects the token.

    `limiter` knows how long an answer would wait. `on_failure` is called when one could not be sent.
    """

    def __init__(
        self, group: asyncio.TaskGroup, limiter: RateLimiter, on_failure: Callable[[], None], clock: Clock = MONOTONIC
    ) -> None:
        self._group = group
        self._limiter = limiter
        self._on_failure = on_failure
        self._queues: dict[Hashable, deque[Request]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._pending: Counter[Hashable] = Counter()
        """Requests that are not done, of each user and in each chat."""
        self._active = RecentKeys(seconds=MAX_OVERALL_DELAY_SECONDS, clock=clock)
        """Users who asked just now and have no answer yet."""
        self._refused = RecentKeys(seconds=REFUSE_EVERY_SECONDS, clock=clock)
        """Whom, or in which chat, a refusal was given just now."""

    def __len__(self) -> int:
        """The number of queues: users in a chat for whom something is done."""
        return len(self._queues)

    async def join(self) -> None:
        """Returns when everything that was submitted before is done."""
        self._queues.clear()  # or one to which more is added all the time would never end
        if self._tasks:
            await asyncio.wait(self._tasks.copy())

    def submit(self, request: Request) -> None:
        """Has a request done, or refused; returns at once.

        The delay because of all chats counts each active user once, since their requests are done one at a time. One
        who has been active for longer does not wait to be sent something, but for the generator or their own chat.
        """
        if request.refuse is not None and self._limiter.delay(None, len(self._active)) > MAX_OVERALL_DELAY_SECONDS:
            if self._refused.add(_WARNED):
                log.warning("requests.overloaded active_users=%d", len(self._active))
            self._refuse(request, messages.OVERLOADED, request.key)
        elif self._chat_delay(request.chat) > MAX_CHAT_DELAY_SECONDS:
            self._refuse(request, messages.CHAT_FULL, request.chat)
        elif self._pending[request.user] >= MAX_PENDING_PER_USER:
            self._refuse(request, messages.QUEUE_FULL, request.key)
        else:
            if request.refuse is not None:
                self._active.add(request.user)
            self._enqueue(request)

    def _chat_delay(self, chat: int | None) -> float:
        return 0.0 if chat is None else self._limiter.delay(chat, self._pending[chat])

    def _refuse(self, request: Request, reason: str, recipient: Hashable) -> None:
        """Says why a request is not done, beside what is being done."""
        user = ("refused", request.user)
        if request.refuse is None or self._pending[user] >= MAX_PENDING_PER_USER:
            return
        if request.as_message:
            if recipient in self._refused or not self._limiter.may_refuse():
                return
            self._refused.add(recipient)
        self._enqueue(Request(user, request.scope, functools.partial(request.refuse, reason)))

    def _enqueue(self, request: Request) -> None:
        queue = self._queues.get(request.key)
        if queue is None:
            queue = self._queues[request.key] = deque()
            task = self._group.create_task(self._run(request.key, queue))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        queue.append(request)
        self._pending.update(request.counted)

    async def _run(self, key: Hashable, queue: deque[Request]) -> None:
        while queue:
            request = queue.popleft()
            await self._do(request.work)
            for name in request.counted:
                self._pending[name] -= 1
                if not self._pending[name]:
                    del self._pending[name]
                    self._active.discard(name)
        if self._queues.get(key) is queue:
            del self._queues[key]
        self._refused.discard(key)  # a full queue is refused once until it is empty

    async def _do(self, work: Work) -> None:
        """Does the work; what goes wrong is logged here, without a word of what the user wrote."""
        with logs.request():
            try:
                await work()
            except Forbidden as error:  # the user blocked the bot, or the chat removed it: nothing to do about it
                log.info("reply.forbidden reason=%s", format_error(error))
            except TelegramError as error:
                log.warning("reply.undelivered reason=%s", format_error(error))
                self._on_failure()
                if is_token_rejected(error):
                    raise
            except Exception:
                log.exception("update.failed")
