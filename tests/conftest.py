"""Weights to test with: the shipped ones, and a small network of random numbers where only the mechanics matter; and
the bot's commands on such a network and a real database; and people and chats in a Telegram of the tests' own."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import random
import secrets
import signal
import string
import textwrap
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from discord_support import at_once, here  # noqa: F401 - fixtures of tests/platforms/test_discord_*
from hypothesis import HealthCheck, settings
from postgres_server import PostgresServer, running
from service_process import Installation
from telegram_support import log_lines, scripted, telegram  # noqa: F401 - fixtures of tests/platforms/test_telegram_*
from terminal_support import chat_environment, open_terminal  # noqa: F401 - fixtures of tests/platforms/test_terminal*
from voice_support import voices_of

from bot import logs
from bot.config.schema import BotSection, Secret
from bot.core import language
from bot.core.commands import Commands
from bot.core.reply import echoed
from bot.store.store import Conversation, Store
from generator.serving.generator import ThreadedGenerator
from generator.training.architectures import step_model
from generator.training.model import FloatWeights, parameters, to_bytes
from generator.vocabulary import Vocabulary
from generator.weights.manifest import FLOAT_WEIGHTS, CorpusNote, Manifest
from generator.weights.versions import activate, add_version, shipped_folder
from testing.telegram import Chat, TelegramServer, User

TINY_VOCABULARY = Vocabulary.of(string.ascii_letters + string.digits + " \n.,;:!?'\"()-")
LIKELIER = {" ": 4.0, ".": 2.0}
"""Added to the logits of a random network, so that its texts have words and sentences of a length that can be relied
upon at the usual temperatures; the other logits are near 0."""
settings.register_profile(
    "patient", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize="CI" in os.environ
)
settings.load_profile("patient")  # or a machine that has other things to do fails a property that holds
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As in a shell's background job. The processes that the tests start would inherit it, and not hear Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ["LC_ALL"] = "C.UTF-8"  # the language of a terminal, also in the processes that the tests start
english, portuguese = (language.of(tag).say for tag in ("en", "pt-BR"))
SETTINGS = BotSection(length=60, cooldown=0.0, operators=("discord:boss",))


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """A test may set logging up for the whole process; afterwards it is as before."""
    loggers = [logging.getLogger(name) for name in ("", *logs.OURS)]
    handlers, levels = loggers[0].handlers[:], [logger.level for logger in loggers]
    yield
    loggers[0].handlers[:] = handlers
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
    logging.captureWarnings(capture=False)


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that names no proxy."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def one_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives every text the same seed, in tests of what depends on the text."""
    monkeypatch.setattr(secrets, "randbelow", lambda _: 1)


@pytest.fixture(scope="session")
def weights_folder() -> Path:
    """The weights that ship."""
    return shipped_folder()


