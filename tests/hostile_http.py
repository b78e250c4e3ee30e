"""Malformed HTTP requests, drawn at random, and a check that a port survives them."""

from __future__ import annotations

import asyncio
import io
import logging
import socket
from collections.abc import Callable
from typing import Final

import pytest
from aiohttp import ClientSession
from hypothesis import given, settings
from hypothesis import strategies as st

PATIENCE: Final = 10.0
"""Seconds in which a port must close the connection."""


def changed(requests: tuple[bytes, ...]) -> st.SearchStrategy[bytes]:
    """Draws one of the requests with a few places overwritten, cut out, doubled, or replaced."""
    bits = st.binary(max_size=8) | st.sampled_from(
        (
            b"\r\n",
            b"\n",
            b"\r\n\r\n",
            b" ",
            b":",
            b"\0",
            b"\xff",
            b"-1",
            b"9" * 20,
            b"marked",
            b"chunked",
            b"gzip",
            b"{",
        )
    )
    change = st.tuples(st.floats(0, 1), st.integers(0, 30), st.integers(0, 2), bits)

    def apply(request: bytes, changes: list[tuple[float, int, int, bytes]]) -> bytes:
        for where, length, again, new in changes:
            at = int(where * len(request))
            request = request[:at] + request[at : at + length] * again + new + request[at + length :]
        return request

    return st.binary(max_size=300) | st.builds(apply, st.sampled_from(requests), st.lists(change, max_size=4))


async def survives(
    port: int, requests: tuple[bytes, ...], good: Callable[[], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    """Checks that no request raises an exception, and that the next good one is answered with 200."""

    def ask(content: bytes, patience: float) -> bytes:
        """Returns what the port sends until it closes; after `patience` seconds of silence, sends an end of file."""
        received = b""
        with socket.create_connection(("127.0.0.1", port), patience) as connection:
            try:
                connection.sendall(content)
                try:
                    while part := connection.recv(65536):
                        received += part
                except TimeoutError:
                    connection.shutdown(socket.SHUT_WR)
                    connection.settimeout(PATIENCE)
                    while part := connection.recv(65536):
                        received += part
            except ConnectionError:  # it need not read to the end
                pass
        return received

    @settings(max_examples=150)
    @given(changed(requests))
    def check(content: bytes) -> None:
        answer = ask(content, 0.02)
        assert b" 500 " not in answer[:20]
        assert b" 200 " in ask(good(), PATIENCE)[:20]
        loud = [record.getMessage() for record in caplog.records if record.exc_info or record.levelno >= logging.ERROR]
        assert not loud

    caplog.set_level(logging.INFO)
    await asyncio.to_thread(check)  # with sockets of its own, so that the port's event loop is free
    assert "marked" not in caplog.text


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


async def posted(url: str, body: bytes, **headers: str) -> int:
    async with ClientSession() as session, session.post(url, data=io.BytesIO(body), headers=headers) as response:
        return response.status
