"""What people type and what they get, on a real store and a real generator with a small untrained network."""

# ruff: noqa: ASYNC110 - the generator tells nobody when it begins, so a test has to look

from __future__ import annotations

import asyncio
import logging
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from conftest import SETTINGS, TINY_VOCABULARY, add_random_version, english, last_text, with_echoes
from voice_support import voices_of

from bot.config.schema import BotSection
from bot.core.admission import MAX_USER_REQUESTS
from bot.core.ask import ForgetMe, Where
from bot.core.commands import OPERATOR_COMMANDS, USER_COMMANDS, Commands, parse, parse_message
from bot.core.commands.writing import LADDER_TEMPERATURES, TAIL
from bot.core.parsing import parse_line
from bot.core.reply import Kind, Reply
from bot.store.store import Store
from generator import MAX_PROMPT, Continuation, Generation, GenerationRequest, SamplingParams
from generator.prose import presentable
from generator.serving.generator import ThreadedGenerator
from generator.vocabulary import Vocabulary
from generator.weights.versions import activate

AddVersion = Callable[[Path, str, int], Path]
LENGTH = SETTINGS.length
OPERATOR = "boss"


async def say(commands: Commands, line: str, *, person: str = "ada", chat: str = "here") -> Reply:
    parsed = parse_line(line)
    assert parsed is not None
    return await commands.handle(parse(parsed.command, parsed.arguments), Where("discord", chat, person))


async def forget(commands: Commands, *, person: str = "ada", platform: str = "discord") -> Reply:
    return await commands.handle(ForgetMe(confirmed=True), Where(platform, "here", person))


async def kept_temperature(store: Store, person: str = "ada") -> float:
    conversation = await last_text(store, "discord", "here", person)
    assert conversation is not None
    return conversation.temperature


def letters(text: str) -> str:
    return "".join(text.split())


def refused(reply: Reply) -> str:
    assert reply.kind is Kind.REFUSAL
    assert reply.private
    assert reply.passages == ()
    return with_echoes(reply.text)


ACTIONS = ["Again", "Continue", "Hotter", "Colder", "Surprise"]
"""Under a text, without the temperatures."""


# ---- texts --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("one_seed")
async def test_someone_asks_for_a_text(commands: Commands) -> None:
    reply = await say(commands, "/nietzsche 0.7")
    assert reply.kind is Kind.TEXT
    assert not reply.private
    assert reply.notice == ""
    assert LENGTH - 45 <= len(reply.text) <= LENGTH * 3  # as `generator.serving.sequence` ends texts
    assert reply.text == reply.passages[0].text
    assert [action.label.split()[0] for action in reply.actions] == ACTIONS


async def test_a_prompt_is_shown_with_its_text(commands: Commands) -> None:
    reply = await say(commands, "/nietzsche@lstmega_bot 0,7 The philosopher")
    assert reply.passages[0].prompt == "The philosopher"
    assert reply.text.startswith("The philosopher")
    assert len(reply.text) >= len("The philosopher") + LENGTH - 45


@pytest.mark.parametrize("typed", ["0.3", "0,3", "٠٫٣", "3e-1"])
async def test_a_temperature_in_any_notation_is_used(commands: Commands, store: Store, typed: str) -> None:
    assert (await say(commands, f"/nietzsche {typed} The")).kind is Kind.TEXT
    assert await kept_temperature(store) == 0.3


async def test_the_temperature_is_the_typed_one_else_the_own_one_else_the_default(
    commands: Commands, store: Store
) -> None:
    await say(commands, "/nietzsche")
    assert await kept_temperature(store) == SETTINGS.sampling.temperature
    await say(commands, "/temperature 1,2")
    await say(commands, "/nietzsche The")
    assert await kept_temperature(store) == 1.2
    await say(commands, "/nietzsche 0.4 The")
    assert await kept_temperature(store) == 0.4
    await say(commands, "/nietzsche", person="bob")
    assert await kept_temperature(store, "bob") == SETTINGS.sampling.temperature
    await say(commands, "/temperature default")
    await say(commands, "/nietzsche")
    assert await kept_temperature(store) == SETTINGS.sampling.temperature


async def test_texts_differ_from_draw_to_draw(commands: Commands) -> None:
    texts = {(await say(commands, "/nietzsche 1.5 The")).text for _ in range(5)}
    assert len(texts) == 5


