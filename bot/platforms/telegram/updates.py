"""Updates as requests: what a message, an edited message or a pressed button asks for, and how it is answered."""

from __future__ import annotations

import asyncio
import functools
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from telegram import CallbackQuery, MaybeInaccessibleMessage, Message, Update
from telegram.constants import ChatType

from bot.core import buttons, messages
from bot.core.ask import Ask, Where
from bot.core.commands import Commands, parse
from bot.core.parsing import Line, parse_line
from bot.core.reply import Kind, Reply
from bot.platforms.dedup import RecentKeys
from bot.platforms.telegram.dispatcher import Dispatcher, Request
from bot.platforms.telegram.inline import WAIT, InlineHandler, inline_where
from bot.platforms.telegram.render import MAX_ALERT, render, verify
from bot.platforms.telegram.sender import BUSY_AFTER_SECONDS, PLATFORM, Place, Sender
from bot.platforms.text import utf16_length

WANTED: Final = (
    Update.MESSAGE,
    Update.EDITED_MESSAGE,
    Update.CALLBACK_QUERY,
    Update.INLINE_QUERY,
    Update.CHOSEN_INLINE_RESULT,
)
"""The kinds of updates that the bot requests."""
_GROUP: Final = re.compile(r"-[0-9]{1,20}")
_ADDRESSEE: Final = re.compile(r"/[^\s@]*@(\S+)")
log = logging.getLogger(__name__)


