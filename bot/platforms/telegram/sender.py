"""Replies on their way to a chat: in pieces, with buttons and pictures."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import telegram
from telegram.constants import ChatAction, ChatID, InlineQueryLimit
from telegram.error import BadRequest, ChatMigrated, TelegramError, TimedOut

from bot.core.ask import Where
from bot.core.commands import Commands
from bot.core.messages import RANGE, SUGGESTED, printable, title
from bot.core.parsing import TemperatureError, split_temperature
from bot.core.reply import Action, Kind, Picture, Reply
from bot.core.voice import Voice
from bot.platforms.growing import GROW_AFTER_SECONDS, TextSoFar, either
from bot.platforms.telegram import render
from bot.platforms.telegram.rate_limit import RateLimiter
from bot.platforms.telegram.render import MAX_ALERT, NO_PREVIEW, Message, keyboard, messages_of, only_message_of
from bot.platforms.text import shorten, utf16_length

PLATFORM: Final = "telegram"
BUSY_AFTER_SECONDS: Final = GROW_AFTER_SECONDS
"""A reply that is sent sooner needs no "typing". After that a pressed button stops waiting, and a refusal is a message:
how long Telegram keeps the query open is not documented; it is said to be more than ten seconds."""
TYPING_EVERY_SECONDS: Final = 4.5
""""The status is set for 5 seconds or less" (https://core.telegram.org/bots/api#sendchataction)."""
INLINE: Final = (0.5, 0.7, 0.9)
"""The temperatures that are offered, after the typed one and the user's own."""
MAX_RESULTS: Final = int(InlineQueryLimit.RESULTS)
"""50, of https://core.telegram.org/bots/api#answerinlinequery."""
INLINE_CACHE_SECONDS: Final = 60
"""How long Telegram may give the same result for the same inline query of a user without asking the bot."""
MAX_PHOTO_SIDE: Final = 2560
"""Pixels to which Telegram shrinks a photo (https://core.telegram.org/api/files#image-thumbnail-types). A longer one,
whose letters would become too small to read, is sent as a file, which stays as it is."""
_HARMLESS: Final = ("message is not modified", "query is too old")
"""Complaints about a request that make no difference to the user."""
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a reply is sent: a chat, in a forum a topic of it, and which message it answers.

    `private`: a chat with one user. A message in a reply thread is answered there because the answer is a reply.
    """

    chat: int
    topic: int | None
    answers: int | None
    private: bool

    @property
    def key(self) -> str:
        """The name of the chat for the core, to which each topic of a forum is a chat."""
        return str(self.chat) if self.topic is None else f"{self.chat}/{self.topic}"


@dataclass(frozen=True, slots=True)
class Sender:
    """Sends replies through `bot`. Raises `TelegramError` for what cannot be delivered."""

    bot: telegram.Bot
    limiter: RateLimiter
    commands: Commands

    async def send(self, place: Place, reply: Reply, grown: int | None = None) -> None:
        """Sends the whole reply, the buttons below its last piece.

        In a group it answers the message that asked for it; what is meant for one user notifies no one else. If
        Telegram may have accepted a message or not, the user, who can see which, gets a note: sent again it might
        appear twice, left alone not at all. A reply without words is not sent. `grown`: the message that shows the text
        so far; the reply takes its place, or is sent if it is gone.
        """
        if not reply.text:
            return
        try:
            await self._send(place, reply, grown)
        except ChatMigrated as moved:
            await self.commands.moved(PLATFORM, str(place.chat), str(moved.new_chat_id))
            await self._send(replace(place, chat=moved.new_chat_id), reply)
        except BadRequest as error:
            if reply.picture is None:
                raise
            log.warning("picture.refused reason=%s", error.message)  # it is too large, say
            await self._send(place, replace(reply, picture=None))
        except TimedOut:
            await self._send(place, Reply.refusal(reply.say("unconfirmed")))
            raise

    async def edit_inline(self, inline_message_id: str, reply: Reply) -> None:
        """Puts a reply in place of an inline message's text. There is only one message, so it is shortened to fit."""
        if not reply.text:
            return
        buttons = keyboard(reply.actions, partial(render.sign, self.bot.token, inline_message_id))
        edit = self._edit(only_message_of(reply), buttons, inline_message_id=inline_message_id)
        await self._request(inline_message_id, edit)

    async def edit(self, place: Place, reply: Reply) -> None:
        """Puts a reply in place of the message whose button was pressed, or below it if that is too old."""
        if not await self._replaced(place.chat, place.answers, only_message_of(reply), keyboard(reply.actions)):
            await self.send(place, reply)

    async def _replaced(
        self, chat: int, number: int | None, message: Message, buttons: telegram.InlineKeyboardMarkup | None
    ) -> bool:
        """Puts a message in place of an earlier one. Returns whether it can: that may be deleted, or too old."""
        try:
            await self._request(chat, self._edit(message, buttons, chat_id=chat, message_id=number))
        except BadRequest as error:
            log.debug("edit.refused reason=%s", error.message)
            return False
        return True

    def _edit(self, message: Message, buttons: telegram.InlineKeyboardMarkup | None, **which: Any) -> partial[Any]:
        options: dict[str, Any] = {"reply_markup": buttons, "link_preview_options": NO_PREVIEW}
        return partial(self.bot.edit_message_text, **message._asdict(), **options, **which)

    async def is_administrator(self, chat: int, user: int) -> bool:
        """Returns whether a user is an administrator of a group, also one who writes in its name; not if that fails."""
        if user == ChatID.ANONYMOUS_ADMIN:
            return True
        try:
            members = await self.bot.get_chat_administrators(chat)
        except TelegramError as error:
            log.warning("administrators.unknown error=%s", type(error).__name__)
            return False
        return user in [member.user.id for member in members]

    async def answer_inline(self, query: telegram.InlineQuery, where: Where) -> None:
        """Offers texts; for a temperature that does not exist, a button above says which do."""
        labels: dict[str, str] = {}
        prompt, button = "", None
        voice, rest = self.commands.split_voice(query.query)
        try:
            typed, prompt = split_temperature(rest)
        except TemperatureError:
            says = where.say("inline-out-of-range", **RANGE)
            button = telegram.InlineQueryResultsButton(says, start_parameter="temperature")  # to the private chat
        else:
            labels = await self._offered(typed, voice, where)
        shown = shorten(printable(prompt.strip()).strip(), MAX_ALERT) or where.say("inline-hint")
        placeholder = telegram.InputTextMessageContent(where.say("inline-placeholder"), link_preview_options=NO_PREVIEW)
        waiting = keyboard([Action(render.WAIT, render.WAIT)])
        results = [
            telegram.InlineQueryResultArticle(identifier, label, placeholder, waiting, description=shown)
            for identifier, label in itertools.islice(labels.items(), MAX_RESULTS)
        ]
        answer = partial(query.answer, results, INLINE_CACHE_SECONDS, is_personal=True, button=button)
        await self._request(None, answer)

    async def _offered(self, typed: float | None, voice: Voice | None, where: Where) -> dict[str, str]:
        """Returns the texts that are offered, by identifier with label: at several temperatures, and one of each other
        voice unless the query names a `voice`."""
        known = await self.commands.suggest(where, default=False)
        if not known:  # the user may not use the bot
            return {}
        labels = {} if typed is None else {typed: known.get(typed) or where.say("inline-typed", temperature=typed)}
        labels |= {value: label for value, label in known.items() if value not in SUGGESTED or value in INLINE}
        offered = {f"{value:g}": label for value, label in labels.items()}
        temperature = typed or where.chosen.temperature
        for other in self.commands.others(self.commands.voice_of(None, where)) if voice is None else ():
            label = where.say("inline-voice", book=title(other, where.say), temperature=temperature)
            offered[f"{temperature:g} {other.name}"] = label
        return offered

    async def answer_press(
        self, query: telegram.CallbackQuery, reply: Reply | None = None, *, alert: bool = True
    ) -> None:
        """Ends the wait of a pressed button, with a reply for that user alone. `alert`: which the user has to close."""
        text = shorten(render.whole(reply), MAX_ALERT) if reply is not None and reply.text else None
        await self._request(None, partial(query.answer, text, show_alert=alert and text is not None))

    async def remove_buttons(self, query: telegram.CallbackQuery) -> None:
        """Removes the buttons under the message of which one was pressed, unless Telegram refuses that."""
        with contextlib.suppress(BadRequest, TypeError):  # the message is too old to be edited, or not accessible
            await self._request(query.inline_message_id, query.edit_message_reply_markup)

    async def wait_for(
        self,
        work: Callable[[Where], Coroutine[Any, Any, Reply]],
        where: Where,
        place: Place | None,
        query: telegram.CallbackQuery | None = None,
    ) -> tuple[Reply, bool, int | None]:
        """Returns the reply, whether it took long, and which message shows the text so far, if one does.

        After a while the wait of a pressed button ends, "typing" is shown, and so is the text so far.
        """
        so_far, number = TextSoFar(), None
        if place is not None:
            where = replace(where, show=so_far.take)
        async with asyncio.TaskGroup() as tasks:
            working = tasks.create_task(work(where))
            await either(working, self.limiter.clock.sleep(BUSY_AFTER_SECONDS))
            is_late = not working.done()
            if is_late:
                typing = tasks.create_task(self._show_typing(place))
                if query is not None:
                    with contextlib.suppress(TelegramError):  # the reply comes all the same
                        await self.answer_press(query)
                if place is not None:
                    number = await self._grow(so_far, working, place)
                await asyncio.wait({working})
                typing.cancel()
        return working.result(), is_late, number

    async def _grow(self, so_far: TextSoFar, working: asyncio.Task[Reply], place: Place) -> int | None:
        """Shows the text so far where no answer waits for it; returns the number of its message, if there is one."""
        number: int | None = None

        async def put(message: Message) -> None:
            nonlocal number
            if number is None:
                send = partial(self.bot.send_message, link_preview_options=NO_PREVIEW, **_options(place))
                number = (await send(**message._asdict())).message_id
            else:
                await self._edit(message, None, chat_id=place.chat, message_id=number)()

        async def show(message: Message) -> None:
            await self.limiter.send_spare(place.chat, partial(put, message))

        await so_far.grow(working, messages_of, show, (TelegramError,), self.limiter.clock)
        return number

    async def _show_typing(self, place: Place | None) -> None:
        try:
            while place is not None:
                await self.bot.send_chat_action(place.chat, ChatAction.TYPING, message_thread_id=place.topic)
                await self.limiter.clock.sleep(TYPING_EVERY_SECONDS)
        except TelegramError as error:
            log.debug("typing.failed error=%s", type(error).__name__)

    async def _send(self, place: Place, reply: Reply, grown: int | None = None) -> None:
        pieces = messages_of(reply)
        send_text = partial(self.bot.send_message, link_preview_options=NO_PREVIEW)
        sends: list[partial[Any]] = [partial(send_text, text=text, entities=entities) for text, entities in pieces]
        if reply.picture is not None:
            (text, entities), picture = pieces[0], self._picture_method(reply.picture)
            fits = len(pieces) == 1 and utf16_length(text) <= render.MAX_CAPTION
            sends = [partial(picture, caption=text, caption_entities=entities)] if fits else [picture, *sends]
        options = _options(place, silent=reply.private or reply.kind is Kind.REFUSAL)
        for send in sends:
            buttons = keyboard(reply.actions) if send is sends[-1] else None
            if grown is None or not await self._replaced(place.chat, grown, pieces[0], buttons):
                await self.limiter.send(place.chat, partial(send, reply_markup=buttons, **options))
            options.pop("reply_parameters", None)
            grown = None

    def _picture_method(self, picture: Picture) -> partial[Any]:
        height = int.from_bytes(picture.content[20:24], "big")  # of a PNG: https://www.w3.org/TR/png-3/#11IHDR
        if height > MAX_PHOTO_SIDE:
            return partial(self.bot.send_document, document=telegram.InputFile(picture.content, picture.name))
        return partial(self.bot.send_photo, photo=picture.content)

    async def _request(self, chat: int | str | None, request: Callable[[], Awaitable[object]]) -> None:
        try:
            await self.limiter.send(chat, request, idempotent=True)
        except BadRequest as error:
            if not any(complaint in error.message.lower() for complaint in _HARMLESS):
                raise
            log.debug("request.ignored reason=%s", error.message)


def _options(place: Place, *, silent: bool = False) -> dict[str, Any]:
    """Returns the options of a message there. `silent`: in a group it notifies no one."""
    options: dict[str, Any] = {
        "chat_id": place.chat,
        "message_thread_id": place.topic,
        "disable_notification": silent and not place.private,
    }
    if not place.private and place.answers is not None:  # sent even if the message that it answers is gone by now
        options["reply_parameters"] = telegram.ReplyParameters(place.answers, allow_sending_without_reply=True)
    return options
