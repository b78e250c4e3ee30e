"""Updates by long polling."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from telegram import Update
from telegram.error import Conflict, RetryAfter, TelegramError

from bot.core.clock import MONOTONIC, Clock
from bot.logs import format_error
from bot.platforms.telegram.bot_client import BotClient, is_token_rejected
from bot.platforms.telegram.rate_limit import seconds
from bot.platforms.telegram.updates import WANTED
from generator.backoff import Backoff

POLL_SECONDS: Final = 30
"""How long the server may hold a poll open; its own limit is 50 (`LONG_POLL_MAX_TIMEOUT`)."""
BACKOFF: Final = Backoff(first=1.0, longest=30.0)
"""Between failed polls."""
CONFLICT_BACKOFF: Final = Backoff(first=20.0, longest=40.0)
"""While another process polls with the same token: each poll ends the other's, so both must poll rarely."""
CONFLICT_OVER_SECONDS: Final = 120.0
"""Without another conflict, which is more than both pauses together: then the other process is gone."""
CONFLICT: Final = "another process uses this token (409 Conflict); stop it, or give this one the token of another bot"
Handler = Callable[[Update], None]
log = logging.getLogger(__name__)


class Polling:
    """Requests updates in a loop. The library's `Updater` does too, but does not report a revoked token."""

    def __init__(self, bot: BotClient, handle: Handler, *, clock: Clock = MONOTONIC) -> None:
        self._bot = bot
        self._handle = handle
        self._clock = clock
        self._offset = 0
        self._conflict_at: float | None = None
        self.problem = ""
        """Why no updates arrive; empty when they do."""

    async def run(self) -> None:
        """Receives until cancelled. Network errors are retried with backoff, and logged when they begin and end.

        Raises `InvalidToken`.
        """
        await self._bot.delete_webhook()  # a webhook of an earlier run would make every poll fail with 409
        failures = 0
        while True:
            try:
                await self._poll()
            except RetryAfter as error:
                await self._clock.sleep(seconds(error.retry_after))
            except TelegramError as error:
                if is_token_rejected(error):
                    raise
                failures += 1
                self._fail(error)
                backoff = CONFLICT_BACKOFF if isinstance(error, Conflict) else BACKOFF
                await self._clock.sleep(backoff.pause(failures))
            else:
                failures = 0
                self._succeed()

    async def _poll(self) -> None:
        # After a network error the first poll returns at once, to learn that all is well again.
        wait = 0 if self.problem and self._conflict_at is None else POLL_SECONDS
        for update in await self._bot.updates(offset=self._offset, wait=wait, allowed=WANTED):
            self._handle(update)
            self._offset = max(self._offset, update.update_id + 1)

    def _fail(self, error: TelegramError) -> None:
        """Logs a failure unless it is known; that Telegram is down is the supervisor's warning."""
        if isinstance(error, Conflict):
            if self._conflict_at is None:
                log.error("polling.conflict reason=%s", CONFLICT)
            self._conflict_at, self.problem = self._clock.time(), CONFLICT
            return
        reason = format_error(error)
        if not self.problem:
            log.info("polling.failed reason=%s", reason)
        self.problem = reason

    def _succeed(self) -> None:
        if self._conflict_at is not None and self._clock.time() < self._conflict_at + CONFLICT_OVER_SECONDS:
            return  # polls succeed between two conflicts
        if self.problem:
            log.info("polling.recovered")
        self._conflict_at, self.problem = None, ""
