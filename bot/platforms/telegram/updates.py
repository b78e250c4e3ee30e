"""Updates as requests: what a message, an edited message or a pressed button asks for, and how it is answered."""

from __future__ import annotations

import asyncio
import functools
import logging
import re
from typing import Final

from telegram import CallbackQuery, MaybeInaccessibleMessage, Message, Update, User
from telegram.constants import ChatType

from bot.core import buttons, messages
from bot.core.ask import Ask, Where
from bot.core.commands import Commands, parse
from bot.core.parsing import Line, parse_line
from bot.core.reply import Kind, Reply
from bot.platforms.dedup import RecentKeys
from bot.platforms.telegram.dispatcher import Dispatcher, Request
from bot.platforms.telegram.inline import InlineHandler, inline_where, is_wait_button
from bot.platforms.telegram.render import MAX_ALERT, render
from bot.platforms.telegram.sender import PLATFORM, Place, Sender
from bot.platforms.text import utf16_length

WANTED: Final = (
    Update.MESSAGE,
    Update.EDITED_MESSAGE,
    Update.CALLBACK_QUERY,
    Update.INLINE_QUERY,
    Update.CHOSEN_INLINE_RESULT,
)
"""The kinds of updates that the bot requests."""
PRESS_SECONDS: Final = 3.0
"""After which a pressed button stops waiting; a refusal that comes later is a message. How long Telegram keeps the
query open is not documented; it is said to be more than ten seconds."""
_GROUP: Final = re.compile(r"-[0-9]{1,20}")
_ADDRESSEE: Final = re.compile(r"/[^\s@]*@(\S+)")
log = logging.getLogger(__name__)


class UpdateHandler:
    """Turns updates into requests for the dispatcher. `username`: the bot's."""

    def __init__(self, commands: Commands, sender: Sender, dispatcher: Dispatcher, username: str) -> None:
        self._commands = commands
        self._sender = sender
        self._dispatcher = dispatcher
        self._username = username.lower()
        self._inline = InlineHandler(commands, sender)
        self._seen = RecentKeys()
        self._refused = RecentKeys()
        """Messages that were refused: their chat and number."""

    def handle(self, update: Update) -> None:
        """Submits what an update asks for; returns at once. An update that came before is ignored."""
        if not self._seen.add(update.update_id):
            return
        try:
            request = self._request(update)
            if request is not None:
                self._dispatcher.submit(request)
        except Exception as error:  # noqa: BLE001 - or Telegram would deliver it again and again, and nothing after it
            log.warning("update.malformed id=%d error=%s", update.update_id, type(error).__name__)

    def _request(self, update: Update) -> Request | None:
        if (message := update.message or update.edited_message) is not None:
            # An answer stands; only a message that was refused can be corrected.
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
        migration = _migration(message)
        if migration is not None:
            old, new = map(str, migration)
            return Request(("moved", old), old, lambda: self._commands.moved(PLATFORM, old, new))
        user = _sender(message)
        if user is None or not message.text:
            return None
        place, line = _place(message), parse_line(message.text)
        if line is None and place.private:
            hint = messages.no_command(message.text, self._commands.known_to(PLATFORM, user))
            work = functools.partial(self._send, place, Reply.refusal(hint))
        elif line is not None and self._is_addressed(message.text, line, place, user):
            where = Where(PLATFORM, place.key, user, _locale(message.from_user))
            work = functools.partial(self._command, parse(line.command, line.arguments), where, place)
        else:
            return None
        return Request(user, place.key, work, place.chat, functools.partial(self._refuse, place), as_message=True)

    def _is_addressed(self, text: str, line: Line, place: Place, user: str) -> bool:
        """Returns whether a command is for this bot. In a group, an unknown one is another bot's unless it says so."""
        if addressee := _ADDRESSEE.match(text.lstrip()):
            return addressee[1].lower() == self._username
        return place.private or line.command in self._commands.known_to(PLATFORM, user)

    async def _command(self, ask: Ask, where: Where, place: Place) -> None:
        async with self._sender.typing(place):
            reply = await self._commands.handle(ask, where)
        await self._send(place, reply)

    async def _send(self, place: Place, reply: Reply) -> None:
        if reply.kind is Kind.REFUSAL:
            self._refused.add((place.chat, place.answers))
        await self._sender.send(place, reply)

    async def _refuse(self, place: Place, reason: str) -> None:
        await self._sender.send(place, Reply.refusal(reason))

    def _press(self, query: CallbackQuery) -> Request:
        place = None if query.message is None else _place(query.message)
        data, user, locale = query.data or "", _presser(query), _locale(query.from_user)
        if query.inline_message_id is not None:
            data = self._sender.signer.verify(query.inline_message_id, data) or ""
        where = inline_where(user, locale) if place is None else Where(PLATFORM, place.key, user, locale)
        work = (
            functools.partial(self._sender.answer_press, query, messages.INLINE_WAIT)
            if is_wait_button(query)
            else functools.partial(self._answer_press, query, data, where, place)
        )
        refuse = functools.partial(self._sender.answer_press, query, alert=True)
        return Request(user, where.chat, work, None if place is None else place.chat, refuse)

    async def _answer_press(self, query: CallbackQuery, data: str, where: Where, place: Place | None) -> None:
        async with self._sender.typing(place):
            reply, in_time = await self._pressed(query, data, where)
        private, text = reply.private or reply.kind is Kind.REFUSAL, render(reply)
        if private and in_time and (reply.kind is Kind.REFUSAL or utf16_length(text) <= MAX_ALERT):
            await self._sender.answer_press(query, text, alert=True)
            return
        if in_time:
            await self._sender.answer_press(query)
        if place is not None:
            await self._sender.send(place, reply)
        elif query.inline_message_id is not None and not private:
            await self._sender.edit_inline(query.inline_message_id, reply)

    async def _pressed(self, query: CallbackQuery, data: str, where: Where) -> tuple[Reply, bool]:
        """The reply, and whether the query is still open: after `PRESS_SECONDS` it is answered with nothing."""
        work = asyncio.create_task(self._commands.press(data, where))
        timer = asyncio.create_task(self._sender.clock.sleep(PRESS_SECONDS))
        try:
            await asyncio.wait({work, timer}, return_when=asyncio.FIRST_COMPLETED)
            in_time = work.done()
            if not in_time:
                await self._sender.answer_press(query)
            return await work, in_time
        finally:
            work.cancel()
            timer.cancel()
            await asyncio.wait({work, timer})


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


def _migration(message: Message) -> tuple[int, int] | None:
    """The old and the new number of a group that became a supergroup. Telegram sends it to both of them."""
    if message.migrate_to_chat_id is not None:
        return message.chat.id, message.migrate_to_chat_id
    if message.migrate_from_chat_id is not None:
        return message.migrate_from_chat_id, message.chat.id
    return None


def _place(message: MaybeInaccessibleMessage) -> Place:
    """Where a message is. Of a very old one, under which a button was pressed, Telegram sends only the chat."""
    # Outside forums `message_thread_id` is a thread of replies, which `reply_parameters` keeps to.
    topic = message.message_thread_id if isinstance(message, Message) and message.is_topic_message else None
    return Place(message.chat.id, topic, int(message.message_id), message.chat.type == ChatType.PRIVATE)


def _locale(user: User | None) -> str:
    return "" if user is None else user.language_code or ""
