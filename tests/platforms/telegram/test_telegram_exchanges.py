"""The loopback Bot API answers with the shapes that the documentation shows, method by method."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, FormData

import testing.telegram
from testing.telegram import Chat, InlineQuery, Press, Sent, TelegramServer, User

DOCUMENTED = json.loads((Path(testing.telegram.__file__).parent / "exchanges.json").read_text(encoding="utf-8"))
PNG = b"\x89PNG\r\n\x1a\n"


def shape(value: Any) -> Any:
    """The keys of a value and the types of what they hold; of a list, the shape of its first element."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape(inner) for inner in value[:1]]
    return type(value).__name__


@pytest.fixture
async def documented() -> AsyncIterator[TelegramServer]:
    """A server with the user, the chats and the queries of the documented exchanges."""
    async with TelegramServer(username="lstmega_bot") as server:
        alice = User(server, 1111111, "Alice")
        server.private(alice)
        forum = Chat(server, -1001234567890, "supergroup", forum=True, topics={7})
        forum.administrators.append(alice)
        old = Chat(server, -4242, "group", upgraded_to=-1001234567891)
        server.chats |= {forum.id: forum, old.id: old}
        server.queries["4772338112961923840"] = Press("4772338112961923840")
        server.queries["4772338112961923841"] = InlineQuery(server, "4772338112961923841", alice, "0.7")
        server.inline_messages["AgAAAExample"] = Sent("AgAAAExample", None, "Writing …", [])
        yield server


async def test_every_method_that_the_bot_calls_is_documented(documented: TelegramServer) -> None:
    assert {exchange["method"] for exchange in DOCUMENTED["exchanges"]} == documented.methods


async def test_exchanges_have_the_documented_shapes(documented: TelegramServer) -> None:
    async with ClientSession(f"{documented.url}/bot{documented.token}/") as session:
        for exchange in DOCUMENTED["exchanges"]:
            method, request, expected = exchange["method"], dict(exchange["request"]), exchange["response"]
            if request.get("message_id") == 365:  # the message that was sent before
                request["message_id"] = next(iter(documented.chats[1111111].sent))
            answer = await call(session, method, request)
            assert shape(answer) == shape(expected), f"{method}: {answer}"
            if not expected["ok"] or isinstance(expected["result"], bool):
                assert answer == expected
            for echoed in ("text", "caption", "reply_markup", "message_thread_id"):
                if isinstance(answer.get("result"), dict) and echoed in request:
                    assert answer["result"][echoed] == request[echoed]


async def call(session: ClientSession, method: str, request: dict[str, Any]) -> Any:
    """Sends as the library does: JSON, or a form if there is a file."""
    if "attach://picture" not in request.values():
        async with session.post(method, json=request) as response:
            return await response.json()
    form = FormData({name: str(value) for name, value in request.items()})
    form.add_field("picture", PNG, filename="surprise.png", content_type="image/png")
    async with session.post(method, data=form) as response:
        return await response.json()


async def test_updates_have_the_documented_shapes(documented: TelegramServer) -> None:
    alice, chat = User(documented, 1111111, "Alice"), documented.chats[1111111]
    async with ClientSession(f"{documented.url}/bot{documented.token}/") as session:
        typed = await chat.send("/nietzsche 0.7 The soul", by=alice)
        await chat.edit(typed, "/nietzsche 0.8 The soul", by=alice)
        send = next(exchange for exchange in DOCUMENTED["exchanges"] if exchange["method"] == "sendMessage")
        await call(session, "sendMessage", send["request"])
        await alice.press(await chat.next_message(), "Again")
        query = await alice.inline("0.7 The soul")
        answer = next(exchange for exchange in DOCUMENTED["exchanges"] if exchange["method"] == "answerInlineQuery")
        await call(session, "answerInlineQuery", answer["request"] | {"inline_query_id": query.id})
        await query.choose()
        updates = (await call(session, "getUpdates", {}))["result"]
    delivered = {kind: content for update in updates for kind, content in update.items() if kind != "update_id"}
    assert {kind: shape(content) for kind, content in delivered.items()} == {
        kind: shape(content) for kind, content in DOCUMENTED["updates"].items()
    }
