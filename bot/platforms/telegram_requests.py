"""What people ask for in Telegram, done in turn; and what is too much, turned away in words that somebody sees."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final

from telegram.error import Forbidden, InvalidToken, TelegramError

from bot import logs, messages
from bot.platforms.telegram_connection import is_refusal, told
from bot.platforms.telegram_lanes import Lanes, Work

LONGEST_BACKLOG: Final = 60.0
"""Seconds that what is owed to a chat may take to say, at the pace that Telegram allows; what is asked beyond that is
refused. A group has 20 messages a minute."""
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
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

    `backlog` tells how many seconds it takes until a chat can be told one more thing after so many others; `on_failure`
    is called when an answer could not be sent, `on_refused` when Telegram no longer knows the token.
    """

    def __init__(
        self,
        lanes: Lanes,
        *,
        token: str,
        backlog: Callable[[int, int], float],
        on_failure: Callable[[], None],
        on_refused: Callable[[], None],
    ) -> None:
        self._lanes = lanes
        self._token = token
        self._backlog = backlog
        self._on_failure = on_failure
        self._on_refused = on_refused
        self._owed: Counter[int] = Counter()
        """Requests in each chat that are not answered."""
        self._quiet_until: dict[int, float] = {}
        """When each chat may be told again that it asks for too much."""

    def take(self, request: Request) -> None:
        """Has it done, or refused; returns at once."""
        if request.chat is not None and self._backlog(request.chat, self._owed[request.chat]) > LONGEST_BACKLOG:
            if not request.aloud or self._chat_may_be_told(request.chat):
                self._refuse(request, messages.CHAT_FULL)
        elif self._lanes.put(request.key, lambda: self._done(request)):
            if request.chat is not None:
                self._owed[request.chat] += 1
        elif not request.aloud or self._lanes.overflows(request.key):
            self._refuse(request, messages.LANE_FULL)

    async def _done(self, request: Request) -> None:
        try:
            await self._guarded(request.work)
        finally:
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
