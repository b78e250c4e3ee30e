"""What a simulated Discord is told about the commands, and who sees them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import english, portuguese, with_echoes
from discord_support import (
    GLOBAL_COMMANDS,
    World,
    labels,
    shown,
    world,
)
from simcord.backend.errors import SetupError

from bot.config.schema import DiscordSection
from bot.core import messages
from bot.core.ask import Write
from bot.core.commands import COMMANDS, OPERATOR_COMMANDS, USER_COMMANDS
from bot.core.commands.command import Command
from bot.core.reply import Passage, Reply
from bot.core.voice import Voice
from bot.platforms.discord.client import Client
from bot.platforms.discord.inspection import PERMISSIONS, invite_link
from generator import Temperature

# ---- what Discord is told about the commands ----------


async def test_commands_are_registered_once_and_again_when_they_change(
    here: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def restarted() -> Client:
        return Client(here.core, DiscordSection())

    assert len(here.sent("PUT", GLOBAL_COMMANDS)) == 1
    await here.env.restart_bot(restarted())
    assert len(here.sent("PUT", GLOBAL_COMMANDS)) == 1
    await here.client.tree.register()
    assert len(here.sent("PUT", GLOBAL_COMMANDS)) == 1
    monkeypatch.setattr(Command, "purpose", lambda command, _say: f"what {command.name} does")
    await here.env.restart_bot(restarted())
    assert len(here.sent("PUT", GLOBAL_COMMANDS)) == 2
    await here.client.tree.register(force=True)
    assert len(here.sent("PUT", GLOBAL_COMMANDS)) == 3


async def test_help_names_commands_to_click_and_their_options(here: World) -> None:
    for _ in range(2):  # the second time, the commands have not changed
        result = await here.alice.slash(here.channel, "help")
        assert result.response is not None
        content = result.response.content
        assert all(re.search(rf"^</{name}:\d+> — ", content, re.MULTILINE) for name in USER_COMMANDS)
        help_lines = shown(result).split("\n")
        assert help_lines[:4] == [
            "/nietzsche — a text",
            "· temperature: how daring: 0.1 is careful, 2.0 is wild",
            "· prompt: how the text begins",
            "· length: about how many characters; it ends with a sentence, below 60 with the first one",
        ]
        await here.env.restart_bot(Client(here.core, DiscordSection()))
    assert len(here.sent("PUT", GLOBAL_COMMANDS)) == 1


async def test_an_answer_names_commands_to_click_and_a_text_none(here: World) -> None:
    result = await here.alice.slash(here.channel, "continue")
    assert result.response is not None
    assert re.search(r"Start one with </nietzsche:\d+>\\?\.$", result.response.content)
    here.core.reply = Reply.of_passages(Passage("/nietzsche </nietzsche:1>"))
    result = await here.alice.slash(here.channel, "nietzsche")
    assert result.response is not None
    assert result.response.content == r"\/nietzsche \<\/nietzsche\:1\>"


async def test_when_registering_fails_the_bot_serves_and_retries_at_the_next_start(
    here: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Command, "purpose", lambda command, _say: f"what {command.name} does")
    here.env.inject_error("PUT", "/applications/*/commands", status=500)
    await here.env.restart_bot(Client(here.core, DiscordSection()))
    assert "discord.sync_failed" in caplog.text
    assert not (await here.alice.slash(here.channel, "nietzsche")).ephemeral
    await here.env.restart_bot(Client(here.core, DiscordSection()))
    assert len(here.sent("PUT", GLOBAL_COMMANDS)) == 3


async def test_descriptions_are_localised_in_portuguese(here: World) -> None:
    [told] = here.sent("PUT", GLOBAL_COMMANDS)
    by_name = {command["name"]: command for command in told}
    assert by_name.keys() == (USER_COMMANDS | OPERATOR_COMMANDS).keys()
    for name, command in by_name.items():
        assert command["description_localizations"] == {"pt-BR": COMMANDS[name].purpose(portuguese)}
        for text in (command["description"], COMMANDS[name].purpose(portuguese)):
            assert 1 <= len(text) <= 100
        for option in command["options"]:
            assert option["name_localizations"].keys() == option["description_localizations"].keys() == {"pt-BR"}
            assert 1 <= len(option["description_localizations"]["pt-BR"]) <= 100
    assert [option["name_localizations"]["pt-BR"] for option in by_name["nietzsche"]["options"]] == [
        "temperatura",
        "abertura",
        "tamanho",
    ]


# ---- operators ----------


async def test_operators_commands_are_shown_to_administrators_alone(here: World) -> None:
    operator = here.operator(administrator=True)
    assert not set(here.alice.available_commands(here.channel)) & OPERATOR_COMMANDS.keys()
    assert set(operator.available_commands(here.channel)) >= OPERATOR_COMMANDS.keys()
    assert not set(operator.user.available_commands()) & OPERATOR_COMMANDS.keys()  # direct messages
    with pytest.raises(SetupError, match="not visible"):
        await here.alice.slash(here.channel, "stats")


async def test_operators_may_use_them(here: World) -> None:
    operator = here.operator(administrator=True)
    for name in OPERATOR_COMMANDS:
        result = await operator.slash(here.channel, name)
        assert result.ephemeral
        assert "tiny-1" in shown(result)


async def test_to_an_administrator_who_is_no_operator_they_do_not_exist(here: World) -> None:
    result = await here.person("admin", administrator=True).slash(here.channel, "stats")
    assert result.ephemeral
    assert shown(result) == with_echoes(
        english("unknown-command-nearest", command=messages.echo("stats"), nearest="start")
    )


async def test_without_operators_their_commands_are_not_registered(tiny_folder: Path) -> None:
    async with world(tiny_folder, operators=()) as here:
        [told] = here.sent("PUT", GLOBAL_COMMANDS)
        assert {command["name"] for command in told} == USER_COMMANDS.keys()


async def test_a_voice_that_is_added_is_registered_and_answers(here: World) -> None:
    voices: dict[str, Voice] = here.core.voices  # type: ignore[assignment]
    voices["melville"] = Voice("melville", "moby", "Moby-Dick", here.core.voice.generator)
    await here.client.update_commands()
    told = {command["name"]: command for command in here.sent("PUT", GLOBAL_COMMANDS)[-1]}
    assert told.keys() == USER_COMMANDS.keys() | OPERATOR_COMMANDS.keys() | {"moby"}
    assert told["moby"]["description"] == "a text in the manner of Moby-Dick"
    assert [option["name"] for option in told["moby"]["options"]] == ["temperature", "prompt", "length"]
    result = await here.alice.slash(here.channel, "moby", temperature=0.7, prompt="The", length=60)
    assert shown(result).startswith("The")
    assert here.core.seen[-1][0] == Write(Temperature(0.7), "The", 60, voice="melville")
    await here.alice.slash(here.channel, "nietzsche", prompt="The")
    assert here.core.seen[-1][0] == Write(None, "The", voice="nietzsche")
    for card in (
        await here.alice.slash(here.channel, "about", voice="moby"),
        await here.alice.click((await here.alice.slash(here.channel, "about")).response, label="Moby-Dick"),
    ):
        assert shown(card).startswith("/moby: I write in the manner of Moby-Dick")
        assert labels(card) == ["none"]


def test_the_documentation_has_the_permissions_of_the_invite_link() -> None:
    documented = (Path(__file__).resolve().parents[3] / "docs" / "operations.md").read_text(encoding="utf-8")
    assert f"scope=bot+applications.commands&permissions={PERMISSIONS.value}" in documented
    assert invite_link(1).endswith(f"client_id=1&scope=bot+applications.commands&permissions={PERMISSIONS.value}")
