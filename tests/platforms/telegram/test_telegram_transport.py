"""How requests reach the Bot API, and that no error on the way tells the token."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator

import pytest
from service_process import unused_port
from telegram.error import NetworkError, TelegramError, TimedOut

from bot.config.schema import Secret, TelegramSection
from bot.logs import format_error
from bot.platforms.telegram import bot_client
from bot.platforms.telegram.bot_client import Transport
from testing.telegram import TOKEN, TelegramServer


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    async with Transport(connections=2, read_seconds=1.0) as transport:
        yield transport


def section(url: str) -> TelegramSection:
    return TelegramSection(token=Secret(TOKEN), api_url=url)


@pytest.mark.parametrize("trouble", ["refused", "cut", "silent", "no HTTP", "no address"])
async def test_no_error_tells_the_token(server: TelegramServer, transport: Transport, trouble: str) -> None:
    url = f"{server.url}/bot{TOKEN}/getMe"
    expected: type[TelegramError] = NetworkError
    if trouble == "refused":
        url = f"http://127.0.0.1:{unused_port()}/bot{TOKEN}/getMe"
    elif trouble == "cut":
        server.drop()
    elif trouble == "silent":
        server.hold()
        expected = TimedOut
    elif trouble == "no HTTP":
        url = url.replace("http://", "https://")
    else:
        url = f"http://[::1/bot{TOKEN}/getMe"
    with pytest.raises(expected) as caught:
        await transport.post(url)
    story = "".join(traceback.format_exception(caught.value))
    assert TOKEN not in story
    assert format_error(caught.value)
    if trouble != "silent":
        assert not isinstance(caught.value, TimedOut)  # so it is sent again


async def test_a_request_that_finds_no_connection_has_not_arrived(
    server: TelegramServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"{server.url}/bot{TOKEN}/getMe"
    monkeypatch.setattr(bot_client, "POOL_SECONDS", 0.1)
    async with Transport(connections=1, read_seconds=20.0) as transport:
        held = server.hold(times=1)
        first = asyncio.create_task(transport.post(url))
        await held.met()
        with pytest.raises(NetworkError) as caught:
            await transport.post(url)
        assert not isinstance(caught.value, TimedOut)
        held.release()
        assert await first
        assert len(server.calls) == 1
