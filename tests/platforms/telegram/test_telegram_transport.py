"""How requests reach the Bot API, and that no error on the way tells the token."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from service_process import unused_port
from telegram.error import NetworkError, TelegramError, TimedOut

from bot.config.schema import Secret, TelegramSection
from bot.logs import format_error
from bot.platforms.telegram import bot_client
from bot.platforms.telegram.bot_client import BotClient, Transport, proxy_for
from testing.telegram import TOKEN, TelegramServer

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    async with Transport(connections=2, proxy=None, read_seconds=1.0) as transport:
        yield transport


def section(url: str) -> TelegramSection:
    return TelegramSection(token=Secret(TOKEN), api_url=url)


@pytest.mark.parametrize(
    ("variables", "url", "expected"),
    [
        ({}, "https://api.telegram.org", None),
        ({"HTTPS_PROXY": "http://proxy:3128"}, "https://api.telegram.org", "http://proxy:3128"),
        ({"https_proxy": "proxy:3128"}, "https://api.telegram.org", "http://proxy:3128"),
        ({"HTTP_PROXY": "http://proxy:3128"}, "https://api.telegram.org", None),
        ({"ALL_PROXY": "http://proxy:3128"}, "https://api.telegram.org", "http://proxy:3128"),
        ({"ALL_PROXY": "http://proxy:3128", "NO_PROXY": "telegram.org"}, "https://api.telegram.org", None),
        ({"HTTP_PROXY": "http://proxy:3128", "NO_PROXY": "127.0.0.1"}, "http://127.0.0.1:8081", None),
    ],
)
def test_the_environment_names_the_proxy(
    variables: dict[str, str], url: str, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert proxy_for(url) == expected


async def test_requests_go_through_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.raw_path)
        me = {"id": 1, "is_bot": True, "first_name": "Bot", "username": "lstmega_bot"}
        return web.json_response({"ok": True, "result": me})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{runner.addresses[0][1]}")
    try:
        async with BotClient(section("http://telegram.invalid")) as bot:
            assert bot.username == "lstmega_bot"
    finally:
        await runner.cleanup()
    assert asked == [f"http://telegram.invalid/bot{TOKEN}/getMe"]


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
    async with Transport(connections=1, proxy=None, read_seconds=20.0) as transport:
        held = server.hold(times=1)
        first = asyncio.create_task(transport.post(url))
        await held.met()
        with pytest.raises(NetworkError) as caught:
            await transport.post(url)
        assert not isinstance(caught.value, TimedOut)
        held.release()
        assert await first
        assert len(server.calls) == 1
