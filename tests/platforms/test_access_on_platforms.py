"""People and places that the operator does not serve, on both platforms: one line, or silence."""

from __future__ import annotations

import discord
import pytest
from conftest import english
from discord_support import World, as_shown
from telegram_support import ScriptedCommands

from bot.config.schema import AccessSection
from testing.telegram import Chat, TelegramServer, User

ONE_LINE = english("not-allowed")


def deny(core: object, *names: str, silent: bool = False) -> None:
    core.access = AccessSection(deny=names, silent=silent)  # type: ignore[attr-defined]


@pytest.mark.usefixtures("telegram")
async def test_telegram_says_one_line(
    scripted: ScriptedCommands, server: TelegramServer, bob: User, group: Chat
) -> None:
    text = await first(group, bob)
    deny(scripted, f"telegram:{bob.id}")
    for typed in ("/nietzsche", "The philosopher"):
        await server.private(bob).send(typed, by=bob)
        assert (await server.private(bob).next_message()).text == ONE_LINE
    press = await bob.press(text, "Again")
    assert await press.answer() == (ONE_LINE, True)
    query = await bob.inline("0.7 The sea")
    assert await query.answer() == []


async def first(group: Chat, user: User) -> object:
    await group.send("/nietzsche", by=user)
    return await group.next_message()


@pytest.mark.usefixtures("telegram")
async def test_telegram_is_silent_in_a_group(
    scripted: ScriptedCommands, server: TelegramServer, bob: User, group: Chat
) -> None:
    text = await first(group, bob)
    deny(scripted, f"telegram:{group.id}", silent=True)
    await group.send("/nietzsche", by=bob)
    await group.send("@lstmega_bot The sea", by=bob)
    press = await bob.press(text, "Again")
    assert await press.answer() == ("", False)
    await server.private(bob).send("/nietzsche", by=bob)  # the group is denied, and not the user
    assert (await server.private(bob).next_message()).text != ONE_LINE
    assert len(group.messages.all) == 1


async def test_discord_says_one_line_to_the_user_alone(here: World) -> None:
    deny(here.core, f"discord:{here.guild.id}")
    result = await here.alice.slash(here.channel, "nietzsche")
    assert result.response is not None
    assert as_shown(result.response.content) == ONE_LINE
    assert result.ephemeral
    await here.alice.send(here.channel, f"<@{here.bot_id}> The sea")
    assert as_shown(here.channel.history()[-1].content) == ONE_LINE
    await here.alice.user.send_dm("The sea")
    assert here.core.seen[-1][1].within == ()
    assert as_shown(here.alice.user.dm_channel.history()[-1].content) != ONE_LINE


async def test_discord_is_silent_in_a_channel_and_its_threads(here: World) -> None:
    deny(here.core, f"discord:{here.channel.id}", silent=True)
    result = await here.alice.slash(here.channel, "nietzsche")
    assert result.response is None
    await here.alice.send(here.channel, f"<@{here.bot_id}> The sea")
    channel = here.client.get_channel(here.channel.id)
    assert isinstance(channel, discord.TextChannel)
    await channel.create_thread(name="Sils Maria", type=discord.ChannelType.public_thread)
    [thread] = here.channel.threads
    await here.alice.send(thread, f"<@{here.bot_id}> The sea")
    assert len(thread.history()) == 1
    assert len(here.channel.history()) <= 2, "what Alice wrote, and Discord's note of the thread"
    assert (await here.alice.slash(here.guild.create_text_channel("other"), "nietzsche")).response is not None
