"""Updates by webhook: requests of Telegram's to a small HTTP server. TLS in front of it is the operator's part."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import secrets
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web
from telegram import Update
from telegram.error import TelegramError

from bot.config.schema import TelegramSection
from bot.core.clock import MONOTONIC, Clock
from bot.logs import format_error
from bot.net.http_server import listening
from bot.platforms.telegram.bot_client import UNREADABLE, BotClient, is_token_rejected
from bot.platforms.telegram.updates import WANTED

SECRET_HEADER: Final = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - the header's name
"""https://core.telegram.org/bots/api#setwebhook"""
BODY_SECONDS: Final = 10.0
"""For an update to arrive."""
MAX_UPDATE_BYTES: Final = 1 << 20
"""Telegram's updates are a few kilobytes."""
CHECK_SECONDS: Final = 60.0
"""Between two health checks of the webhook."""
Handler = Callable[[Update], None]
log = logging.getLogger(__name__)


class Webhook:
    """An HTTP server that is registered with setWebhook; getWebhookInfo tells whether it still is."""

    def __init__(self, bot: BotClient, handle: Handler, settings: TelegramSection, *, clock: Clock = MONOTONIC) -> None:
        self._bot = bot
        self._handle = handle
        self._settings = settings
        self._clock = clock
        # Without a secret, anyone who finds the port could send updates in any user's name.
        self._secret = settings.webhook_secret.reveal() or secrets.token_urlsafe(32)
        self._last_update_at = 0.0
        self.problem = "not registered"
        """Why no updates arrive; empty when they do."""

    async def run(self) -> None:
        """Receives until cancelled. Raises `OSError` when the port is taken, and what the first setWebhook raises."""
        settings = self._settings
        app = web.Application(client_max_size=MAX_UPDATE_BYTES)
        app.router.add_post(urlsplit(settings.webhook_url).path or "/", self._receive)
        async with listening(app, settings.webhook_host, settings.webhook_port):
            await self._register()
            self.problem = ""
            while True:
                await self._clock.sleep(CHECK_SECONDS)
                self._set_problem(await self._check())

    async def _register(self) -> None:
        await self._bot.set_webhook(self._settings.webhook_url, secret_token=self._secret, allowed_updates=WANTED)

    async def _check(self) -> str:
        """Returns why updates do not arrive, or nothing. A webhook that was replaced is registered again."""
        try:
            info = await self._bot.get_webhook_info()
            if info.url != self._settings.webhook_url:
                await self._register()
                return "another process removed or replaced the webhook; it is registered again"
        except (TelegramError, *UNREADABLE) as error:
            if is_token_rejected(error):
                raise
            return format_error(error)
        failed_at = info.last_error_date.timestamp() if info.last_error_date is not None else 0.0
        if info.pending_update_count and failed_at > self._last_update_at:
            return f"Telegram cannot deliver updates: {info.last_error_message}"
        return ""

    def _set_problem(self, problem: str) -> None:
        if problem and problem != self.problem:
            log.error("webhook.failed reason=%s", problem)
        elif self.problem and not problem:
            log.info("webhook.recovered")
        self.problem = problem

    async def _receive(self, request: web.Request) -> web.Response:
        """Handles an update. The response comes at once; Telegram would take a text's time for a failure."""
        secret = request.headers.get(SECRET_HEADER, "")
        # Bytes, because `compare_digest` accepts only ASCII text, and a header may hold any.
        if not hmac.compare_digest(secret.encode("utf-8", "surrogateescape"), self._secret.encode()):
            return web.Response(status=HTTPStatus.FORBIDDEN)
        try:
            async with asyncio.timeout(BODY_SECONDS):
                update = self._bot.parse_update(json.loads(await request.read()))
        except TimeoutError:
            return web.Response(status=HTTPStatus.REQUEST_TIMEOUT)
        # The encoding is not the one it names, it ends too soon, or it is not an update.
        except (web.RequestPayloadError, ConnectionError, *UNREADABLE):
            return web.Response(status=HTTPStatus.BAD_REQUEST)
        self._last_update_at = time.time()
        self._handle(update)
        return web.Response()
