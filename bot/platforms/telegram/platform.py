"""Telegram, as a platform: connects, takes what people do, and answers.

The parts: `telegram_sources` (updates come in), `telegram_updates` (what is asked), `telegram_requests` (it is done, or
turned away), `telegram_lanes` (whose turn it is), `telegram_delivery` (the answer goes out), `telegram_text` (as
Telegram takes it), `telegram_limits` (no faster than allowed), `telegram_menu` (the list of commands),
`telegram_connection` (the library's bot).
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from telegram.error import InvalidToken, TelegramError
from telegram.ext import ExtBot

from bot.config.schema import TelegramSection
from bot.core.commands import Commands
from bot.platforms.base import BadToken
from bot.platforms.telegram.bot_client import is_refusal, new_bot, told
from bot.platforms.telegram.callback_signature import Seals
from bot.platforms.telegram.command_menu import set_menu
from bot.platforms.telegram.dispatcher import Requests
from bot.platforms.telegram.queues import Lanes
from bot.platforms.telegram.rate_limit import ALLOWED, ChatRateLimiter, Limits
from bot.platforms.telegram.receivers import Source, new_source
from bot.platforms.telegram.sender import Delivery
from bot.platforms.telegram.updates import PLATFORM, Reception

REFUSED: Final = "Telegram refuses the token: copy it again from @BotFather into [telegram] token"
NOT_TELEGRAM: Final = "what answers is not the Bot API: look at [telegram] api_url"
log = logging.getLogger(__name__)


class Unreachable(Exception):
    """Telegram cannot be reached, or does not do what it should: worth trying again."""


class Telegram:
    """The adapter; see `bot.platforms.Platform`. `limits` says how fast it may send."""

    name = PLATFORM

    def __init__(self, settings: TelegramSection, commands: Commands, *, limits: Limits = ALLOWED) -> None:
        self._settings = settings
        self._commands = commands
        self._limits = limits
        self._lanes: Lanes | None = None
        self._source: Source | None = None
        self._listening: asyncio.Task[None] | None = None

    @property
    def connected(self) -> bool:
        """Whether it takes what people type at this moment."""
        return self._source is not None and self._source.connected

    async def serve(self) -> None:
        """Connects and serves until cancelled. Raises `BadToken`, or `Unreachable` when it makes sense to try again.

        `OSError`: the webhook's port cannot be had.
        """
        token, limiter = self._settings.token.reveal(), ChatRateLimiter(self._limits)
        try:
            async with new_bot(self._settings, limiter) as bot:
                log.info("connected to Telegram as @%s", bot.username)
                await self._set_menu(bot)
                await self._listen(bot, limiter)
        except InvalidToken as error:
            if is_refusal(error):
                raise BadToken(REFUSED) from None  # the library's own words have the token in them
            raise Unreachable(NOT_TELEGRAM) from None
        except TelegramError as error:
            raise Unreachable(told(error, token)) from None

    async def drain(self) -> None:
        """Returns when every update that was taken has been answered.

        Those that come while others are still being answered are taken too; after that, what people type waits at
        Telegram for the next start.
        """
        if self._lanes is None or self._listening is None:
            return
        await self._lanes.settled()
        self._listening.cancel()
        await asyncio.wait({self._listening})
        await self._lanes.settled()

    async def _set_menu(self, bot: ExtBot[None]) -> None:
        try:
            await set_menu(bot)
        except InvalidToken:
            raise
        except TelegramError as error:  # the commands work without a list of them
            log.warning("the list of commands stays as it was: %s", told(error, bot.token))

    async def _moved(self, old: int, new: int) -> None:
        await self._commands.moved(PLATFORM, str(old), str(new))

    async def _listen(self, bot: ExtBot[None], limiter: ChatRateLimiter) -> None:
        """Takes and answers updates. When `drain` has ended the listening, it waits to be cancelled."""
        refused = asyncio.get_running_loop().create_future()
        async with Lanes() as lanes:
            requests = Requests(
                lanes,
                token=bot.token,
                limiter=limiter,
                on_failure=lambda: self._commands.undelivered(PLATFORM),
                on_refused=lambda: _refuse(refused),
            )
            seals = Seals(bot.token)
            delivery = Delivery(bot, self._moved, seals)
            reception = Reception(self._commands, delivery, requests, seals, username=bot.username)
            source = new_source(bot, reception.take, self._settings)
            listening = asyncio.create_task(source.run())
            self._lanes, self._source, self._listening = lanes, source, listening
            try:
                await asyncio.wait({listening, refused}, return_when=asyncio.FIRST_COMPLETED)
                if listening.cancelled():
                    self._source = None
                    await refused
                await (refused if refused.done() else listening)
            finally:
                self._source = self._listening = self._lanes = None
                listening.cancel()
                await asyncio.wait({listening})


def _refuse(refused: asyncio.Future[None]) -> None:
    if not refused.done():
        refused.set_exception(InvalidToken())
