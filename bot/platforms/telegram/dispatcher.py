"""What people ask for in Telegram, done in turn; and what is too much, turned away in words that somebody sees."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final

from telegram.error import Forbidden, InvalidToken, TelegramError

from bot import logs
from bot.core import messages
from bot.platforms.telegram.bot_client import is_refusal, told
from bot.platforms.telegram.queues import Lanes, Work
from bot.platforms.telegram.rate_limit import ChatRateLimiter

LONGEST_BACKLOG: Final = 60.0
"""Seconds that what is owed to a chat may take to say, at the pace that Telegram allows; what is asked beyond that is
refused. A group has 20 messages a minute."""
LONGEST_CROWD: Final = 2.0
"""Seconds that the next message may have to wait because of all chats together: sixty people may ask at once. What is
asked beyond that is refused, or the answers would come ever later; and where there are too many even for that, nothing
is said."""
_WARN_EVERY: Final = 60.0
"""Seconds."""
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """What an update asks for: whose turn it needs (`key`), what is to be done, and in which chat, if Telegram tells.

    `refuse` says that it will not be done, in the words that it is given; None where nobody would miss it. A message
    is refused once (`aloud`) for many, so that one person who floods a chat does not make the bot flood it.
    """

    key: Hashable
    work: Work
    chat: int | None = None
    refuse: Callable[[str], Work] | None = None
    aloud: bool = False


class Requests:
    """Has requests done in their lanes.

    `limiter` tells how long it takes until something can be said; `on_failure` is called when an answer could not be
    sent, `on_refused` when Telegram no longer knows the token.
    """

    def __init__(
        self,
        lanes: Lanes,
        *,
        token: str,
        limiter: ChatRateLimiter,
        on_failure: Callable[[], None],
        on_refused: Callable[[], None],
    ) -> None:
        self._lanes = lanes
        self._token = token
        self._limiter = limiter
        self._on_failure = on_failure
        self._on_refused = on_refused
        self._owed: Counter[int] = Counter()
        """Requests in each chat that are not answered."""
        self._quiet_until: dict[int, float] = {}
        """When each chat may be told again that it asks for too much."""
        self._fresh: dict[Request, float] = {}
        """When each was taken that is neither done nor older than `LONGEST_CROWD`. What has been worked at for longer
        is no sign of a crowd, but of a slow machine."""
        self._warned = -_WARN_EVERY

    def take(self, request: Request) -> None:
        """Has it done, or refused; returns at once."""
        if request.refuse is not None and self._limiter.crowd(self._just_taken()) > LONGEST_CROWD:
            self._turn_away(request)
        elif request.chat is not None and self._limiter.wait(request.chat, self._owed[request.chat]) > LONGEST_BACKLOG:
            if not request.aloud or self._chat_may_be_told(request.chat):
                self._refuse(request, messages.CHAT_FULL)
        elif self._lanes.put(request.key, lambda: self._done(request)):
            if request.refuse is not None:  # what nobody would miss is not answered with a message
                self._fresh[request] = time.monotonic()
            if request.chat is not None:
                self._owed[request.chat] += 1
        elif not request.aloud or self._lanes.overflows(request.key):
            self._refuse(request, messages.LANE_FULL)

    async def _done(self, request: Request) -> None:
        try:
            await self._guarded(request.work)
        finally:
            self._fresh.pop(request, None)
            if request.chat is not None:
                self._owed[request.chat] -= 1
                if not self._owed[request.chat]:
                    del self._owed[request.chat]

    def _refuse(self, request: Request, why: str) -> None:
        """Says no in a lane of its own, beside what is being done."""
        if request.refuse is None:
            return
        refuse = request.refuse(why)
        if not self._lanes.put(("refused", request.key), lambda: self._guarded(refuse)):
            log.debug("somebody presses buttons faster than Telegram can be told so")

    def _just_taken(self) -> int:
        """Requests that are not answered yet, will be with a message, and have not been waiting for long."""
        since = time.monotonic() - LONGEST_CROWD
        while self._fresh and (oldest := next(iter(self._fresh.items())))[1] < since:
            del self._fresh[oldest[0]]
        return len(self._fresh)

    def _turn_away(self, request: Request) -> None:
        """For the crowd. A button is refused without a message, so that has no limit."""
        if not request.aloud or self._limiter.may_refuse():
            self._refuse(request, messages.CROWD)
        if (now := time.monotonic()) >= self._warned + _WARN_EVERY:
            self._warned = now
            log.warning("more is asked for than Telegram lets a bot answer; some people are refused or hear nothing")

    def _chat_may_be_told(self, chat: int) -> bool:
        """Whether it has not been told for a while that it asks for too much; from now on, it has."""
        now = time.monotonic()
        self._quiet_until = {known: until for known, until in self._quiet_until.items() if until > now}
        if chat in self._quiet_until:
            return False
        self._quiet_until[chat] = now + LONGEST_BACKLOG
        return True

    async def _guarded(self, work: Work) -> None:
        """Does the work; what goes wrong is logged here, without a word of what anybody wrote."""
        with logs.request():
            try:
                await work()
            except Forbidden as error:  # blocked, thrown out, or never allowed in: nothing to be done about it
                log.info("nobody to answer: %s", told(error, self._token))
            except TelegramError as error:
                if isinstance(error, InvalidToken) and is_refusal(error):
                    self._on_refused()
                log.warning("an answer was not delivered: %s", told(error, self._token))
                self._on_failure()
            except Exception:
                log.exception("an update failed")
