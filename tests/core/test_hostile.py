"""What strangers type, a few thousand times; `make fuzz` does it for as long as one likes."""

from __future__ import annotations

import random
import unicodedata
from pathlib import Path
from typing import Any

import discord
import hostile
import hostile_discord
import hostile_telegram
import pytest
from conftest import english, with_echoes
from discord_support import SLASH, World, world
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from simcord.interactions import base_payload
from voice_support import voices_of

from bot.config.schema import BotSection
from bot.core import buttons, messages
from bot.core.ask import Where
from bot.core.commands import COMMANDS, OPERATOR_COMMANDS, Commands, parse
from bot.core.parsing import (
    TemperatureError,
    fit_prompt,
    parse_line,
    parse_temperature,
    split_temperature,
)
from bot.core.reply import Kind, Passage, Reply
from bot.platforms.discord.platform import configure_logging
from bot.platforms.telegram.render import MAX_ENTITIES, MAX_TEXT, messages_of, only_message_of
from bot.platforms.text import utf16_length
from bot.store.store import Preferences, Store
from generator import Manifest, Vocabulary
from generator.sampling_params import MAX_TEMPERATURE, MIN_TEMPERATURE
from generator.serving.generator import ThreadedGenerator
from generator.types import MAX_PROMPT
from generator.weights.versions import load_weights
from testing.telegram import Chat, TelegramServer, User

ANYTHING = st.text(st.characters(), max_size=200) | st.sampled_from(hostile.FRAGMENTS + hostile.NOTATIONS)
"""Lone surrogates included."""
CANDIDATES = ("stats", "reload", "STATS", "Reload")


# Everything at once


async def test_strangers_in_telegram(tiny_folder: Path) -> None:
    seed = random.randrange(10**6)
    async with hostile_telegram.strangers(tiny_folder, random.Random(seed)) as strangers:
        for _ in range(40):
            found = await strangers.round()
            assert not found, (seed, hostile.printable(found))


async def test_strangers_on_discord(tiny_folder: Path) -> None:
    seed = random.randrange(10**6)
    async with hostile_discord.strangers(tiny_folder, random.Random(seed)) as strangers:
        for _ in range(250):
            found = await strangers.step()
            assert not found, (seed, hostile.printable(found), hostile.printable(strangers.did))


# What is typed


@given(ANYTHING)
def test_whatever_is_typed_is_a_temperature_or_is_not(typed: str) -> None:
    parse_line(typed)
    for read in (parse_temperature, lambda typed: split_temperature(typed)[0]):
        try:
            value = read(typed)
        except TemperatureError as error:
            found = tappable(Reply.refusal(messages.explain(error, english)))
            assert not found
        else:
            assert value is None or MIN_TEMPERATURE <= value <= MAX_TEMPERATURE


@given(ANYTHING)
def test_whatever_is_repeated_is_nothing_to_tap(typed: str) -> None:
    for said in (messages.echo(typed), english("unknown-command", command=messages.echo(typed))):
        assert with_echoes(said).encode().decode().isprintable()
        assert not tappable(Reply.refusal(said))


@given(ANYTHING, ANYTHING)
def test_a_text_on_telegram_is_nothing_to_tap_and_fits(prompt: str, text: str) -> None:
    reply = Reply.of_passages(Passage(prompt + text * 30, prompt))
    for piece, entities in messages_of(reply):
        assert 0 < utf16_length(piece) <= MAX_TEXT
        assert len(entities) <= MAX_ENTITIES
    assert not tappable(reply)


def tappable(reply: Reply) -> list[str]:
    """What Telegram would make something to tap of in a reply, in one message or more."""
    shown = [
        hostile.outside_code(text, [entity.to_dict() for entity in entities])
        for text, entities in [*messages_of(reply), only_message_of(reply)]
    ]
    return list(filter(None, map(hostile.lively, shown)))


