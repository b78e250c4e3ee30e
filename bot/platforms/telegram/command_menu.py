"""The list of commands that Telegram shows when a user types a slash."""

from __future__ import annotations

import itertools
import logging
from typing import Final

from telegram import Bot, BotCommand, BotCommandScopeAllGroupChats, BotCommandScopeAllPrivateChats
from telegram.constants import BotCommandLimit

from bot.core.commands import user_commands
from bot.logs import format_error
from bot.platforms.telegram.bot_client import is_token_rejected
from bot.platforms.text import shorten

SCOPES: Final = (BotCommandScopeAllPrivateChats(), BotCommandScopeAllGroupChats())
PORTUGUESE: Final = "pt"
"""Two letters (ISO 639-1, https://core.telegram.org/bots/api#setmycommands): there is no "pt-BR"."""
MAX_PURPOSE: Final = int(BotCommandLimit.MAX_DESCRIPTION)
"""256 characters."""
_PRIVATE_ONLY: Final = frozenset({"start"})
"""Telegram's own button in a new private chat; a group has no use for it."""
log = logging.getLogger(__name__)


async def set_menu(bot: Bot) -> None:
    """Registers the commands for each kind of chat and each language, where Telegram does not have them yet.

    Operators' commands are in no menu. The commands work without one, so this raises nothing but `InvalidToken`.
    """
    try:
        for scope, language in itertools.product(SCOPES, ("", PORTUGUESE)):
            wanted = _commands(private=scope.type == SCOPES[0].type, portuguese=bool(language))
            if await bot.get_my_commands(scope, language) != wanted:
                await bot.set_my_commands(wanted, scope, language)
                log.info("menu.set scope=%s language=%s", scope.type, language or "en")
    except Exception as error:
        if is_token_rejected(error):
            raise
        log.warning("menu.failed reason=%s", format_error(error))


def _commands(*, private: bool, portuguese: bool) -> tuple[BotCommand, ...]:
    return tuple(
        BotCommand(name, shorten(spec.portuguese if portuguese else spec.purpose, MAX_PURPOSE))
        for name, spec in user_commands().items()
        if private or name not in _PRIVATE_ONLY
    )
