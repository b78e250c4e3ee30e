"""Everything that a loopback Telegram knows: who is there, which chats, what the bot sent and registered."""

from __future__ import annotations

import itertools

from bot.core.clock import Clock
from testing.telegram.api import Json
from testing.telegram.people import Chat, InlineQuery, Press, Sent, User
from testing.telegram.updates import Updates


class World(Updates):
    """The state that the methods of the Bot API read and change."""

    def __init__(self, token: str, username: str, clock: Clock) -> None:
        super().__init__(clock)
        self.token, self.username = token, username
        self.chats: dict[int, Chat] = {}
        self.inline_messages: dict[str, Sent] = {}
        self.queries: dict[str, Press | InlineQuery] = {}
        self.settings = {
            "can_join_groups": True,
            "can_read_all_group_messages": False,
            "supports_inline_queries": True,
        }
        """What the bot's owner chose at @BotFather."""
        self.commands: dict[tuple[str, str], list[Json]] = {}
        """By type of scope and language."""
        self.profile: dict[tuple[str, str], str] = {}
        """By "description" or "short_description", and language."""
        self._numbers = itertools.count(1001)

    def number(self) -> int:
        """Return a number that nothing else has."""
        return next(self._numbers)

    def bot_user(self) -> Json:
        """The bot, as the sender of its messages."""
        number = int(self.token.split(":", maxsplit=1)[0])
        return {"id": number, "is_bot": True, "first_name": "Bot", "username": self.username}

    def me(self) -> Json:
        """The bot, with what only getMe tells."""
        return self.bot_user() | {
            "can_connect_to_business": False,
            "has_main_web_app": False,
            **self.settings,
        }

    def user(self, name: str) -> User:
        return User(self, self.number(), name)

    def private(self, owner: User) -> Chat:
        chat = Chat(self, owner.id, "private", owner)
        return self.chats.setdefault(chat.id, chat)

    def group(self) -> Chat:
        chat = Chat(self, -self.number(), "group")
        self.chats[chat.id] = chat
        return chat

    def supergroup(self, *, forum: bool = False) -> Chat:
        chat = Chat(self, -1_000_000_000_000 - self.number(), "supergroup", forum=forum)
        self.chats[chat.id] = chat
        return chat

    def forget(self) -> None:
        """Drop what was said so far, which a long run would fill the memory with."""
        self.forget_updates()
        for chat in self.chats.values():
            chat.sent.clear()
            chat.typed.clear()
            chat.messages.all.clear()
            chat.actions.all.clear()
