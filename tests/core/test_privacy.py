"""What is left of a person: nothing after /forgetme, and never a word of theirs in a log or a metric."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from conftest import english
from service_process import PATIENCE, Installation, asked, forget_me
from voice_support import voices_of

from bot.config.schema import BotSection, Secret
from bot.core.ask import ForgetMe, Where
from bot.core.commands import Commands, parse
from bot.store.store import Store
from generator.serving.generator import ThreadedGenerator
from testing.discord import TOKEN, DiscordServer
from testing.telegram import TelegramServer, User

NAME, WORD, OTHER = "Wilhelmine Marked", "Zarathustrian", "Leave this here"
TELEGRAM_PERSON, DISCORD_PERSON = 7_123_456_789, 812_345_678_901_234_567
GROUP_TEXT = "Gruppentext"


@pytest.fixture
async def bot(tiny_folder: Path, tmp_path: Path) -> AsyncIterator[Installation]:
    async with TelegramServer() as server:
        installation = Installation(tiny_folder, tmp_path / "state", server)
        yield installation
        installation.check_what_was_logged()


@pytest.fixture
async def store(place: Path | Secret) -> AsyncIterator[Store]:
    """A new database of each kind."""
    async with Store.open(place) as store:
        yield store


def traces(*texts: str, numbers: tuple[int, ...] = ()) -> Iterator[bytes]:
    """Every form in which a text or a number might stand in a file of SQLite's."""
    for text in (*texts, *map(str, numbers)):
        yield from (text.encode(form) for form in ("utf-8", "utf-16-le", "utf-16-be"))
    for number in numbers:
        size = (number.bit_length() + 8) // 8
        yield from (number.to_bytes(width, order) for width in (max(size, 6), 8) for order in ("big", "little"))
        yield bytes(_varint(number))


def _varint(number: int) -> list[int]:
    """https://sqlite.org/fileformat2.html#varint, for fewer than 57 bits and for more."""
    if number >= 1 << 56:
        return [*_groups(number >> 8), number & 0xFF]
    groups = list(_groups(number))
    return [*groups[:-1], groups[-1] & 0x7F]


