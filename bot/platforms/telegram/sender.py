"""Replies on their way to a chat: in pieces, with buttons and pictures, again when the network fails."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from telegram import (
    Bot,
    CallbackQuery,
    InlineKeyboardMarkup,
    InlineQuery,
    InlineQueryResultArticle,
    InputFile,
    LinkPreviewOptions,
    ReplyParameters,
)
from telegram.constants import ChatAction
from telegram.error import BadRequest, ChatMigrated, NetworkError, RetryAfter, TelegramError

from bot.core.reply import Kind, Picture, Reply
from bot.platforms.telegram import render as texts
from bot.platforms.telegram.callback_signature import Seals
from bot.platforms.telegram.transport import MayHaveArrived
from bot.platforms.text import shorten, split, utf16_length

TYPING_AFTER: Final = 1.0
"""Seconds. A text that is there sooner needs no "typing", which could only arrive after it."""
TYPING_EVERY: Final = 4.5
"""Seconds: "The status is set for 5 seconds or less" (https://core.telegram.org/bots/api#sendchataction)."""
RETRY_PAUSES: Final = (0.5, 1.0, 2.0, 4.0, 8.0, *(15.0,) * 12)
"""Seconds between attempts, each with up to as much again at random; then, after three minutes at least, the answer is
given up: nobody waits for it any more."""
MAX_PHOTO_SIDE: Final = 2560
"""Pixels to which Telegram shrinks a photo (https://core.telegram.org/api/files#image-thumbnail-types). A longer one,
whose type would become too small to read, goes as a file, which it leaves alone."""
_NO_PREVIEW: Final = LinkPreviewOptions(is_disabled=True)
_NOT_MODIFIED: Final = "message is not modified"
_TOO_OLD: Final = "query is too old"
T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a reply goes: a chat, in a forum a topic of it, and which message it answers.

    `private`: nobody else is there. A message in a reply thread is answered in it because the answer is a reply.
    """

    chat: int
    topic: int | None
    answers: int
    private: bool

    @property
    def key(self) -> str:
        """The chat's name for the commands: each topic of a forum is a chat of its own."""
        return str(self.chat) if self.topic is None else f"{self.chat}/{self.topic}"


class Delivery:
    """Sends replies through `bot`. Raises `TelegramError` for what cannot be delivered.

    `on_moved` is told the old and the new number of a group that turns out to have become a supergroup. `seals` bind
    the buttons under inline messages.
    """

    def __init__(self, bot: Bot, on_moved: Callable[[int, int], Awaitable[None]], seals: Seals) -> None:
        self._bot = bot
        self._on_moved = on_moved
        self._seals = seals

    async def send(self, place: Place, reply: Reply) -> None:
        """The whole reply, the buttons below its last piece.

        In a group it answers the message that asked; where it is meant for one person, nobody's telephone rings.
        """
        pieces = split(texts.shown(reply), texts.MAX_TEXT)
        markup = texts.keyboard(reply.actions)
        answers = None if place.private else place.answers
        quiet = not place.private and (reply.private or reply.kind is Kind.REFUSAL)
        if reply.picture is not None:
            picture = reply.picture
            caption = pieces[0] if len(pieces) == 1 and utf16_length(pieces[0]) <= texts.MAX_CAPTION else ""
            if await self._send_picture(place, picture, caption, markup if caption else None, answers):
                if caption:
                    return
                answers = None
        for number, piece in enumerate(pieces, 1):
            below = markup if number == len(pieces) else None
            place = await self._send_text(place, piece, below, answers, quiet=quiet)
            answers = None

    async def edit_inline(self, inline_message_id: str, reply: Reply) -> None:
        """Puts a reply in place of what an inline message says; one message is all there is, so the rest is cut."""
        text = shorten(texts.shown(reply), texts.MAX_TEXT)
        markup = texts.keyboard(self._seals.on(inline_message_id, reply.actions))
        try:
            await self._again(
                lambda: self._bot.edit_message_text(
                    split(text, texts.MAX_TEXT)[0],
                    inline_message_id=inline_message_id,
                    reply_markup=markup,
                    link_preview_options=_NO_PREVIEW,
                ),
                repeatable=True,
            )
        except BadRequest as error:
            if _NOT_MODIFIED not in error.message.lower():
                raise

    async def offer(self, query: InlineQuery, article: InlineQueryResultArticle, *, cache_seconds: int) -> None:
        """Shows the one result of an inline query, to anybody who types the same. Too late is no error."""
        with _never_too_late():
            await query.answer([article], cache_time=cache_seconds, is_personal=False)

    async def answer(self, query: CallbackQuery, text: str = "", *, alert: bool = False) -> None:
        """Ends the wait of a pressed button, with a text for the person alone. Too late is no error."""
        said = shorten(text, texts.MAX_ALERT)
        with _never_too_late():
            await self._again(lambda: query.answer(said or None, show_alert=alert), repeatable=True)

    @asynccontextmanager
    async def typing(self, place: Place | None) -> AsyncIterator[None]:
        """Says "typing" in the chat for as long as the block takes; nothing is said where there is no chat."""
        if place is None:
            yield
            return
        task = asyncio.create_task(self._type(place))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def _type(self, place: Place) -> None:
        await asyncio.sleep(TYPING_AFTER)
        try:
            while True:
                try:
                    await self._bot.send_chat_action(place.chat, ChatAction.TYPING, message_thread_id=place.topic)
                except RetryAfter as error:  # the next time, perhaps
                    log.debug("typing was not shown: %s", type(error).__name__)
                await asyncio.sleep(TYPING_EVERY)
        except TelegramError as error:
            log.debug("typing was not shown: %s", type(error).__name__)

    async def _send_text(
        self, place: Place, text: str, markup: InlineKeyboardMarkup | None, answers: int | None, *, quiet: bool
    ) -> Place:
        return await self._follow(
            place,
            lambda chat: self._bot.send_message(
                chat,
                text,
                message_thread_id=place.topic,
                reply_markup=markup,
                reply_parameters=_reply_to(answers),
                disable_notification=quiet,
                link_preview_options=_NO_PREVIEW,
            ),
        )

    async def _send_picture(
        self, place: Place, picture: Picture, caption: str, markup: InlineKeyboardMarkup | None, answers: int | None
    ) -> bool:
        """Whether Telegram took the picture. It refuses some (too large, say), and the text goes all the same."""
        as_file = _height(picture.content) > MAX_PHOTO_SIDE

        def send(chat: int) -> Awaitable[object]:
            if as_file:
                document = InputFile(picture.content, picture.name)
                return self._bot.send_document(
                    chat,
                    document,
                    caption or None,
                    message_thread_id=place.topic,
                    reply_markup=markup,
                    reply_parameters=_reply_to(answers),
                )
            return self._bot.send_photo(
                chat,
                picture.content,
                caption or None,
                message_thread_id=place.topic,
                reply_markup=markup,
                reply_parameters=_reply_to(answers),
            )

        try:
            await self._follow(place, send)
        except BadRequest as error:
            log.warning("a picture was refused: %s", error.message)
            return False
        return True

    async def _follow(self, place: Place, send: Callable[[int], Awaitable[object]]) -> Place:
        """Sends to the chat, or to the supergroup that it has become; returns where that was."""
        try:
            await self._again(lambda: send(place.chat))
        except ChatMigrated as moved:
            await self._on_moved(place.chat, moved.new_chat_id)
            place = replace(place, chat=moved.new_chat_id)
            await self._again(lambda: send(place.chat))
        return place

    async def _again(self, request: Callable[[], Awaitable[T]], *, repeatable: bool = False) -> T:
        """Makes a request until the network lets it through. `repeatable`: twice does no more than once."""
        for pause in RETRY_PAUSES:
            try:
                return await request()
            except BadRequest:
                raise  # a network error by its class only: Telegram understood, and refuses
            except MayHaveArrived:
                if not repeatable:
                    raise
            except NetworkError:
                pass  # it did not arrive: again
            await asyncio.sleep(pause * random.uniform(1.0, 2.0))  # noqa: S311 - spreads requests, hides nothing
        return await request()


@contextmanager
def _never_too_late() -> Iterator[None]:
    try:
        yield
    except BadRequest as error:
        if _TOO_OLD not in error.message.lower():
            raise
        log.debug("a query was answered too late")


def _reply_to(message: int | None) -> ReplyParameters | None:
    """The message may be gone by now; the answer is wanted all the same."""
    return None if message is None else ReplyParameters(message, allow_sending_without_reply=True)


def _height(png: bytes) -> int:
    """Pixels, from the file's first block (https://www.w3.org/TR/png-3/#11IHDR); 0 when it is cut short."""
    return int.from_bytes(png[20:24], "big")
