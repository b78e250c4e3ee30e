"""A `Reply` as Telegram shows it: plain text in which nothing is a mention, a link or a command, and buttons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from telegram import InlineKeyboardButton, InlineKeyboardMarkup
from telegram.constants import CallbackQueryLimit, MessageLimit

from bot.core.reply import Action, Kind, Reply, with_echoes
from bot.platforms.telegram.sanitize import neutralize

MAX_TEXT: Final = int(MessageLimit.MAX_TEXT_LENGTH)
"""4096 "characters after entities parsing" (https://core.telegram.org/bots/api#sendmessage). TDLib counts code points,
entities and clients count UTF-16 units; the bot counts the latter, which are never fewer."""
MAX_CAPTION: Final = int(MessageLimit.CAPTION_LENGTH)
"""1024, of https://core.telegram.org/bots/api#sendphoto."""
MAX_ALERT: Final = int(CallbackQueryLimit.ANSWER_CALLBACK_QUERY_TEXT_LENGTH)
"""200, of https://core.telegram.org/bots/api#answercallbackquery."""
_BUTTONS_PER_ROW: Final = 2
"""Two labels of one word are readable on a narrow screen; four are not."""


def render(reply: Reply) -> str:
    """Returns the reply as one text, its notice below it."""
    text = neutralize(reply.text) if reply.kind is Kind.TEXT else with_echoes(reply.text, neutralize)
    return f"{text}\n\n({reply.notice})" if reply.notice else text


def keyboard(actions: Sequence[Action]) -> InlineKeyboardMarkup | None:
    """Returns the buttons below a message; `None` without any."""
    buttons = [InlineKeyboardButton(action.label, callback_data=action.data) for action in actions]
    rows = [buttons[at : at + _BUTTONS_PER_ROW] for at in range(0, len(buttons), _BUTTONS_PER_ROW)]
    return InlineKeyboardMarkup(rows) if rows else None