def _groups(number: int) -> Iterator[int]:
    count = max(1, -(-number.bit_length() // 7))
    yield from (0x80 | number >> 7 * at & 0x7F for at in reversed(range(count)))


def found(folder: Path, *needles: bytes) -> list[tuple[str, bytes]]:
    """Which of them stand in which file below the folder."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    return [(path.name, needle) for path in files for needle in needles if needle in path.read_bytes()]


async def test_forgetme_leaves_nothing_in_any_file_of_the_running_service(bot: Installation, tmp_path: Path) -> None:
    """People on both platforms, who do everything that there is to do; some go, one stays."""
    state, server = tmp_path / "state", bot.server
    marked = User(server, TELEGRAM_PERSON, NAME)
    private, group, other = server.private(marked), server.supergroup(), server.private(server.user("Other"))
    async with DiscordServer().running() as discord:
        settings = {
            "LSTMEGA_DISCORD__TOKEN": TOKEN,
            "LSTMEGA_DISCORD__API_URL": discord.url,
            "LSTMEGA_DISCORD__GATEWAY_URL": discord.gateway_url,
        }
        async with bot.service(**settings) as service:
            await discord.until(lambda: discord.identified > 0)
            await asked(other, f"/nietzsche 0.7 {OTHER}")
            for command in ("nietzsche", "continue", "temperature"):
                await _discord(discord, command)
            for line in (f"/nietzsche 0.7 {WORD}", "/temperature 0.9", "/continue", f"/ladder {WORD}", "/again", WORD):
                await asked(private, line)
            for line in (f"/nietzsche 0.7 {GROUP_TEXT}", "/continue", "/surprise", f"/temperature {WORD}"):
                await asked(group, line, by=marked)
            query = await marked.inline(f"0.7 {WORD}")
            await query.answer()
            await (await query.choose()).next_edit()
            with closing(sqlite3.connect(state / "db.sqlite3")) as database:
                rows = database.execute("SELECT state, tail, written FROM conversations").fetchall()
                staying = database.execute(
                    "SELECT state FROM conversations JOIN people ON people.id = person_id WHERE person = ?",
                    (str(other.id),),
                ).fetchall()
            kept = [row[0][-40:] for row in rows if (row[0],) not in staying]
            kept += [text[:40].encode() for row in rows if (row[0],) not in staying for text in row[1:] if text]
            needles = [*traces(WORD, GROUP_TEXT, NAME, numbers=(TELEGRAM_PERSON, DISCORD_PERSON)), *kept]
            assert len(rows) == 11
            assert len(found(state, *needles)) >= len(kept), "otherwise this test looks for the wrong things"
            # A text that is being written meanwhile is done first, and goes with the rest.
            await group.send(f"/nietzsche 0.7 {GROUP_TEXT}", by=marked)
            assert "Gone: " in await forget_me(private, marked)
            await group.next_message(PATIENCE)
            await _discord(discord, "forgetme")
            await discord.click(f"lstmega:f:{DISCORD_PERSON}", next(_numbers), str(DISCORD_PERSON))
            await discord.until(lambda: "Gone" in str(discord.requests))
            assert found(state, *needles) == []
            assert found(state, OTHER.encode())
            seen = await service.get("/metrics") + await service.get("/healthz") + (await _ready(service.url))
            for words in (WORD, GROUP_TEXT, NAME, NAME.split(maxsplit=1)[0], str(TELEGRAM_PERSON), str(DISCORD_PERSON)):
                assert words not in seen
            await service.stop()
    assert found(state, *needles) == []
    log = "\n".join(bot.logged)
    for words in (WORD, GROUP_TEXT, *NAME.split(), OTHER, str(DISCORD_PERSON), str(TELEGRAM_PERSON)):
        assert words not in log
    assert " error " not in log


_numbers = iter(range(901, 10**6))


async def _discord(server: DiscordServer, command: str) -> None:
    """Uses a command on Discord, and waits until it is answered."""
    before = len(server.sent("POST", "/callback"))
    await server.slash(command, next(_numbers), str(DISCORD_PERSON))
    async with asyncio.timeout(PATIENCE):
        await server.until(lambda: len(server.sent("POST", "/callback")) > before)
        if server.sent("POST", "/callback")[-1]["type"] == 5:
            await server.until(lambda: server.requests[-1][0] == "PATCH" or bool(server.sent("DELETE", "/webhooks/")))


async def _ready(url: str) -> str:
    from aiohttp import ClientSession  # noqa: PLC0415 - for this alone

    async with ClientSession() as session, session.get(f"{url}/readyz") as response:
        return await response.text()


async def test_nothing_that_is_under_way_comes_back_after_forgetme(generator: ThreadedGenerator, store: Store) -> None:
    """Whatever was asked before, in any chat and in any way, is over when /forgetme is answered."""
    commands = Commands(voices_of(generator), store, BotSection(length=40, cooldown=0.0))
    draw = random.Random(7)
    for _ in range(12):
        first = await commands.handle(parse("nietzsche", ""), Where("telegram", "here", "5"))
        chats, doings = ("here", "there", "inline"), []
        for _ in range(draw.randrange(1, 8)):
            name = draw.choice(("nietzsche", "continue", "again", "ladder", "temperature", "surprise"))
            arguments = draw.choice(("0.8", "default")) if name == "temperature" else ""
            where = Where("telegram", draw.choice(chats), "5")
            doings.append(asyncio.create_task(commands.handle(parse(name, arguments), where)))
            data = draw.choice(first.actions).data
            doings.append(asyncio.create_task(commands.press(data, Where("telegram", "here", "5"))))
            if draw.random() < 0.3:
                draw.choice(doings).cancel()
            for _ in range(draw.randrange(1, 5)):  # at least once, or /forgetme would be first
                await asyncio.sleep(0)
        reply = await commands.handle(ForgetMe(confirmed=True), Where("telegram", "here", "5"))
        assert reply.text.startswith("Gone")
        await asyncio.gather(*doings, return_exceptions=True)
        assert await store._database.read("SELECT * FROM people") == []
        assert await store._database.read("SELECT * FROM conversations") == []
        again = await commands.handle(ForgetMe(confirmed=True), Where("telegram", "here", "5"))
        assert again.text == english("forget-nothing")


async def test_who_clears_what_they_never_set_stays_unknown(commands: Commands, store: Store) -> None:
    await commands.handle(parse("temperature", "default"), Where("telegram", "5", "5"))
    await commands.handle(parse("temperature", ""), Where("telegram", "5", "5"))
    await commands.handle(parse("help", ""), Where("telegram", "5", "5"))
    assert (await commands.handle(ForgetMe(confirmed=True), Where("telegram", "5", "5"))).text == english(
        "forget-nothing"
    )
    assert await store._database.read("SELECT * FROM people") == []
