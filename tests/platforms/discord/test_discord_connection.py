"""The platform over real HTTP and a real gateway connection: addresses, tokens, reconnecting, draining, errors."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import aiohttp
import discord
import pytest
from conftest import english
from discord_support import Core, loopback_core, loopback_server, platform, ready, serving

from bot.config.schema import DiscordSection, Secret
from bot.core.commands import USER_COMMANDS
from bot.platforms.base import BadToken, Platform
from bot.platforms.discord import client, responder
from bot.platforms.discord.platform import Discord, rest_url
from testing.discord import RECONNECT, TOKEN, DiscordServer

server = loopback_server
core = loopback_core

VIA = {"Via": "1.1 google"}
"""The header by which discord.py knows that a 429 is Discord's own."""


async def test_a_process_connects_the_shards_that_are_its_own(server: DiscordServer, core: tuple[Core, Any]) -> None:
    section = DiscordSection(
        token=Secret(TOKEN), api_url=server.url, gateway_url=server.gateway_url, shard_ids=(1, 3), shard_count=4
    )
    bot = Discord(section, core[0])
    async with serving(bot, server):
        await server.until(lambda: server.identified == 2, 30)
        await ready(bot)
        assert sorted(server.shards) == [[1, 4], [3, 4]]
        await server.slash("start")
        await server.until(lambda: bool(server.sent("POST", "/callback")))


@pytest.mark.parametrize("gateway", [True, False])
async def test_everything_goes_where_the_configuration_says(
    server: DiscordServer,
    core: tuple[Core, Any],
    gateway: bool,  # noqa: FBT001
) -> None:
    bot = platform(server, core, gateway=gateway)
    as_the_service_sees_it: Platform = bot
    assert as_the_service_sees_it.name == "discord"
    assert not bot.connected
    async with serving(bot, server):
        await ready(bot)
        await server.slash("start")
        await server.until(lambda: bool(server.sent("POST", "/callback")))
        if gateway:
            await server.op(RECONNECT)  # READY named an address for this that does not exist
            await server.until(lambda: len(server.queries) == 2)
    assert not bot.connected
    [callback] = server.sent("POST", "/interactions/900/interaction-token-900/callback")
    assert callback["data"]["content"].startswith("I write in the manner of")
    assert len(server.sent("PUT", "/applications/100/commands")) == 1
    assert server.queries[0] == {"v": "10", "encoding": "json", "compress": server.queries[0]["compress"]}


@pytest.mark.parametrize(
    ("configured", "used"),
    [
        ("http://proxy:8080", "http://proxy:8080/api/v10"),
        ("http://proxy:8080/", "http://proxy:8080/api/v10"),
        ("http://proxy:8080/api", "http://proxy:8080/api/v10"),
        ("http://proxy/discord/api/v10", "http://proxy/discord/api/v10"),
        ("http://proxy/api/v9/", "http://proxy/api/v9"),
    ],
)
def test_an_api_url_may_be_given_as_far_as_one_likes(configured: str, used: str) -> None:
    assert rest_url(configured) == used


async def test_a_token_that_discord_refuses_is_final(server: DiscordServer, core: tuple[Core, Any]) -> None:
    bot = platform(server, core, token="wrong")  # noqa: S106
    with pytest.raises(BadToken, match="refuses the token"):
        await bot.serve()
    with pytest.raises(BadToken):
        await bot.sync()
    assert not bot.connected


async def test_a_token_that_the_gateway_refuses_is_final(server: DiscordServer, core: tuple[Core, Any]) -> None:
    server.refuse_identify = True
    with pytest.raises(BadToken):
        await platform(server, core).serve()


async def test_a_discord_that_is_away_is_tried_again_by_whoever_serves(
    server: DiscordServer, core: tuple[Core, Any]
) -> None:
    bot = Discord(DiscordSection(token=Secret(TOKEN), api_url="http://127.0.0.1:1"), core[0])
    with pytest.raises(aiohttp.ClientConnectorError):
        await bot.serve()
    server.answers["/users/@me"] = [(403, {"code": 0, "message": "banned"}, {})]
    bot = platform(server, core)
    with pytest.raises(discord.Forbidden):
        await bot.serve()
    async with serving(bot, server):  # and then it works
        await ready(bot)


