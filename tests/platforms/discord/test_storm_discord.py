"""Discord in bad weather: connections that break, events that are told twice, requests that fail or seem to."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from typing import Any

import pytest
from conftest import english
from discord_support import Core, loopback_core, loopback_server, platform, ready, serving

from bot.platforms.discord import client, responder
from testing.discord import INVALID, RECONNECT, DiscordServer

server = loopback_server
core = loopback_core

INVALID_SEQUENCE = 4007
"""Close code (https://discord.com/developers/docs/topics/opcodes-and-status-codes#gateway-gateway-close-event-codes)."""
START = "I write in the manner of"


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(responder, "RETRY_PAUSES", (0.01, 0.02, 0.05))


def answers(server: DiscordServer) -> Counter[str]:
    """How many messages stand there for each interaction or message."""
    return Counter(number for number, _ in server.shown)


@pytest.mark.parametrize("trouble", ["cut", "reconnect", "resume", "everything again"])
async def test_what_was_asked_while_the_connection_was_gone_is_answered_once_and_the_rest_not_again(
    server: DiscordServer, core: tuple[Core, Any], trouble: str
) -> None:
    server.replay_everything = trouble == "everything again"
    bot = platform(server, core)
    async with serving(bot, server):
        await ready(bot)
        await server.slash("start", number=901)
        await server.mention(902, "0.7 hello")
        await server.until(lambda: len(server.shown) == 2)
        if trouble == "reconnect":
            await server.op(RECONNECT)
        elif trouble == "resume":
            await server.op(INVALID, data=True)
        else:
            server.cut()
        await server.slash("start", number=903)
        await server.mention(904, "0.7 hello")
        await server.until(lambda: server.resumed > 0 and len(server.shown) >= 4, patience=20)
        await server.slash("start", number=905)
        await server.until(lambda: "905" in answers(server))
        await bot.drain()
        assert bot.connected
    assert answers(server) == {str(number): 1 for number in range(901, 906)}
    assert len(core[0].seen) == 5  # nothing was even written twice


async def test_a_session_that_discord_ends_is_followed_by_a_new_one(
    server: DiscordServer, core: tuple[Core, Any]
) -> None:
    bot = platform(server, core)
    async with serving(bot, server):
        await server.slash("start", number=901)
        await server.until(lambda: len(server.shown) == 1)
        await server.op(INVALID, data=False)
        await server.until(lambda: server.identified == 2, patience=30)
        await server.slash("start", number=902)
        await server.until(lambda: len(server.shown) == 2)
    assert answers(server) == {"901": 1, "902": 1}


async def test_a_gateway_that_does_not_hear_the_heart_is_left_and_taken_up_again(
    server: DiscordServer, core: tuple[Core, Any]
) -> None:
    server.silent_heart = 300
    bot = platform(server, core)
    async with serving(bot, server):
        await ready(bot)
        assert bot._client is not None
        heart = bot._client.shards[0]._parent.ws._keep_alive
        assert heart is not None
        heart.heartbeat_timeout = 1.0  # a minute, by default
        await server.slash("start", number=901)
        await server.until(lambda: len(server.shown) == 1)
        await server.until(lambda: server.resumed > 0, patience=30)
        await server.slash("start", number=902)
        await server.until(lambda: len(server.shown) == 2)
    assert answers(server) == {"901": 1, "902": 1}


async def test_a_session_that_is_not_acknowledged_is_not_connected(
    server: DiscordServer, core: tuple[Core, Any]
) -> None:
    server.ignore_resume = True
    bot = platform(server, core)
    async with serving(bot, server):
        await ready(bot)
        await server.close(INVALID_SEQUENCE)
        await server.until(lambda: server.resumes == 1)
        assert not bot.connected
        await server.slash("start", number=901)  # an event is no acknowledgement
        await server.until(lambda: len(server.shown) == 1)
        assert not bot.connected


async def test_a_session_that_is_not_acknowledged_in_time_is_replaced(
    server: DiscordServer, core: tuple[Core, Any], caplog: pytest.LogCaptureFixture
) -> None:
    server.ignore_resume = True
    bot = platform(server, core)
    async with serving(bot, server):
        await ready(bot)
        await server.close(INVALID_SEQUENCE)
        await server.until(lambda: server.resumes == 1)
        assert bot._client is not None
        timer = bot._client._pending[0]
        assert 0 < timer.when() - asyncio.get_running_loop().time() < client.SESSION_SECONDS
        timer._run()  # its time has come
        await server.until(lambda: server.identified == 2, patience=30)
        await server.slash("start", number=901)
        await server.until(lambda: len(server.shown) == 1)
        assert bot.connected
    assert answers(server) == {"901": 1}
    assert "discord.session_not_acknowledged shard=0" in caplog.text


@pytest.mark.parametrize("fault", ["cut", "cut after", 500, 502])
async def test_a_first_word_that_seems_lost_is_said_once(
    server: DiscordServer, core: tuple[Core, Any], fault: str | int, caplog: pytest.LogCaptureFixture
) -> None:
    """After 5xx the library asks again, which Discord refuses where the first one was carried out."""
    caplog.set_level(logging.INFO)
    bot = platform(server, core)
    async with serving(bot, server):
        server.faults.append(("/callback", fault))
        await server.slash("start", number=901)
        await server.until(lambda: len(server.sent("POST", "/callback")) == 2)
        await bot.drain()
    [(number, text)] = server.shown
    assert number == "901"
    assert text.startswith(START)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("fault", ["cut", "cut after", 500])
async def test_an_announced_text_that_seems_lost_takes_its_place_once(
    server: DiscordServer, core: tuple[Core, Any], fault: str | int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(responder, "DEFER_AFTER_SECONDS", 0.01)
    bot = platform(server, core)
    async with serving(bot, server):
        server.faults += [("/callback", fault), ("PATCH", fault)]
        gate = core[0].hold()
        await server.slash("start", number=901)
        await server.until(lambda: len(server.sent("POST", "/callback")) == 2)
        gate.set()
        await server.until(lambda: len(server.sent("PATCH", "@original")) == 2)
        await bot.drain()
    [(number, text)] = server.shown
    assert number == "901"
    assert text.startswith(START)


@pytest.mark.parametrize("fault", ["cut", "cut after", 500])
async def test_an_answer_to_a_mention_that_seems_lost_stands_there_once(
    server: DiscordServer, core: tuple[Core, Any], fault: str | int
) -> None:
    bot = platform(server, core)
    async with serving(bot, server):
        server.faults.append(("/messages", fault))
        await server.mention(901, "0.7 hello")
        await server.until(lambda: len(server.sent("POST", "/channels/5/messages")) == 2)
        await bot.drain()
    [(number, text)] = server.shown
    assert number == "901"
    assert "hello" in text


async def test_an_interaction_that_ran_out_while_the_bot_hung_is_left_alone(
    server: DiscordServer, core: tuple[Core, Any], caplog: pytest.LogCaptureFixture
) -> None:
    bot = platform(server, core)
    async with serving(bot, server):
        server.answers["/interactions/901/"] = [(404, {"code": 10062, "message": "Unknown interaction"}, {})] * 9
        server.answers["/interactions/902/"] = [(401, {"code": 50027, "message": "Invalid Webhook Token"}, {})] * 9
        for number in (901, 902, 903):
            await server.slash("start", number=number)
        await server.until(lambda: len(server.shown) == 1)
        await bot.drain()
    assert answers(server) == {"903": 1}
    assert len(server.sent("POST", "/callback")) == 3
    assert "status=404 code=10062" in caplog.text


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_storm_passes_and_everybody_has_one_answer(
    server: DiscordServer, core: tuple[Core, Any], seed: int
) -> None:
    """Ten people ask twice each, by command and by mention, while requests and connections fail at random."""
    weather = random.Random(seed)
    server.replay_everything = True
    asked: set[str] = set()
    bot = platform(server, core)
    async with serving(bot, server):
        await ready(bot)
        for number in range(901, 921):
            if weather.random() < 0.6:
                part = weather.choice(["/callback", "/messages", "PATCH"])
                server.faults.append((part, weather.choice(["cut", "cut after", 500, 502])))
            if weather.random() < 0.2:
                server.cut()
            if weather.random() < 0.5:
                await server.slash("start", number=number, person=str(number))
            else:
                await server.mention(number, f"0.7 hello {number}")
            asked.add(str(number))
            await asyncio.sleep(weather.uniform(0, 0.1))
        server.faults.clear()
        await server.until(lambda: set(answers(server)) == asked, patience=60)
        await bot.drain()
    assert answers(server) == dict.fromkeys(asked, 1)
    assert all(text and text != english("unexpected") for _, text in server.shown)
