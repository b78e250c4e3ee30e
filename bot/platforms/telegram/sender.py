"""Replies on their way to a chat: in pieces, with buttons and pictures, sent again when the network fails."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

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
from telegram.error import BadRequest, ChatMigrated, NetworkError, TelegramError, TimedOut

from bot.core import messages
from bot.core.clock import MONOTONIC, Clock
from bot.core.reply import Kind, Picture, Reply
from bot.platforms.telegram.bot_client import MayHaveArrived
from bot.platforms.telegram.callback_signature import CallbackSigner
from bot.platforms.telegram.rate_limit import RateLimiter
from bot.platforms.telegram.render import MAX_ALERT, MAX_CAPTION, MAX_TEXT, keyboard, render
from bot.platforms.text import shorten, split, utf16_length
from generator.backoff import Backoff

PLATFORM: Final = "telegram"
TYPING_AFTER_SECONDS: Final = 1.0
"""A text that is sent sooner needs no "typing", which could only arrive after it."""
TYPING_EVERY_SECONDS: Final = 4.5
""""The status is set for 5 seconds or less" (https://core.telegram.org/bots/api#sendchataction)."""
BACKOFF: Final = Backoff(first=1.0, longest=30.0)
"""Between attempts to send."""
GIVE_UP_SECONDS: Final = 180.0
"""After the first attempt; the answer is of no use any more."""
MAX_PHOTO_SIDE: Final = 2560
"""Pixels to which Telegram shrinks a photo (https://core.telegram.org/api/files#image-thumbnail-types). A longer one,
whose letters would become too small to read, is sent as a file, which stays as it is."""
_NO_PREVIEW: Final = LinkPreviewOptions(is_disabled=True)
_NOT_MODIFIED: Final = "message is not modified"
_TOO_OLD: Final = "query is too old"
T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a reply is sent: a chat, in a forum a topic of it, and which message it answers.

    `private`: a chat with one user. A message in a reply thread is answered there because the answer is a reply.
    """

    chat: int
    topic: int | None
    answers: int
    private: bool

    @property
    def key(self) -> str:
        """The name of the chat for the core, to which each topic of a forum is a chat."""
        return str(self.chat) if self.topic is None else f"{self.chat}/{self.topic}"


@dataclass(frozen=True, slots=True)
class Sender:
    """Sends replies through `bot`. Raises `TelegramError` for what cannot be delivered.

    `signer` signs the buttons under inline messages. `on_moved` gets platform, old and new number of a group that turns
    out to have become a supergroup.
    """

    bot: Bot
    limiter: RateLimiter
    signer: CallbackSigner
    on_moved: Callable[[str, str, str], Awaitable[None]]
    clock: Clock = MONOTONIC

    async def send(self, place: Place, reply: Reply) -> None:
        """Sends the whole reply, the buttons below its last piece.

        In a group it answers the message that asked for it; what is meant for one user notifies no one else. If
        Telegram may have accepted a message or not, the user, who can see which, gets a note: sent again it might
        stand there twice, left alone not at all.
        """
        try:
            await self._send(place, reply)
        except TimedOut:
            await self._send(place, Reply.refusal(messages.UNCONFIRMED))
            raise

    async def edit_inline(self, inline_message_id: str, reply: Reply) -> None:
        """Puts a reply in place of an inline message's text. There is only one message, so it is shortened to fit."""
        text = split(shorten(render(reply), MAX_TEXT), MAX_TEXT)[0]
        markup = keyboard(self.signer.sign(inline_message_id, reply.actions))
        with _ignoring(_NOT_MODIFIED):
            await self._retry(
                inline_message_id,
                lambda: self.bot.edit_message_text(
                    text,
                    inline_message_id=inline_message_id,
                    reply_markup=markup,
                    link_preview_options=_NO_PREVIEW,
                ),
                idempotent=True,
            )

    async def answer_inline(self, query: InlineQuery, article: InlineQueryResultArticle, *, cache_seconds: int) -> None:
        """Shows the one result of an inline query, to every user who types the same. Too late is not an error."""
        with _ignoring(_TOO_OLD):
            await query.answer([article], cache_time=cache_seconds, is_personal=False)

    async def answer_press(self, query: CallbackQuery, text: str = "", *, alert: bool = False) -> None:
        """Ends the wait of a pressed button, with a text for that user alone. Too late is not an error."""
        shown = shorten(text, MAX_ALERT) or None
        with _ignoring(_TOO_OLD):
            await self._retry(None, lambda: query.answer(shown, show_alert=alert), idempotent=True)

    @asynccontextmanager
    async def typing(self, place: Place | None) -> AsyncIterator[None]:
        """Shows "typing" in the chat while the block runs; without a place, nothing."""
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
        await self.clock.sleep(TYPING_AFTER_SECONDS)
        while True:
            try:
                if self.limiter.may_type(place.chat):
                    await self.bot.send_chat_action(place.chat, ChatAction.TYPING, message_thread_id=place.topic)
            except TelegramError as error:  # perhaps the next one will be shown
                log.debug("typing.failed error=%s", type(error).__name__)
            await self.clock.sleep(TYPING_EVERY_SECONDS)

    async def _send(self, place: Place, reply: Reply) -> None:
        pieces = split(render(reply), MAX_TEXT)
        markup = keyboard(reply.actions)
        answers = None if place.private else place.answers
        quiet = not place.private and (reply.private or reply.kind is Kind.REFUSAL)
        if reply.picture is not None:
            caption = pieces[0] if len(pieces) == 1 and utf16_length(pieces[0]) <= MAX_CAPTION else ""
            options = _options(place, markup if caption else None, answers)
            if await self._send_picture(place, reply.picture, caption, options):
                if caption:
                    return
                answers = None
        for number, piece in enumerate(pieces, 1):
            options = _options(place, markup if number == len(pieces) else None, answers)
            options |= {"disable_notification": quiet, "link_preview_options": _NO_PREVIEW}
            place = await self._follow(place, lambda chat: self.bot.send_message(chat, piece, **options))  # noqa: B023
            answers = None

    async def _send_picture(self, place: Place, picture: Picture, caption: str, options: dict[str, Any]) -> bool:
        """Returns whether Telegram accepted the picture. If it refuses it (too large, say), the text is sent alone."""

        def send(chat: int) -> Awaitable[object]:
            if _height(picture.content) > MAX_PHOTO_SIDE:
                document = InputFile(picture.content, picture.name)
                return self.bot.send_document(chat, document, caption or None, **options)
            return self.bot.send_photo(chat, picture.content, caption or None, **options)

        try:
            await self._follow(place, send)
        except BadRequest as error:
            log.warning("picture.refused reason=%s", error.message)
            return False
        return True

    async def _follow(self, place: Place, send: Callable[[int], Awaitable[object]]) -> Place:
        """Sends to the chat, or to the supergroup that it has become; returns where that was."""
        try:
            await self._retry(place.chat, lambda: send(place.chat))
        except ChatMigrated as moved:
            await self.on_moved(PLATFORM, str(place.chat), str(moved.new_chat_id))
            place = replace(place, chat=moved.new_chat_id)
            await self._retry(place.chat, lambda: send(place.chat))
        return place

    async def _retry(
        self, chat: int | str | None, request: Callable[[], Awaitable[T]], *, idempotent: bool = False
    ) -> T:
        """Makes a request until the network lets it through. `chat`: as in `RateLimiter.send`.

        `idempotent`: twice does no more than once.
        """
        give_up_at = self.clock.time() + GIVE_UP_SECONDS
        for failures in itertools.count(1):
            try:
                return await self.limiter.send(chat, request)
            except BadRequest:
                raise  # a `NetworkError` by its class only: Telegram understood, and refuses
            except NetworkError as error:
                if (isinstance(error, MayHaveArrived) and not idempotent) or self.clock.time() >= give_up_at:
                    raise
            await self.clock.sleep(BACKOFF.pause(failures))
        raise AssertionError


def _options(place: Place, markup: InlineKeyboardMarkup | None, answers: int | None) -> dict[str, Any]:
    """What every method that sends takes. The answer is sent even if the message that it answers is gone by now."""
    reply = None if answers is None else ReplyParameters(answers, allow_sending_without_reply=True)
    return {"message_thread_id": place.topic, "reply_markup": markup, "reply_parameters": reply}


@contextmanager
def _ignoring(complaint: str) -> Iterator[None]:
    """Ignores a refusal that changes nothing for the user."""
    try:
        yield
    except BadRequest as error:
        if complaint not in error.message.lower():
            raise
        log.debug("request.ignored reason=%s", complaint)


def _height(png: bytes) -> int:
    """Pixels, from the file's first block (https://www.w3.org/TR/png-3/#11IHDR); 0 when it is cut short."""
    return int.from_bytes(png[20:24], "big")
