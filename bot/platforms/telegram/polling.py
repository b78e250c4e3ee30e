"""Updates by long polling."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

from telegram.error import Conflict, InvalidToken, RetryAfter

from bot.core.clock import Clock
from bot.logs import format_error
from bot.platforms.telegram.bot_client import POLL_SECONDS, BotClient
from bot.platforms.telegram.rate_limit import seconds
from bot.platforms.telegram.updates import WANTED
from generator.backoff import Backoff

BACKOFF: Final = Backoff(first=1.0, longest=30.0)
"""Between failed polls."""
CONFLICT_BACKOFF: Final = Backoff(first=20.0, longest=40.0)
"""While another process polls with the same token: each poll ends the other's, so both must poll rarely."""
CONFLICT_OVER_SECONDS: Final = 120.0
"""Without another conflict, which is more than both pauses together: then the other process is gone."""
CONFLICT: Final = "another process uses this token (409 Conflict); stop it, or give this one the token of another bot"
log = logging.getLogger(__name__)


class Polling:
    """Requests updates in a loop. The library's `Updater` does too, but does not report a revoked token."""

    def __init__(self, bot: BotClient, handle: Callable[[dict[str, Any]], None], clock: Clock) -> None:
        self._bot = bot
        self._handle = handle
        self._clock = clock
        self.problem = ""
        """Why no updates arrive; empty when they do."""

    async def run(self) -> None:
        """Receives until cancelled, and retries with backoff. Raises `InvalidToken`."""
        await self._bot.delete_webhook()  # a webhook of an earlier run would make every poll fail with 409
        offset = failures = 0
        conflict_until = 0.0
        while True:
            # After another failure the first poll returns at once, to learn that all is well again.
            wait = 0 if failures and self.problem != CONFLICT else POLL_SECONDS
            try:
                for update in await self._bot.updates(offset=offset, wait=wait, allowed=WANTED):
                    self._handle(update)
                    offset = max(offset, update["update_id"] + 1)
            except InvalidToken:
                raise
            except Exception as error:  # noqa: BLE001 - the next answer may be one that the library can read
                failures += 1
                pause = BACKOFF.pause(failures)
                if isinstance(error, RetryAfter):
                    pause = seconds(error.retry_after)
                if isinstance(error, Conflict):
                    pause = CONFLICT_BACKOFF.pause(failures)
                    conflict_until = self._clock.time() + CONFLICT_OVER_SECONDS
                    if self.problem != CONFLICT:
                        log.error("polling.conflict reason=%s", CONFLICT)
                self.problem = CONFLICT if self._clock.time() < conflict_until else format_error(error)
                await self._clock.sleep(pause)
            else:
                failures = 0
                if self._clock.time() >= conflict_until:  # polls succeed between two conflicts
                    self.problem = ""
