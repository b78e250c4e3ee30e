"""Updates by long polling or by webhook. TLS in front of the webhook's port is the operator's part."""

from __future__ import annotations

import hmac
import logging
import secrets
import time
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

from aiohttp import web
from telegram.error import Conflict, InvalidToken

from bot.config.schema import TelegramSection
from bot.core.clock import Clock
from bot.http_server import listening
from bot.logs import format_error
from bot.platforms.telegram.bot_client import POLL_SECONDS, BotClient
from bot.platforms.telegram.rate_limit import retry_pause
from bot.platforms.telegram.updates import WANTED
from generator.backoff import Backoff

CONFLICT_BACKOFF: Final = Backoff(first=20.0, longest=40.0)
"""While another process polls with the same token: each poll ends the other's, so both must poll rarely."""
CONFLICT_OVER_SECONDS: Final = 120.0
"""Without another conflict, which is more than both pauses together: then the other process is gone."""
CONFLICT: Final = "another process uses this token (409 Conflict); stop it, or give this one the token of another bot"
SECRET_HEADER: Final = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - the header's name
"""https://core.telegram.org/bots/api#setwebhook"""
CHECK_SECONDS: Final = 60.0
"""Between two health checks of the webhook."""
Handler = Callable[[dict[str, Any]], None]
log = logging.getLogger(__name__)


class Polling:
    """Requests updates in a loop. The library's `Updater` does too, but does not report a revoked token."""

    def __init__(self, bot: BotClient, handle: Handler, clock: Clock) -> None:
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
                pause = retry_pause(error, failures)
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


class Webhook:
    """An HTTP server that is registered with setWebhook; getWebhookInfo tells whether it still is."""

    def __init__(self, bot: BotClient, handle: Handler, clock: Clock, settings: TelegramSection) -> None:
        self._bot = bot
        self._handle = handle
        self._clock = clock
        self._settings = settings
        # Without a secret, anyone who finds the port could send updates in any user's name.
        self._secret = settings.webhook_secret.reveal() or secrets.token_urlsafe(32)
        self._last_update_at = 0.0
        self.problem = "not registered"
        """Why no updates arrive; empty when they do."""

    async def run(self) -> None:
        """Receives until cancelled. Raises `CannotListen`, and what the first setWebhook raises."""
        app = web.Application()  # takes at most 1 MiB; Telegram's updates are a few kilobytes
        app.router.add_post(urlsplit(self._settings.webhook_url).path or "/", self._receive)
        async with listening(app, self._settings.webhook_host, self._settings.webhook_port):
            await self._register()
            self.problem = ""
            while True:
                await self._clock.sleep(CHECK_SECONDS)
                problem = await self._check()
                if problem and problem != self.problem:
                    log.error("webhook.failed reason=%s", problem)
                self.problem = problem

    async def _register(self) -> None:
        await self._bot.set_webhook(self._settings.webhook_url, secret_token=self._secret, allowed_updates=WANTED)

    async def _check(self) -> str:
        """Returns why updates do not arrive, or nothing. A webhook that was replaced is registered again."""
        try:
            info = await self._bot.get_webhook_info()
            if info.url != self._settings.webhook_url:
                await self._register()
                return "another process removed or replaced the webhook; it is registered again"
        except InvalidToken:
            raise
        except Exception as error:  # noqa: BLE001 - the next answer may be one that the library can read
            return format_error(error)
        failed_at = info.last_error_date.timestamp() if info.last_error_date is not None else 0.0
        if info.pending_update_count and failed_at > self._last_update_at:
            return f"Telegram cannot deliver updates: {info.last_error_message}"
        return ""

    async def _receive(self, request: web.Request) -> web.Response:
        """Handles an update. The response comes at once; Telegram would take a text's time for a failure."""
        secret = request.headers.get(SECRET_HEADER, "")
        # Bytes, because `compare_digest` accepts only ASCII text, and a header may hold any.
        if not hmac.compare_digest(secret.encode("utf-8", "surrogateescape"), self._secret.encode()):
            return web.Response(status=403)
        try:
            self._handle(await request.json())
        except web.HTTPException:
            raise
        except Exception:  # noqa: BLE001 - it ends too soon, say, or it is no update
            return web.Response(status=400)
        self._last_update_at = time.time()
        return web.Response()