@pytest.fixture(scope="module", params=[False, True], ids=["", "lower case"])
def manifest(weights_folder: Path, request: pytest.FixtureRequest) -> Manifest:
    """Of the weights that ship, and of such that know lower case alone."""
    shipped = load_weights(weights_folder).manifest
    if not request.param:
        return shipped
    lower = Vocabulary.of(shipped.vocabulary.characters.lower())
    return replace(shipped, vocabulary=lower, lowercase=True)


@given(ANYTHING, st.integers(1, 40))
def test_whatever_opens_a_text_is_read_by_the_network(manifest: Manifest, typed: str, times: int) -> None:
    typed = typed * times
    prompt = fit_prompt(typed, manifest)
    assert len(prompt.text) <= MAX_PROMPT
    assert all(character in manifest.vocabulary for character in prompt.text)
    assert prompt.text == prompt.text.strip()
    assert prompt.shortened >= (len(typed.strip()) > MAX_PROMPT)
    again = fit_prompt(prompt.text, manifest)
    assert (again.text, again.replaced, again.dropped) == (prompt.text, (), ())
    for character in prompt.dropped:
        assert character in unicodedata.normalize("NFC", typed)


@given(ANYTHING)
def test_whatever_a_button_carries_is_of_a_known_form(data: str) -> None:
    button = buttons.decode(data)
    assert button is None or data.split(":")[1] == button.owner


# One thing each


