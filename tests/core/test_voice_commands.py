"""Several voices: each has a command, and what follows a text goes to the voice that wrote it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import SETTINGS, add_random_version, last_text

from bot.core import language
from bot.core.ask import Invalid, Ladder, Where, Write
from bot.core.commands import Commands, parse, parse_message
from bot.core.reply import Kind, Reply
from bot.core.voice import Voice
from bot.platforms.terminal.pipe import Session
from bot.store.store import Store
from generator import Temperature
from generator.serving.generator import ThreadedGenerator
from generator.weights.versions import activate

ENGLISH = language.of("").say


@pytest.fixture
async def commands(tiny_folder: Path, tmp_path: Path, store: Store) -> AsyncIterator[Commands]:
    """The commands of two voices: /nietzsche, and /moby, whose name is melville."""
    moby = tmp_path / "moby"
    add_random_version(moby, "moby-1", seed=2)
    activate(moby, "moby-1")
    async with (
        ThreadedGenerator.open(tiny_folder, threads=1) as one,
        ThreadedGenerator.open(moby, threads=1) as other,
    ):
        voices = [Voice("nietzsche", "nietzsche", "", one), Voice("melville", "moby", "Moby-Dick", other)]
        yield Commands({voice.name: voice for voice in voices}, store, SETTINGS)


def here() -> Where:
    return Where("telegram", "here", "ada")


async def say(commands: Commands, line: str) -> Reply:
    return await commands.handle(parse_message(line), here())


async def wrote(store: Store) -> tuple[str, str]:
    """The voice that wrote the last text, and its version."""
    text = await last_text(store, "telegram", "here", "ada")
    assert text is not None
    return text.voice, text.version


async def test_each_command_writes_with_its_network(commands: Commands, store: Store) -> None:
    for line, expected in (
        ("/moby 0,7 The", ("melville", "moby-1")),
        ("/nietzsche 0,7 The", ("nietzsche", "tiny-1")),
        ("The", ("nietzsche", "tiny-1")),
        ("/ladder moby The", ("melville", "moby-1")),
    ):
        reply = await say(commands, line)
        assert (reply.kind, reply.text.count("The") > 0) == (Kind.TEXT, True), reply.text
        assert await wrote(store) == expected
    assert "is out of range" in (await say(commands, "/moby 7 The")).text


@pytest.mark.parametrize("line", ["/continue", "/again"])
async def test_what_follows_a_text_goes_to_the_voice_that_wrote_it(commands: Commands, store: Store, line: str) -> None:
    first = await say(commands, "/moby 0.7 The")
    assert (await say(commands, line)).kind is Kind.TEXT
    assert await wrote(store) == ("melville", "moby-1")
    surprise = await say(commands, "/surprise")
    assert surprise.picture is not None
    assert "moby-1" not in surprise.text, "the version that wrote it is the one that scores it"
    await say(commands, "/nietzsche")
    for action in first.actions[:2]:
        assert (await commands.press(action.data, here())).kind is Kind.TEXT
        assert await wrote(store) == ("melville", "moby-1")


async def test_a_text_of_a_voice_that_is_gone(commands: Commands) -> None:
    await say(commands, "/moby The")
    del commands.voices["melville"]  # type: ignore[attr-defined]
    reply = await say(commands, "/continue")
    assert (reply.kind, reply.text) == (Kind.REFUSAL, ENGLISH("voice-gone", name="melville"))
    assert "no command" in (await say(commands, "/moby")).text


async def test_a_voice_that_is_added_has_a_command_at_once(commands: Commands) -> None:
    voices = commands.voices
    moby = voices.pop("melville")  # type: ignore[attr-defined]
    assert "moby" not in commands.known_to(Where("telegram", "", "ada"))
    assert [*commands.user_commands()][:2] == ["nietzsche", "continue"]
    voices["melville"] = moby  # type: ignore[index]
    assert [*commands.user_commands()][:3] == ["nietzsche", "moby", "continue"]
    assert (await say(commands, "/moby")).kind is Kind.TEXT


@pytest.mark.parametrize("tag", ["en", "pt-BR"])
async def test_help_and_lists_name_every_voice(commands: Commands, tag: str) -> None:
    where = Where("telegram", "here", "ada", tag)
    shown = {
        name: (await commands.handle(parse(name, ""), where)).text for name in ("help", "voices", "about", "stats")
    }
    assert "/moby [" in shown["help"]
    assert "/moby — Moby-Dick" in shown["voices"]
    assert "/moby: " in shown["about"]
    assert "moby-1" in shown["about"]
    assert "/voices" in (await commands.handle(parse("start", ""), where)).text
    command = commands.user_commands()["moby"]
    say = language.of(tag).say
    assert "Moby-Dick" in command.purpose(say)
    assert len(command.purpose(say)) <= 100
    assert all(command.option_name(option, say) and command.option_purpose(option, say) for option in command.options)


async def test_the_standard_voice_may_have_another_command(commands: Commands, store: Store) -> None:
    """Words alone, and /nietzsche out of habit, go to the first voice then, which messages name."""
    generator = commands.voices["melville"].generator
    commands.voices.clear()  # type: ignore[attr-defined]
    commands.voices["melville"] = Voice("melville", "moby", "Moby-Dick", generator)  # type: ignore[index]
    assert [*commands.user_commands()][:2] == ["moby", "continue"]
    for line in ("/moby The", "The", "/nietzsche The"):
        assert (await say(commands, line)).kind is Kind.TEXT
        assert await wrote(store) == ("melville", "moby-1")
    for line in ("77", "/nietzsche 77", "/moby 77", "/continue x", "/start", "/help", "/temperature x", "0.7mm"):
        reply = await say(commands, line)
        assert "/moby" in reply.text + reply.notice
        assert "nietzsche" not in reply.text + reply.notice, reply.text
    assert "/moby" in commands.welcome("en").text


async def choose(commands: Commands, voice: str, where: Where | None = None) -> Reply:
    """Sets the voice in /settings."""
    return await commands.press(f"p:ada:voice:{voice}", where or here())


async def test_a_voice_of_one_s_own_writes_where_none_is_named(commands: Commands, store: Store) -> None:
    shown = await say(commands, "/settings")
    assert shown.text.splitlines()[4] == "Voice: none (default)"
    [action] = [action for action in shown.actions if action.label == "Moby-Dick"]
    shown = await commands.press(action.data, here())
    assert shown.text.splitlines()[4] == "Voice: Moby-Dick"
    assert (await store.preferences("telegram", "ada")).voice == "melville"
    for line in ("The sea", "/ladder The sea", "/moby", "/again", "/continue"):
        reply = await say(commands, line)
        assert (reply.kind, reply.voice) == (Kind.TEXT, "melville")
    assert (await say(commands, "/start")).text.startswith("I write in the manner of Moby-Dick")
    assert (await say(commands, "/about")).text.startswith("/moby: I write in the manner of Moby-Dick")
    refused = await say(commands, "77 The sea")
    assert "/moby 0.7" in refused.text
    assert (await commands.press(refused.actions[0].data, here())).voice == "melville"
    nietzsche = await say(commands, "/nietzsche 0.7 The")
    assert nietzsche.voice == "nietzsche", "a command names its voice"
    replied = parse_message("and more", "ada", [action.data for action in nietzsche.actions])
    assert (await commands.handle(replied, here())).voice == "nietzsche", "a text continues in its own voice"
    shown = await commands.press("p:ada:all:", here())
    assert (await say(commands, "The sea")).voice == "nietzsche"


async def test_the_line_below_a_terminal_s_prompt_is_about_the_voice_that_wrote_last(commands: Commands) -> None:
    session = Session(commands)
    for line, version in (("/nietzsche", "tiny-1"), ("/moby", "moby-1"), ("/help", "moby-1"), ("/continue", "moby-1")):
        await session.respond(line)
        assert commands.summary("", session.voice).startswith(f"weights {version} ")


async def test_a_group_has_a_voice_too(commands: Commands) -> None:
    async def yes() -> bool:
        return True

    group = Where("telegram", "-1", "ada", group="-1", administers=yes)
    reply = await commands.press("g:ada:voice:melville", group)
    assert "Voice: Moby-Dick" in reply.text
    assert (await commands.handle(parse_message("The"), replace(group, user="bob"))).voice == "melville"
    await choose(commands, "nietzsche", group)
    assert (await commands.handle(parse_message("The"), group)).voice == "nietzsche", "their own comes first"


async def test_a_voice_of_one_s_own_that_is_gone(commands: Commands) -> None:
    """The default one writes until it is there again."""
    await choose(commands, "melville")
    moby = commands.voices.pop("melville")  # type: ignore[attr-defined]
    assert (await say(commands, "The")).voice == "nietzsche"
    assert "Voice" not in (await say(commands, "/settings")).text
    assert (await choose(commands, "melville")).text == ENGLISH("voice-gone", name="melville")
    commands.voices["melville"] = moby  # type: ignore[index]
    assert (await say(commands, "The")).voice == "melville"


async def test_the_nearest_temperature_is_written_by_the_voice_that_was_asked(commands: Commands) -> None:
    for line, voice in (("/moby 77 The: sea", "melville"), ("/nietzsche 77", "nietzsche"), ("77 The", "nietzsche")):
        [action] = (await say(commands, line)).actions
        assert (await commands.press(action.data, here())).voice == voice


@pytest.mark.parametrize(("typed", "version"), [("moby", "moby-1"), ("melville", "moby-1"), ("nietzsche", "tiny-1")])
async def test_about_one_voice(commands: Commands, typed: str, version: str) -> None:
    for name in ("nietzsche", "melville"):
        folder = commands.voices[name].generator.weights.folder
        (folder / "curve.png").write_bytes(name.encode())
    reply = await say(commands, f"/about {typed}")
    assert reply.text.endswith(f"/about {'nietzsche' if typed == 'nietzsche' else 'moby'} curve")
    assert reply.text.count("Weights: ") == reply.text.count(f"Weights: {version} ") == 1
    assert reply.picture is not None
    other = "none" if version == "moby-1" else "Moby-Dick"
    assert [action.label for action in reply.actions] == ["Training curve", other]
    for curve in (await commands.press(reply.actions[0].data, here()), await say(commands, f"/about {typed} curve")):
        assert curve.picture is not None
        assert curve.picture.content == (b"melville" if version == "moby-1" else b"nietzsche")
    turned = await commands.press(reply.actions[1].data, here())
    assert version not in turned.text
    assert turned.picture is not None
    assert turned.picture.content != reply.picture.content


def test_the_first_word_of_an_inline_query_may_name_a_voice(commands: Commands) -> None:
    assert commands.parse_inline("moby 0,7 The sea") == Write(Temperature(0.7), "The sea", voice="melville")
    assert commands.parse_inline("0,7 moby") == Write(Temperature(0.7), "moby"), "of the user's own voice"
    assert isinstance(commands.parse_inline("moby 9 The sea"), Invalid)


async def test_a_slow_voice_counts_for_more(commands: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    moby = commands.voices["melville"]
    fast = commands.voice.generator.status().characters_per_second
    slow = moby.generator.status()
    monkeypatch.setattr(moby.generator, "status", lambda: slow.__class__(characters_per_second=fast / 4))
    counted: list[float] = []
    monkeypatch.setattr(commands.admission, "slot", lambda *_, characters, **__: counted.append(characters))
    for voice in (commands.voice, moby):
        commands.slot(here(), voice, 100)
    assert counted == [100, pytest.approx(400)]


def test_a_ladder_names_no_voice_where_there_is_one() -> None:
    assert parse("ladder", "moby The") == Ladder("moby The")