class UpdateHandler:
    """Turns updates into requests for the dispatcher."""

    def __init__(self, commands: Commands, sender: Sender, dispatcher: Dispatcher) -> None:
        self._commands = commands
        self._sender = sender
        self._dispatcher = dispatcher
        self._inline = InlineHandler(commands, sender)
        self._seen = RecentKeys()
        self._refused = RecentKeys()
        """Messages that were refused: their chat and number. They may be corrected by editing; an answer stands."""

    def handle(self, content: dict[str, Any]) -> None:
        """Submits what an update asks for; returns at once. An update that came before is ignored.

        So is one that the library cannot read (of a newer Bot API, say). Raises `TypeError`, `ValueError`, `KeyError`
        or `OverflowError` if it has not even a number.
        """
        update_id = int(content["update_id"])
        if not self._seen.add(update_id):
            return
        try:
            request = self._request(Update.de_json(content, self._sender.bot))
            if request is not None:
                self._dispatcher.submit(request)
        except Exception as error:  # noqa: BLE001 - or Telegram would deliver it again and again, and nothing after it
            log.warning("update.malformed id=%d error=%s", update_id, type(error).__name__)

    def _request(self, update: Update) -> Request | None:
        if (message := update.message or update.edited_message) is not None:
            was_refused = self._refused.discard((message.chat.id, message.message_id))
            return self._message(message) if update.message is not None or was_refused else None
        if update.callback_query is not None:
            return self._press(update.callback_query)
        if update.chosen_inline_result is not None:
            return self._inline.chosen(update.chosen_inline_result)
        if update.inline_query is not None:
            return self._inline.query(update.inline_query)
        return None

    def _message(self, message: Message) -> Request | None:
        # Telegram reports in both chats that a group became a supergroup.
        old, new = message.migrate_from_chat_id or message.chat.id, message.migrate_to_chat_id or message.chat.id
        if old != new:
            moved = functools.partial(self._commands.moved, PLATFORM, str(old), str(new))
            return Request(("moved", old), old, moved)
        user = _sender(message)
        if user is None or not message.text:
            return None
        place, line = _place(message), parse_line(message.text)
        if line is None and place.private:
            hint = messages.no_command(message.text, self._commands.known_to(PLATFORM, user))
            work = functools.partial(self._send, place, Reply.refusal(hint))
        elif line is not None and self._is_addressed(message.text, line, place, user):
            locale = message.from_user.language_code if message.from_user is not None else None
            where = Where(PLATFORM, place.key, user, locale or "")
            work = functools.partial(self._command, parse(line.command, line.arguments), where, place)
        else:
            return None

        async def refuse(reason: str) -> None:
            await self._sender.send(place, Reply.refusal(reason))

        return Request(user, place.key, work, place.chat, refuse, as_message=True)

    def _is_addressed(self, text: str, line: Line, place: Place, user: str) -> bool:
        """Returns whether a command is for this bot. In a group, an unknown one is another bot's unless it says so."""
        if addressee := _ADDRESSEE.match(text.lstrip()):
            return addressee[1].lower() == self._sender.bot.username.lower()
        return place.private or line.command in self._commands.known_to(PLATFORM, user)

    async def _command(self, ask: Ask, where: Where, place: Place) -> None:
        async with self._busy(place):
            reply = await self._commands.handle(ask, where)
        await self._send(place, reply)

    async def _send(self, place: Place, reply: Reply) -> None:
        if reply.kind is Kind.REFUSAL:
            self._refused.add((place.chat, place.answers))
        await self._sender.send(place, reply)

    def _press(self, query: CallbackQuery) -> Request:
        place = None if query.message is None else _place(query.message)
        data, user, locale = query.data or "", _presser(query), query.from_user.language_code
        where = inline_where(user, locale) if place is None else Where(PLATFORM, place.key, user, locale or "")
        if data == WAIT:
            work = functools.partial(self._sender.answer_press, query, messages.INLINE_WAIT)
        else:
            if query.inline_message_id is not None:
                data = verify(self._sender.bot.token, query.inline_message_id, data)
            work = functools.partial(self._answer_press, query, data, where, place)
        refuse = functools.partial(self._sender.answer_press, query, alert=True)
        return Request(user, where.chat, work, None if place is None else place.chat, refuse)

    async def _answer_press(self, query: CallbackQuery, data: str, where: Where, place: Place | None) -> None:
        began = self._sender.clock.time()
        async with self._busy(place, query):
            reply = await self._commands.press(data, where)
        waits = self._sender.clock.time() < began + BUSY_AFTER_SECONDS
        private, text = reply.private or reply.kind is Kind.REFUSAL, render(reply)
        if private and waits and (reply.kind is Kind.REFUSAL or utf16_length(text) <= MAX_ALERT):
            await self._sender.answer_press(query, text, alert=True)
            return
        if waits:
            await self._sender.answer_press(query)
        if place is not None:
            await self._sender.send(place, reply)
        elif query.inline_message_id is not None and not private:
            await self._sender.edit_inline(query.inline_message_id, reply)

    @asynccontextmanager
    async def _busy(self, place: Place | None, query: CallbackQuery | None = None) -> AsyncIterator[None]:
        """Shows that the bot is busy while the block runs."""
        task = asyncio.create_task(self._sender.show_busy(place, query))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})


def _sender(message: Message) -> str | None:
    """Who wrote: a user, or the group itself if its anonymous administrator did. Other bots are ignored."""
    if message.sender_chat is not None:
        return str(message.sender_chat.id)
    sender = message.from_user
    return None if sender is None or sender.is_bot or message.via_bot is not None else str(sender.id)


def _presser(query: CallbackQuery) -> str:
    """As whom a user presses a button: as themselves, but under a text that a chat asked for, as that chat.

    A press always comes from a user (https://core.telegram.org/bots/api#callbackquery); no one can press in the name
    of a group or channel, nor can the bot find out who wrote in it. So every user who sees the button may press it.
    Chats have negative numbers.
    """
    button = buttons.decode(query.data or "")
    return button.owner if button is not None and _GROUP.fullmatch(button.owner) else str(query.from_user.id)


def _place(message: MaybeInaccessibleMessage) -> Place:
    """Where a message is. Of a very old one, under which a button was pressed, Telegram sends only the chat."""
    # Outside forums `message_thread_id` is a thread of replies, which `reply_parameters` keeps to.
    topic = message.message_thread_id if isinstance(message, Message) and message.is_topic_message else None
    return Place(message.chat.id, topic, int(message.message_id), message.chat.type == ChatType.PRIVATE)
