"""SIGKILL at random moments, while users change temperatures, texts are generated, and weights are added and swapped.

`LSTMEGA_KILLS` says how often (`make faults`: 200 times). After each kill everything that the bot had answered is in
the database, which is intact, CURRENT names a whole version, and no worker process is left.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from conftest import add_random_version, english, last_text
from service_process import PATIENCE, ROOT, Installation

from bot.cli.errors import FAILURE
from bot.store.store import Store
from generator.weights.versions import load_weights
from testing.telegram import Chat, TelegramServer

ROUNDS = int(os.environ.get("LSTMEGA_KILLS", "5"))
PUBLISH = """
import os, sys, time
from msgspec.structs import replace
from pathlib import Path
from generator.weights.versions import activate, add_version, load_weights
folder, first = Path(sys.argv[1]), int(sys.argv[2])
weights = load_weights(folder, "tiny-1")
files = {name: (weights.folder / name).read_bytes() for name in weights.manifest.files}
print("begins", flush=True)
for number in range(first, first + 1000):
    add_version(folder, files, replace(weights.manifest, version=f"new-{number}"))
    for version in ("tiny-1", "tiny-2", f"new-{number}", "tiny-2"):
        activate(folder, version)
        time.sleep(0.01)
"""
"""Whoever trains: adds version after version, and swaps CURRENT between them."""


class Person:
    """Somebody who asks for one thing after another. `known`: what the last answer said is kept."""

    def __init__(self, chat: Chat, ask: Callable[[int], tuple[str, Callable[[str], bool]]]) -> None:
        self.chat = chat
        self.known: int | None = None
        self.asked: dict[int, Callable[[str], bool]] = {}
        """What was asked for since, without an answer: it may have been done or not."""
        self.answers = 0
        self._ask = ask
        self._number = 0

    async def goes_on(self) -> None:
        while True:
            self._number += 1
            text, answers = self._ask(self._number)
            self.asked[self._number] = answers
            await self.chat.send(text)
            while self._number in self.asked:
                self.reads((await self.chat.next_message(PATIENCE)).text)

    async def reads_what_came(self) -> None:
        while self.chat.messages.unread:
            self.reads((await self.chat.next_message()).text)

    def reads(self, text: str) -> None:
        for number, answers in self.asked.items():
            if answers(text):
                self.known = number
                self.answers += 1
                self.asked = {later: answers for later, answers in self.asked.items() if later > number}
                return


def degrees(number: int) -> float:
    return round(0.1 + number % 190 / 100, 2)


def a_temperature(number: int) -> tuple[str, Callable[[str], bool]]:
    answer = english("temperature-own", own=degrees(number), default=0.7)
    return f"/temperature {degrees(number)}", lambda text: text == answer


def a_text(number: int) -> tuple[str, Callable[[str], bool]]:
    return f"/nietzsche 0.7 Text {number}", lambda text: text.startswith(f"Text {number}")


@pytest.fixture
async def bot(tiny_folder: Path, tmp_path: Path) -> AsyncIterator[Installation]:
    add_random_version(tiny_folder, "tiny-2", seed=2)
    (tmp_path / "state").mkdir()
    async with TelegramServer() as server:
        yield Installation(tiny_folder, tmp_path / "state", server)


@asynccontextmanager
async def a_trainer(folder: Path, first: int) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PUBLISH, str(folder), str(first), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"begins\n"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def check_the_database(state: Path, copy: Path, temperatures: list[Person], texts: list[Person]) -> None:
    """On a copy, so that the next start finds what the kill left."""
    shutil.rmtree(copy, ignore_errors=True)
    path = shutil.copytree(state, copy, ignore=shutil.ignore_patterns("*.sock")) / "db.sqlite3"
    if not path.exists() or not path.stat().st_size:
        return  # killed before the first change
    await Store.inspect(path)  # raises if it is damaged
    async with Store.open(path) as store:
        for person in temperatures:
            number = str(person.chat.id)
            found = (await store.preferences("telegram", number)).temperature
            assert found in {known and degrees(known) for known in (person.known, *person.asked)}
        for person in texts:
            number = str(person.chat.id)
            kept = await last_text(store, "telegram", number, number)
            assert (kept and kept.prompt) in {known and f"Text {known}" for known in (person.known, *person.asked)}


def check_the_weights(folder: Path) -> None:
    """Every version that can be seen is whole, also the one that CURRENT names. Removes the new ones but that."""
    current = load_weights(folder).manifest.version
    for place in folder.iterdir():
        if place.is_dir() and not place.name.startswith("."):
            load_weights(folder, place.name)
        if place.name.startswith((".incoming", "new-")) and place.name != current:
            shutil.rmtree(place)


def workers_on(folder: Path) -> list[int]:
    """The worker processes that load their weights from there, whoever their parent is."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            arguments = (process / "cmdline").read_bytes().split(b"\0")
            if b"generator.process.worker" in arguments and os.fsencode(folder) in arguments:
                found.append(int(process.name))
    return found


