"""The list of commands that Telegram shows when somebody types a slash."""

from __future__ import annotations

import logging
from typing import Final

from telegram import Bot, BotCommand, BotCommandScopeAllGroupChats, BotCommandScopeAllPrivateChats
from telegram.constants import BotCommandLimit

from bot.core.commands import user_commands
from bot.platforms.text import shorten

SCOPES: Final = (BotCommandScopeAllPrivateChats(), BotCommandScopeAllGroupChats())
PORTUGUESE: Final = "pt"
"""Two letters (ISO 639-1, https://core.telegram.org/bots/api#setmycommands): there is no "pt-BR"."""
MAX_PURPOSE: Final = int(BotCommandLimit.MAX_DESCRIPTION)
"""256 characters."""
_PRIVATE_ONLY: Final = frozenset({"start"})
"""Telegram's own button for a new private chat; in a group it greets nobody."""
log = logging.getLogger(__name__)


async def set_menu(bot: Bot) -> None:
    """Tells Telegram the commands for each kind of chat and each language, where it does not know them so already.

    Operators' commands are in no menu. Raises `TelegramError`.
    """
    for scope in SCOPES:
        for language in ("", PORTUGUESE):
            wanted = _commands(private=scope.type == SCOPES[0].type, portuguese=bool(language))
            if await bot.get_my_commands(scope, language) != wanted:
                await bot.set_my_commands(wanted, scope, language)
                log.info("commands set for %s in %s", scope.type, language or "English")


def _commands(*, private: bool, portuguese: bool) -> tuple[BotCommand, ...]:
    return tuple(
        BotCommand(name, shorten(spec.portuguese if portuguese else spec.purpose, MAX_PURPOSE))
        for name, spec in user_commands().items()
        if private or name not in _PRIVATE_ONLY
    )
