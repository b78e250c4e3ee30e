"""Inline mode: `@bot 0.7 prompt`, typed in any chat.

It needs two settings that only @BotFather has: /setinline, and /setinlinefeedback at 100 %. Telegram sends a query at
every pause in the typing, so the result is a placeholder that costs nothing. The text is written when the user chooses
the result, which the feedback reports, and replaces the placeholder.
"""

from __future__ import annotations

import logging
from typing import Final

from telegram import (
    ChosenInlineResult,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InlineQuery,
    InlineQueryResultArticle,
    InputTextMessageContent,
)

from bot.core import messages
from bot.core.ask import Where
from bot.core.commands import Commands, parse
from bot.core.reply import Reply
from bot.platforms.telegram.dispatcher import Request
from bot.platforms.telegram.render import MAX_ALERT
from bot.platforms.telegram.sender import NO_PREVIEW, PLATFORM, Sender
from bot.platforms.text import shorten

INLINE: Final = "inline"
"""The chat of every inline message for the store: Telegram does not say which one it is in."""
COMMAND: Final = "nietzsche"
WAIT: Final = "…"
"""The data of a placeholder's button; an `Action.data` is ASCII, so it is no action. Without a keyboard the chosen
message has no identifier and cannot be edited (https://core.telegram.org/bots/api#choseninlineresult)."""
log = logging.getLogger(__name__)


def inline_where(user: str, locale: str | None) -> Where:
    """Returns the place of a user's inline messages. Each user has a separate queue."""
    return Where(PLATFORM, INLINE, user, locale or "", queue=f"{INLINE}/{user}")


class InlineHandler:
    """Makes requests of inline queries and of chosen results."""

    def __init__(self, commands: Commands, sender: Sender) -> None:
        self._commands = commands
        self._sender = sender
        self._latest: dict[int, InlineQuery] = {}
        """Of each user, the query that waits to be answered. A newer one takes its place."""

    def query(self, query: InlineQuery) -> Request | None:
        """Returns the request to answer what the user is typing; `None` if one that waits will do that."""
        user = query.from_user.id
        waiting = user in self._latest
        self._latest[user] = query
        # Counted apart from what the user asks for: typing must not fill their queue.
        return None if waiting else Request(("typing", user), INLINE, lambda: self._answer(user))

    def chosen(self, chosen: ChosenInlineResult) -> Request | None:
        """Returns the request to write the text of a chosen result."""
        message, user = chosen.inline_message_id, str(chosen.from_user.id)
        if message is None:
            log.warning("inline.no_identifier: the message stays as it is; /setinlinefeedback may be off")
            return None
        ask, where = parse(COMMAND, chosen.query.strip()), inline_where(user, chosen.from_user.language_code)

        async def write() -> None:
            await self._sender.edit_inline(message, await self._commands.handle(ask, where))

        async def refuse(reason: str) -> None:
            await self._sender.edit_inline(message, Reply.refusal(reason))

        return Request(user, INLINE, write, refuse=refuse)

    async def _answer(self, user: int) -> None:
        """Offers the placeholder for what the user typed last."""
        query = self._latest.pop(user)
        typed = messages.printable(query.query.strip()).strip()
        article = InlineQueryResultArticle(
            id=COMMAND,
            title=messages.INLINE_TITLE,
            description=shorten(typed, MAX_ALERT) or messages.INLINE_HINT,
            input_message_content=InputTextMessageContent(messages.INLINE_PLACEHOLDER, link_preview_options=NO_PREVIEW),
            reply_markup=InlineKeyboardMarkup.from_button(InlineKeyboardButton(WAIT, callback_data=WAIT)),
        )
        await self._sender.answer_inline(query, article)
