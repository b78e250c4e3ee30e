"""Updates by webhook: requests of Telegram's to a small HTTP server. TLS in front of it is the operator's part."""

from __future__ import annotations

import hmac
import logging
import secrets
import time
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

from aiohttp import web
from telegram.error import InvalidToken

from bot.config.schema import TelegramSection
from bot.core.clock import Clock
from bot.logs import format_error
from bot.net.http_server import listening
from bot.platforms.telegram.bot_client import BotClient
from bot.platforms.telegram.updates import WANTED

SECRET_HEADER: Final = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - the header's name
"""https://core.telegram.org/bots/api#setwebhook"""
CHECK_SECONDS: Final = 60.0
"""Between two health checks of the webhook."""
log = logging.getLogger(__name__)


class Webhook:
    """An HTTP server that is registered with setWebhook; getWebhookInfo tells whether it still is."""

    def __init__(
        self, bot: BotClient, handle: Callable[[dict[str, Any]], None], clock: Clock, settings: TelegramSection
    ) -> None:
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
        settings = self._settings
        app = web.Application()  # updates of at most 1 MiB; Telegram's are a few kilobytes
        app.router.add_post(urlsplit(settings.webhook_url).path or "/", self._receive)
        async with listening(app, settings.webhook_host, settings.webhook_port):
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
