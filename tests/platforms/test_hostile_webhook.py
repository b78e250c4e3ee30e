"""Hostile requests at the port of Telegram's webhook."""

from __future__ import annotations

import asyncio
import gzip
import hmac
import itertools
import json
import logging
import resource
from collections.abc import AsyncIterator

import pytest
from hostile_http import answer_until_closed, posted, survives
from service_process import unused_port

from bot import http_server
from bot.config.schema import Secret, TelegramSection
from bot.core.commands import Commands
from bot.platforms.telegram.platform import Telegram
from testing.telegram import SECRET_HEADER, Chat, TelegramServer

SECRET = "hook-secret"  # noqa: S105 - opens nothing but the test's own port


@pytest.fixture
async def hook(server: TelegramServer, commands: Commands) -> AsyncIterator[str]:
    """Yields the address of the bot's webhook, which is registered with Telegram."""
    port = unused_port()
    url = f"http://127.0.0.1:{port}/hook"
    section = TelegramSection(
        token=Secret(server.token),
        api_url=server.url,
        webhook_url=url,
        webhook_port=port,
        webhook_secret=Secret(SECRET),
    )
    hooks = server.watch("setWebhook")
    task = asyncio.create_task(Telegram(section, commands).serve())
    await hooks.next()
    yield url
    task.cancel()
    await asyncio.wait({task})


async def test_a_body_without_the_secret_is_not_read(
    hook: str, chat: Chat, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(http_server, "_LINGER_SECONDS", 0.2)
    port = int(hook.rpartition(":")[2].partition("/")[0])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    flood = b"marked" * 10_000
    announced = b"POST /hook HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 500000000\r\n\r\n"
    streamed = b"POST /hook HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    bomb = gzip.compress(b"\0" * 50_000_000)
    packed = b"POST /hook HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % (
        10 * len(bomb)
    )
    for head, part in ((announced, flood), (streamed, b"%x\r\n%s\r\n" % (len(flood), flood)), (packed, bomb)):
        answer = await answer_until_closed(port, head, part, every=0.001)
        assert not answer or b" 403 " in answer[:20]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000  # KiB
    await chat.send("/start")  # Telegram itself is still served
    assert (await chat.next_message()).text
    assert "marked" not in caplog.text


@pytest.mark.parametrize("said", [None, "", "hook-secre", "hook-secret ", "HOOK-SECRET", "\udcff", "hook-secret" * 500])
async def test_a_wrong_secret_is_refused(hook: str, said: str | None) -> None:
    headers = {} if said is None else {SECRET_HEADER: said}
    if said == "\udcff":
        port = int(hook.rpartition(":")[2].partition("/")[0])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            b"POST /hook HTTP/1.1\r\nHost: x\r\n%s: \xff\r\nContent-Length: 2\r\n\r\n{}" % SECRET_HEADER.encode()
        )
        assert b" 403 " in (await reader.readline())
        writer.close()
    elif said == "hook-secret ":  # white space around a header's value is not part of it
        assert await posted(hook, b"[]", **headers) == 400
    else:
        assert await posted(hook, b"{}", **headers) == 403


async def test_the_secret_is_compared_in_constant_time(hook: str, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []
    real = hmac.compare_digest

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return real(one, other)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    assert await posted(hook, b"{}", **{SECRET_HEADER: "guess"}) == 403
    assert compared == [(b"guess", SECRET.encode())]


@pytest.mark.parametrize(
    ("body", "encoding", "status"),
    [
        (b" " * ((1 << 20) + 1), "", 413),
        (gzip.compress(b" " * 200_000_000), "gzip", 413),
        (b"marked, no gzip", "gzip", 400),
        (b"", "", 400),
        (b"marked", "", 400),
        (b"null", "", 400),
        (b"[" * 100_000, "", 400),
        (b'"marked"', "", 400),
        (b"{}", "", 400),
        (b'{"update_id": "marked"}', "", 400),
        (b'{"update_id": {"a": []}}', "", 400),
        (b'{"update_id": 1e999}', "", 400),
        (b'\xff\xfe{"update_id": 1}', "", 400),
        (b'{"update_id": 5, "message": "marked"}', "", 200),
        (b'{"update_id": 6, "message": {"message_id": 1, "date": 1, "chat": {"id": 1, "type": "private"}}}', "", 200),
        (b'{"update_id": 7, "message": {"message_id": 1, "date": 1, "chat": {"id": 1, "type": "private"},'
         b' "from": {"id": 1, "is_bot": false, "first_name": "x"}, "text": 5}}', "", 200),
    ],
)  # fmt: skip
async def test_malformed_updates(
    hook: str, chat: Chat, *, body: bytes, encoding: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    headers = {SECRET_HEADER: SECRET, "Content-Type": "text/marked"} | (
        {"Content-Encoding": encoding} if encoding else {}
    )
    assert await posted(hook, body, **headers) == status
    await chat.send("/start")
    assert (await chat.next_message()).text
    assert "marked" not in caplog.text
    assert not [record for record in caplog.records if record.exc_info]


async def test_a_connection_closed_during_an_update_is_not_an_error(
    hook: str, chat: Chat, caplog: pytest.LogCaptureFixture
) -> None:
    port = int(hook.rpartition(":")[2].partition("/")[0])
    head = f"POST /hook HTTP/1.1\r\nHost: x\r\n{SECRET_HEADER}: {SECRET}\r\nContent-Length: 1000\r\n\r\n".encode()
    for close in (asyncio.StreamWriter.write_eof, lambda writer: writer.transport.abort()):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head + b"{")
        await writer.drain()
        await chat.send("/start")
        await chat.next_message()  # by now the request is being read
        close(writer)
        await chat.send("/start")
        await chat.next_message()
        writer.close()
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_the_webhook_survives_random_requests(hook: str, caplog: pytest.LogCaptureFixture) -> None:
    port = int(hook.rpartition(":")[2].partition("/")[0])
    numbers = itertools.count(1)

    def post(body: bytes, *headers: str) -> bytes:
        lines = ("POST /hook HTTP/1.1", "Host: x", "Connection: close", f"Content-Length: {len(body)}", *headers)
        return "\r\n".join((*lines, "", "")).encode() + body

    person = {"id": 5, "is_bot": False, "first_name": "marked"}
    message = {"message_id": 1, "date": 1, "chat": {"id": 5, "type": "private"}, "from": person, "text": "marked"}
    query = {"id": "1", "from": person, "query": "marked", "offset": ""}
    press = {"id": "1", "from": person, "chat_instance": "1", "data": "marked", "message": message}
    updates = ({"message": message}, {"inline_query": query}, {"callback_query": press}, {})
    bodies = [json.dumps({"update_id": number} | update).encode() for number, update in enumerate(updates, 10**8)]
    secret = f"{SECRET_HEADER}: {SECRET}"
    requests = (
        *(post(body, secret) for body in bodies),
        post(bodies[0]),
        post(gzip.compress(bodies[0]), secret, "Content-Encoding: gzip"),
    )
    await survives(port, requests, lambda: post(b'{"update_id": %d}' % next(numbers), secret), caplog)
