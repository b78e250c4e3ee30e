"""What people do in Telegram, update by update: what it asks of the bot, and what they get for it.

Inline mode (@bot 0.7 opening, in any chat) needs two settings that only @BotFather has: /setinline, and
/setinlinefeedback at 100 %. Telegram asks for results at every pause in the typing, so the result is a placeholder
that costs nothing; the text is written when the result is chosen, which is what the feedback tells.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Hashable
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
)
from telegram.constants import ChatType
from telegram.error import Forbidden, InvalidToken, TelegramError

from bot import logs, messages
from bot.commands import Commands
from bot.parsing import Line, parse_line
from bot.platforms import telegram_text as texts
from bot.platforms.telegram_connection import is_refusal, told
from bot.platforms.telegram_delivery import Delivery, Place
from bot.platforms.telegram_lanes import Lanes, Seen, Work
from bot.reply import Invocation, Kind, Press, Reply

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
_ADDRESSEE: Final = re.compile(r"/[^\s@]*@(\S+)")
log = logging.getLogger(__name__)


class Reception:
    """Takes updates and has each answered in its person's turn.

    `on_refused` is called when Telegram no longer knows the token.
    """

    def __init__(
        self,
        commands: Commands,
        delivery: Delivery,
        lanes: Lanes,
        *,
        username: str,
        token: str,
        on_refused: Callable[[], None],
    ) -> None:
        self._commands = commands
        self._delivery = delivery
        self._lanes = lanes
        self._username = username.lower()
        self._token = token
        self._on_refused = on_refused
        self._seen = Seen()
        self._latest_query: dict[int, str] = {}

    def take(self, update: Update) -> None:
        """Queues what the update asks for; returns at once. One that came before, or asks nothing, is nothing."""
        if not self._seen.add(update.update_id):
            return
        asked = self._asked(update)
        if asked is None:
            return
        key, work = asked
        if not self._lanes.put(key, lambda: self._guarded(work)):
            log.debug("somebody asks faster than anybody reads: one request is left unanswered")

    def _asked(self, update: Update) -> tuple[Hashable, Work] | None:
        """Whose turn it needs, and what is to be done."""
        if update.message is not None:
            return self._of_message(update.message)
        if (query := update.callback_query) is not None:
            place = _place_of_press(query)
            return (place.key if place else INLINE, str(query.from_user.id)), lambda: self._press(query, place)
        if (chosen := update.chosen_inline_result) is not None:
            return (INLINE, str(chosen.from_user.id)), lambda: self._write_inline(chosen)
        if (inline := update.inline_query) is not None:
            self._latest_query[inline.from_user.id] = inline.id
            return ("typing", inline.from_user.id), lambda: self._offer(inline)
        return None

    def _of_message(self, message: Message) -> tuple[Hashable, Work] | None:
        person = _person(message)
        if person is None or not message.text:
            return None
        place = _place(message, private=message.chat.type == ChatType.PRIVATE)
        line = parse_line(message.text)
        if line is None:
            hint = Reply.refusal(messages.no_command(message.text))
            return ((place.key, person), lambda: self._delivery.send(place, hint)) if place.private else None
        if not self._for_me(message.text, line, place, person):
            return None
        invocation = Invocation(PLATFORM, place.key, person, line.command, line.arguments)
        return (place.key, person), lambda: self._command(invocation, place)

    def _for_me(self, text: str, line: Line, place: Place, person: str) -> bool:
        """In a group, other bots have commands too: one that is not known here is theirs unless it says otherwise."""
        if addressee := _ADDRESSEE.match(text.lstrip()):
            return addressee[1].lower() == self._username
        return place.private or line.command in self._commands.known_to(PLATFORM, person)

    async def _command(self, invocation: Invocation, place: Place) -> None:
        async with self._delivery.typing(place):
            reply = await self._commands.handle(invocation)
        await self._delivery.send(place, reply)

    async def _press(self, query: CallbackQuery, place: Place | None) -> None:
        if query.data == _WAIT_BUTTON.inline_keyboard[0][0].callback_data:
            await self._delivery.answer(query, messages.INLINE_WAIT)
            return
        press = Press(PLATFORM, place.key if place else INLINE, str(query.from_user.id), query.data or "")
        async with self._delivery.typing(place):
            reply, in_time = await self._pressed(query, press)
        private = reply.private or reply.kind is Kind.REFUSAL
        if private and in_time and (reply.kind is Kind.REFUSAL or texts.length(reply.text) <= texts.MAX_ALERT):
            await self._delivery.answer(query, reply.text, alert=True)
            return
        if in_time:
            await self._delivery.answer(query)
        if place is not None:
            await self._delivery.send(place, reply)
        elif query.inline_message_id is not None and not private:
            await self._delivery.edit_inline(query.inline_message_id, reply)

    async def _pressed(self, query: CallbackQuery, press: Press) -> tuple[Reply, bool]:
        """The reply, and whether the query is still unanswered: after `PRESS_PATIENCE` it is answered with nothing."""
        work = asyncio.create_task(self._commands.press(press))
        try:
            done, _ = await asyncio.wait({work}, timeout=PRESS_PATIENCE)
            if not done:
                await self._delivery.answer(query)
            return await work, bool(done)
        finally:
            work.cancel()
            await asyncio.wait({work})

    async def _offer(self, query: InlineQuery) -> None:
        """The placeholder for what was typed so far; nothing for what has been typed over meanwhile."""
        if self._latest_query.get(query.from_user.id) != query.id:
            return
        del self._latest_query[query.from_user.id]
        typed = query.query.strip()
        article = InlineQueryResultArticle(
            id=INLINE_COMMAND,
            title=messages.INLINE_TITLE,
            description=texts.shortened(typed, texts.MAX_ALERT) or messages.INLINE_HINT,
            input_message_content=InputTextMessageContent(
                messages.INLINE_PLACEHOLDER, link_preview_options=LinkPreviewOptions(is_disabled=True)
            ),
            reply_markup=_WAIT_BUTTON,
        )
        await self._delivery.offer(query, article, cache_seconds=INLINE_CACHE_SECONDS)

    async def _write_inline(self, chosen: ChosenInlineResult) -> None:
        if chosen.inline_message_id is None:
            log.warning("an inline message came without an identifier, so it stays as it is")
            return
        person = str(chosen.from_user.id)
        reply = await self._commands.handle(Invocation(PLATFORM, INLINE, person, INLINE_COMMAND, chosen.query.strip()))
        await self._delivery.edit_inline(chosen.inline_message_id, reply)

    async def _guarded(self, work: Work) -> None:
        """Does the work; what goes wrong is logged here, without a word of what anybody wrote."""
        with logs.request():
            try:
                await work()
            except Forbidden as error:  # blocked, thrown out, or never allowed in: nothing to be done about it
                log.info("nobody to answer: %s", told(error, self._token))
            except TelegramError as error:
                if isinstance(error, InvalidToken) and is_refusal(error):
                    self._on_refused()
                log.warning("an answer was not delivered: %s", told(error, self._token))
            except Exception:
                log.exception("an update failed")


def _person(message: Message) -> str | None:
    """Who wrote: a person, or the group itself for whom its anonymous administrators speak. Other bots are nobody."""
    if message.sender_chat is not None:
        return str(message.sender_chat.id)
    sender = message.from_user
    return None if sender is None or sender.is_bot or message.via_bot is not None else str(sender.id)


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