@pytest.fixture(scope="session")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some 9,000 characters that are easy to learn, hard-wrapped."""
    draw = random.Random(7)
    words = [
        "the",
        "cat",
        "sat",
        "on",
        "a",
        "mat",
        "and",
        "slept",
        "all",
        "day",
        "long",
        "while",
        "rain",
        "fell",
        "over",
    ]
    lines = [" ".join(draw.choices(words, k=11)).capitalize() + "." for _ in range(160)]
    path = tmp_path_factory.mktemp("corpus") / "cats.txt"
    path.write_text(textwrap.fill(" ".join(lines), 60), encoding="utf-8")
    return path


def random_weights(seed: int, units: int = 24, embedding: int = 8, scale: float = 0.6) -> FloatWeights:
    """An untrained network over `TINY_VOCABULARY`."""
    random = np.random.default_rng(seed)
    symbols = len(TINY_VOCABULARY)
    shapes = {
        "embedding": (symbols, embedding),
        "lstm.0.kernel": (embedding, 4 * units),
        "lstm.0.recurrent_kernel": (units, 4 * units),
        "lstm.0.bias": (4 * units,),
        "output_kernel": (units, symbols),
        "output_bias": (symbols,),
    }
    return {name: random.normal(0, scale, shape).astype(np.float32) for name, shape in shapes.items()}


def add_random_version(
    folder: Path,
    version: str,
    seed: int,
    likelier: Mapping[str, float] = MappingProxyType(LIKELIER),
    units: int = 24,
    *,
    vocabulary: Vocabulary = TINY_VOCABULARY,
) -> Path:
    """A whole version of an untrained network; returns its folder. `likelier` is added to the logits."""
    weights = random_weights(seed, units)
    for symbol, more in likelier.items():
        weights["output_bias"][TINY_VOCABULARY.characters.index(symbol)] += more
    model = step_model(weights, quantised=True)
    files = {"model.onnx": model, FLOAT_WEIGHTS: to_bytes(weights, model)}
    manifest = Manifest(
        format=1,
        version=version,
        architecture=f"embedding 8, LSTM {units}",
        preset="lstm",
        parameters=parameters(weights),
        vocabulary=vocabulary,
        corpus=CorpusNote("none", 0, "0" * 64),
        split="none",
        training={},
        metrics={f"{form}{split}_bits_per_character": 6.0 for form in ("", "float_") for split in ("valid", "test")},
        files={name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
        license="none",
        hard_wrapped=True,
    )
    return add_version(folder, files, manifest)


@pytest.fixture
def tiny_folder(tmp_path: Path) -> Path:
    """A weights folder of one untrained version, `tiny-1`, which is current."""
    folder = tmp_path / "weights"
    add_random_version(folder, "tiny-1", seed=1)
    activate(folder, "tiny-1")
    return folder


@pytest.fixture
def add_tiny_version() -> Callable[[Path, str, int], Path]:
    """Adds another untrained version to a weights folder: (folder, version, seed) -> its folder."""
    return add_random_version


@pytest.fixture
async def bot(tiny_folder: Path, tmp_path: Path) -> AsyncIterator[Installation]:
    """What the bot needs to run as a process on `tiny_folder`; its log is looked through at the end."""
    async with TelegramServer() as server:
        installation = Installation(tiny_folder, tmp_path, server)
        yield installation
        installation.check_what_was_logged()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL, started when a test first asks for it."""
    with running() as server:
        yield server


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | Secret:
    """Of a new database: once a file, once in a PostgreSQL."""
    if request.param == "SQLite":
        return tmp_path / "state" / "lstmega.sqlite3"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.new_database()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """A new database, which does not wait long for other processes."""
    async with Store.open(tmp_path / "lstmega.sqlite3", busy_timeout=0.1) as store:
        yield store


async def last_text(store: Store, platform: str, chat: str, person: str) -> Conversation | None:
    """The person's last text in the chat."""
    return next(iter(await store.conversations(platform, chat, person, 1)), None)


def with_echoes(text: str) -> str:
    """The text of a reply without the isolates."""
    return "".join(part for part, _ in echoed(text))


async def keep(store: Store, platform: str, chat: str, person: str, conversation: Conversation) -> None:
    """Keeps a text that was asked for just now."""
    number = await store.ensure_user(platform, person)
    assert await store.save_conversation(platform, chat, person, number, conversation)


@pytest.fixture
async def generator(tiny_folder: Path) -> AsyncIterator[ThreadedGenerator]:
    """The generator on `tiny_folder`."""
    async with ThreadedGenerator.open(tiny_folder, threads=1) as generator:
        yield generator


@pytest.fixture
def commands(generator: ThreadedGenerator, store: Store) -> Commands:
    """The commands on both, with `SETTINGS`."""
    return Commands(voices_of(generator), store, SETTINGS)


@pytest.fixture
async def server() -> AsyncIterator[TelegramServer]:
    """Telegram, on the loopback interface. The people and chats below are in it."""
    async with TelegramServer() as server:
        yield server


@pytest.fixture
def alice(server: TelegramServer) -> User:
    return server.user("Alice")


@pytest.fixture
def bob(server: TelegramServer) -> User:
    return server.user("Bob")


@pytest.fixture
def chat(server: TelegramServer, alice: User) -> Chat:
    return server.private(alice)


@pytest.fixture
def group(server: TelegramServer) -> Chat:
    return server.supergroup()


@contextmanager
def in_background(*servers: AbstractAsyncContextManager[object]) -> Iterator[None]:
    """Serves in a thread, for what runs an event loop of its own."""
    loop, ready, done = asyncio.new_event_loop(), threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with AsyncExitStack() as stack:
            for server in servers:
                await stack.enter_async_context(server)
            ready.set()
            await done.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        assert ready.wait(20)
        yield
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join()
        loop.close()