async def test_a_kill_at_any_moment_loses_nothing_that_was_answered(bot: Installation, tmp_path: Path) -> None:
    server, state = bot.server, tmp_path / "state"
    draw = random.Random()
    temperatures = [Person(server.private(server.user(f"Setter {i}")), a_temperature) for i in range(6)]
    texts = [Person(server.private(server.user(f"Reader {i}")), a_text) for i in range(4)]
    everybody = temperatures + texts
    for number in range(ROUNDS):
        begun = draw.random() < 0.75  # otherwise it is killed while it starts
        async with (
            a_trainer(bot.weights, 1000 * number) as trainer,
            bot.service(until="platform.connected platform=telegram" if begun else "") as service,
        ):
            talks = [asyncio.create_task(person.goes_on()) for person in everybody]
            await asyncio.sleep(draw.uniform(0, 1.0 if begun else 2.0))  # any moment
            assert not any(talk.done() for talk in talks), "somebody had no answer"
            workers = service.workers() if draw.random() < 0.5 else []  # in the other rounds the parent alone is killed
            if workers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(draw.choice(workers), signal.SIGKILL)
                await asyncio.sleep(draw.uniform(0, 1.0))
            first, second = draw.sample([lambda: service.tell(signal.SIGKILL), trainer.kill], 2)
            with contextlib.suppress(ProcessLookupError):  # without its first worker the service has ended
                first()
            await asyncio.sleep(draw.uniform(0, 0.05))
            with contextlib.suppress(ProcessLookupError):
                second()
            ended = await service.ended()
            killed_while_loading = ended == FAILURE and workers and not begun
            assert ended == -signal.SIGKILL or killed_while_loading, "\n".join(service.log.lines)
            for talk in talks:
                talk.cancel()
            await asyncio.gather(*talks, return_exceptions=True)
            # What reached Telegram before the kill was answered, read or not.
            for person in everybody:
                await person.reads_what_came()
            await trainer.wait()
            assert trainer.returncode == -signal.SIGKILL
            errors = [line for line in service.log.lines if " error " in line or "Traceback" in line]
            assert errors == [] or workers
            async with asyncio.timeout(PATIENCE):
                while workers_on(bot.weights):  # noqa: ASYNC110 - nothing else tells when a process is gone
                    await asyncio.sleep(0.01)
        await check_the_database(state, tmp_path / "copy", temperatures, texts)
        check_the_weights(bot.weights)
    async with bot.service() as service:
        await server.private(server.user("Late")).send("/nietzsche")
        await service.log.next("platform=telegram command=nietzsche outcome=text")
        await service.stop()
    answered = [sum(person.answers for person in people) for people in (temperatures, texts)]
    print(f"{ROUNDS} kills; {answered[0]} temperatures and {answered[1]} texts were answered before them")
    assert all(answered)
