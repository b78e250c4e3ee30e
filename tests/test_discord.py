"""People using the bot on a simulated Discord (simcord): the real discord.py, core, store and generator."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import discord
import pytest
from discord_support import EPHEMERAL, SLASH, SUPPRESS_EMBEDS, World, as_shown, world
from simcord.backend.errors import OptionError, SetupError
from simcord.results import InteractionResult

from bot.core import messages
from bot.core.ask import Where, Write
from bot.core.commands import COMMANDS, operator_commands, user_commands
from bot.core.reply import Action, Passage, Picture, Reply, Suggestion, with_echoes
from bot.platforms.discord import responder
from bot.platforms.discord.client import Client
from bot.platforms.discord.render import MAX_LABEL, MAX_MESSAGE, PREFIX
from bot.platforms.text import EMPTY, utf16_length
from generator import Temperature

GLOBAL_COMMANDS = r"^/applications/\d+/commands$"
CALLBACK = "/interactions/*/callback"
DEFERRED, MESSAGE = 5, 4


@pytest.fixture
async def here(tiny_folder: Path) -> AsyncIterator[World]:
    async with world(tiny_folder) as found:
        yield found


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replies are announced as soon as they take any time."""
    monkeypatch.setattr(responder, "DEFER_AFTER_SECONDS", 0.01)


def labels(result: InteractionResult) -> list[str]:
    last = [result.response, *result.followups][-1]
    return [button["label"] for row in (last.components if last else []) for button in row["components"]]


def shown(result: InteractionResult) -> str:
    assert result.response is not None
    return as_shown(result.response.content)


# Commands


async def test_a_text_comes_with_its_prompt_in_bold_and_four_buttons(here: World) -> None:
    result = await here.alice.slash(here.channel, "nietzsche", temperature=0.7, prompt="The philosopher", length=60)
    assert not result.ephemeral
    assert result.response is not None
    assert result.response.content.startswith("**The philosopher**")
    assert len(shown(result)) < 200
    assert labels(result) == ["Again", "Continue", "Hotter", "Colder"]
    assert here.core.seen[-1][0] == Write(Temperature(0.7), "The philosopher", 60)


async def test_an_prompt_may_begin_with_a_number(here: World) -> None:
    result = await here.alice.slash(here.channel, "nietzsche", prompt="1888 was the year", length=60)
    assert result.response is not None
    assert result.response.content.startswith("**1888 was the year**")
    assert here.core.seen[-1][0] == Write(None, "1888 was the year", 60)


async def test_every_command_answers(here: World) -> None:
    expected: list[tuple[str, dict[str, Any], bool, str]] = [
        ("continue", {}, True, messages.NOTHING_TO_CONTINUE),
        ("again", {}, True, messages.NOTHING_TO_REPEAT),
        ("forgetme", {}, True, messages.CONFIRM_FORGET),
        ("nietzsche", {}, False, ""),
        ("ladder", {"prompt": "Man"}, False, "Temperature 0.5"),
        ("temperature", {}, True, "You have no temperature of your own, so I use 0.7. Set one: /temperature 0.8"),
        ("temperature", {"value": "0,8"}, True, messages.temperature_set(0.8)),
        ("temperature", {"value": "default"}, True, messages.temperature_cleared(0.7)),
        ("surprise", {}, False, "Your last text surprises me by"),
        ("about", {}, False, "I write in the manner of none"),
        ("help", {}, True, "/nietzsche [temperature] [prompt]"),
        ("start", {}, False, "I write in the manner of none"),
    ]
    assert {name for name, *_ in expected} == user_commands().keys()
    for name, options, private, says in expected:
        result = await here.alice.slash(here.channel, name, **options)
        assert result.ephemeral is private, name
        assert shown(result).startswith(says)


async def test_continue_and_again_go_on_from_the_text_in_the_channel(here: World) -> None:
    first = await here.alice.slash(here.channel, "nietzsche", prompt="The philosopher")
    again = await here.alice.slash(here.channel, "again")
    further = await here.alice.slash(here.channel, "continue")
    assert shown(again).startswith("The philosopher")
    assert shown(further)
    assert not shown(further).startswith("The philosopher")
    assert labels(first) == labels(again) == labels(further)


async def test_a_ladder_has_one_button_and_tells_the_person_alone_where_it_goes_on(here: World) -> None:
    result = await here.alice.slash(here.channel, "ladder")
    assert [line for line in shown(result).splitlines() if line.startswith("Temperature")] == [
        f"Temperature {value}" for value in (0.5, 0.6, 0.7, 0.8, 0.9)
    ]
    [notice] = result.followups
    assert notice.ephemeral
    assert as_shown(notice.content) == messages.LADDER_END


