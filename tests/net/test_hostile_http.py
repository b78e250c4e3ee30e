"""Hostile HTTP clients: slow, too many, too much, or no HTTP at all."""

from __future__ import annotations

import asyncio
import gzip
import hmac
import io
import itertools
import json
import logging
import resource
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from aiohttp import ClientSession, web
from hostile_http import survives
from service_process import unused_port

from bot.config.schema import Secret, TelegramSection
from bot.core.commands import Commands
from bot.net import http_server
from bot.platforms.telegram import webhook
from bot.platforms.telegram.platform import Telegram
from testing.telegram import SECRET_HEADER, Chat, TelegramServer

SECRET = "hook-secret"  # noqa: S105 - opens nothing but the test's own door
PATIENCE = 10.0
GARBAGE = (
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
    b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"marked" * 20_000 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"X-Many: marked\r\n" * 20_000 + b"\r\n",
    b"GET /" + b"marked" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
    b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nmarked",
    b"BREW /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    b"M@RKED * HTTP/9.9\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x05marked",
    b"\x00\xff\xfe" * 400,
    b"GET /healthz HTTP/1.1\r\nHost\x00: marked\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    b"CONNECT evil.example:443 HTTP/1.1\r\n\r\n",
)


@asynccontextmanager
async def open_port() -> AsyncIterator[int]:
    """Yields the port of a server with `/healthz`."""

    async def alive(_: web.Request) -> web.Response:
        return web.Response(text="alive")

    app = web.Application()
    app.router.add_get("/healthz", alive)
    async with http_server.listening(app, "127.0.0.1", 0, drain_seconds=0.1) as (_, port):
        yield port


async def answer_until_closed(port: int, *parts: bytes, every: float = 0.05) -> bytes:
    """Sends the parts, the last one again and again; returns what comes back until the port closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def send() -> None:
        for part in parts:
            writer.write(part)
            await asyncio.sleep(every)
        while not writer.is_closing():
            writer.write(parts[-1] if len(parts) > 1 else b"")
            await writer.drain()
            await asyncio.sleep(every)

    sending, received = asyncio.create_task(send()), b""
    try:
        async with asyncio.timeout(PATIENCE):
            while part := await reader.read(65536):
                received += part
    except ConnectionError:
        pass
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        writer.close()
    return received


async def alive(port: int) -> bool:
    async with ClientSession() as session, session.get(f"http://127.0.0.1:{port}/healthz") as response:
        return response.status == 200


@pytest.mark.parametrize(
    "parts",
    [
        (b"",),
        (b"GET /heal",),
        (b"GET /healthz HTTP/1.1\r\n", b"X-Slow: 1\r\n"),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",),
    ],
)
async def test_a_slow_request_is_cut_off(parts: tuple[bytes, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "HEADER_SECONDS", 0.3)
    async with open_port() as port:
        await answer_until_closed(port, *parts)


async def test_a_body_that_is_not_read_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "_LINGER_SECONDS", 0.2)
    async with open_port() as port:
        head = b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n"
        assert b" 405 " in (await answer_until_closed(port, head, b"x"))[:20]


async def test_many_open_connections_do_not_keep_others_out() -> None:
    async with open_port() as port, AsyncExitStack() as stack:
        for _ in range(3 * http_server.MAX_CONNECTIONS):
            stack.callback((await asyncio.open_connection("127.0.0.1", port))[1].close)
        assert await alive(port)


@pytest.mark.parametrize("hung_up", [False, True])
async def test_what_is_not_http_is_not_logged(caplog: pytest.LogCaptureFixture, *, hung_up: bool) -> None:
    caplog.set_level(logging.DEBUG)
    async with open_port() as port:
        for garbage in GARBAGE:
            answer = await answer_to(port, garbage, hung_up=hung_up)
            assert b" 200 " not in answer[:20] or b"websocket" in garbage
            head, _, said = answer.partition(b"\r\n\r\n")
            # aiohttp may repeat to the sender what it could not parse, as text that no browser runs.
            assert not said or b"Content-Type: text/plain" in head
        assert await alive(port)
    assert "marked" not in caplog.text
    assert not [record for record in caplog.records if record.exc_info]


async def answer_to(port: int, sent: bytes, *, hung_up: bool) -> bytes:
    """Returns what comes back until the connection closes. `hung_up`: the sender closes its side at once."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    received = b""
    try:
        writer.write(sent)
        if hung_up:
            writer.write_eof()
        async with asyncio.timeout(PATIENCE if hung_up else 0.3):
            while part := await reader.read(65536):
                received += part
    except ConnectionError:
        pass
    except TimeoutError:
        assert not hung_up, "the port keeps the connection open"
    finally:
        writer.close()
    return received


# Defects


async def test_an_exception_is_logged_by_type_and_stack_alone(caplog: pytest.LogCaptureFixture) -> None:
    async def defective(request: web.Request) -> web.Response:
        raise LookupError(await request.text())

    app = web.Application()
    app.router.add_post("/", defective)
    async with http_server.listening(app, "127.0.0.1", 0, drain_seconds=0.1) as (_, port):
        assert await posted(f"http://127.0.0.1:{port}/", b"marked") == 500
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert "LookupError" in record.getMessage()
    assert "test_hostile_http.py" in record.getMessage()
    assert "marked" not in caplog.text


# The webhook


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


async def posted(url: str, body: bytes, **headers: str) -> int:
    async with ClientSession() as session, session.post(url, data=io.BytesIO(body), headers=headers) as response:
        return response.status


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
        (b" " * (webhook.MAX_UPDATE_BYTES + 1), "", 413),
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


async def test_a_slow_update_is_cut_off(hook: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "BODY_SECONDS", 0.2)
    port = int(hook.rpartition(":")[2].partition("/")[0])
    head = f"POST /hook HTTP/1.1\r\nHost: x\r\n{SECRET_HEADER}: {SECRET}\r\nContent-Length: 1000\r\n\r\n".encode()
    assert b" 408 " in (await answer_until_closed(port, head, b" "))[:20]


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
