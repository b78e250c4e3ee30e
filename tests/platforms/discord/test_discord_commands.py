"""Slash commands on a simulated Discord: what each answers, what is completed, where it works."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import english
from discord_support import (
    GLOBAL_COMMANDS,
    SLASH,
    World,
    as_shown,
    ask_as_installed,
    labels,
    shown,
    world,
)
from simcord.backend.errors import OptionError

from bot.core.ask import Where, Write
from bot.core.commands import OPERATOR_COMMANDS, USER_COMMANDS
from generator import Temperature

# ---- commands ----------


@pytest.mark.usefixtures("one_seed")
async def test_a_text_comes_with_its_prompt_in_bold_and_four_buttons(here: World) -> None:
    result = await here.alice.slash(here.channel, "nietzsche", temperature=0.7, prompt="The philosopher", length=60)
    assert not result.ephemeral
    assert result.response is not None
    assert result.response.content.startswith("**The philosopher**")
    assert len(shown(result)) < 200
    assert labels(result) == ["Again", "Continue", "Hotter (0.8)", "Colder (0.6)", "Surprise"]
    assert here.core.seen[-1][0] == Write(Temperature(0.7), "The philosopher", 60, voice="nietzsche")


async def test_a_prompt_may_begin_with_a_number(here: World) -> None:
    result = await here.alice.slash(here.channel, "nietzsche", prompt="1888 was the year", length=60)
    assert result.response is not None
    assert result.response.content.startswith("**1888 was the year**")
    assert here.core.seen[-1][0] == Write(None, "1888 was the year", 60, voice="nietzsche")


async def test_every_command_answers(here: World) -> None:
    expected: list[tuple[str, dict[str, Any], bool, str]] = [
        ("continue", {}, True, english("no-text")),
        ("again", {}, True, english("no-text")),
        ("forgetme", {}, True, english("forget-confirm")),
        ("nietzsche", {}, False, ""),
        ("ladder", {"prompt": "Man"}, False, "Temperature 0.5"),
        ("temperature", {}, True, "You have no temperature of your own, so I use 0.7. Set one: /temperature 0.8"),
        ("temperature", {"value": "0,8"}, True, english("temperature-own", own=0.8, default=0.7)),
        ("temperature", {"value": "default"}, True, english("temperature-none", default=0.7)),
        ("language", {}, True, english("language-automatic", name="English")),
        ("length", {}, True, english("length-none", default=80)),
        ("length", {"value": "800"}, True, english("length-own", own=800, default=80)),
        ("length", {"value": "default"}, True, english("length-none", default=80)),
        ("settings", {}, True, english("settings-own")),
        ("cancel", {}, True, english("cancel-nothing")),
        ("privacy", {}, True, english("privacy-kept")),
        ("surprise", {}, False, "Your text surprises me by"),
        ("voices", {}, False, "/nietzsche — none"),
        ("about", {}, False, "I write in the manner of none"),
        ("help", {}, True, "/nietzsche — a text"),
        ("start", {}, False, "I write in the manner of none"),
    ]
    assert {name for name, *_ in expected} == USER_COMMANDS.keys()
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
    assert as_shown(notice.content) == english("ladder-end")


async def test_what_became_of_a_prompt_is_for_the_person_alone(here: World) -> None:
    result = await here.alice.slash(here.channel, "nietzsche", prompt="The 😀 philosopher")
    assert shown(result).startswith("The philosopher")
    [notice] = result.followups
    assert notice.ephemeral
    assert "😀" in notice.content


async def test_about_brings_a_card_and_the_training_curve_for_those_who_ask(tiny_folder: Path) -> None:
    (tiny_folder / "tiny-1" / "curve.png").write_bytes(b"\x89PNG")
    async with world(tiny_folder) as here:
        result = await here.alice.slash(here.channel, "about")
        assert result.response is not None
        assert [attachment.filename for attachment in result.response.attachments] == ["about.png"]
        result = await here.alice.click(result.response, label="Training curve")
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


# ---- autocomplete ----------


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

    async def counted(where: Where) -> dict[float, str]:
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
    assert shown(result) == english("temperature-own", own=0.9, default=0.7)


# ---- where it works ----------


async def test_direct_messages_work_like_channels(here: World) -> None:
    first = await here.alice.user.slash("nietzsche", prompt="The philosopher")
    assert shown(first).startswith("The philosopher")
    again = await here.alice.user.click(first.response, label="Again")
    assert shown(again).startswith("The philosopher")
    assert here.core.seen[0][1].chat == str(here.alice.user.dm_channel.id)
    assert shown(await here.alice.slash(here.channel, "again")) == english("no-text")  # another chat


async def test_commands_may_be_used_everywhere_and_installed_by_users(here: World) -> None:
    [told] = here.sent("PUT", GLOBAL_COMMANDS)
    for command in told:
        if command["name"] not in OPERATOR_COMMANDS:
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
    assert here.core.seen[-1][0] == Write(Temperature(0.5), voice="nietzsche")
    assert here.core.seen[-1][1].chat == str(channel.id)


async def test_a_user_may_use_it_on_a_server_that_the_bot_is_not_on(here: World) -> None:
    result = await ask_as_installed(here, {"1": str(here.alice.user.id)}, "again")
    assert result.ephemeral
    assert shown(result) == english("no-text")
    assert here.core.seen[-1][1].chat == "8"


async def test_a_channel_of_a_kind_unknown_to_the_library_is_the_persons_own(here: World) -> None:
    user = here.alice.user
    data = {"id": "1", "name": "again", "type": 1}
    result = await here.interaction(user, SLASH, data, user.dm_channel.id, channel={"id": "8", "type": 99})
    assert shown(result) == english("no-text")
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
        await here.env.settle()
        assert not here.client.connected
        await lost.reconnect()
        await here.env.settle()
        assert here.client.connected
