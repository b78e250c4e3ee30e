"""/surprise as people use it: on a real store, a real generator, and once on the weights that ship."""

from __future__ import annotations

import asyncio
import io
import logging
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import english, keep, last_text
from PIL import Image
from voice_support import voices_of

from bot.config.schema import BotSection
from bot.core.ask import ForgetMe, Where
from bot.core.commands import Commands, parse
from bot.core.parsing import parse_line
from bot.core.reply import Kind, Picture, Reply
from bot.store.migrations import APPLICATION_ID, MIGRATIONS
from bot.store.store import Conversation, Store
from generator import ScoringRequest
from generator.prose import presentable
from generator.serving.generator import ThreadedGenerator
from generator.weights.versions import activate

AddVersion = Callable[[Path, str, int], Path]
SETTINGS = BotSection(length=60, cooldown=0.0)


async def say(commands: Commands, line: str, *, person: str = "ada", chat: str = "here") -> Reply:
    parsed = parse_line(line)
    assert parsed is not None
    return await commands.handle(parse(parsed.command, parsed.arguments), Where("telegram", chat, person))


def shaded(reply: Reply) -> str:
    """The text that was shaded, as a person sees it."""
    assert reply.kind is Kind.ANSWER, reply.text
    assert not reply.private
    assert reply.picture is not None
    assert reply.picture.name == "surprise.png"
    assert 0 < len(reply.picture.description) <= 1024
    assert Image.open(io.BytesIO(reply.picture.content)).format == "PNG"
    return "".join(cell.character for cell in reply.shaded)


async def test_the_last_text_comes_back_shaded(commands: Commands) -> None:
    text = await say(commands, "/nietzsche 0.7 The philosopher")
    reply = await say(commands, "/surprise")
    assert shaded(reply) == text.text
    assert reply.text.startswith("Your text surprises me by ")
    assert "bits per character" in reply.text
    given = "".join(cell.character for cell in reply.shaded if cell.given)
    assert given == "The philosopher"
    assert reply.actions == ()


async def test_it_may_be_asked_again_and_changes_nothing(commands: Commands, store: Store) -> None:
    await say(commands, "/nietzsche 0.7 Man")
    before = await last_text(store, "telegram", "here", "ada")
    first, second = await say(commands, "/surprise"), await say(commands, "/surprise")
    assert replace(first, shaded=()) == replace(second, shaded=())
    assert list(map(str, first.shaded)) == list(map(str, second.shaded)), "as words, since NaN equals nothing"
    assert await last_text(store, "telegram", "here", "ada") == before


async def test_of_a_text_that_was_gone_on_with_the_last_part_is_shaded(commands: Commands) -> None:
    await say(commands, "/nietzsche 0.7 Man")
    text = await say(commands, "/continue")
    reply = await say(commands, "/surprise")
    assert shaded(reply) == text.text
    assert not any(cell.given for cell in reply.shaded)


async def test_of_a_ladder_the_last_text_is_shaded(commands: Commands) -> None:
    ladder = await say(commands, "/ladder Man")
    assert shaded(await say(commands, "/surprise")) == ladder.passages[-1].text


async def test_each_chat_and_each_person_has_a_last_text_of_their_own(commands: Commands) -> None:
    text = await say(commands, "/nietzsche 0.7 Man")
    other = await say(commands, "/nietzsche 0.7 Woman", chat="there")
    assert (await say(commands, "/surprise", person="bob")).text == english("no-text")
    assert shaded(await say(commands, "/surprise")) == text.text
    assert shaded(await say(commands, "/surprise", chat="there")) == other.text


async def test_without_a_text_it_says_what_to_do(commands: Commands) -> None:
    reply = await say(commands, "/surprise")
    assert (reply.kind, reply.private, reply.picture) == (Kind.REFUSAL, True, None)
    assert "/nietzsche" in reply.text
    assert (await say(commands, "/surprise me")).text == english("no-argument", command="surprise")


async def test_a_text_of_older_weights_is_shaded_by_those_that_serve_and_that_is_said(
    commands: Commands, generator: ThreadedGenerator, tiny_folder: Path, add_tiny_version: AddVersion
) -> None:
    text = await say(commands, "/nietzsche 0.7 Man")
    assert "tiny" not in (await say(commands, "/surprise")).text
    add_tiny_version(tiny_folder, "tiny-2", 2)
    activate(tiny_folder, "tiny-2")
    await generator.reload()
    reply = await say(commands, "/surprise")
    assert shaded(reply) == text.text
    assert "tiny-1 wrote it; the surprise is that of tiny-2" in reply.text


async def test_it_needs_no_rest_after_a_text_but_one_of_its_own(generator: ThreadedGenerator, store: Store) -> None:
    commands = Commands(voices_of(generator), store, BotSection(length=60, cooldown=30.0))
    text = await say(commands, "/nietzsche 0.7 Man")
    assert shaded(await say(commands, "/surprise")) == text.text
    again = await say(commands, "/surprise")
    assert again.kind is Kind.REFUSAL
    assert "30 seconds" in again.text