async def test_what_became_of_an_prompt_is_for_the_person_alone(here: World) -> None:
    result = await here.alice.slash(here.channel, "nietzsche", prompt="The 😀 philosopher")
    assert shown(result).startswith("The philosopher")
    [notice] = result.followups
    assert notice.ephemeral
    assert "😀" in notice.content


async def test_about_brings_the_training_curve(tiny_folder: Path) -> None:
    (tiny_folder / "tiny-1" / "curve.png").write_bytes(b"\x89PNG")
    async with world(tiny_folder) as here:
        result = await here.alice.slash(here.channel, "about")
        assert result.response is not None
        assert [attachment.filename for attachment in result.response.attachments] == ["curve.png"]


async def test_discord_itself_refuses_what_is_out_of_range(here: World) -> None:
    wrong: list[tuple[str, dict[str, Any], str]] = [
        ("nietzsche", {"temperature": 0.09}, "option-range"),
        ("nietzsche", {"temperature": 2.01}, "option-range"),
        ("nietzsche", {"length": 0}, "option-range"),
        ("nietzsche", {"length": 4001}, "option-range"),
        ("nietzsche", {"length": 1.5}, "option-type"),
        ("nietzsche", {"temperature": "warm"}, "option-type"),
        ("nietzsche", {"prompt": ""}, "option-length"),
        ("nietzsche", {"prompt": "x" * 1001}, "option-length"),
        ("ladder", {"prompt": "x" * 1001}, "option-length"),
        ("temperature", {"value": "1" * 33}, "option-length"),
        ("about", {"prompt": "x"}, "option-unknown"),
    ]
    for command, options, code in wrong:
        with pytest.raises(OptionError) as caught:
            await here.alice.slash(here.channel, command, **options)
        assert caught.value.code == code
    assert not here.core.seen


async def test_the_ends_of_the_ranges_are_in_them(here: World) -> None:
    for options in ({"temperature": 0.1}, {"temperature": 2.0}, {"length": 1}, {"prompt": "x" * 1000}):
        result = await here.alice.slash(here.channel, "nietzsche", **options)
        assert not result.ephemeral


# Autocomplete


async def test_temperature_offers_ones_own_first_and_a_word_on_each(here: World) -> None:
    await here.alice.slash(here.channel, "temperature", value="0.85")
    offered = await here.alice.autocomplete(here.channel, "nietzsche", "temperature", "")
    assert offered[0] == {"name": "0.85 — your own", "value": 0.85}
    assert offered[1] == {"name": "0.7 — default", "value": 0.7}
    assert len(offered) > 3
    assert all(isinstance(choice["value"], float) for choice in offered)
    assert (await here.bob.autocomplete(here.channel, "nietzsche", "temperature", ""))[0]["value"] == 0.7


async def test_what_is_typed_is_offered_first_however_it_is_written(here: World) -> None:
    for typed, value in (("0,9", 0.9), ("0.9", 0.9), (" 0,45", 0.45), ("1", 1.0)):
        offered = await here.alice.autocomplete(here.channel, "nietzsche", "temperature", typed)
        assert offered[0]["value"] == value
        assert len({choice["value"] for choice in offered}) == len(offered)


