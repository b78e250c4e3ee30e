"""A Telegram on this machine: the Bot API on a loopback port, and the people on the other side of it.

It answers as https://core.telegram.org/bots/api documents, and refuses what the real one refuses, in the real one's
words (they are in telegram-bot-api/Client.cpp and in TDLib). It knows nothing of the bot it talks to.

    async with TelegramServer() as server:
        chat = server.private(server.user("Alice"))
        await chat.send("/nietzsche 0.7")
        message = await chat.next_message()

Everything that waits, waits for an event, and fails after `PATIENCE` seconds with an `AssertionError`.
`python -m testing.telegram --port 8081` talks with a bot from a terminal.
"""

from testing.telegram.api import (
    MAX_TEXT,
    NOT_MODIFIED,
    QUERY_TOO_OLD,
    SECRET_HEADER,
    TOKEN,
    ApiError,
    Call,
    Json,
    Params,
)
from testing.telegram.people import Chat, InlineQuery, Press, Sent, User
from testing.telegram.server import TelegramServer

__all__ = [
    "MAX_TEXT",
    "NOT_MODIFIED",
    "QUERY_TOO_OLD",
    "SECRET_HEADER",
    "TOKEN",
    "ApiError",
    "Call",
    "Chat",
    "InlineQuery",
    "Json",
    "Params",
    "Press",
    "Sent",
    "TelegramServer",
    "User",
]
