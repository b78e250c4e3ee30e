"""The life cycle of the Telegram adapter: connect, receive updates, answer them, drain."""

from __future__ import annotations

import asyncio
import functools
import logging
from typing import Final

from telegram.error import InvalidToken, TelegramError

from bot.config.schema import TelegramSection
from bot.core.clock import MONOTONIC, Clock
from bot.core.commands import Commands
from bot.logs import format_error
from bot.platforms.base import BadToken
from bot.platforms.telegram.bot_client import BotClient, is_token_rejected, new_bot
from bot.platforms.telegram.callback_signature import CallbackSigner
from bot.platforms.telegram.command_menu import set_menu
from bot.platforms.telegram.dispatcher import Dispatcher
from bot.platforms.telegram.polling import Polling
from bot.platforms.telegram.rate_limit import ALLOWED, Limits, RateLimiter
from bot.platforms.telegram.sender import PLATFORM, Sender
from bot.platforms.telegram.updates import UpdateHandler
from bot.platforms.telegram.webhook import Webhook

REJECTED: Final = "Telegram refuses the token: copy it again from @BotFather into [telegram] token"
NOT_TELEGRAM: Final = "what answers is not the Bot API: look at [telegram] api_url"
log = logging.getLogger(__name__)


class Telegram:
    """The adapter; see `bot.platforms.base.Platform`. `limits` says how fast it may send."""

    name = PLATFORM

    def __init__(
        self, settings: TelegramSection, commands: Commands, *, limits: Limits = ALLOWED, clock: Clock = MONOTONIC
    ) -> None:
        self._settings = settings
        self._commands = commands
        self._limits = limits
        self._clock = clock
        self._dispatcher: Dispatcher | None = None
        self._receiver: Polling | Webhook | None = None
        self._receiving: asyncio.Task[None] | None = None

    @property
    def connected(self) -> bool:
        """Whether updates arrive at this moment."""
        return self._receiver is not None and not self._receiver.problem

    @property
    def problem(self) -> str:
        """Why no updates arrive although the bot is logged in; empty otherwise."""
        return self._receiver.problem if self._receiver is not None else ""

    async def serve(self) -> None:
        """Connects and serves until cancelled. Raises `BadToken`, or `ConnectionError` if another attempt makes sense.

        `OSError`: the webhook's port is taken.
        """
        try:
            async with new_bot(self._settings) as bot:
                log.info("telegram.logged_in user=@%s", bot.username)
                await set_menu(bot)
                await self._receive(bot)
        except InvalidToken as error:
            if is_token_rejected(error):
                raise BadToken(REJECTED) from None  # the library's own words have the token in them
            raise ConnectionError(NOT_TELEGRAM) from None
        except TelegramError as error:
            raise ConnectionError(format_error(error)) from None

    async def drain(self) -> None:
        """Returns when every update that was received has been answered.

        Updates that arrive while others are being answered are answered too; later ones stay at Telegram for the next
        start.
        """
        dispatcher, receiving = self._dispatcher, self._receiving
        if dispatcher is None or receiving is None:
            return
        await dispatcher.join()
        receiving.cancel()
        await asyncio.wait({receiving})
        self._receiver = None
        await dispatcher.join()

    async def _receive(self, bot: BotClient) -> None:
        """Receives and answers updates until cancelled, also after `drain` has ended the receiving."""
        limiter, signer = RateLimiter(self._limits, self._clock), CallbackSigner(bot.token)
        try:
            async with asyncio.TaskGroup() as group:
                on_failure = functools.partial(self._commands.undelivered, PLATFORM)
                dispatcher = Dispatcher(group, limiter, on_failure, self._clock)
                sender = Sender(bot, limiter, signer, self._commands.moved, self._clock)
                handler = UpdateHandler(self._commands, sender, dispatcher, bot.username)
                self._dispatcher, self._receiver = dispatcher, self._new_receiver(bot, handler)
                self._receiving = group.create_task(self._receiver.run())
                await asyncio.Event().wait()
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        finally:
            self._receiver = self._receiving = self._dispatcher = None

    def _new_receiver(self, bot: BotClient, handler: UpdateHandler) -> Polling | Webhook:
        """A webhook if the configuration has an address for one, else long polling."""
        if self._settings.webhook_url:
            return Webhook(bot, handler.handle, self._settings, clock=self._clock)
        return Polling(bot, handler.handle, clock=self._clock)
