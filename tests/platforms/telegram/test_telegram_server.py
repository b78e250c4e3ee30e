"""The loopback Bot API refuses what the real one refuses, in its words, and delivers as it does."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, ServerDisconnectedError, web

from testing.clock import ManualClock
from testing.telegram import MAX_TEXT, NOT_MODIFIED, QUERY_TOO_OLD, SECRET_HEADER, Chat, TelegramServer, User

ROOT = Path(__file__).resolve().parents[3]
SECRET, BAD_SECRET = "s3cret_-", "a b"
PNG = b"\x89PNG\r\n\x1a\n"
Answer = dict[str, Any]


class Api:
    """Raw requests, as any library would make them."""

    def __init__(self, server: TelegramServer, session: ClientSession) -> None:
        self.server, self._session = server, session

    async def answer(self, method: str, token: str | None = None, **params: Any) -> Answer:
        url = f"{self.server.url}/bot{token or self.server.token}/{method}"
        async with self._session.post(url, json=params) as response:
            answer: Answer = await response.json()
            assert response.status == (200 if answer["ok"] else answer["error_code"])
            return answer

    async def ok(self, method: str, **params: Any) -> Any:
        answer = await self.answer(method, **params)
        assert answer["ok"], answer
        return answer["result"]

    async def error(self, method: str, **params: Any) -> tuple[int, str]:
        answer = await self.answer(method, **params)
        assert not answer["ok"]
        return answer["error_code"], answer["description"]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def server(clock: ManualClock) -> AsyncIterator[TelegramServer]:
    async with TelegramServer(clock=clock) as server:
        yield server


@pytest.fixture
async def api(server: TelegramServer) -> AsyncIterator[Api]:
    async with ClientSession() as session:
        yield Api(server, session)


@pytest.fixture
def alice(server: TelegramServer) -> User:
    return server.user("Alice")


@pytest.fixture
def chat(server: TelegramServer, alice: User) -> Chat:
    return server.private(alice)


def button(data: str) -> Answer:
    return {"inline_keyboard": [[{"text": "Press", "callback_data": data}]]}


# ---- doors --------------------------------------------------------------------------------------------------------


async def test_an_unknown_token_and_an_unknown_method(api: Api) -> None:
    assert (await api.answer("getMe", "1:wrong")) == {
        "ok": False,
        "error_code": 401,
        "description": "Unauthorized",
    }
    assert await api.error("makeTea") == (404, "Not Found: method not found")
    assert (await api.ok("GETME"))["username"] == "lstmega_bot"
    api.server.revoke("1:another")
    assert (await api.ok("getMe"))["is_bot"]


async def test_parameters_may_be_a_query_a_form_multipart_or_json(server: TelegramServer, chat: Chat) -> None:
    url = f"{server.url}/bot{server.token}/sendMessage"
    params = {"chat_id": str(chat.id), "text": "hello"}
    async with ClientSession() as session:
        for request in ({"params": params}, {"data": params}, {"json": params}):
            async with session.post(url, **request) as response:  # type: ignore[arg-type]
                assert (await response.json())["ok"]
        async with session.get(url, params=params) as response:
            assert (await response.json())["ok"]
        photo = url.replace("sendMessage", "sendPhoto")
        async with session.post(photo, data={"chat_id": str(chat.id), "photo": BytesIO(PNG)}) as response:
            assert (await response.json())["ok"]
    texts = [(await chat.next_message()).text for _ in range(4)]
    assert texts == ["hello"] * 4
    assert (await chat.next_message()).photo == PNG


# ---- messages -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "complaint"),
    [
        ({"text": ""}, "message text is empty"),
        ({"text": " \n "}, "text must be non-empty"),
        ({"text": "x" * (MAX_TEXT + 1)}, "message is too long"),
        ({"text": "x", "chat_id": 5}, "chat not found"),
        ({"text": "x", "chat_id": ""}, "chat_id is empty"),
        ({"text": "<b>x", "parse_mode": "HTML"}, None),
        (
            {"text": "<b", "parse_mode": "HTML"},
            "can't parse entities: Can't find end tag corresponding to start tag at byte offset 0",
        ),
        (
            {"text": "a *b", "parse_mode": "Markdown"},
            "can't parse entities: Can't find end of the entity starting at byte offset 2",
        ),
        (
            {"text": "😀", "entities": [{"type": "bold", "offset": 1, "length": 1}]},
            "entity begins in the middle of a UTF-16 symbol at byte offset 1",
        ),
        ({"text": "x", "reply_markup": button("x" * 65)}, "BUTTON_DATA_INVALID"),
        ({"text": "x", "reply_markup": {"inline_keyboard": [[{"text": "Press"}]]}}, "text buttons are unallowed"),
        ({"text": "x", "reply_parameters": {"message_id": 5}}, "message to be replied not found"),
        ({"text": "x", "message_thread_id": 5}, "message thread not found"),
        ({"text": "x", "reply_markup": "{"}, "can't parse reply keyboard markup JSON object"),
    ],
)
async def test_messages_that_are_refused(api: Api, chat: Chat, params: Answer, complaint: str | None) -> None:
    everything: Answer = {"chat_id": chat.id} | params
    answer = await api.answer("sendMessage", None, **everything)
    if complaint is None:
        assert answer["ok"]
        return
    assert answer["error_code"] == 400
    assert answer["description"].startswith(f"Bad Request: {complaint}")
    assert chat.messages.unread == 0


async def test_the_longest_message_is_counted_in_characters(api: Api, chat: Chat) -> None:
    await api.ok("sendMessage", chat_id=chat.id, text="😀" * MAX_TEXT)
    assert len((await chat.next_message()).text) == MAX_TEXT


async def test_a_caption_and_a_picture(api: Api, chat: Chat) -> None:
    assert await api.error("sendPhoto", chat_id=chat.id) == (400, "Bad Request: there is no photo in the request")
    too_long = await api.error("sendPhoto", chat_id=chat.id, photo="file", caption="x" * 1025)
    assert too_long == (400, "Bad Request: message caption is too long")


async def test_a_person_who_blocked_the_bot(api: Api, chat: Chat) -> None:
    chat.block()
    for method in ("sendMessage", "sendChatAction"):
        error = await api.error(method, chat_id=chat.id, text="x", action="typing")
        assert error == (403, "Forbidden: bot was blocked by the user")


async def test_a_group_that_became_a_supergroup(api: Api, server: TelegramServer) -> None:
    group = server.group()
    new = await group.upgrade(announced_there=False)
    answer = await api.answer("sendMessage", chat_id=group.id, text="x")
    assert answer["description"] == "Bad Request: group chat was upgraded to a supergroup chat"
    assert answer["parameters"] == {"migrate_to_chat_id": new.id}
    await api.ok("sendMessage", chat_id=new.id, text="x")
    [update] = await api.ok("getUpdates")
    assert update["message"]["migrate_to_chat_id"] == new.id


async def test_edits(api: Api, chat: Chat) -> None:
    sent = await api.ok("sendMessage", chat_id=chat.id, text="one", reply_markup=button("a"))
    where = {"chat_id": chat.id, "message_id": sent["message_id"]}
    unchanged = (400, f"Bad Request: {NOT_MODIFIED}")
    assert await api.error("editMessageText", **where, text="one", reply_markup=button("a")) == unchanged
    await api.ok("editMessageText", **where, text="two", reply_markup=button("a"))
    message = await chat.next_message()
    assert await message.next_edit() == "two"
    assert await api.error("editMessageReplyMarkup", **where, reply_markup=button("a")) == unchanged
    await api.ok("editMessageReplyMarkup", **where)
    assert message.labels == []
    assert (await api.error("editMessageText", chat_id=chat.id, message_id=1, text="x"))[1].endswith("edit not found")
    typed = await chat.send("mine")
    assert (await api.error("editMessageText", chat_id=chat.id, message_id=typed, text="x"))[1].endswith("be edited")
    assert (await api.error("editMessageText", inline_message_id="?", text="x"))[1].endswith("MESSAGE_ID_INVALID")


async def test_chat_actions(api: Api, chat: Chat) -> None:
    await api.ok("sendChatAction", chat_id=chat.id, action="typing")
    assert await chat.next_action() == "typing"
    error = await api.error("sendChatAction", chat_id=chat.id, action="thinking")
    assert error == (400, "Bad Request: wrong parameter action in request")


# ---- queries ------------------------------------------------------------------------------------------------------


async def test_a_pressed_button(api: Api, chat: Chat, alice: User) -> None:
    await api.ok("sendMessage", chat_id=chat.id, text="x", reply_markup=button("a"))
    press = await alice.press(await chat.next_message(), "Press")
    [update] = await api.ok("getUpdates")
    query = update["callback_query"]
    assert (query["data"], query["message"]["chat"]["id"]) == ("a", chat.id)
    await api.ok("answerCallbackQuery", callback_query_id=query["id"], text="no", show_alert=True)
    assert await press.answer() == ("no", True)
    long = await api.error("answerCallbackQuery", callback_query_id=query["id"], text="x" * 201)
    assert long == (400, "Bad Request: MESSAGE_TOO_LONG")
    press.expired = True
    old = await api.error("answerCallbackQuery", callback_query_id=query["id"])
    assert old == (400, f"Bad Request: {QUERY_TOO_OLD}")


async def test_an_inline_query(api: Api, alice: User) -> None:
    query = await alice.inline("0.7 The")
    article = {"type": "article", "id": "1", "title": "T", "input_message_content": {"message_text": "wait"}}
    await api.ok("answerInlineQuery", inline_query_id=query.id, results=[article | {"reply_markup": button("a")}])
    assert (await query.answer())[0]["id"] == "1"
    sent = await query.choose()
    updates = await api.ok("getUpdates")
    chosen = updates[-1]["chosen_inline_result"]
    assert (chosen["query"], chosen["result_id"]) == ("0.7 The", "1")
    await api.ok("editMessageText", inline_message_id=chosen["inline_message_id"], text="text")
    assert (sent.text, sent.labels) == ("text", [])
    old = await api.error("answerInlineQuery", inline_query_id="?", results=[])
    assert old == (400, f"Bad Request: {QUERY_TOO_OLD}")


async def test_without_a_keyboard_an_inline_message_has_no_identifier(api: Api, alice: User) -> None:
    query = await alice.inline("")
    article = {"type": "article", "id": "1", "title": "T", "input_message_content": {"message_text": "wait"}}
    await api.ok("answerInlineQuery", inline_query_id=query.id, results=[article])
    await query.choose()
    assert "inline_message_id" not in (await api.ok("getUpdates"))[-1]["chosen_inline_result"]
    no_title = await api.error("answerInlineQuery", inline_query_id=query.id, results=[article | {"title": ""}])
    assert no_title == (400, "Bad Request: ARTICLE_TITLE_EMPTY")


# ---- the menu -----------------------------------------------------------------------------------------------------


async def test_commands_are_kept_by_scope_and_language(api: Api) -> None:
    scope = {"type": "all_group_chats"}
    commands = [{"command": "about", "description": "About"}]
    await api.ok("setMyCommands", commands=commands, scope=scope, language_code="pt")
    assert await api.ok("getMyCommands", scope=scope, language_code="pt") == commands
    assert await api.ok("getMyCommands", scope=scope) == []
    bad = await api.error("setMyCommands", commands=[{"command": "About", "description": "x"}])
    assert bad == (400, "Bad Request: BOT_COMMAND_INVALID")
    long = await api.error("setMyCommands", commands=[{"command": "about", "description": "x" * 257}])
    assert long == (400, "Bad Request: BOT_COMMAND_DESCRIPTION_INVALID")


# ---- updates ------------------------------------------------------------------------------------------------------


async def test_an_offset_confirms_what_came_before_it(api: Api, chat: Chat) -> None:
    for text in "abc":
        await chat.send(text)
    first, second, third = await api.ok("getUpdates")
    assert [u["message"]["text"] for u in (first, second, third)] == ["a", "b", "c"]
    assert len(await api.ok("getUpdates", limit=1)) == 1
    assert await api.ok("getUpdates", offset=third["update_id"]) == [third]
    assert api.server.pending == 1
    assert await api.ok("getUpdates", offset=third["update_id"] + 1) == []
    await chat.send("d")
    await chat.send("e")
    assert [u["message"]["text"] for u in await api.ok("getUpdates", offset=-1)] == ["e"]


async def test_a_long_poll_ends_when_something_happens(api: Api, chat: Chat) -> None:
    async with asyncio.TaskGroup() as group:
        poll = group.create_task(api.ok("getUpdates", timeout=30))
        await asyncio.wait({poll}, timeout=0.05)
        assert not poll.done()
        await chat.send("hello")
    assert poll.result()[0]["message"]["text"] == "hello"


async def test_a_long_poll_ends_after_its_time(api: Api, clock: ManualClock) -> None:
    poll = asyncio.create_task(api.ok("getUpdates", timeout=30))
    await clock.sleepers()
    await clock.advance(29.9)
    await asyncio.wait({poll}, timeout=0.05)
    assert not poll.done()
    await clock.advance(0.1)
    assert await poll == []


async def test_two_pollers_are_one_too_many(api: Api, chat: Chat) -> None:
    polls = api.server.watch("getUpdates")
    async with asyncio.TaskGroup() as group:
        first = group.create_task(api.answer("getUpdates", timeout=30))
        await polls.next()
        second = group.create_task(api.ok("getUpdates", timeout=30))
        await asyncio.wait({first})
        await chat.send("hello")
    assert first.result()["error_code"] == 409
    assert "terminated by other getUpdates request" in first.result()["description"]
    assert len(second.result()) == 1


async def test_only_what_was_asked_for_is_kept(api: Api, chat: Chat) -> None:
    await api.ok("getUpdates", allowed_updates=["message"])
    await chat.edit(await chat.send("one"), "two")
    assert ["message" in update for update in await api.ok("getUpdates")] == [True]


async def test_repeated_and_disordered_updates(api: Api, chat: Chat) -> None:
    with api.server.gathered(reverse=True):
        await chat.send("a")
        await chat.send("b")
    updates = await api.ok("getUpdates")
    assert [u["message"]["text"] for u in updates] == ["b", "a"]
    newest = max(u["update_id"] for u in updates)
    api.server.redeliver(newest)
    assert [u["update_id"] for u in await api.ok("getUpdates", offset=newest + 1)] == [newest]


async def test_a_webhook_gets_updates_with_its_secret_until_it_takes_them(api: Api, chat: Chat) -> None:
    received: list[tuple[str, str]] = []
    statuses = iter([500, 200, 200])

    async def receive(request: web.Request) -> web.Response:
        update = await request.json()
        received.append((request.headers[SECRET_HEADER], update["message"]["text"]))
        return web.Response(status=next(statuses))

    app = web.Application()
    app.router.add_post("/hook", receive)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    try:
        assert (await api.error("setWebhook", url=url, secret_token=BAD_SECRET))[1].endswith("unallowed characters")
        assert (await api.error("setWebhook", url="hook"))[1] == "Bad Request: invalid webhook URL specified"
        await api.ok("setWebhook", url=url, secret_token=SECRET)
        assert (await api.error("getUpdates"))[1].startswith("Conflict: can't use getUpdates method while webhook")
        await chat.send("one")
        await chat.send("two")
        assert [await api.server.webhook_statuses.next() for _ in range(3)] == [500, 200, 200]
    finally:
        await runner.cleanup()
    assert received == [(SECRET, "one"), (SECRET, "one"), (SECRET, "two")]
    await chat.send("three")
    assert await api.server.webhook_statuses.next() == 0
    info = await api.ok("getWebhookInfo")
    assert (info["url"], info["pending_update_count"]) == (url, 1)
    await api.ok("deleteWebhook")
    assert len(await api.ok("getUpdates")) == 1


# ---- faults -------------------------------------------------------------------------------------------------------


async def test_a_flood_is_over_when_its_time_is(
    api: Api, server: TelegramServer, chat: Chat, clock: ManualClock
) -> None:
    other = server.private(server.user("Bob"))
    fault = server.flood(chat, retry_after=1)
    answer = await api.answer("sendMessage", chat_id=chat.id, text="x")
    assert (answer["error_code"], answer["description"]) == (429, "Too Many Requests: retry after 1")
    assert answer["parameters"] == {"retry_after": 1}
    await api.ok("sendMessage", chat_id=other.id, text="x")
    assert (await api.error("sendMessage", chat_id=chat.id, text="x"))[0] == 429
    await clock.advance(1.0)
    await api.ok("sendMessage", chat_id=chat.id, text="x")
    assert fault.hits == 2


async def test_errors_that_are_no_json_and_cut_connections(api: Api, server: TelegramServer, chat: Chat) -> None:
    server.fail(502, method="getMe")
    async with (
        ClientSession() as session,
        session.post(f"{server.url}/bot{server.token}/getMe") as response,
    ):
        assert (response.status, response.content_type) == (502, "text/plain")
    await api.ok("getMe")
    server.drop(method="sendMessage")
    with pytest.raises(ServerDisconnectedError):
        await api.ok("sendMessage", chat_id=chat.id, text="x")
    assert chat.messages.unread == 0
    server.drop(method="sendMessage", after=True)
    with pytest.raises(ServerDisconnectedError):
        await api.ok("sendMessage", chat_id=chat.id, text="x")
    assert chat.messages.unread == 1


async def test_a_held_request_continues_when_it_is_released(api: Api, server: TelegramServer, chat: Chat) -> None:
    fault = server.hold(method="sendMessage")
    async with asyncio.TaskGroup() as group:
        group.create_task(api.ok("sendMessage", chat_id=chat.id, text="x"))
        assert (await fault.met()).params.text("text") == "x"
        assert chat.messages.unread == 0
        fault.release()
    assert (await chat.next_message()).text == "x"
    await api.ok("sendMessage", chat_id=chat.id, text="y")


async def test_a_server_that_went_down_comes_back_on_its_port(api: Api, server: TelegramServer) -> None:
    url = server.url
    await server.down()
    with pytest.raises(OSError, match="Cannot connect"):
        await api.ok("getMe")
    await server.up()
    assert server.url == url
    await api.ok("getMe")


async def test_a_conversation_from_a_terminal() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "testing.telegram", "--port", "0", "--token", "1:abc"),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            url = json.loads((await process.stdout.readline()).decode().partition("=")[2])
            process.stdin.write(b"hello\n")
            async with ClientSession() as session:
                poll = f"{url}/bot1:abc/getUpdates"
                async with session.get(poll, params={"timeout": 30}) as response:
                    message = (await response.json())["result"][0]["message"]
                answer = {"chat_id": message["chat"]["id"], "text": f"{message['text']} yourself"}
                async with session.post(f"{url}/bot1:abc/sendMessage", json=answer) as response:
                    assert (await response.json())["ok"]
            await process.stdout.readline()
            assert await process.stdout.readline() == b"hello yourself\n"
    finally:
        process.terminate()
        await process.wait()
