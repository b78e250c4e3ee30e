"""The message in which a text grows. Where there is no room for it within the limits, it waits."""

from __future__ import annotations

from functools import partial
from typing import Any

from telegram import Bot

from bot.platforms.telegram.rate_limit import RateLimiter
from bot.platforms.telegram.render import NO_PREVIEW, Message


class GrowingMessage:
    """Shows the text so far. `number`: the message's in its chat, once it is sent. `options`: of sendMessage."""

    def __init__(self, bot: Bot, limiter: RateLimiter, options: dict[str, Any]) -> None:
        self.number: int | None = None
        self._bot = bot
        self._limiter = limiter
        self._options = options

    async def show(self, message: Message) -> None:
        """Shows a part, unless an answer would wait for it. Raises `TelegramError`."""
        await self._limiter.send_spare(self._options["chat_id"], partial(self._put, message))

    async def _put(self, message: Message) -> None:
        content: dict[str, Any] = message._asdict() | {"link_preview_options": NO_PREVIEW}
        if self.number is None:
            self.number = (await self._bot.send_message(**content, **self._options)).message_id
        else:
            await self._bot.edit_message_text(**content, chat_id=self._options["chat_id"], message_id=self.number)