async def test_suggestions_are_read_once_while_one_types(here: World, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = 0
    suggest = here.core.suggest

    async def counted(where: Where) -> list[Suggestion]:
        nonlocal reads
        reads += 1
        return await suggest(where)

    monkeypatch.setattr(here.core, "suggest", counted)
    for typed in ("0", "0,", "0,9"):
        await here.alice.autocomplete(here.channel, "nietzsche", "temperature", typed)
    assert reads == 1
    await here.alice.slash(here.channel, "temperature", value="0.85")
    offered = await here.alice.autocomplete(here.channel, "nietzsche", "temperature", "")
    assert offered[0]["value"] == 0.85
    await here.bob.autocomplete(here.channel, "nietzsche", "temperature", "")
    assert reads == 3


async def test_what_is_no_temperature_is_not_offered(here: World) -> None:
    usual = await here.alice.autocomplete(here.channel, "nietzsche", "temperature", "")
    for typed in ("warm", "9", "-", "nan"):
        assert await here.alice.autocomplete(here.channel, "nietzsche", "temperature", typed) == usual


async def test_the_own_temperature_is_completed_as_text(here: World) -> None:
    offered = await here.alice.autocomplete(here.channel, "temperature", "value", "0,9")
    assert offered[0]["value"] == "0.9"
    result = await here.alice.slash(here.channel, "temperature", value=offered[0]["value"])
    assert shown(result) == messages.temperature_set(0.9)


# Buttons


async def test_every_button_writes_another_text_below(here: World) -> None:
    first = await here.alice.slash(here.channel, "nietzsche", temperature=0.7, prompt="The philosopher")
    assert first.response is not None
    result = first
    for label in ("Again", "Hotter", "Colder", "Continue"):
        above = (result if label == "Continue" else first).response
        assert above is not None
        result = await here.alice.click(above, label=label)
        assert not result.ephemeral
        assert result.response is not None
        assert result.response.id != first.response.id
        assert shown(result).startswith("The philosopher") is (label != "Continue")
        assert labels(result) == ["Again", "Continue", "Hotter", "Colder"]
        assert first.response.content  # the text above stays


async def test_old_buttons_work_after_a_restart(here: World) -> None:
    first = await here.alice.slash(here.channel, "nietzsche", prompt="The philosopher")
    assert first.response is not None
    await here.env.restart_bot(Client(here.core, here.store, for_operators=True))
    for label in ("Again", "Hotter", "Colder"):
        result = await here.alice.click(first.response, label=label)
        assert shown(result).startswith("The philosopher")


async def test_nobody_else_may_press_the_buttons(here: World) -> None:
    first = await here.alice.slash(here.channel, "nietzsche")
    assert first.response is not None
    result = await here.bob.click(first.response, label="Again")
    assert result.ephemeral
    assert shown(result) == messages.NOT_YOUR_TEXT


async def test_a_button_that_nobody_knows_any_more_says_so(here: World) -> None:
    first = await here.alice.slash(here.channel, "nietzsche")
    assert first.response is not None
    message = here.env.backend.get_message(here.channel.id, first.response.id)
    message.components[0]["components"][0]["custom_id"] = f"{PREFIX}x:y"
    result = await here.alice.click(first.response, label="Again")
    assert result.ephemeral
    assert shown(result) == messages.NO_SUCH_BUTTON


async def test_buttons_of_others_are_left_alone(here: World) -> None:
    first = await here.alice.slash(here.channel, "nietzsche")
    assert first.response is not None
    message = here.env.backend.get_message(here.channel.id, first.response.id)
    message.components[0]["components"][0]["custom_id"] = "other:button"
    result = await here.alice.click(first.response, label="Again")
    assert not result.acknowledged


async def test_the_ids_of_buttons_fit_and_nothing_is_kept_for_them(here: World) -> None:
    first = await here.alice.slash(here.channel, "nietzsche")
    assert first.response is not None
    buttons = first.response.components[0]["components"]
    assert all(len(button["custom_id"]) <= 100 and len(button["label"]) <= MAX_LABEL for button in buttons)
    assert not here.client.persistent_views
    assert not here.client._connection._view_store._synced_message_views
    assert not here.client._connection._view_store._views
    assert not here.client._replying


# Where it works


async def test_direct_messages_work_like_channels(here: World) -> None:
    first = await here.alice.user.slash("nietzsche", prompt="The philosopher")
    assert shown(first).startswith("The philosopher")
    again = await here.alice.user.click(first.response, label="Again")
    assert shown(again).startswith("The philosopher")
    assert here.core.seen[0][1].chat == str(here.alice.user.dm_channel.id)
    assert shown(await here.alice.slash(here.channel, "again")) == messages.NOTHING_TO_REPEAT  # another chat


async def test_commands_may_be_used_everywhere_and_installed_by_users(here: World) -> None:
    [told] = here.sent("PUT", GLOBAL_COMMANDS)
    for command in told:
        if command["name"] not in operator_commands():
            assert sorted(command["contexts"]) == [0, 1, 2]
            assert sorted(command["integration_types"]) == [0, 1]


async def test_a_user_who_installed_the_app_may_use_it_between_friends(here: World) -> None:
    user = here.alice.user
    channel = user.dm_channel  # stands in for a channel that the bot is not in: simcord has none
    result = await here.interaction(
        user,
        SLASH,
        {"id": "1", "name": "nietzsche", "type": 1, "options": [{"name": "temperature", "type": 10, "value": 0.5}]},
        channel.id,
        context=2,
        authorizing_integration_owners={"1": str(user.id)},
        channel={"id": str(channel.id), "type": 3, "recipients": [], "last_message_id": None, "name": None},
    )
    assert shown(result)
    assert here.core.seen[-1][0] == Write(Temperature(0.5))
    assert here.core.seen[-1][1].chat == str(channel.id)


async def test_a_user_may_use_it_on_a_server_that_the_bot_is_not_on(here: World) -> None:
    result = await ask_as_installed(here, {"1": str(here.alice.user.id)}, "again")
    assert result.ephemeral
    assert shown(result) == messages.NOTHING_TO_REPEAT
    assert here.core.seen[-1][1].chat == "8"


async def test_a_channel_of_a_kind_unknown_to_the_library_is_the_persons_own(here: World) -> None:
    user = here.alice.user
    data = {"id": "1", "name": "again", "type": 1}
    result = await here.interaction(user, SLASH, data, user.dm_channel.id, channel={"id": "8", "type": 99})
    assert shown(result) == messages.NOTHING_TO_REPEAT
    assert here.core.seen[-1][1].chat == str(user.id)


async def test_two_shards(tiny_folder: Path) -> None:
    async with world(tiny_folder, shards=2) as here:
        assert here.client.connected
        for shard in (0, 1):
            guild = here.env.create_guild(shard_id=shard)
            channel = guild.create_text_channel("general")
            member = guild.add_member(here.env.create_user(f"person {shard}"))
            first = await member.slash(channel, "nietzsche", prompt="The philosopher")
            assert first.response is not None
            assert shown(await member.click(first.response, label="Again")).startswith("The philosopher")
        lost = here.client.get_shard(1)
        assert lost is not None
        await lost.disconnect()
        assert not here.client.connected
        await lost.reconnect()
        await here.env.settle()
        assert here.client.connected


# Mentions


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


async def test_a_mention_of_a_name_alone_is_answered_too(here: World) -> None:
    await here.alice.send(here.channel, f"<@!{here.bot_id}>")
    assert here.core.seen[-1][0] == Write()
    assert len(here.channel.history()) == 2


async def test_a_mention_in_a_direct_message(here: World) -> None:
    await here.alice.user.send_dm(f"<@{here.bot_id}> Man")
    assert here.core.seen[-1][1].chat == str(here.alice.user.dm_channel.id)
    assert len(here.alice.user.dm_channel.history()) == 2


async def test_other_messages_are_none_of_its_business(here: World) -> None:
    for text in ("hello", f"I asked <@{here.bot_id}> about it", "<@1> hello", "/nietzsche"):
        await here.alice.send(here.channel, text)
        await here.alice.user.send_dm(text)
    assert not here.core.seen


async def test_it_does_not_talk_to_bots(here: World) -> None:
    robot = here.guild.add_member(here.env.create_user("robot", bot=True))
    await robot.send(here.channel, f"<@{here.bot_id}> hello")
    assert not here.core.seen


async def test_a_refusal_to_a_mention_stands_in_the_channel_with_its_notice(here: World) -> None:
    await here.alice.send(here.channel, f"<@{here.bot_id}> 9 lives")
    said = here.channel.last_message
    assert said is not None
    assert as_shown(said.content).startswith("9 is no temperature of mine")
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


# Length, markup


async def test_a_long_text_goes_on_in_follow_ups(here: World) -> None:
    text = " ".join("".join(random.Random(n).choices("abc*_.", k=5)) for n in range(1000))
    await here.alice.slash(here.channel, "nietzsche")
    here.core.reply = Reply.of_passages(Passage(text, text[:50]), notice="By the way", actions=())
    result = await here.alice.slash(here.channel, "nietzsche")
    assert result.response is not None
    *further, notice = result.followups
    said = [result.response, *further]
    assert len(said) > 3
    assert all(utf16_length(message.content) <= MAX_MESSAGE for message in said)
    assert " ".join(as_shown(message.content) for message in said) == text
    assert not any(message.ephemeral for message in said)
    assert notice.ephemeral


async def ask_as_installed(here: World, owners: dict[str, str], command: str = "nietzsche") -> InteractionResult:
    """Somebody uses a command on a server. `owners`: who has installed the app, by kind (0 the server, 1 a user)."""
    user = here.alice.user
    member = {"user": {"id": str(user.id), "username": "alice", "discriminator": "0", "avatar": None}}
    member |= {"roles": [], "joined_at": "2024-01-01T00:00:00+00:00", "deaf": False, "mute": False, "flags": 0}
    return await here.interaction(
        user,
        SLASH,
        {"id": "1", "name": command, "type": 1},
        user.dm_channel.id,
        context=0,
        guild_id="7",
        guild={"id": "7", "locale": "en-US", "features": []},
        member=member | {"permissions": "0"},
        authorizing_integration_owners=owners,
        channel={"id": "8", "type": 0, "guild_id": "7", "name": "far", "position": 0, "permissions": "0"},
    )


@pytest.mark.parametrize("slowly", [False, True])
async def test_where_a_user_installed_the_app_five_follow_ups_are_all(
    here: World, monkeypatch: pytest.MonkeyPatch, *, slowly: bool
) -> None:
    ladder = [Passage("word " * 390, label=f"Temperature {number}") for number in range(10)]
    here.core.reply = Reply.of_passages(*ladder, notice="By the way", actions=(Action("Continue", "c:1:2"),))
    if slowly:
        monkeypatch.setattr(responder, "DEFER_AFTER_SECONDS", 0.01)
        gate = here.core.hold()
    result = await ask_as_installed(here, {"1": str(here.alice.id)})
    if slowly:
        gate.set()
        await here.env.settle()
    assert result.response is not None
    assert len(result.followups) == responder.MAX_FOLLOW_UPS
    *texts, last, notice = [result.response, *result.followups]
    assert all(utf16_length(message.content) > MAX_MESSAGE - 100 for message in texts)
    assert as_shown(last.content) == messages.WHOLE_TEXT_IN_FILE
    assert last.components
    [file] = last.attachments
    assert (file.filename, file.size) == ("text.txt", len(here.core.reply.text))
    assert notice.ephemeral


async def test_where_the_server_installed_the_app_a_long_text_goes_on_and_on(here: World) -> None:
    here.core.reply = Reply.of_passages(Passage("word " * 2800))
    result = await ask_as_installed(here, {"0": "7", "1": str(here.alice.id)})
    assert result.response is not None
    assert len(result.followups) > responder.MAX_FOLLOW_UPS
    assert not any(message.attachments for message in result.followups)


@pytest.mark.usefixtures("at_once")
async def test_a_long_private_answer_that_comes_late_keeps_to_five_follow_ups_too(here: World) -> None:
    here.core.reply = replace(Reply.answer("word " * 4000), private=True)
    gate = here.core.hold()
    result = await ask_as_installed(here, {"1": str(here.alice.id)})
    gate.set()
    await here.env.settle()
    assert len(result.followups) == responder.MAX_FOLLOW_UPS
    assert all(message.ephemeral for message in result.followups)
    assert result.followups[-1].attachments


async def test_when_the_last_follow_up_fails_nothing_more_is_said(
    here: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.core.reply = Reply.of_passages(Passage("word " * 4000))
    send = discord.Webhook.send
    sent = 0

    async def last_fails(self: Any, *arguments: Any, **named: Any) -> Any:
        nonlocal sent
        sent += 1
        if sent == responder.MAX_FOLLOW_UPS:
            raise discord.HTTPException(SimpleNamespace(status=500, reason=""), "no")  # type: ignore[arg-type]
        return await send(self, *arguments, **named)

    monkeypatch.setattr(discord.Webhook, "send", last_fails)
    result = await ask_as_installed(here, {"1": str(here.alice.id)})
    assert len(result.followups) == responder.MAX_FOLLOW_UPS - 1
    assert sent == responder.MAX_FOLLOW_UPS
    assert "follow_ups_exhausted" in caplog.text


async def test_the_longest_text_has_its_buttons_under_the_last_message(here: World) -> None:
    result = await here.alice.slash(here.channel, "nietzsche", length=4000)
    assert result.response is not None
    *before, last = [result.response, *result.followups]
    assert before
    assert not any(message.components for message in before)
    assert last.components


async def test_a_long_answer_to_a_mention(here: World) -> None:
    here.core.reply = Reply.of_passages(Passage("word " * 1000))
    await here.alice.send(here.channel, f"<@{here.bot_id}>")
    _, *said = here.channel.history()
    assert len(said) == 3
    assert said[0].reference is not None
    assert said[1].reference is None


async def test_nothing_pings_and_nothing_is_previewed(here: World) -> None:
    text = "@everyone @here <@1> https://example.com [x](https://example.com) # no"
    here.core.reply = Reply.of_passages(Passage(text), notice=text)
    result = await here.alice.slash(here.channel, "nietzsche")
    await here.alice.send(here.channel, f"<@{here.bot_id}>")
    assert shown(result) == text
    bodies = [body["data"] for body in here.sent("POST", "/callback$")]
    bodies += here.sent("POST", r"/webhooks/") + here.sent("POST", r"/messages$")
    assert len(bodies) == 3
    for body in bodies:
        assert body["allowed_mentions"]["parse"] == []
        assert body["flags"] & SUPPRESS_EMBEDS
        assert as_shown(body["content"]).startswith(text)


# Time


@pytest.mark.usefixtures("at_once")
async def test_a_text_that_takes_its_time_is_announced_and_then_put_in_place(here: World) -> None:
    gate = here.core.hold()
    result = await here.alice.slash(here.channel, "nietzsche", prompt="The philosopher")
    assert result.deferred
    assert not result.ephemeral
    gate.set()
    await here.env.settle()
    assert not result.deferred
    assert shown(result).startswith("The philosopher")
    assert labels(result) == ["Again", "Continue", "Hotter", "Colder"]
    assert not result.followups
    assert [body["type"] for body in here.sent("POST", "/callback$")] == [DEFERRED]
    [edit] = here.sent("PATCH", "/@original$")
    assert edit["allowed_mentions"]["parse"] == []


@pytest.mark.usefixtures("at_once")
async def test_a_button_that_takes_its_time(here: World) -> None:
    first = await here.alice.slash(here.channel, "nietzsche", prompt="The philosopher")
    gate = here.core.hold()
    result = await here.alice.click(first.response, label="Again")
    assert result.deferred
    gate.set()
    await here.env.settle()
    assert shown(result).startswith("The philosopher")


@pytest.mark.usefixtures("at_once")
async def test_a_late_picture_is_attached_to_the_announcement(here: World) -> None:
    here.core.reply = Reply.answer("About", picture=Picture(b"\x89PNG", "curve.png", "a curve"))
    gate = here.core.hold()
    result = await here.alice.slash(here.channel, "about")
    gate.set()
    await here.env.settle()
    assert result.response is not None
    assert [attachment.filename for attachment in result.response.attachments] == ["curve.png"]


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("name", ["temperature", "forgetme", "help", "nosuch"])
async def test_what_is_always_private_is_deferred_privately(here: World, name: str) -> None:
    gate = here.core.hold()
    data = {"id": "1", "name": name, "type": 1}
    result = await here.interaction(here.alice, SLASH, data, here.channel.id)
    assert result.deferred
    assert result.ephemeral
    gate.set()
    await here.env.settle()
    assert not here.channel.history(viewer=here.bob)
    assert result.response is not None
    assert result.response.content
    assert not result.followups
    assert not here.sent("DELETE", "")
    assert len(here.env.errors) == (name == "nosuch")


@pytest.mark.usefixtures("at_once")
async def test_a_late_refusal_of_a_public_command_is_private_all_the_same(here: World) -> None:
    gate = here.core.hold()
    result = await here.alice.slash(here.channel, "continue")
    assert result.deferred
    gate.set()
    await here.env.settle()
    assert result.response is None  # the placeholder is deleted
    [said] = result.followups
    assert said.ephemeral
    assert as_shown(said.content) == messages.NOTHING_TO_CONTINUE
    assert not here.channel.history(viewer=here.bob)
    assert here.sent("PATCH", "/@original$")[0]["content"] == EMPTY


@pytest.mark.usefixtures("at_once")
async def test_a_placeholder_that_cannot_be_deleted_is_no_error_for_the_user(here: World) -> None:
    gate = here.core.hold()
    result = await here.alice.slash(here.channel, "continue")
    here.env.inject_error("DELETE", "/webhooks/*/messages/@original", status=500, times=None)
    gate.set()
    await here.env.settle()
    assert [as_shown(said.content) for said in result.followups] == [messages.NOTHING_TO_CONTINUE]


async def test_a_refusal_that_is_there_at_once_is_never_announced(here: World) -> None:
    await here.alice.slash(here.channel, "continue")
    [callback] = here.sent("POST", "/callback$")
    assert callback["type"] == MESSAGE
    assert callback["data"]["flags"] & EPHEMERAL


@pytest.mark.usefixtures("at_once")
async def test_nothing_is_sent_when_the_token_has_run_out(here: World, caplog: pytest.LogCaptureFixture) -> None:
    gate = here.core.hold()
    result = await here.alice.slash(here.channel, "nietzsche")
    assert result.deferred
    await here.env.advance_time(15 * 60)
    before = len(here.env.http_requests)
    assert here.core.cancelled == 1  # nobody would see it
    gate.set()
    await here.env.settle()
    assert len(here.env.http_requests) == before
    assert "discord.reply_expired" in caplog.text


async def test_an_interaction_that_came_too_late_is_left_alone(here: World, caplog: pytest.LogCaptureFixture) -> None:
    here.env.inject_error("POST", CALLBACK, status=404, code=10062)
    await here.alice.slash(here.channel, "nietzsche", prompt="The philosopher")
    assert len(here.sent("POST", "/callback$")) == 1
    assert not here.sent("POST", "/webhooks/")
    assert "code=10062" in caplog.text


async def test_an_interaction_that_another_process_answered_is_left_alone(here: World) -> None:
    here.env.inject_error("POST", CALLBACK, status=400, code=40060)
    result = await here.alice.slash(here.channel, "nietzsche")
    assert len(here.sent("POST", "/callback$")) == 1
    assert not here.sent("POST", "/webhooks/")
    assert not result.followups


@pytest.mark.usefixtures("at_once")
async def test_a_deferral_that_another_process_made_an_answer_of_is_left_alone(here: World) -> None:
    here.core.hold()
    here.env.inject_error("POST", CALLBACK, status=400, code=40060)
    await here.alice.slash(here.channel, "nietzsche")
    assert here.core.cancelled == 1
    assert not here.sent("POST", "/webhooks/")


@pytest.mark.usefixtures("at_once")
async def test_a_deferral_that_looked_lost_but_was_not_is_gone_on_with(
    here: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = here.core.hold()
    defer = discord.InteractionResponse.defer

    async def twice(self: Any, **options: Any) -> Any:
        await defer(self, **options)
        self._response_type = None  # as if the answer to the first request had been lost
        return await defer(self, **options)

    monkeypatch.setattr(discord.InteractionResponse, "defer", twice)
    result = await here.alice.slash(here.channel, "nietzsche", prompt="The philosopher")
    gate.set()
    await here.env.settle()
    assert shown(result).startswith("The philosopher")


# Errors


async def test_when_a_text_cannot_be_sent_the_person_gets_one_line(
    here: World, caplog: pytest.LogCaptureFixture
) -> None:
    here.env.inject_error("POST", CALLBACK, status=500)
    result = await here.alice.slash(here.channel, "nietzsche", prompt="The philosopher")
    assert result.ephemeral
    assert shown(result) == messages.UNEXPECTED
    assert "status=500" in caplog.text
    assert "philosopher" not in caplog.text


@pytest.mark.usefixtures("at_once")
async def test_when_an_announced_text_cannot_be_sent_the_line_takes_its_place(here: World) -> None:
    gate = here.core.hold()
    result = await here.alice.slash(here.channel, "nietzsche")
    here.env.inject_error("PATCH", "/webhooks/*/messages/@original", status=503)
    gate.set()
    await here.env.settle()
    assert result.response is None  # the announcement is gone
    assert [as_shown(said.content) for said in result.followups] == [messages.UNEXPECTED]
    assert result.followups[0].ephemeral


async def test_when_a_follow_up_is_rate_limited_beyond_patience(here: World) -> None:
    here.core.reply = Reply.of_passages(Passage("word " * 1000))
    here.env.inject_error("POST", "/webhooks/*", status=429)
    result = await here.alice.slash(here.channel, "nietzsche")
    assert [as_shown(said.content) for said in result.followups] == [messages.UNEXPECTED]


async def test_when_nothing_can_be_sent_at_all_the_bot_goes_on(here: World, caplog: pytest.LogCaptureFixture) -> None:
    here.env.inject_error("*", "/*", status=502, times=None)
    await here.alice.slash(here.channel, "nietzsche")
    here.env.backend.faults.clear()
    assert not (await here.alice.slash(here.channel, "nietzsche")).ephemeral
    assert caplog.text.count("status=502") == 2
    assert here.core.lost == ["discord", "discord"]


async def test_a_mistake_of_ours_is_logged_and_the_person_told(
    here: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any, **__: Any) -> list[str]:
        monkeypatch.undo()
        raise ZeroDivisionError

    monkeypatch.setattr(responder, "messages_of", broken)
    result = await here.alice.slash(here.channel, "nietzsche")
    assert result.ephemeral
    assert shown(result) == messages.UNEXPECTED
    assert "ZeroDivisionError" in caplog.text


async def test_a_command_that_discord_still_remembers_is_refused_kindly(here: World) -> None:
    data = {"id": "1", "name": "nietsche", "type": 1}
    result = await here.interaction(here.alice, SLASH, data, here.alice.user.dm_channel.id)
    assert result.ephemeral
    assert shown(result) == with_echoes(messages.unknown("nietsche", "nietzsche"))
    assert [type(error) for error in here.env.errors] == [discord.app_commands.CommandNotFound]


async def test_a_command_of_another_form_is_answered(here: World, caplog: pytest.LogCaptureFixture) -> None:
    data = {"id": "1", "name": "nietzsche", "type": 1, "options": [{"name": "wild", "type": 5, "value": True}]}
    data["options"] = [{"name": "more", "type": 1, "options": []}]
    result = await here.interaction(here.alice, SLASH, data, here.alice.user.dm_channel.id)
    assert result.ephemeral
    assert "discord.command_not_understood" in caplog.text
    assert here.env.errors


# What Discord is told about the commands


async def test_commands_are_told_once_and_again_only_when_they_change(
    here: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def restarted() -> Client:
        return Client(here.core, here.store, for_operators=True)

    assert len(here.sent("PUT", GLOBAL_COMMANDS)) == 1
    await here.env.restart_bot(restarted())
    assert len(here.sent("PUT", GLOBAL_COMMANDS)) == 1
    assert not await here.client.sync_commands(force=False)
    monkeypatch.setitem(COMMANDS, "start", replace(COMMANDS["start"], portuguese="um alô"))
    await here.env.restart_bot(restarted())
    assert len(here.sent("PUT", GLOBAL_COMMANDS)) == 2
    assert await here.client.sync_commands(force=True)
    assert len(here.sent("PUT", GLOBAL_COMMANDS)) == 3


async def test_when_discord_does_not_take_the_commands_the_bot_serves_and_tries_again_next_time(
    here: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(COMMANDS, "start", replace(COMMANDS["start"], portuguese="um alô"))
    here.env.inject_error("PUT", "/applications/*/commands", status=500)
    await here.env.restart_bot(Client(here.core, here.store, for_operators=True))
    assert "discord.sync_failed" in caplog.text
    assert not (await here.alice.slash(here.channel, "nietzsche")).ephemeral
    await here.env.restart_bot(Client(here.core, here.store, for_operators=True))
    assert len(here.sent("PUT", GLOBAL_COMMANDS)) == 3


async def test_brazilians_read_portuguese(here: World) -> None:
    [told] = here.sent("PUT", GLOBAL_COMMANDS)
    by_name = {command["name"]: command for command in told}
    assert by_name.keys() == (user_commands() | operator_commands()).keys()
    for name, command in by_name.items():
        assert command["description_localizations"] == {"pt-BR": COMMANDS[name].portuguese}
        for text in (command["description"], COMMANDS[name].portuguese):
            assert 1 <= len(text) <= 100
        for option in command["options"]:
            assert option["name_localizations"].keys() == option["description_localizations"].keys() == {"pt-BR"}
            assert 1 <= len(option["description_localizations"]["pt-BR"]) <= 100
    assert [option["name_localizations"]["pt-BR"] for option in by_name["nietzsche"]["options"]] == [
        "temperatura",
        "abertura",
        "tamanho",
    ]


# Operators


async def test_operators_commands_are_shown_to_administrators_alone(here: World) -> None:
    operator = here.operator(administrator=True)
    assert not set(here.alice.available_commands(here.channel)) & operator_commands().keys()
    assert set(operator.available_commands(here.channel)) >= operator_commands().keys()
    assert not set(operator.user.available_commands()) & operator_commands().keys()  # direct messages
    with pytest.raises(SetupError, match="not visible"):
        await here.alice.slash(here.channel, "stats")


async def test_operators_may_use_them(here: World) -> None:
    operator = here.operator(administrator=True)
    for name in operator_commands():
        result = await operator.slash(here.channel, name)
        assert result.ephemeral
        assert "tiny-1" in shown(result)


async def test_to_an_administrator_who_is_no_operator_they_do_not_exist(here: World) -> None:
    result = await here.person("admin", administrator=True).slash(here.channel, "stats")
    assert result.ephemeral
    assert shown(result) == with_echoes(messages.unknown("stats", "start"))


async def test_without_operators_discord_hears_nothing_of_their_commands(tiny_folder: Path) -> None:
    async with world(tiny_folder, for_operators=False) as here:
        [told] = here.sent("PUT", GLOBAL_COMMANDS)
        assert {command["name"] for command in told} == user_commands().keys()


# The end


@pytest.mark.usefixtures("at_once")
async def test_what_was_taken_is_answered_before_the_end(here: World) -> None:
    gate = here.core.hold()
    result = await here.alice.slash(here.channel, "nietzsche", prompt="The philosopher")
    finishing = asyncio.create_task(here.client.drain())
    here.core.close()
    here.core.open_gate = None
    late = await here.bob.slash(here.channel, "nietzsche")
    assert shown(late) == messages.RESTARTING
    assert not finishing.done()
    here.core._closing = False  # the first one was in the core before it closed; the gate of the test is outside
    gate.set()
    await finishing
    assert shown(result).startswith("The philosopher")


@pytest.mark.usefixtures("at_once")
async def test_at_the_very_end_answers_are_stopped(here: World) -> None:
    here.core.hold()
    await here.alice.slash(here.channel, "nietzsche")
    await here.client.drain(cancel=True)
    assert here.core.cancelled == 1
    await here.client.drain()  # nothing is left


async def test_no_line_of_the_log_has_a_text_or_a_token(here: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    here.env.inject_error("POST", CALLBACK, status=500)
    await here.alice.slash(here.channel, "nietzsche", prompt="Zarathustra")
    await here.alice.send(here.channel, f"<@{here.bot_id}> Zarathustra")
    assert "Zarathustra" not in caplog.text
    assert "simcord_interaction" not in caplog.text
