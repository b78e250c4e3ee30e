"""Users on the tests' loopback Telegram."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Final

from benchmarks.service.people import Kind
from testing.telegram import Chat, TelegramServer, User

_NO_LIMIT: Final = math.inf
"""Seconds. The caller of `ask` has its own."""


@dataclass(frozen=True)
class TelegramPerson:
    """A user in a chat in which no other user asks before there is an answer."""

    chat: Chat
    user: User

    async def ask(self) -> tuple[float, int, Kind]:
        """See `Person`."""
        await self.chat.send("/nietzsche 0.7", by=self.user)
        sent = await self.chat.next_message(_NO_LIMIT)
        at = time.monotonic() if sent.edited else sent.at
        return at, len(sent.text), Kind.TEXT if sent.buttons else Kind.REFUSAL


@dataclass(frozen=True)
class ForgettingPerson(TelegramPerson):
    """A user who lets the bot delete everything about them."""

    async def ask(self) -> tuple[float, int, Kind]:
        """See `Person`."""
        await self.chat.send("/forgetme", by=self.user)
        question = await self.chat.next_message(_NO_LIMIT)
        press = await self.user.press(question, question.labels[0])
        text, _ = await press.answer(_NO_LIMIT)
        return time.monotonic(), len(text), Kind.TEXT


@dataclass(frozen=True)
class InlinePerson(TelegramPerson):
    """A user who chooses an inline result; the text comes as an edit of the message."""

    async def ask(self) -> tuple[float, int, Kind]:
        """See `Person`."""
        query = await self.user.inline("0.7 The soul")
        await query.answer(_NO_LIMIT)
        text = await (await query.choose()).next_edit(_NO_LIMIT)
        return time.monotonic(), len(text), Kind.TEXT


def in_private(server: TelegramServer, count: int) -> list[TelegramPerson]:
    """Returns users, each in a private chat."""
    users = [server.user(f"Person {number}") for number in range(count)]
    return [TelegramPerson(server.private(user), user) for user in users]


def forgetting(server: TelegramServer, count: int) -> list[ForgettingPerson]:
    """Returns users with something to delete, each in a private chat."""
    return [ForgettingPerson(person.chat, person.user) for person in in_private(server, count)]


def inline(server: TelegramServer, count: int) -> list[InlinePerson]:
    """Returns users of the inline mode."""
    return [InlinePerson(person.chat, person.user) for person in in_private(server, count)]
