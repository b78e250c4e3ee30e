"""Users on the tests' loopback Telegram."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.service.people import PATIENCE, Kind
from testing.telegram import Chat, TelegramServer, User


@dataclass(frozen=True)
class TelegramPerson:
    """A user in a chat in which no other user asks before there is an answer."""

    chat: Chat
    user: User

    async def ask(self) -> tuple[float, int, Kind]:
        """See `Person`."""
        await self.chat.send("/nietzsche 0.7", by=self.user)
        sent = await self.chat.next_message(PATIENCE)
        return sent.at, len(sent.text), Kind.TEXT if sent.buttons else Kind.REFUSAL


def in_private(server: TelegramServer, count: int) -> list[TelegramPerson]:
    """Returns users, each in a private chat."""
    users = [server.user(f"Person {number}") for number in range(count)]
    return [TelegramPerson(server.private(user), user) for user in users]
