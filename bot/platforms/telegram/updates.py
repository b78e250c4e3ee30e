"""Updates as requests: what a message, a pressed button or an inline query asks for, and how it is answered.

Inline mode (`@bot 0.7 prompt`, typed in any chat) needs two settings that only @BotFather has: /setinline, and
/setinlinefeedback at 100 %. Telegram sends a query at every pause in the typing, so the result is a placeholder that
costs nothing. When the user chooses it, which the feedback reports, the text is written and replaces the placeholder.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from functools import partial
from typing import Any, Final

import telegram
from msgspec.structs import replace
from telegram.constants import ChatMemberStatus, ChatType

from bot.core import buttons
from bot.core.ask import Ask, Plain, Where, Write
from bot.core.commands import continuing, parse_message
from bot.core.parsing import TemperatureError, parse_line, parse_temperature
from bot.core.reply import Kind, Reply
from bot.platforms.base import MAX_RECENT, Recent
from bot.platforms.telegram.dispatcher import Dispatcher, Request
from bot.platforms.telegram.render import MAX_ALERT, WAIT, verify, whole
from bot.platforms.telegram.sender import PLATFORM, Place, Sender
from bot.platforms.text import utf16_length

INLINE: Final = "inline"
"""The chat of every inline message for the store: Telegram does not say which one it is in."""
_GROUPS: Final = (ChatType.GROUP, ChatType.SUPERGROUP)
_ABSENT: Final = (ChatMemberStatus.LEFT, ChatMemberStatus.BANNED)
_ADDRESSEE: Final = re.compile(r"/[^\s@]*@(\S+)")
log = logging.getLogger(__name__)


class UpdateHandler:
    """Turns updates into requests for the dispatcher."""

    def __init__(self, sender: Sender, dispatcher: Dispatcher) -> None:
        self._commands = sender.commands
        self._sender = sender
        self._dispatcher = dispatcher
        self._seen: deque[int] = deque(maxlen=MAX_RECENT)
        self._refused: deque[tuple[int, int | None]] = deque(maxlen=MAX_RECENT)
        """Messages that were refused: their chat and number. They may be corrected by editing; an answer stands."""
        self._told = Recent(sender.limiter.clock)
        """Who got no text for what they said in a chat, and why. Ten pictures sent at once are ten messages."""
        self._mention = re.compile(rf"\A\s*@{re.escape(sender.bot.username)}\b[,:]?", re.IGNORECASE)
        self._typing: dict[int, telegram.InlineQuery] = {}
        """Of each user, the inline query that waits to be answered. A newer one takes its place."""

    def handle(self, content: dict[str, Any]) -> None:
        """Submits what an update asks for; returns at once. Ignores one that came before, or that cannot be read.

        Raises `TypeError`, `ValueError`, `KeyError` or `OverflowError` if it has not even a number.
        """
        update_id = int(content["update_id"])
        if update_id in self._seen:
            return
        self._seen.append(update_id)
        try:
            request = self._request(telegram.Update.de_json(content, self._sender.bot))
            if request is not None:
                self._dispatcher.submit(request)
        except Exception as error:  # noqa: BLE001 - or Telegram would deliver it again and again, and nothing after it
            log.warning("update.malformed id=%d error=%s", update_id, type(error).__name__)

    def _request(self, update: telegram.Update) -> Request | None:
        if (edited := update.edited_message) is not None:
            if (edited.chat.id, edited.message_id) not in self._refused:
                return None
            self._refused.remove((edited.chat.id, edited.message_id))
            return self._message(edited)
        kinds: tuple[tuple[object, Callable[[Any], Request | None]], ...] = (
            (update.message, self._message),
            (update.callback_query, self._press),
            (update.chosen_inline_result, self._chosen),
            (update.inline_query, self._inline_query),
            (update.my_chat_member, self._membership),
        )
        for content, request in kinds:
            if content is not None:
                return request(content)
        return None

    def _message(self, message: telegram.Message) -> Request | None:
        # Telegram reports in both chats that a group became a supergroup.
        old, new = message.migrate_from_chat_id or message.chat.id, message.migrate_to_chat_id or message.chat.id
        if old != new:
            return Request(("moved", old), old, partial(self._commands.moved, PLATFORM, str(old), str(new)))
        user = _sender(message)
        if user is None:
            return None
        place, typed = _place(message), message.text or message.caption or ""
        where = self._where(place, user, message.from_user)
        if self._commands.ignores(where):
            return None
        refuse = partial(self._refuse, where, partial(self._sender.send, place))
        text, replied = self._mention.sub("", typed, count=1), self._replied_to(message)
        requester: Hashable = user
        if self._is_addressed(text, place, user, mentioned=text != typed, replied=replied):
            is_command, ask = parse_line(typed) is not None, parse_message(text, user, replied)
            requester = ("cancel", user) if ask == Plain("cancel") else user  # waits for nothing that it may stop
            work = partial(self._answer, ask, where, place, is_command=is_command)
        elif place.private and not typed and message.effective_attachment and self._told.is_first(place.chat):
            work = partial(refuse, "words-only")
        else:
            return None
        return Request(requester, place.key, work, place.chat, refuse, as_message=True)

    def _is_addressed(self, text: str, place: Place, user: str, *, mentioned: bool, replied: list[str]) -> bool:
        """In a group, an unknown command is another bot's unless it names this one, and other words are for people
        unless they mention it or reply to a text of its own."""
        if line := parse_line(text):
            if addressee := _ADDRESSEE.match(text.lstrip()):
                return addressee[1].lower() == self._sender.bot.username.lower()
            return place.private or mentioned or line.command in self._commands.known_to(Where(PLATFORM, "", user))
        return mentioned or bool(text.strip() and (place.private or any(continuing(replied))))

    def _replied_to(self, message: telegram.Message) -> list[str]:
        """Returns the data of the buttons under the bot's own message that a message replies to."""
        replied = message.reply_to_message
        return [] if replied is None or replied.from_user != self._sender.bot.bot else _buttons_under(replied)

    async def _answer(self, ask: Ask, where: Where, place: Place, *, is_command: bool) -> None:
        reply, _, grown = await self._sender.wait_for(partial(self._commands.handle, ask), where, place)
        if reply.kind is Kind.REFUSAL:
            self._refused.append((place.chat, place.answers))
            if not (place.private or is_command or self._told.is_first((where.chat, where.user))):
                return  # people who only talk there are not told again and again why nothing is written
        await self._sender.send(place, reply, grown)

    async def _refuse(self, where: Where, show: Callable[[Reply], Awaitable[None]], message: str) -> None:
        """Shows a message as a refusal, in the user's language."""
        await show(await self._commands.refusal(message, where))

    def _membership(self, change: telegram.ChatMemberUpdated) -> Request | None:
        """Says how the bot works in a group that it is added to."""
        chat, was, now = change.chat, change.old_chat_member.status, change.new_chat_member.status
        if chat.type not in _GROUPS or was not in _ABSENT or now in _ABSENT:
            return None
        place = Place(chat.id, None, None, private=False)
        if not self._commands.allows(self._where(place, str(change.from_user.id), change.from_user)):
            return None
        work = partial(self._sender.send, place, self._commands.welcome(change.from_user.language_code or ""))
        return Request(str(change.from_user.id), place.key, work, chat.id)

    def _press(self, query: telegram.CallbackQuery) -> Request:
        place = None if query.message is None else _place(query.message)
        where = self._where(place, _presser(query), query.from_user)
        work = partial(self._answer_press, query, where, place)
        refuse = partial(self._refuse, where, partial(self._sender.answer_press, query))
        return Request(where.user, where.chat, work, None if place is None else place.chat, refuse)

    async def _answer_press(self, query: telegram.CallbackQuery, where: Where, place: Place | None) -> None:
        data, inline_id = query.data or "", query.inline_message_id
        if data == WAIT:
            await self._sender.answer_press(query, await self._commands.refusal("inline-wait", where), alert=False)
            return
        if inline_id is not None:
            data = verify(self._sender.bot.token, inline_id, data)
        reply, is_late, grown = await self._sender.wait_for(partial(self._commands.press, data), where, place, query)
        refused = reply.kind is Kind.REFUSAL
        if not is_late:
            is_alert = refused or (reply.private and not reply.in_place and utf16_length(whole(reply)) <= MAX_ALERT)
            await self._sender.answer_press(query, reply if is_alert else None, alert=not reply.passing)
            if reply.outdated and (data if inline_id is not None else data in _buttons_under(query.message)):
                await self._sender.remove_buttons(query)
            if is_alert:
                return
        if place is not None and reply.in_place:
            await self._sender.edit(place, reply)
        elif place is not None:
            await self._sender.send(place, reply, grown)
        elif inline_id is not None and not (refused or reply.private):
            await self._sender.edit_inline(inline_id, reply)

    def _inline_query(self, query: telegram.InlineQuery) -> Request | None:
        user = query.from_user.id
        waiting = user in self._typing
        self._typing[user] = query

        async def work() -> None:
            newest = self._typing.pop(user)
            where = await self._commands.localized(self._where(None, str(user), newest.from_user))
            await self._sender.answer_inline(newest, where)

        # Counted apart from what the user asks for: typing must not fill their queue.
        return None if waiting else Request(("typing", user), INLINE, work)

    def _where(self, place: Place | None, user: str, author: telegram.User | None) -> Where:
        """Where a reply is shown. Without a place in an inline message, for which each user has a separate queue."""
        locale, person = ("", ()) if author is None else (author.language_code or "", (str(author.id),))
        if place is None:
            return Where(PLATFORM, INLINE, user, locale, queue=f"{INLINE}/{user}", in_place=True, within=person)
        return Where(
            PLATFORM,
            place.key,
            user,
            locale,
            public=not place.private,
            within=(str(place.chat), *person),
            group="" if place.private else str(place.chat),
            administers=partial(self._sender.is_administrator, place.chat, 0 if author is None else author.id),
        )

    def _chosen(self, chosen: telegram.ChosenInlineResult) -> Request | None:
        if chosen.inline_message_id is None:
            log.warning("inline.no_identifier: the message stays as it is; /setinlinefeedback may be off")
            return None
        user, edit = str(chosen.from_user.id), partial(self._sender.edit_inline, chosen.inline_message_id)
        ask, where = self._commands.parse_inline(chosen.query), self._where(None, user, chosen.from_user)
        if isinstance(ask, Write):
            temperature, _, voice = chosen.result_id.partition(" ")
            with contextlib.suppress(TemperatureError):  # a placeholder of an earlier version, which did not name one
                ask = replace(ask, temperature=parse_temperature(temperature), voice=voice or ask.voice)

        async def work() -> None:
            await edit(await self._commands.handle(ask, where))

        return Request(user, INLINE, work, refuse=partial(self._refuse, where, edit))