async def test_the_event_loop_goes_on_meanwhile(commands: Commands) -> None:
    await say(commands, "/nietzsche 0.7 Man")
    asked = asyncio.create_task(say(commands, "/surprise"))
    beats = 0
    while not asked.done():
        beats += 1
        await asyncio.sleep(0.001)
    assert beats > 1
    shaded(await asked)


async def test_forgetting_deletes_the_text_too(commands: Commands, store: Store) -> None:
    prompt = "Unforgettable sentence"
    await say(commands, f"/nietzsche 0.7 {prompt}")
    kept = await last_text(store, "telegram", "here", "ada")
    assert kept is not None
    assert kept.written is not None
    assert kept.written.text.encode() in store_bytes(store)
    await commands.handle(ForgetMe(confirmed=True), Where("telegram", "here", "ada"))
    assert (await say(commands, "/surprise")).text == english("no-text")
    assert kept.written.text.encode() not in store_bytes(store)
    assert prompt.encode() not in store_bytes(store)


def store_bytes(store: Store) -> bytes:
    """The database and what stands beside it."""
    return b"".join(path.read_bytes() for path in store._database.path.parent.glob(f"{store._database.path.name}*"))


async def test_the_log_holds_nothing_of_the_text(commands: Commands, caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("aiosqlite").setLevel(logging.WARNING)  # as `bot.logs` does
    with caplog.at_level(logging.DEBUG):
        text = await say(commands, "/nietzsche 0.7 Zarathustra")
        shaded(await say(commands, "/surprise"))
    assert "Zarathustra" not in caplog.text
    assert not any(word in caplog.text for word in text.text.split() if len(word) > 6)


async def test_what_is_kept_comes_back_as_it_was(store: Store) -> None:
    begun = Conversation("Man", 0.7, "v", b"s", "tail", ScoringRequest("Man", " \x00λ😀'", 2**63 - 1))
    for conversation in (begun, Conversation("", 0.7, "v", b"s", "", ScoringRequest("before", "text", None))):
        await keep(store, "telegram", "here", "ada", conversation)
        assert await last_text(store, "telegram", "here", "ada") == conversation


async def test_a_database_from_before_keeps_its_texts_which_cannot_be_shaded(
    tmp_path: Path, generator: ThreadedGenerator
) -> None:
    path = tmp_path / "old.sqlite3"
    with closing(sqlite3.connect(path, isolation_level=None)) as old:
        for step in MIGRATIONS[:2]:
            for statement in step:
                old.execute(statement)
        old.execute("INSERT INTO people VALUES (1, 'telegram', 'ada')")
        old.execute("INSERT INTO conversations VALUES (1, 'here', 'Man', 0.7, 'v0', x'00', 'Man is', 0)")
        old.execute("PRAGMA user_version = 2")
        assert old.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    async with Store.open(path) as store:
        kept = await last_text(store, "telegram", "here", "ada")
        assert kept == Conversation("Man", 0.7, "v0", b"\0", "Man is", None)
        commands = Commands(voices_of(generator), store, SETTINGS)
        assert (await say(commands, "/surprise")).text == english("no-text")
        assert (await say(commands, "/continue")).kind is Kind.TEXT
        shaded(await say(commands, "/surprise"))


@pytest.mark.usefixtures("one_seed")
async def test_the_shipped_weights_are_less_surprised_by_what_they_wrote_cooler(
    weights_folder: Path, store: Store
) -> None:
    async with ThreadedGenerator.open(weights_folder) as generator:
        commands = Commands(voices_of(generator), store, BotSection(length=200, cooldown=0.0))
        hard_wrapped = generator.weights.manifest.hard_wrapped
        means = []
        for temperature in (0.3, 1.2):
            text = await say(commands, f"/nietzsche {temperature} The philosopher")
            reply = await say(commands, "/surprise")
            assert shaded(reply) == presentable(text.text, hard_wrapped=hard_wrapped)
            means.append(float(reply.text.split(" by ")[1].split()[0]))
            assert "Least expected: “" in reply.text
    assert means[0] < 1.2 < means[1]


async def test_a_curve_that_cannot_be_read_is_left_out_and_told(
    commands: Commands, tiny_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tiny_folder / "tiny-1" / "curve.png").mkdir()
    reply = await say(commands, "/about")
    assert (reply.kind, reply.actions) == (Kind.ANSWER, ())
    assert "curve.png: is a directory" in caplog.text


def test_a_picture_keeps_its_bytes_out_of_what_is_printed() -> None:
    assert "xyzzy" not in repr(Reply("a", picture=Picture(b"xyzzy", "a.png", "a picture")))


def test_nobody_loads_pillow_who_wants_no_picture() -> None:
    look = "import sys, bot.core.commands, bot.platforms.terminal; print('PIL' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout == "False\n"
