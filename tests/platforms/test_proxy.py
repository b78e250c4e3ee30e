"""Both platforms behind a proxy: the Bot API, Discord's REST API and its gateway, at hosts that only it knows."""

from __future__ import annotations

import logging
from typing import Any
from urllib.parse import urlsplit

import pytest
import telegram_support
from discord_support import Core, loopback_core, loopback_server, ready
from discord_support import serving as discord_serving
from telegram_support import FAST, ScriptedCommands, first_text

from bot.config.schema import DiscordSection, Secret, TelegramSection
from bot.platforms.discord.platform import Discord
from bot.platforms.telegram.platform import Telegram
from generator.connector import ProxyError
from testing.discord import TOKEN, DiscordServer
from testing.proxy import ProxyServer
from testing.telegram import TelegramServer

discord_server = loopback_server
core = loopback_core
USER = "ada:hush-hush"


pytestmark = pytest.mark.usefixtures("no_proxy")


def place(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or 0


@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_telegram_is_reached_through_it(server: TelegramServer, scripted: ScriptedCommands, scheme: str) -> None:
    section = TelegramSection(token=Secret(server.token), api_url="http://telegram.bot.example")
    alice = server.user("Alice")
    async with ProxyServer({"telegram.bot.example": place(server.url)}, USER).running() as proxy:
        adapter = Telegram(section, scripted, limits=FAST, proxy=proxy.address(scheme))
        polls = server.watch("getUpdates")
        async with telegram_support.serving(adapter):
            await polls.next()
            assert (await first_text(server.private(alice), alice)).text
    assert proxy.requests
    assert all("telegram.bot.example" in request for request in proxy.requests)


@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_discord_and_its_gateway_are_reached_through_it(
    discord_server: DiscordServer, core: tuple[Core, Any], scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")  # the configured one comes first
    section = DiscordSection(
        token=Secret(TOKEN), api_url="http://discord.bot.example", gateway_url="ws://gateway.bot.example/gateway/"
    )
    routes = dict.fromkeys(("discord.bot.example", "gateway.bot.example"), place(discord_server.url))
    async with ProxyServer(routes, USER).running() as proxy:
        bot = Discord(section, core[0], proxy=proxy.address(scheme))
        async with discord_serving(bot, discord_server):
            await ready(bot)
            await discord_server.slash("start")
            await discord_server.until(lambda: bool(discord_server.sent("POST", "/callback")))
    for host in routes:
        assert any(host in request for request in proxy.requests)


async def test_a_host_in_no_proxy_is_reached_directly(
    discord_server: DiscordServer, core: tuple[Core, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    section = DiscordSection(
        token=Secret(TOKEN), api_url=discord_server.url, gateway_url="ws://gateway.bot.example/gateway/"
    )
    async with ProxyServer({"gateway.bot.example": place(discord_server.url)}).running() as proxy:
        bot = Discord(section, core[0], proxy=proxy.address())
        async with discord_serving(bot, discord_server):
            await ready(bot)
    assert len(proxy.requests) == 1
    assert "gateway.bot.example" in proxy.requests[0]


async def test_a_proxy_that_refuses_is_the_reason_that_is_given(
    scripted: ScriptedCommands, core: tuple[Core, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with ProxyServer({}, USER).running() as proxy:
        wrong = proxy.address().replace("hush-hush", "spoilt-one")
        with pytest.raises(ConnectionError, match=rf"the proxy http://127.0.0.1:{proxy.port} answers 407"):
            await Telegram(TelegramSection(token=Secret("1:x")), scripted, proxy=wrong).serve()
        with pytest.raises(ProxyError, match=rf"the proxy http://127.0.0.1:{proxy.port} answers 407"):
            await Discord(
                DiscordSection(token=Secret("x"), api_url="https://discord.com"), core[0], proxy=wrong
            ).serve()
        section = TelegramSection(token=Secret("1:x"), api_url="http://telegram.bot.example")
        with pytest.raises(ConnectionError, match=rf"HTTP 407, and .* look at http://127.0.0.1:{proxy.port}"):
            await Telegram(section, scripted, proxy=wrong).serve()
    assert "spoilt-one" not in caplog.text