def _sender(message: telegram.Message) -> str | None:
    """Who wrote: a user, or the group itself if its anonymous administrator did. Other bots are ignored."""
    if message.sender_chat is not None:
        return str(message.sender_chat.id)
    sender = message.from_user
    return None if sender is None or sender.is_bot or message.via_bot is not None else str(sender.id)


def _presser(query: telegram.CallbackQuery) -> str:
    """As whom a user presses a button: as themselves, but under a text that a chat asked for, as that chat.

    A press always comes from a user (https://core.telegram.org/bots/api#callbackquery), nor can the bot find out who
    wrote in the name of a chat. So every user who sees the button may press it. Chats have negative numbers.
    """
    button = buttons.decode(query.data or "")
    if button is not None and re.fullmatch(r"-[0-9]{1,20}", button.owner):  # chats have negative numbers
        return button.owner
    return str(query.from_user.id)


def _buttons_under(message: telegram.MaybeInaccessibleMessage | None) -> list[str]:
    """Returns the data of the buttons under a message. A modified client may send other data for a press."""
    markup = message.reply_markup if isinstance(message, telegram.Message) else None
    rows = () if markup is None else markup.inline_keyboard
    return [str(button.callback_data) for row in rows for button in row if button.callback_data]


def _place(message: telegram.MaybeInaccessibleMessage) -> Place:
    """Where a message is. Of a very old one, under which a button was pressed, Telegram sends only the chat."""
    # Outside forums `message_thread_id` is a thread of replies, which `reply_parameters` keeps to.
    topic = message.message_thread_id if isinstance(message, telegram.Message) and message.is_topic_message else None
    return Place(message.chat.id, topic, int(message.message_id), message.chat.type == ChatType.PRIVATE)