async def test_a_gateway_that_is_away_is_no_endless_recursion(
    server: DiscordServer, core: tuple[Core, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "SESSION_SECONDS", 0.05)
    section = DiscordSection(token=Secret(TOKEN), api_url=server.url, gateway_url="ws://127.0.0.1:1")
    with pytest.raises(TimeoutError):
        await Discord(section, core[0]).serve()


async def test_a_gateway_that_does_not_answer_holds_nobody_up(
    server: DiscordServer, core: tuple[Core, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "CLOSE_SECONDS", 0.05)
    server.deaf = True
    async with asyncio.timeout(20), serving(platform(server, core), server):
        pass


async def test_the_end_may_come_while_a_shard_connects_anew(server: DiscordServer, core: tuple[Core, Any]) -> None:
    async with asyncio.timeout(20), serving(platform(server, core), server):
        await server.op(RECONNECT)
        await server.until(lambda: len(server.queries) == 2)


async def test_what_the_library_retries(server: DiscordServer, core: tuple[Core, Any]) -> None:
    limited = {"message": "slow down", "retry_after": 0.01, "global": False}
    server.answers["/users/@me"] = [(429, limited, VIA)]
    server.answers["/interactions/"] = [(502, {}, {}), (429, limited, VIA)]
    async with serving(platform(server, core), server):
        await server.slash("start")
        await server.until(lambda: len(server.sent("POST", "/callback")) == 3)
    assert len(server.sent("GET", "/users/@me")) == 2


async def test_draining_waits_for_what_was_taken(
    server: DiscordServer, core: tuple[Core, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(responder, "DEFER_AFTER_SECONDS", 0.01)
    bot = platform(server, core)
    await bot.drain()  # nothing to wait for yet
    async with serving(bot, server):
        await bot.drain()
        gate = core[0].hold()
        await server.slash("start")
        await server.until(lambda: bool(server.sent("POST", "/callback")))
        draining = asyncio.create_task(bot.drain())
        await asyncio.sleep(0)
        assert not draining.done()
        gate.set()
        await draining
        [said] = server.sent("PATCH", "/webhooks/100/interaction-token-900/messages/@original")
        assert said["content"].startswith("I write in the manner of")


async def test_what_is_not_drained_is_stopped_with_the_rest(server: DiscordServer, core: tuple[Core, Any]) -> None:
    bot = platform(server, core)
    async with serving(bot, server):
        core[0].hold()
        await server.slash("start")
        async with asyncio.timeout(10):
            await core[0].asked.wait()
    assert core[0].cancelled == 1


async def test_commands_are_synchronised_from_the_command_line(server: DiscordServer, core: tuple[Core, Any]) -> None:
    bot = platform(server, core)
    await bot.sync()
    await bot.sync()
    assert len(server.sent("PUT", "/commands")) == 3  # the first time after the log-in too, since they changed
    assert not server.queries  # no connection to the gateway
    async with serving(bot, server):
        assert len(server.sent("PUT", "/commands")) == 3  # nothing to tell that was not told


async def test_the_log_has_no_token_and_no_text_at_any_level(
    server: DiscordServer, core: tuple[Core, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.NOTSET, "discord")
    server.answers["/interactions/"] = [(404, {"code": 10062, "message": "Unknown interaction"}, {})]
    async with serving(platform(server, core), server):
        await server.slash("start", number=901)
        await server.slash("start", number=902)
        await server.until(lambda: len(server.sent("POST", "/callback")) == 2)
    with pytest.raises(BadToken):
        await platform(server, core, token="wr0ng-token").serve()  # noqa: S106
    assert "PyNaCl" not in caplog.text  # nobody wants to be told about voice
    for secret in (
        TOKEN,
        "wr0ng-token",
        "interaction-token",
        "I write in the manner",
        USER_COMMANDS["start"].usage(english),
    ):
        assert secret not in caplog.text
