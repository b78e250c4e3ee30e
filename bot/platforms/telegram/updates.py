"""What people do in Telegram, update by update: what it asks of the bot, and what they get for it.

Inline mode (@bot 0.7 prompt, in any chat) needs two settings that only @BotFather has: /setinline, and
/setinlinefeedback at 100 %. Telegram asks for results at every pause in the typing, so the result is a placeholder
that costs nothing; the text is written when the result is chosen, which is what the feedback tells.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from typing import Final

from telegram import (
    CallbackQuery,
    ChosenInlineResult,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InlineQuery,
    InlineQueryResultArticle,
    InputTextMessageContent,
    LinkPreviewOptions,
    Message,
    Update,
    User,
)
from telegram.constants import ChatType
from telegram.error import TimedOut

from bot.core import buttons, messages
from bot.core.ask import Ask, Where
from bot.core.commands import Commands, parse
from bot.core.parsing import Line, parse_line
from bot.core.reply import Cause, Kind, Reply
from bot.platforms.dedup import Seen
from bot.platforms.telegram import render as texts
from bot.platforms.telegram.callback_signature import Seals
from bot.platforms.telegram.dispatcher import Request, Requests
from bot.platforms.telegram.queues import Work
from bot.platforms.telegram.sender import Delivery, Place
from bot.platforms.text import shorten, utf16_length

PLATFORM: Final = "telegram"
WANTED: Final = (Update.MESSAGE, Update.CALLBACK_QUERY, Update.INLINE_QUERY, Update.CHOSEN_INLINE_RESULT)
"""The updates that are asked for. Edited messages are not among them: an answer stands."""
PRESS_PATIENCE: Final = 3.0
"""Seconds that a pressed button waits for the answer; a refusal that comes later is a message. How long Telegram
keeps the query open is not documented; it is said to be more than ten seconds."""
INLINE: Final = "inline"
"""The chat of every inline message: Telegram does not say which one it is really in."""
INLINE_CACHE_SECONDS: Final = 60
"""How long Telegram may give the same placeholder for the same query, to anybody, without asking the bot."""
INLINE_COMMAND: Final = "nietzsche"
_WAIT_BUTTON: Final = InlineKeyboardMarkup([[InlineKeyboardButton("…", callback_data="…")]])
"""Without a keyboard the chosen message has no identifier, and nobody could edit it
(https://core.telegram.org/bots/api#choseninlineresult). An `Action.data` is ASCII, so this one is none."""
_CHAT: Final = re.compile(r"-[0-9]{1,20}")
_ADDRESSEE: Final = re.compile(r"/[^\s@]*@(\S+)")
log = logging.getLogger(__name__)


class Reception:
    """Takes updates and has each answered in its person's turn. `seals`: as in `Delivery`."""

    def __init__(
        self, commands: Commands, delivery: Delivery, requests: Requests, seals: Seals, *, username: str
    ) -> None:
        self._commands = commands
        self._delivery = delivery
        self._requests = requests
        self._seals = seals
        self._username = username.lower()
        self._seen = Seen()
        self._latest_query: dict[int, InlineQuery] = {}

    def take(self, update: Update) -> None:
        """Queues what the update asks for; returns at once. One that came before, or asks nothing, is nothing."""
        if not self._seen.add(update.update_id):
            return
        try:
            request = self._asked(update)
        except Exception as error:  # noqa: BLE001 - Telegram would deliver it again and again, and nothing after it
            log.warning("update %d cannot be understood and is left out: %s", update.update_id, type(error).__name__)
            return
        if request is not None:
            self._requests.take(request)

    def _asked(self, update: Update) -> Request | None:
        if update.message is not None:
            return self._of_message(update.message)
        if (query := update.callback_query) is not None:
            return self._of_press(query)
        if (chosen := update.chosen_inline_result) is not None:
            return self._of_choice(chosen)
        if (inline := update.inline_query) is not None:
            # Only the last one counts, so when the lane is full, a waiting turn answers this one.
            person = inline.from_user.id
            self._latest_query[person] = inline
            return Request(("typing", person), lambda: self._offer(person))
        return None

    def _of_message(self, message: Message) -> Request | None:
        moved = _moved(message)
        if moved is not None:
            old, new = map(str, moved)
            return Request(("moved", old), lambda: self._commands.moved(PLATFORM, old, new))
        person = _person(message)
        if person is None or not message.text:
            return None
        place = _place(message, private=message.chat.type == ChatType.PRIVATE)
        line = parse_line(message.text)
        if line is None:
            hint = messages.no_command(message.text, self._commands.known_to(PLATFORM, person))
            return self._said(place, person, self._refusal(place)(hint)) if place.private else None
        if not self._for_me(message.text, line, place, person):
            return None
        ask, where = parse(line.command, line.arguments), Where(PLATFORM, place.key, person, _locale(message.from_user))
        return self._said(place, person, lambda: self._command(ask, where, place))

    def _said(self, place: Place, person: str, work: Work) -> Request:
        return Request((place.key, person), work, place.chat, self._refusal(place), aloud=True)

    def _refusal(self, place: Place) -> Callable[[str], Work]:
        return lambda words: lambda: self._delivery.send(place, Reply.refusal(words))

    def _of_press(self, query: CallbackQuery) -> Request:
        place = _place_of_press(query)
        data = query.data or ""
        if query.inline_message_id is not None:
            data = self._seals.off(query.inline_message_id, data) or ""
        where = Where(PLATFORM, place.key if place else INLINE, _presser(query), _locale(query.from_user))
        return Request(
            (where.chat, where.user),
            lambda: self._press(query, data, where, place),
            place.chat if place else None,
            lambda words: lambda: self._delivery.answer(query, words, alert=True),
        )

    def _of_choice(self, chosen: ChosenInlineResult) -> Request | None:
        message, person = chosen.inline_message_id, str(chosen.from_user.id)
        if message is None:
            log.warning("an inline message came without an identifier, so it stays as it is")
            return None
        where = Where(PLATFORM, INLINE, person, _locale(chosen.from_user))
        ask = parse(INLINE_COMMAND, chosen.query.strip())
        return Request(
            (INLINE, person),
            lambda: self._write_inline(message, ask, where),
            refuse=lambda words: lambda: self._delivery.edit_inline(message, Reply.refusal(words)),
        )

    def _for_me(self, text: str, line: Line, place: Place, person: str) -> bool:
        """In a group, other bots have commands too: one that is not known here is theirs unless it says otherwise."""
        if addressee := _ADDRESSEE.match(text.lstrip()):
            return addressee[1].lower() == self._username
        return place.private or line.command in self._commands.known_to(PLATFORM, person)

    async def _command(self, ask: Ask, where: Where, place: Place) -> None:
        async with self._delivery.typing(place):
            reply = await self._commands.handle(ask, where)
        await self._send(place, reply)

    async def _send(self, place: Place, reply: Reply) -> None:
        """Sends a reply; of one that may have arrived or not the person is told, who alone can see which it is.

        Sent again it might stand there twice, left alone not at all, and Telegram has nothing to ask that by.
        """
        try:
            await self._delivery.send(place, reply)
        except TimedOut:
            await self._delivery.send(place, Reply.refusal(messages.UNCONFIRMED, Cause.FAILED))
            raise

    async def _press(self, query: CallbackQuery, data: str, where: Where, place: Place | None) -> None:
        if query.data == _WAIT_BUTTON.inline_keyboard[0][0].callback_data:
            await self._delivery.answer(query, messages.INLINE_WAIT)
            return
        async with self._delivery.typing(place):
            reply, in_time = await self._pressed(query, data, where)
        private = reply.private or reply.kind is Kind.REFUSAL
        if private and in_time and (reply.kind is Kind.REFUSAL or utf16_length(reply.text) <= texts.MAX_ALERT):
            await self._delivery.answer(query, reply.text, alert=True)
            return
        if in_time:
            await self._delivery.answer(query)
        if place is not None:
            await self._send(place, reply)
        elif query.inline_message_id is not None and not private:
            await self._delivery.edit_inline(query.inline_message_id, reply)

    async def _pressed(self, query: CallbackQuery, data: str, where: Where) -> tuple[Reply, bool]:
        """The reply, and whether the query is still unanswered: after `PRESS_PATIENCE` it is answered with nothing."""
        work = asyncio.create_task(self._commands.press(data, where))
        try:
            done, _ = await asyncio.wait({work}, timeout=PRESS_PATIENCE)
            if not done:
                await self._delivery.answer(query)
            return await work, bool(done)
        finally:
            work.cancel()
            await asyncio.wait({work})

    async def _offer(self, person: int) -> None:
        """The placeholder for what they typed last; nothing for what has been typed over meanwhile."""
        query = self._latest_query.pop(person, None)
        if query is None:
            return
        typed = query.query.strip()
        article = InlineQueryResultArticle(
            id=INLINE_COMMAND,
            title=messages.INLINE_TITLE,
            description=shorten(messages.printable(typed).strip(), texts.MAX_ALERT) or messages.INLINE_HINT,
            input_message_content=InputTextMessageContent(
                messages.INLINE_PLACEHOLDER, link_preview_options=LinkPreviewOptions(is_disabled=True)
            ),
            reply_markup=_WAIT_BUTTON,
        )
        await self._delivery.offer(query, article, cache_seconds=INLINE_CACHE_SECONDS)

    async def _write_inline(self, message: str, ask: Ask, where: Where) -> None:
        await self._delivery.edit_inline(message, await self._commands.handle(ask, where))


def _person(message: Message) -> str | None:
    """Who wrote: a person, or the group itself for whom its anonymous administrators speak. Other bots are nobody."""
    if message.sender_chat is not None:
        return str(message.sender_chat.id)
    sender = message.from_user
    return None if sender is None or sender.is_bot or message.via_bot is not None else str(sender.id)


def _presser(query: CallbackQuery) -> str:
    """As whom somebody presses a button: as themselves, but under a text that a chat has asked for, as that chat.

    A press always comes from a person (https://core.telegram.org/bots/api#callbackquery); nobody can press in the name
    of their group or channel, nor can the bot find out who wrote in it. So whoever sees the button may press it. Chats
    have negative numbers.
    """
    button = buttons.decode(query.data or "")
    return button.owner if button is not None and _CHAT.fullmatch(button.owner) else str(query.from_user.id)


def _locale(user: User | None) -> str:
    return (user.language_code or "") if user is not None else ""


def _moved(message: Message) -> tuple[int, int] | None:
    """The old and the new number of a group that became a supergroup. Telegram says it in both of them."""
    if message.migrate_to_chat_id is not None:
        return message.chat.id, message.migrate_to_chat_id
    if message.migrate_from_chat_id is not None:
        return message.migrate_from_chat_id, message.chat.id
    return None


def _place(message: Message, *, private: bool) -> Place:
    # Outside forums `message_thread_id` is a thread of replies, which `reply_parameters` keeps to.
    topic = message.message_thread_id if message.is_topic_message else None
    return Place(message.chat.id, topic, message.message_id, private)


def _place_of_press(query: CallbackQuery) -> Place | None:
    """Where the button is; `None` for an inline message. Of a very old message Telegram tells only the chat."""
    message = query.message
    if message is None:
        return None
    private = message.chat.type == ChatType.PRIVATE
    if isinstance(message, Message):
        return _place(message, private=private)
    return Place(message.chat.id, None, message.message_id, private)