@pytest.mark.parametrize("person", ["-\ud800", "-1;", "-" + "9" * 30, "-x", "-１"])
async def test_a_button_in_the_name_of_no_chat_is_nobody_s(
    server: TelegramServer, commands: Commands, chat: Chat, person: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with hostile_telegram.connected(server, commands):
        press = await hostile_telegram.press(server, chat, f"c:{person}:00000000")
        assert (await press.answer())[0] in {english("no-such-button"), english("not-your-text")}
    assert not [record for record in caplog.records if record.exc_info]


async def test_a_button_without_its_text_s_fingerprint_does_nothing(commands: Commands) -> None:
    await commands.handle(parse("nietzsche", ""), Where("telegram", "-5", "-5"))
    for data in ("c:-5:", "a:-5::0.7"):
        assert (await commands.press(data, Where("telegram", "-5", "-5"))).text == english("no-such-button")


async def test_nobody_is_pinged_by_a_refusal(
    server: TelegramServer, commands: Commands, group: Chat, bob: User
) -> None:
    async with hostile_telegram.connected(server, commands):
        for typed in ("@alice", "https://evil.example"):
            await group.send(f"/temperature {typed}", by=bob)
            told = await group.next_message()
            assert typed in told.text
            assert not hostile.lively(hostile.outside_code(told.text, told.entities))


async def test_an_update_that_breaks_something_is_stepped_over(
    server: TelegramServer, commands: Commands, chat: Chat, caplog: pytest.LogCaptureFixture
) -> None:
    async with hostile_telegram.connected(server, commands):
        await server.add_update("message", chat.typed_message("x", None, {"text": 5}))
        await server.add_update("message", chat.typed_message("x", None, {"date": 2**70}))
        await server.add_update("message", chat.typed_message("/nonsense", None, {"message_id": [5]}))
        await chat.send("/start")
        assert (await chat.next_message()).text.startswith("I write")
    assert not [record for record in caplog.records if record.exc_info]


async def test_half_a_character_in_an_inline_query(server: TelegramServer, commands: Commands, bob: User) -> None:
    async with hostile_telegram.connected(server, commands):
        query = await bob.inline("The \ud83d philosopher")
        assert {article["description"] for article in await query.answer()} == {"The   philosopher"}


async def test_options_of_a_form_that_nobody_knows_are_not_logged(
    tiny_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    configure_logging()
    async with world(tiny_folder) as here:
        for kind, options in (
            (SLASH, [{"name": "temperature", "type": 10, "value": ["marked"]}]),
            (SLASH, [{"name": "temperature", "type": 6, "value": "marked"}]),
            (SLASH, [{"name": "prompt", "type": 10, "value": 0.7}]),
            (hostile_discord.AUTOCOMPLETE, [{"name": "marked", "type": 3, "value": "marked", "focused": True}]),
        ):
            data = {"id": "1", "name": "nietzsche", "type": 1, "options": options}
            result = await here.interaction(here.alice, kind, data, here.alice.user.dm_channel.id)
            assert result.response or kind != SLASH
        assert all(isinstance(error, discord.app_commands.AppCommandError) for error in here.env.errors)
        here.env._errors_acknowledged = here.env.error_cursor
    assert "marked" not in caplog.text
    assert not [record for record in caplog.records if record.exc_info]


# Operators' commands


class Untouched(Store):
    """A database that may be asked for nothing but the language of a refusal."""

    def __init__(self) -> None:
        pass

    async def preferences(self, platform: str, user: str) -> Preferences:  # noqa: ARG002 - as in the store
        return Preferences()

    def __getattribute__(self, name: str) -> Any:
        if name != "preferences":
            raise AssertionError(f"the store was asked for {name}")
        return super().__getattribute__(name)


@pytest.mark.parametrize("command", CANDIDATES)
async def test_an_operator_s_command_looks_like_none_and_costs_nothing(
    generator: ThreadedGenerator, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Byte for byte what a bot says that has no such commands, and without a look at texts or generator."""

    def refuse(*_: Any) -> None:
        raise AssertionError("the generator was asked")

    for method in ("generate", "reload", "status", "score"):
        monkeypatch.setattr(generator, method, refuse)
    commands = Commands(voices_of(generator), Untouched(), BotSection(operators=("telegram:1", "discord:1")))
    said = [
        await commands.handle(parse(command.lower(), arguments), Where(platform, "2", "2"))
        for platform in ("telegram", "discord")
        for arguments in ("", "now")
    ]
    for name in OPERATOR_COMMANDS:
        monkeypatch.delitem(COMMANDS, name)
    for reply in said:
        assert reply == await commands.handle(parse(command.lower(), "now"), Where("telegram", "2", "2"))
        assert reply.kind is Kind.REFUSAL


@pytest.mark.usefixtures("one_seed")
@pytest.mark.parametrize("typed", [*(f"/{name}" for name in CANDIDATES), *CANDIDATES, "/stats@lstmega_bot now"])
async def test_on_telegram_nobody_else_can_tell(
    server: TelegramServer,
    generator: ThreadedGenerator,
    store: Store,
    bob: User,
    *,
    typed: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chat, group = server.private(bob), server.supergroup()
    commands = Commands(voices_of(generator), store, BotSection(cooldown=0.0))
    async with hostile_telegram.connected(server, commands):

        async def answers() -> list[str]:
            await chat.send(typed)
            await group.send(typed, by=bob)
            await group.send("/start", by=bob)
            told = [(await chat.next_message()).text, (await group.next_message()).text]
            if "@" in typed:
                told.append((await group.next_message()).text)
            return told

        first = await answers()
        for name in OPERATOR_COMMANDS:
            monkeypatch.delitem(COMMANDS, name)
        assert first == await answers()


async def test_on_discord_an_administrator_who_is_no_operator_is_told_that_there_is_none(tiny_folder: Path) -> None:
    """Discord lists the names to administrators of a server; what answers is what answers to any unknown name."""
    async with world(tiny_folder) as here:
        admin = here.person("admin", administrator=True)

        async def answer(name: str) -> Any:
            here.env.backend.http_requests.clear()
            await _slash(here, admin, name)
            here.env._errors_acknowledged = here.env.error_cursor
            return [(entry.method, entry.json) for entry in here.env.backend.http_requests]

        first = [await answer(name) for name in ("stats", "reload")]
        for name in ("stats", "reload"):
            here.client.tree.remove_command(name)
        assert first == [await answer(name) for name in ("stats", "reload")]
        assert all(len(answers) == 1 for answers in first)


async def _slash(here: World, person: Any, name: str) -> None:
    data = {"id": "1", "name": name, "type": 1}
    backend = here.env.backend
    _, payload = base_payload(
        backend, type=SLASH, channel_id=here.channel.id, guild_id=here.guild.id, user_id=person.id, data=data
    )
    backend.emit("INTERACTION_CREATE", payload)
    await here.env.settle()
