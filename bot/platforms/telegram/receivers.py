"""Where updates come from: long polling, or Telegram's own requests to a webhook."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import random
import secrets
from collections.abc import Awaitable, Callable
from datetime import timedelta
from http import HTTPStatus
from typing import Final, Protocol
from urllib.parse import urlsplit

from aiohttp import web
from telegram import Bot, Update
from telegram.error import InvalidToken, RetryAfter, TelegramError

from bot.config.schema import TelegramSection
from bot.net.http_server import listening
from bot.platforms.telegram.bot_client import POLL_SECONDS, UNREADABLE, is_refusal, readable, told
from bot.platforms.telegram.rate_limit import seconds
from bot.platforms.telegram.updates import WANTED

FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 30.0
"""Seconds between failed polls: doubled each time, with up to as much again at random, never over the longest."""
CONFIRM_SECONDS: Final = 2.0
"""For the last word to Telegram, at the end. Without it a few updates would come again after a restart."""
SECRET_HEADER: Final = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - the header's name
"""https://core.telegram.org/bots/api#setwebhook"""
BODY_SECONDS: Final = 10.0
"""For an update to arrive."""
FINISH_SECONDS: Final = 2.0
"""For answers under way when the listening ends."""
MAX_UPDATE_BYTES: Final = 1 << 20
"""Telegram's updates are a few kilobytes."""
Take = Callable[[Update], None]
log = logging.getLogger(__name__)


class Source(Protocol):
    """Hands on updates until cancelled."""

    @property
    def connected(self) -> bool:
        """Whether updates arrive at this moment, as far as anybody can tell."""

    async def run(self) -> None:
        """Raises `InvalidToken`, and before the first update may come anything that trying again later may cure."""


class Polling:
    """Asks for updates again and again. The library's `Updater` does too, but tells nobody of a revoked token."""

    def __init__(self, bot: Bot, take: Take) -> None:
        self._bot = bot
        self._take = take
        self._offset = 0
        self._confirmed = 0
        self._trouble = ""

    @property
    def connected(self) -> bool:
        """See `Source`."""
        return not self._trouble

    async def run(self) -> None:
        """See `Source`. What the network does is logged when it changes, and waited for."""
        await self._bot.delete_webhook()  # a webhook of an earlier run would answer every poll with 409
        pause = FIRST_PAUSE
        try:
            while True:
                try:
                    await self._poll()
                except RetryAfter as error:
                    await asyncio.sleep(seconds(error.retry_after))
                except TelegramError as error:
                    if isinstance(error, InvalidToken) and is_refusal(error):
                        raise
                    self._tell(told(error, self._bot.token))
                    await asyncio.sleep(min(LONGEST_PAUSE, pause * random.uniform(1.0, 2.0)))  # noqa: S311
                    pause = min(LONGEST_PAUSE, 2 * pause)
                else:
                    self._tell("")
                    pause = FIRST_PAUSE
        finally:
            await self._confirm()

    async def _poll(self) -> None:
        offset = self._offset
        # No `timeout` for the first one after trouble: it would say only in half a minute that all is well.
        wait = timedelta(seconds=0 if self._trouble else POLL_SECONDS)
        updates = await self._bot.get_updates(offset=offset, timeout=wait, allowed_updates=WANTED)
        self._confirmed = offset
        for update in sorted(updates, key=lambda update: update.update_id):  # what comes again may come out of order
            self._take(update)
            self._offset = max(self._offset, update.update_id + 1)

    async def _confirm(self) -> None:
        """Tells Telegram which updates were taken; a poll that was cut short may not have."""
        if self._offset == self._confirmed:
            return
        try:
            async with asyncio.timeout(CONFIRM_SECONDS):
                await self._bot.get_updates(offset=self._offset, limit=1, timeout=timedelta(0))
        except (TimeoutError, TelegramError) as error:
            log.info("the last updates may come again after a restart: %s", told(error, self._bot.token))

    def _tell(self, trouble: str) -> None:
        """Logs why, when that changes; that it is so is the supervisor's to warn of."""
        if trouble and not self._trouble:
            log.info("no updates from Telegram, trying again: %s", trouble)
        elif self._trouble and not trouble:
            log.info("updates from Telegram arrive again")
        self._trouble = trouble


class Webhook:
    """A small HTTP server that Telegram sends updates to. What stands before it (TLS) is the operator's."""

    def __init__(self, bot: Bot, take: Take, settings: TelegramSection) -> None:
        self._bot = bot
        self._take = take
        self._settings = settings
        # Without a secret anybody who finds the port could speak for anybody.
        self._secret = settings.webhook_secret.reveal() or secrets.token_urlsafe(32)
        self._open = False

    @property
    def connected(self) -> bool:
        """See `Source`."""
        return self._open

    async def run(self) -> None:
        """See `Source`. Raises `OSError` when the port is taken."""
        url, settings = self._settings.webhook_url, self._settings
        app = web.Application(client_max_size=MAX_UPDATE_BYTES)
        app.router.add_post(urlsplit(url).path or "/", self._receive)
        async with listening(app, settings.webhook_host, settings.webhook_port, drain_seconds=FINISH_SECONDS):
            await self._bot.set_webhook(url, secret_token=self._secret, allowed_updates=WANTED)
            self._open = True
            try:
                await _for_ever()
            finally:
                self._open = False

    async def _receive(self, request: web.Request) -> web.Response:
        """An update. The answer is given at once; Telegram would take the text's time for trouble."""
        said = request.headers.get(SECRET_HEADER, "")
        # Bytes, because `compare_digest` takes no text outside ASCII, and a header may hold any.
        if not hmac.compare_digest(said.encode("utf-8", "surrogateescape"), self._secret.encode()):
            return web.Response(status=HTTPStatus.FORBIDDEN)
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await request.read()
        except TimeoutError:
            return web.Response(status=HTTPStatus.REQUEST_TIMEOUT)
        except (web.RequestPayloadError, ConnectionError):  # its encoding is not what it says, or it ends too soon
            return web.Response(status=HTTPStatus.BAD_REQUEST)
        try:
            content = json.loads(body)
            if not isinstance(content["update_id"], int):
                raise TypeError
        except UNREADABLE:
            return web.Response(status=HTTPStatus.BAD_REQUEST)
        try:
            update = Update.de_json(content, self._bot)
        except UNREADABLE:  # refused, it would come again and again
            update = Update.de_json(readable(content), self._bot)
        self._take(update)
        return web.Response()


def new_source(bot: Bot, take: Take, settings: TelegramSection) -> Source:
    """A webhook when the configuration has an address for one, long polling otherwise."""
    return Webhook(bot, take, settings) if settings.webhook_url else Polling(bot, take)


def _for_ever() -> Awaitable[None]:
    """Ends only by cancellation."""
    return asyncio.get_running_loop().create_future()
