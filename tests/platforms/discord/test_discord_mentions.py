"""Messages on a simulated Discord that mention the bot."""

from __future__ import annotations

import logging

import discord
import pytest
from discord_support import (
    World,
    as_shown,
    shown,
)

from bot.core.ask import Write
from generator import Temperature


async def test_a_mention_works_like_nietzsche(here: World) -> None:
    await here.alice.send(here.channel, f"<@{here.bot_id}> 0,7 The philosopher")
    said = here.channel.last_message
    assert said is not None
    assert as_shown(said.content).startswith("The philosopher")
    assert said.reference is not None
    assert said.components
    assert here.core.seen[-1][0] == Write(Temperature(0.7), "The philosopher")
    result = await here.alice.click(said, label="Again")
    assert shown(result).startswith("The philosopher")


async def test_a_mention_alone_is_answered_too(here: World) -> None:
    await here.alice.send(here.channel, f"<@!{here.bot_id}>")
    assert here.core.seen[-1][0] == Write()
    assert len(here.channel.history()) == 2


async def test_a_mention_in_a_direct_message(here: World) -> None:
    await here.alice.user.send_dm(f"<@{here.bot_id}> Man")
    assert here.core.seen[-1][1].chat == str(here.alice.user.dm_channel.id)
    assert len(here.alice.user.dm_channel.history()) == 2


async def test_messages_without_a_mention_are_ignored(here: World) -> None:
    for text in ("hello", f"I asked <@{here.bot_id}> about it", "<@1> hello", "/nietzsche"):
        await here.alice.send(here.channel, text)
    assert not here.core.seen


async def test_messages_of_bots_are_ignored(here: World) -> None:
    robot = here.guild.add_member(here.env.create_user("robot", bot=True))
    await robot.send(here.channel, f"<@{here.bot_id}> hello")
    assert not here.core.seen


async def test_a_refusal_to_a_mention_is_public_with_its_notice(here: World) -> None:
    await here.alice.send(here.channel, f"<@{here.bot_id}> 9 lives")
    said = here.channel.last_message
    assert said is not None
    assert as_shown(said.content).startswith("9 is out of range")
    await here.alice.send(here.channel, f"<@{here.bot_id}> 😀 Man")
    said = here.channel.last_message
    assert said is not None
    assert "\n-# I left out 😀" in said.content


@pytest.mark.usefixtures("at_once")
async def test_the_bot_types_while_it_works_on_a_mention(here: World) -> None:
    gate = here.core.hold()
    here.env.inject_error("POST", "/channels/*/typing", status=500)  # no reason to withhold the text
    await here.alice.send(here.channel, f"<@{here.bot_id}> Man")
    assert here.sent("POST", r"/typing$")
    assert len(here.channel.history()) == 1
    gate.set()
    await here.env.settle()
    assert len(here.channel.history()) == 2


async def test_a_mention_where_the_bot_may_not_write_ends_in_the_log(
    here: World, caplog: pytest.LogCaptureFixture
) -> None:
    here.env.inject_error("POST", "/channels/*/messages", status=403, code=50013, times=2)
    await here.alice.send(here.channel, f"<@{here.bot_id}> The philosopher")
    assert "status=403 code=50013" in caplog.text
    assert "philosopher" not in caplog.text


async def test_a_mention_where_the_bot_may_not_write_costs_no_text(
    here: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    denied = discord.PermissionOverwrite(send_messages=False)
    silent = here.guild.create_text_channel("silent", overwrites={here.guild.default_role: denied})
    await here.person("admin", administrator=True).send(silent, f"<@{here.bot_id}> The philosopher")
    assert not here.core.seen
    assert "discord.mention_ignored" in caplog.text


async def test_a_mention_where_the_bot_may_not_read_is_answered_without_a_reference(here: World) -> None:
    denied = discord.PermissionOverwrite(read_message_history=False)
    unread = here.guild.create_text_channel("unread", overwrites={here.guild.default_role: denied})
    await here.alice.send(unread, f"<@{here.bot_id}> The philosopher")
    [body] = here.sent("POST", r"/messages$")
    assert "message_reference" not in body
