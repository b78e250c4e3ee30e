"""The life cycle of the Telegram adapter: connect, receive updates, answer them, drain."""

from __future__ import annotations

import asyncio
import itertools
import logging
from functools import partial
from typing import Final

from telegram import Bot, BotCommand, BotCommandScopeAllGroupChats, BotCommandScopeAllPrivateChats
from telegram.error import InvalidToken, TelegramError

from bot.config.schema import TelegramSection
from bot.core.clock import MONOTONIC, Clock
from bot.core.commands import Commands, user_commands
from bot.logs import format_error
from bot.platforms.base import BadToken
from bot.platforms.telegram.bot_client import BotClient, new_bot
from bot.platforms.telegram.dispatcher import Dispatcher
from bot.platforms.telegram.rate_limit import ALLOWED, Limits, RateLimiter
from bot.platforms.telegram.receivers import Polling, Webhook
from bot.platforms.telegram.sender import PLATFORM, Sender
from bot.platforms.telegram.updates import UpdateHandler

REJECTED: Final = "Telegram refuses the token: copy it again from @BotFather into [telegram] token"
SCOPES: Final = (BotCommandScopeAllPrivateChats(), BotCommandScopeAllGroupChats())
PORTUGUESE: Final = "pt"
"""Two letters (ISO 639-1, https://core.telegram.org/bots/api#setmycommands): there is no "pt-BR"."""
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
        """Connects and serves until cancelled, also after `drain` has ended the receiving.

        Raises `BadToken`, `CannotListen`, or `ConnectionError` if another attempt makes sense.
        """
        try:
            async with new_bot(self._settings) as bot:
                log.info("telegram.logged_in user=@%s", bot.username)
                await set_menu(bot)
                await self._receive(bot)
        except InvalidToken:
            raise BadToken(REJECTED) from None  # the library's own words have the token in them
        except TelegramError as error:
            raise ConnectionError(format_error(error)) from None

    async def _receive(self, bot: BotClient) -> None:
        limiter = RateLimiter(self._limits, self._clock)
        sender = Sender(bot, limiter, self._commands.moved, self._clock)
        try:
            async with asyncio.TaskGroup() as group:
                self._dispatcher = Dispatcher(
                    group, limiter, partial(self._commands.undelivered, PLATFORM), self._clock
                )
                handle = UpdateHandler(self._commands, sender, self._dispatcher).handle
                if self._settings.webhook_url:
                    self._receiver = Webhook(bot, handle, self._clock, self._settings)
                else:
                    self._receiver = Polling(bot, handle, self._clock)
                self._receiving = group.create_task(self._receiver.run())
                await asyncio.Event().wait()
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        finally:
            self._receiver = self._receiving = self._dispatcher = None

    async def drain(self) -> None:
        """Returns when every update that was received has been answered.

        Updates that arrive while others are being answered are answered too; later ones stay at Telegram for the next
        start.
        """
        dispatcher, receiving = self._dispatcher, self._receiving
        if dispatcher is not None and receiving is not None:
            await dispatcher.join()
            receiving.cancel()
            await asyncio.wait({receiving})
            self._receiver = None
            await dispatcher.join()


async def set_menu(bot: Bot) -> None:
    """Registers the commands for each kind of chat and each language, where Telegram does not have them yet.

    Operators' commands are in no menu. The commands work without one, so this raises nothing but `InvalidToken`.
    """
    try:
        for scope, language in itertools.product(SCOPES, ("", PORTUGUESE)):
            wanted = tuple(
                BotCommand(name, spec.portuguese if language else spec.purpose)
                for name, spec in user_commands().items()
                if name != "start" or scope is SCOPES[0]  # Telegram's own button in a new private chat
            )
            if await bot.get_my_commands(scope, language) != wanted:
                await bot.set_my_commands(wanted, scope, language)
                log.info("menu.set scope=%s language=%s", scope.type, language or "en")
    except InvalidToken:
        raise
    except Exception as error:  # noqa: BLE001 - an answer that the library cannot read raises anything
        log.warning("menu.failed reason=%s", format_error(error))
