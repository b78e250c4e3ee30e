"""What the tests of Telegram share: the adapter with commands that a test controls, and the log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest
from voice_support import voices_of

from bot.config.schema import BotSection, Secret, TelegramSection
from bot.core.ask import Ask, Ladder, Where, Write
from bot.core.commands import Commands
from bot.core.commands.dispatcher import name_of
from bot.core.reply import Reply
from bot.platforms.telegram.platform import Telegram
from bot.platforms.telegram.rate_limit import Limits, Rate
from bot.store.store import Store
from generator.backoff import Backoff
from generator.serving.generator import ThreadedGenerator
from testing.clock import ManualClock
from testing.inbox import PATIENCE, Inbox
from testing.telegram import Chat, Sent, TelegramServer, User

LENGTH: Final = 60
FAST: Final = Limits(Rate(10_000, 1.0), Rate(10_000, 1.0), Rate(10_000, 1.0))
QUICK: Final = Backoff(0.01, 0.01)
PNG: Final = b"\x89PNG\r\n\x1a\n"
BUTTONS: Final = ["Again", "Continue", "Hotter (0.8)", "Colder (0.6)", "Surprise"]


class ScriptedCommands(Commands):
    """The commands: a prompt with "Slow" in it waits for `resume`, and `said` replaces replies."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.resume = asyncio.Event()
        self.begun: Inbox[str] = Inbox("slow command")
        self.said: dict[str, Reply] = {}
        self.asked: list[Ask] = []
        self.where: list[Where] = []
        self.lost: list[str] = []
        """Platforms of answers that were not delivered."""
        self.observer.platform_failed = self.lost.append

    async def handle(self, ask: Ask, where: Where) -> Reply:
        self.asked.append(ask)
        self.where.append(where)
        if isinstance(ask, Write | Ladder) and "Slow" in ask.prompt:
            self.begun.put(ask.prompt)
            await self.resume.wait()
        return self.said.get(name_of(ask)) or await super().handle(ask, where)

    async def press(self, data: str, where: Where) -> Reply:
        self.where.append(where)
        reply = await super().press(data, where)
        if not self.resume.is_set() and "slow press" in self.said:
            self.begun.put("press")
            await self.resume.wait()
        return self.said.get("press") or reply


class LogLines(logging.Handler):
    """The lines that are logged, as they come."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.inbox: Inbox[str] = Inbox("line in the log")

    def emit(self, record: logging.LogRecord) -> None:
        if record.name != "aiosqlite":  # it logs what it stores; `bot.logs` keeps all such libraries quiet
            self.inbox.put(f"{record.levelname} {record.getMessage()} {record.exc_info}")

    async def saying(self, words: str) -> str:
        while words not in (line := await self.inbox.next()):
            pass
        return line

    def count(self, words: str) -> int:
        return sum(words in line for line in self.inbox.all)

    @property
    def troubles(self) -> list[str]:
        return [line for line in self.inbox.all if line.startswith(("WARNING", "ERROR"))]


@pytest.fixture
def log_lines() -> Iterator[LogLines]:
    """Everything that is logged anywhere, at every level."""
    lines, root = LogLines(), logging.getLogger()
    before = root.level
    root.addHandler(lines)
    root.setLevel(logging.DEBUG)
    yield lines
    root.removeHandler(lines)
    root.setLevel(before)


@pytest.fixture
def scripted(generator: ThreadedGenerator, store: Store, alice: User) -> ScriptedCommands:
    settings = BotSection(length=LENGTH, cooldown=0.0, operators=(f"telegram:{alice.id}",))
    return ScriptedCommands(voices_of(generator), store, settings)


@pytest.fixture
async def telegram(server: TelegramServer, scripted: ScriptedCommands) -> AsyncIterator[Telegram]:
    """The adapter, connected."""
    telegram = Telegram(section(server), scripted, limits=FAST)
    polls = server.watch("getUpdates")
    async with serving(telegram):
        await polls.next()
        yield telegram


@asynccontextmanager
async def timed(
    scripted: ScriptedCommands, clock: ManualClock, limits: Limits = FAST
) -> AsyncIterator[tuple[TelegramServer, Telegram]]:
    """A server and the adapter, connected, both on a clock that the test moves."""
    async with TelegramServer(clock=clock) as server:
        telegram = Telegram(section(server), scripted, limits=limits, clock=clock)
        polls = server.watch("getUpdates")
        async with serving(telegram):
            await polls.next()
            yield server, telegram


def section(server: TelegramServer, **others: Any) -> TelegramSection:
    return TelegramSection(token=Secret(server.token), api_url=server.url, **others)


@asynccontextmanager
async def serving(telegram: Telegram) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(telegram.serve())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})


def connected(telegram: Telegram) -> bool:
    return telegram.connected  # in a function, or the type checker would take it for a constant


async def connection(telegram: Telegram, *, lost: bool = False) -> None:
    """Returns when it has connected, or has lost its connection."""
    async with asyncio.timeout(PATIENCE):
        while telegram.connected == lost:  # noqa: ASYNC110 - it has no event for it
            await asyncio.sleep(0.001)


async def first_text(chat: Chat, by: User) -> Sent:
    await chat.send("/nietzsche 0.7 The", by=by)
    return await chat.next_message()
