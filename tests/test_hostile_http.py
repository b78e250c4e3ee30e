"""Hostile HTTP clients: slow, too many, too much, or no HTTP at all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from aiohttp import ClientSession, web
from hostile_http import PATIENCE, answer_until_closed, posted

from bot import http_server

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
    async with http_server.listening(app, "127.0.0.1", 0) as (_, port):
        yield port


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
    async with http_server.listening(app, "127.0.0.1", 0) as (_, port):
        assert await posted(f"http://127.0.0.1:{port}/", b"marked") == 500
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert "LookupError" in record.getMessage()
    assert "test_hostile_http.py" in record.getMessage()
    assert "marked" not in caplog.text