async def test_the_settings_reach_the_generator(
    generator: ThreadedGenerator, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.core.commands.writing.secrets.randbelow", lambda _: 5)
    commands = Commands(voices_of(generator), store, BotSection(length=300, sampling=SamplingParams(1.5, 0.6, 0.2)))
    reply = await say(commands, "/nietzsche The")
    alone = await generator.generate(GenerationRequest(300, 5, SamplingParams(1.5, 0.6, 0.2), prompt="The"))
    assert reply.text == presentable("The" + alone.text, hard_wrapped=True)
    assert len(reply.text) > 200


async def test_characters_that_the_network_never_saw_are_told(commands: Commands) -> None:
    reply = await say(commands, "/nietzsche 0.7 The café 😀 of “ideas”")
    assert reply.passages[0].prompt == 'The cafe of "ideas"'
    assert "left out 😀" in reply.notice
    assert "e for é" in reply.notice
    assert '" for “' in reply.notice


async def test_a_prompt_of_nothing_but_emoji(commands: Commands) -> None:
    reply = await say(commands, "/nietzsche 😀😀🤖")
    assert reply.kind is Kind.TEXT
    assert reply.passages[0].prompt == ""
    assert "left out 😀, 🤖" in reply.notice
    assert "began on my own" in reply.notice


async def test_many_odd_characters_make_a_short_notice(commands: Commands) -> None:
    odd = "".join(chr(0x4E00 + i) for i in range(300))
    assert len((await say(commands, f"/nietzsche The {odd}")).notice) < 150


async def test_of_a_prompt_that_is_too_long_the_end_is_read_and_that_is_said(commands: Commands) -> None:
    longest = await say(commands, "/nietzsche 0.7 " + "a" * MAX_PROMPT)
    assert (longest.kind, longest.notice) == (Kind.TEXT, "")
    longer = await say(commands, "/nietzsche 0.7 b" + "a" * MAX_PROMPT)
    assert longer.passages[0].prompt == longest.passages[0].prompt
    assert "its last 1,000 characters" in longer.notice
    # Each of these becomes three characters.
    assert "its last 1,000 characters" in (await say(commands, "/ladder " + "…" * 400)).notice


@pytest.mark.parametrize("prompt", ["0.7mm of rain", "70% of them", "t 1 was", "0,7.1 is"])
async def test_what_may_be_meant_as_a_temperature_is_a_prompt_and_the_reply_says_how_to_give_one(
    commands: Commands, prompt: str
) -> None:
    reply = await say(commands, f"/nietzsche {prompt}")
    assert reply.passages[0].text[0] == prompt[0]
    assert english("temperature-hint") in reply.notice


@pytest.mark.parametrize("typed", ["1. Of prejudices", "The 0.7", "0.7 0.8 is", "Temperature", "today 5 men"])
async def test_a_prompt_that_is_one_beyond_doubt_gets_no_hint(commands: Commands, typed: str) -> None:
    assert english("temperature-hint") not in (await say(commands, f"/nietzsche {typed}")).notice


async def test_a_year_is_no_temperature_and_the_reply_says_how_to_begin_with_one(
    commands: Commands, store: Store
) -> None:
    text = refused(await say(commands, "/nietzsche 1886 was"))
    assert "from 0.1" in text
    assert "to 2.0" in text
    assert "/nietzsche 0.7 1886" in text
    assert await last_text(store, "discord", "here", "ada") is None
    assert (await say(commands, "/nietzsche 0.7 1886 was")).passages[0].prompt == "1886 was"


@pytest.mark.parametrize("typed", ["1e309", "-0", "0", "2.1", "9" * 3000])
@pytest.mark.parametrize("command", ["nietzsche", "temperature"])
async def test_a_temperature_that_cannot_be_used(commands: Commands, command: str, typed: str) -> None:
    text = refused(await say(commands, f"/{command} {typed}"))
    assert "from 0.1 (careful) to 2.0 (wild)" in text
    assert f"/{command} 0.7" in text
    assert len(text) < 250


async def test_a_ladder_is_five_texts_that_differ_in_temperature_alone(
    commands: Commands, generator: ThreadedGenerator, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.core.commands.writing.secrets.randbelow", lambda _: 42)
    reply = await say(commands, "/ladder The 😀 philosopher")
    assert [passage.label for passage in reply.passages] == [f"Temperature {t}" for t in (0.5, 0.6, 0.7, 0.8, 0.9)]
    assert {passage.prompt for passage in reply.passages} == {"The philosopher"}
    assert "😀" in reply.notice
    for temperature, passage in zip(LADDER_TEMPERATURES, reply.passages, strict=True):
        request = GenerationRequest(LENGTH, 42, SamplingParams(temperature), prompt="The philosopher")
        alone = await generator.generate(request)
        assert passage.text == presentable(request.prompt + alone.text, hard_wrapped=True)
        assert f"{passage.label}\n{passage.text}" in reply.text
    assert await kept_temperature(store) == 0.9, "/continue goes on from the last of them"


async def test_a_ladder_has_temperatures_of_its_own(commands: Commands) -> None:
    reply = await say(commands, "/ladder 0,7 The soul")
    assert {passage.prompt for passage in reply.passages} == {"The soul"}
    assert reply.notice.startswith("A ladder has temperatures of its own, so I left out the 0.7.")
    reply = await say(commands, "/ladder 1886 was")
    assert {passage.prompt for passage in reply.passages} == {"1886 was"}


async def test_a_ladder_is_written_in_one_batch(generator: ThreadedGenerator, store: Store) -> None:
    commands = Commands(voices_of(generator), store, BotSection(length=4000))
    ladder = asyncio.create_task(say(commands, "/ladder"))
    most = 0
    while not ladder.done():
        most = max(most, generator.status().running)
        await asyncio.sleep(0.001)
    assert most == 5


# ---- going on -----------------------------------------------------------------------------------------------------


async def test_continue_goes_on_exactly_where_the_text_stopped(
    commands: Commands, generator: ThreadedGenerator, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await say(commands, "/nietzsche 0.6 The philosopher")
    before = await last_text(store, "discord", "here", "ada")
    assert before is not None
    monkeypatch.setattr("bot.core.commands.writing.secrets.randbelow", lambda _: 7)
    reply = await say(commands, "/continue")
    kept = Continuation(before.state, before.tail)
    expected = await generator.generate(GenerationRequest(LENGTH, 7, SamplingParams(0.6), continuation=kept))
    assert reply.text == presentable(expected.text, hard_wrapped=True)
    after = await last_text(store, "discord", "here", "ada")
    assert after is not None
    assert after.tail == before.tail + expected.text
    assert after.state == expected.state
    assert (after.prompt, after.temperature) == ("The philosopher", 0.6)


async def test_a_reply_to_a_text_writes_on_from_its_words(
    commands: Commands, generator: ThreadedGenerator, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = await say(commands, "/nietzsche 0.6 The philosopher")
    before = await last_text(store, "discord", "here", "ada")
    assert before is not None
    monkeypatch.setattr("bot.core.commands.writing.secrets.randbelow", lambda _: 7)
    ask = parse_message("0.8 and the sea", "ada", [action.data for action in told.actions])
    reply = await commands.handle(ask, Where("discord", "here", "ada"))
    kept = Continuation(before.state, before.tail)
    expected = await generator.generate(GenerationRequest(LENGTH, 7, SamplingParams(0.8), "and the sea", kept))
    assert reply.text == presentable(f"and the sea{expected.text}", hard_wrapped=True)
    assert reply.passages[0].prompt == "and the sea"
    after = await last_text(store, "discord", "here", "ada")
    assert after is not None
    assert after.tail == f"{before.tail} and the sea{expected.text}"
    assert (after.prompt, after.temperature, after.state) == ("The philosopher", 0.8, expected.state)
    assert (await say(commands, "/surprise")).picture is not None


async def test_a_reply_to_a_text_that_is_not_kept_begins_a_new_one(commands: Commands) -> None:
    told = await say(commands, "/nietzsche The philosopher")
    await forget(commands)
    ask = parse_message("The sea", "ada", [action.data for action in told.actions])
    reply = await commands.handle(ask, Where("discord", "here", "ada"))
    assert reply.passages[0].prompt == "The sea"
    assert [action.label.split()[0] for action in reply.actions] == ACTIONS


async def test_continue_works_after_a_restart(tiny_folder: Path, tmp_path: Path) -> None:
    replies = []
    for line in ("/nietzsche 0.6 The philosopher", "/continue"):
        async with Store.open(tmp_path / "kept.sqlite3") as store, ThreadedGenerator.open(tiny_folder) as generator:
            replies.append(await say(Commands(voices_of(generator), store, SETTINGS), line))
            conversation = await last_text(store, "discord", "here", "ada")
    assert conversation is not None
    assert letters(conversation.tail) == letters(replies[0].text + replies[1].text)


async def test_continue_after_new_weights_says_nothing_about_it(
    commands: Commands, store: Store, tiny_folder: Path, add_tiny_version: AddVersion
) -> None:
    await say(commands, "/nietzsche 0.6 The philosopher")
    add_tiny_version(tiny_folder, "tiny-2", 2)
    activate(tiny_folder, "tiny-2")
    assert (await say(commands, "/reload", person=OPERATOR)).kind is Kind.ANSWER
    reply = await say(commands, "/continue")
    assert reply.kind is Kind.TEXT
    assert reply.notice == ""
    conversation = await last_text(store, "discord", "here", "ada")
    assert conversation is not None
    assert conversation.version == "tiny-2"


async def test_what_is_kept_of_a_long_talk_stays_short(commands: Commands, store: Store) -> None:
    await say(commands, "/nietzsche 0.7 " + "word " * 190)
    for _ in range(4):
        await say(commands, "/continue")
    conversation = await last_text(store, "discord", "here", "ada")
    assert conversation is not None
    assert len(conversation.tail) == TAIL


async def test_again_is_the_same_prompt_and_temperature_and_another_draw(commands: Commands, store: Store) -> None:
    first = await say(commands, "/nietzsche 1.4 The philosopher")
    await say(commands, "/continue")
    second = await say(commands, "/again")
    assert second.passages[0].prompt == "The philosopher"
    assert second.text != first.text
    assert await kept_temperature(store) == 1.4


@pytest.mark.parametrize("command", ["/continue", "/again"])
async def test_there_is_nothing_to_go_on_from(commands: Commands, command: str) -> None:
    assert "/nietzsche" in refused(await say(commands, command))
    await say(commands, "/nietzsche")
    refused(await say(commands, command, person="bob"))
    refused(await say(commands, command, chat="elsewhere"))
    assert (await say(commands, command)).kind is Kind.TEXT
    assert "/nietzsche" in refused(await say(commands, f"{command} 0.9"))


async def test_two_quick_continues_go_on_from_one_another(commands: Commands, store: Store) -> None:
    beginning = await say(commands, "/nietzsche 0.7 The")
    first, second = await asyncio.gather(say(commands, "/continue"), say(commands, "/continue"))
    conversation = await last_text(store, "discord", "here", "ada")
    assert conversation is not None
    assert letters(conversation.tail) == letters(beginning.text + first.text + second.text)


async def test_new_weights_while_a_user_waits_read_the_prompt_with_their_own_vocabulary(
    commands: Commands, generator: ThreadedGenerator, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The prompt was refused: "prompt: 'é' not in the vocabulary; use Vocabulary.fit"."""
    with_accent = Vocabulary(TINY_VOCABULARY.characters.replace("Z", "é"))
    add_random_version(tiny_folder, "tiny-2", 2, vocabulary=with_accent)
    activate(tiny_folder, "tiny-2")
    await generator.reload()
    activate(tiny_folder, "tiny-1")
    generate = generator.generate

    async def reload_first(request: GenerationRequest, *_: object) -> Generation:
        monkeypatch.setattr(generator, "generate", generate)
        await generator.reload()
        return await generate(request)

    monkeypatch.setattr(generator, "generate", reload_first)
    reply = await say(commands, "/nietzsche 0.7 The café")
    assert reply.passages[0].prompt == "The cafe"
    assert "e for é" in reply.notice


# ---- what is remembered -------------------------------------------------------------------------------------------


async def test_the_own_temperature_is_shown_set_and_cleared(commands: Commands) -> None:
    assert "0.7" in (await say(commands, "/temperature")).text
    assert "0.85" in (await say(commands, "/temperature 0,85")).text
    shown = await say(commands, "/temperature", chat="elsewhere")
    assert "Your temperature is 0.85" in shown.text
    assert shown.private
    await say(commands, "/temperature DEFAULT")
    assert "no temperature of your own" in (await say(commands, "/temperature")).text
    for line in ("/temperature hot", "/temperature 0.7 please"):
        assert "/temperature 0.7, or /temperature default" in refused(await say(commands, line))


async def test_forgetme_says_how_many_rows_and_leaves_none(commands: Commands, store: Store) -> None:
    await say(commands, "/temperature 0.9")
    await say(commands, "/nietzsche")
    await say(commands, "/nietzsche", chat="elsewhere")
    reply = await forget(commands)
    assert "4 rows" in reply.text
    assert reply.private
    refused(await say(commands, "/continue"))
    assert (await forget(commands)).text == english("forget-nothing")
    assert (await store.preferences("discord", "ada")).temperature is None


@pytest.mark.parametrize("line", ["/forgetme", "/forgetme now", "/forgetme ?"])
async def test_forgetme_asks_first_whatever_is_typed_behind_it(commands: Commands, store: Store, line: str) -> None:
    await say(commands, "/temperature 0.9")
    for _ in range(2):
        asked = await say(commands, line)
        assert (asked.text, asked.private) == (english("forget-confirm"), True)
    assert (await store.preferences("discord", "ada")).temperature == 0.9
    [button] = asked.actions
    assert (await commands.press(button.data, Where("discord", "here", "bob"))).text == english("not-your-text")
    assert "2 rows" in (await commands.press(button.data, Where("discord", "here", "ada"))).text
    assert (await store.preferences("discord", "ada")).temperature is None


async def test_forgetme_during_a_text_leaves_nothing_of_it(generator: ThreadedGenerator, store: Store) -> None:
    commands = Commands(voices_of(generator), store, BotSection(length=2000))
    text = asyncio.create_task(say(commands, "/nietzsche", chat="elsewhere"))
    while not generator.status().running:
        await asyncio.sleep(0.001)
    forgotten = await forget(commands)
    assert "2 rows" in forgotten.text
    assert (await text).kind is Kind.TEXT
    assert await last_text(store, "discord", "elsewhere", "ada") is None


async def test_a_text_that_cannot_be_saved_is_shown_all_the_same(
    commands: Commands, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    await say(commands, "/temperature 0.9")
    other = sqlite3.connect(store._database.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    reply = await say(commands, "/nietzsche 0.7 The 😀")
    assert reply.kind is Kind.TEXT
    assert reply.notice.endswith(english("not-saved"))
    assert "😀" in reply.notice
    for reply in (await say(commands, "/temperature 0.5"), await forget(commands)):
        text = refused(reply)
        assert "Try again in a minute" in text
        assert str(store._database.path) not in text, "where the file is, is nobody's business"
    assert len(caplog.records) == 3
    assert all(str(store._database.path) in record.getMessage() for record in caplog.records)
    other.execute("ROLLBACK")
    other.close()
    assert "0.9" in (await say(commands, "/temperature")).text


async def test_whoever_is_new_gets_a_text_though_the_database_is_held_up(
    commands: Commands, store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("bot.core.commands.writing.USER_ID_TIMEOUT_SECONDS", 0.01)
    with closing(sqlite3.connect(store._database.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        reply = await say(commands, "/nietzsche 0.7")
    assert reply.kind is Kind.TEXT
    assert reply.notice == english("not-saved")
    assert "takes longer than 0.01 s" in caplog.text
    monkeypatch.undo()
    assert (await say(commands, "/nietzsche 0.7")).notice == ""


# ---- about, help, operators ---------------------------------------------------------------------------------------


async def test_about_says_what_it_is_and_shows_the_curve(commands: Commands, tiny_folder: Path) -> None:
    reply = await say(commands, "/about")
    for part in ("tiny-1", "6.000 bits per character", "learnt from: none"):
        assert part in reply.text
    assert reply.picture is not None
    assert reply.picture.content.startswith(b"\x89PNG")
    sentence = "".join(cell.character for cell in reply.shaded)
    assert 20 < len(sentence) < 200
    assert " ".join(sentence.split()) in reply.picture.description, "for those who cannot see it"
    assert reply.actions == ()
    refused(await say(commands, "/about curve"))
    curve = tiny_folder / "tiny-1" / "curve.png"
    curve.write_bytes(b"picture")
    reply = await say(commands, "/about")
    assert reply.picture is not None
    assert reply.picture.name == "about.png", "the curve is for those who ask"
    [action] = reply.actions
    shown = await commands.press(action.data, Where("discord", "here", "ada"))
    assert shown == await say(commands, "/about curve")
    picture = shown.picture
    assert picture is not None
    assert (picture.content, picture.name, picture.path) == (b"picture", "curve.png", curve)
    assert "epoch by epoch" in picture.description


async def test_the_card_of_about_is_drawn_once_for_a_version(
    commands: Commands, generator: ThreadedGenerator, tiny_folder: Path
) -> None:
    pictures = {(await say(commands, "/about")).picture for _ in range(3)}
    assert len({picture.content for picture in pictures if picture}) == 1
    assert generator.status().texts == 1
    add_random_version(tiny_folder, "tiny-2", seed=2)
    activate(tiny_folder, "tiny-2")
    await generator.reload()
    assert (await say(commands, "/about")).picture not in pictures


async def test_help_lists_what_the_person_has(commands: Commands) -> None:
    text = (await say(commands, "/help")).text
    operators_text = (await say(commands, "/help", person=OPERATOR)).text
    for name in USER_COMMANDS:
        assert f"/{name}" in text
        assert f"/{name}" in operators_text
    for name in OPERATOR_COMMANDS:
        assert f"/{name}" not in text
        assert f"/{name}" in operators_text


async def test_start_says_what_to_do(commands: Commands) -> None:
    assert "/nietzsche 0.7" in (await say(commands, "/start deep-link")).text


async def test_every_listed_command_exists(commands: Commands) -> None:
    for name in [*USER_COMMANDS, *OPERATOR_COMMANDS]:
        assert "There is no command" not in (await say(commands, f"/{name}", person=OPERATOR)).text


@pytest.mark.parametrize(("typed", "meant"), [("nietzche", "nietzsche"), ("contineu", "continue"), ("ABUOT", "about")])
async def test_a_misspelt_command_is_recognised(commands: Commands, typed: str, meant: str) -> None:
    assert f"Did you mean /{meant}?" in refused(await say(commands, f"/{typed} 0.7"))


async def test_a_command_that_resembles_none(commands: Commands) -> None:
    for line in ("/", "/xyzzy", "//", "/\x1b[31mred\x07", "/" + "x" * 5000):
        text = refused(await say(commands, line))
        assert "/help lists the commands" in text
        assert text.isprintable()
        assert len(text) < 120


@pytest.mark.parametrize(("command", "resembling"), [("reload", "reloab"), ("stats", "statz")])
async def test_to_others_an_operators_command_is_like_any_unknown_one(
    commands: Commands, command: str, resembling: str
) -> None:
    hidden, unknown = await say(commands, f"/{command}"), await say(commands, f"/{resembling}")
    assert hidden.text.replace(command, resembling) == unknown.text
    assert (hidden.kind, hidden.private) == (unknown.kind, unknown.private) == (Kind.REFUSAL, True)
    nearly = await say(commands, f"/{command}x")
    assert f"mean /{command}" not in nearly.text
    assert f"mean /{command}" in (await say(commands, f"/{command}x", person=OPERATOR)).text


async def test_the_same_name_on_another_platform_is_no_operator(commands: Commands) -> None:
    reply = await commands.handle(parse("stats", ""), Where("telegram", "here", OPERATOR))
    assert "There is no command" in refused(reply)


async def test_stats_counts_what_was_written(commands: Commands) -> None:
    await say(commands, "/nietzsche")
    await say(commands, "/ladder")
    reply = await say(commands, "/stats", person=OPERATOR)
    assert reply.private
    assert "texts: 6 written, 0 refused, 0 failed" in reply.text
    assert "tiny-1" in reply.text


async def test_stats_counts_what_was_refused_and_what_waits(generator: ThreadedGenerator, store: Store) -> None:
    commands = Commands(
        voices_of(generator), store, BotSection(length=400, queue=1, operators=(f"discord:{OPERATOR}",))
    )
    texts = [asyncio.create_task(say(commands, "/nietzsche 0.7", person=str(i))) for i in range(8)]
    while not commands.admission.waiting:
        assert not all(text.done() for text in texts)
        await asyncio.sleep(0)
    assert ", 1 waiting" in (await say(commands, "/stats", person=OPERATOR)).text
    replies = await asyncio.gather(*texts)
    refused_texts = sum(reply.kind is Kind.REFUSAL for reply in replies)
    assert refused_texts
    assert f"{refused_texts} refused" in (await say(commands, "/stats", person=OPERATOR)).text


async def test_one_user_can_only_keep_so_many_requests_waiting(commands: Commands) -> None:
    replies = await asyncio.gather(*(say(commands, "/temperature") for _ in range(200)))
    answered = sum(reply.kind is Kind.ANSWER for reply in replies)
    assert answered == MAX_USER_REQUESTS
    assert {reply.text for reply in replies if reply.kind is Kind.REFUSAL} == {english("queue-full")}


async def test_reload_takes_up_the_current_weights(
    commands: Commands, tiny_folder: Path, add_tiny_version: AddVersion
) -> None:
    assert "tiny-1 serves already" in (await say(commands, "/reload", person=OPERATOR)).text
    add_tiny_version(tiny_folder, "tiny-2", 2)
    activate(tiny_folder, "tiny-2")
    reply = await say(commands, "/reload", person=OPERATOR)
    assert "tiny-2 serves now, in place of tiny-1" in reply.text
    assert "tiny-2" in commands.summary()


async def test_reload_keeps_the_old_weights_when_the_new_ones_are_broken(
    commands: Commands, tiny_folder: Path, add_tiny_version: AddVersion
) -> None:
    broken = add_tiny_version(tiny_folder, "tiny-2", 2)
    activate(tiny_folder, "tiny-2")
    (broken / "model.onnx").write_bytes(b"nonsense")
    text = refused(await say(commands, "/reload", person=OPERATOR))
    assert "stay as they were" in text
    assert "model.onnx" in text
    shutil.rmtree(broken)
    refused(await say(commands, "/reload", person=OPERATOR))
    assert "tiny-1" in commands.summary()
    assert (await say(commands, "/nietzsche")).kind is Kind.TEXT


# ---- trouble ------------------------------------------------------------------------------------------------------


async def test_when_too_many_want_a_text_the_rest_are_told_when_to_come_back(tiny_folder: Path, store: Store) -> None:
    async with ThreadedGenerator.open(tiny_folder) as generator:
        commands = Commands(voices_of(generator), store, BotSection(length=400, queue=1))
        replies = await asyncio.gather(*(say(commands, "/nietzsche 0.7", person=str(i)) for i in range(120)))
        texts = [reply for reply in replies if reply.kind is Kind.TEXT]
        refusals = [reply for reply in replies if reply.kind is Kind.REFUSAL]
        assert texts
        assert refusals
        assert all("Try again in" in refused(reply) for reply in refusals)
        assert (await say(commands, "/nietzsche")).kind is Kind.TEXT


async def test_while_it_is_being_restarted(tiny_folder: Path, store: Store) -> None:
    async with ThreadedGenerator.open(tiny_folder) as generator:
        commands = Commands(voices_of(generator), store, SETTINGS)
    assert "Try again in a minute" in refused(await say(commands, "/nietzsche 0.7"))


async def test_a_cancelled_command_frees_its_place_and_the_persons_turn(
    generator: ThreadedGenerator, store: Store
) -> None:
    commands = Commands(voices_of(generator), store, BotSection(length=4000))
    text = asyncio.create_task(say(commands, "/ladder"))
    while not generator.status().running:
        await asyncio.sleep(0.001)
    text.cancel()
    with pytest.raises(asyncio.CancelledError):
        await text
    assert "no temperature of your own" in (await say(commands, "/temperature")).text
    while generator.status().running:
        await asyncio.sleep(0.001)
    assert generator.status().texts == 0
    assert await last_text(store, "discord", "here", "ada") is None


async def test_a_defect_is_written_down_and_the_person_told(
    commands: Commands, generator: ThreadedGenerator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(generator, "generate", broken)
    for line in ("/nietzsche 0.7", "/ladder"):
        assert refused(await say(commands, line)) == english("unexpected")
    defects = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(defects) == 2
    assert all(record.exc_info is not None and "a defect" in caplog.text for record in defects)
    assert caplog.text.count("Traceback") == 2
