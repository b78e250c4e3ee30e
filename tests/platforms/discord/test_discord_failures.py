"""Requests that a simulated Discord refuses, commands that it knows in another form, and the end of the bot."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import discord
import pytest
from conftest import english, with_echoes
from discord_support import (
    CALLBACK,
    SLASH,
    World,
    as_shown,
    shown,
)

from bot.core import messages
from bot.core.reply import Passage, Reply
from bot.platforms.discord import responder

# ---- errors ----------


async def test_when_a_text_cannot_be_sent_the_user_gets_one_line(here: World, caplog: pytest.LogCaptureFixture) -> None:
    here.env.inject_error("POST", CALLBACK, status=500)
    result = await here.alice.slash(here.channel, "nietzsche", prompt="The philosopher")
    assert result.ephemeral
    assert shown(result) == english("unexpected")
    assert "status=500" in caplog.text
    assert "philosopher" not in caplog.text


@pytest.mark.usefixtures("at_once")
async def test_when_a_deferred_text_cannot_be_sent_the_line_takes_its_place(here: World) -> None:
    gate = here.core.hold()
    result = await here.alice.slash(here.channel, "nietzsche")
    here.env.inject_error("PATCH", "/webhooks/*/messages/@original", status=503)
    gate.set()
    await here.env.settle()
    assert result.response is None  # the announcement is gone
    assert [as_shown(said.content) for said in result.followups] == [english("unexpected")]
    assert result.followups[0].ephemeral


async def test_when_a_follow_up_is_rate_limited_beyond_patience(here: World) -> None:
    here.core.reply = Reply.of_passages(Passage("word " * 1000))
    here.env.inject_error("POST", "/webhooks/*", status=429)
    result = await here.alice.slash(here.channel, "nietzsche")
    assert [as_shown(said.content) for said in result.followups] == [english("unexpected")]


async def test_when_nothing_can_be_sent_the_bot_continues(here: World, caplog: pytest.LogCaptureFixture) -> None:
    here.env.inject_error("*", "/*", status=502, times=None)
    await here.alice.slash(here.channel, "nietzsche")
    here.env.backend.faults.clear()
    assert not (await here.alice.slash(here.channel, "nietzsche")).ephemeral
    assert caplog.text.count("status=502") == 2
    assert here.core.lost == ["discord", "discord"]


async def test_a_defect_is_logged_and_the_user_told(
    here: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any, **__: Any) -> list[str]:
        monkeypatch.undo()
        raise ZeroDivisionError

    monkeypatch.setattr(responder, "messages_of", broken)
    result = await here.alice.slash(here.channel, "nietzsche")
    assert result.ephemeral
    assert shown(result) == english("unexpected")
    assert "ZeroDivisionError" in caplog.text


async def test_a_command_that_no_longer_exists_is_refused(here: World) -> None:
    data = {"id": "1", "name": "nietsche", "type": 1}
    result = await here.interaction(here.alice, SLASH, data, here.alice.user.dm_channel.id)
    assert result.ephemeral
    assert shown(result) == with_echoes(
        english("unknown-command-nearest", command=messages.echo("nietsche"), nearest="nietzsche")
    )
    assert [type(error) for error in here.env.errors] == [discord.app_commands.CommandNotFound]


@pytest.mark.parametrize(
    "option",
    [
        {"name": "more", "type": 1, "options": []},
        {"name": "length", "type": 4, "value": "-"},
        {"name": "length", "type": 3, "value": "1" * 400},
        {"name": "length", "type": 3, "value": "0"},
    ],
)
async def test_a_command_of_another_form_is_answered(
    here: World, caplog: pytest.LogCaptureFixture, option: dict[str, Any]
) -> None:
    data = {"id": "1", "name": "nietzsche", "type": 1, "options": [option]}
    result = await here.interaction(here.alice, SLASH, data, here.alice.user.dm_channel.id)
    assert result.ephemeral
    assert "discord.command_not_understood" in caplog.text
    assert here.env.errors


# ---- the end ----------


@pytest.mark.usefixtures("at_once")
async def test_drain_waits_for_replies_in_progress(here: World) -> None:
    gate = here.core.hold()
    result = await here.alice.slash(here.channel, "nietzsche", prompt="The philosopher")
    finishing = asyncio.create_task(here.client.drain())
    here.core.closing = True
    here.core.open_gate = None
    late = await here.bob.slash(here.channel, "nietzsche")
    assert shown(late) == english("restarting")
    assert not finishing.done()
    here.core.closing = False  # the first one was in the core before it closed; the gate of the test is outside
    gate.set()
    await finishing
    assert shown(result).startswith("The philosopher")


@pytest.mark.usefixtures("at_once")
async def test_closing_cancels_replies_in_progress(here: World) -> None:
    here.core.hold()
    await here.alice.slash(here.channel, "nietzsche")
    await here.client.close()
    assert here.core.cancelled == 1
    await here.client.drain()  # nothing is left


async def test_no_line_of_the_log_has_a_text_or_a_token(here: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    here.env.inject_error("POST", CALLBACK, status=500)
    await here.alice.slash(here.channel, "nietzsche", prompt="Zarathustra")
    await here.alice.send(here.channel, f"<@{here.bot_id}> Zarathustra")
    assert "Zarathustra" not in caplog.text
    assert "simcord_interaction" not in caplog.text
