"""A long run in real time: users on both loopback platforms, and every few minutes something that goes wrong.

`make soak HOURS=2`. In turn: other weights, the death of the generator process, an outage of Telegram, a cut connection
to Discord, a full disk. Ends with a table; the status is 1 when an answer, a text or a setting was lost, or memory grew
by more than `GROWTH`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.service.discord import LoadedDiscord, in_channels
from benchmarks.service.parts import two_copies
from benchmarks.service.people import Kind, Person
from benchmarks.service.process import Bench, Service
from benchmarks.service.telegram import in_private
from bot.store.store import Store
from generator.weights.versions import activate, load_weights, shipped_folder
from testing.telegram import Chat, TelegramServer

GROWTH = 0.1
PEOPLE = 200
RATE = 5.0
"""Requests per second, on both platforms together."""
PATIENCE = 180.0
"""Seconds after which an answer counts as lost; the bot retries a platform that is unavailable at growing intervals."""
OUTAGE_SECONDS = 5.0
DISK = "64m"


class Soak:
    """One run: who asked for what, what was answered, and the memory in between."""

    def __init__(self, service: Service, telegram: TelegramServer, discord: LoadedDiscord, place: Path) -> None:
        self.service, self.telegram, self.discord, self.place = service, telegram, discord, place
        self.counts: Counter[str] = Counter()
        self.memory: list[float] = []
        self.settings: dict[int, set[float | None]] = {}
        """By user of Telegram: the temperatures that may be stored, one unless an answer is missing."""
        self.texts: set[str] = set()
        """Users of Discord who have a text."""
        self.cut_at = -PATIENCE
        self._draw = random.Random(1)

    async def asks(self, person: Person, discord_user: str = "") -> None:
        began = time.monotonic()
        try:
            async with asyncio.timeout(PATIENCE):
                _, _, kind = await person.ask()
        except TimeoutError:
            # Discord does not repeat to a new session what an earlier one missed.
            cut = discord_user and -1.0 < began - self.cut_at < OUTAGE_SECONDS
            self.counts["not delivered by Discord" if cut else "answers lost"] += 1
            return
        self.counts["texts" if kind is Kind.TEXT else "refusals and errors"] += 1
        if discord_user and kind is Kind.TEXT:
            self.texts.add(discord_user)

    async def sets(self, chat: Chat) -> None:
        value = round(self._draw.uniform(0.1, 2.0), 2)
        possible = self.settings.setdefault(chat.id, {None})
        possible.add(value)
        await chat.send(f"/temperature {value}")
        try:
            text = (await chat.next_message(PATIENCE)).text
        except (TimeoutError, AssertionError):
            self.counts["answers lost"] += 1
            return
        stored = f"{value:g}" in text
        self.counts["settings" if stored else "refusals and errors"] += 1
        self.settings[chat.id] = {value} if stored else possible

    async def people_ask(self, until: float) -> None:
        writers = in_private(self.telegram, PEOPLE)
        setters = [person.chat for person in in_private(self.telegram, PEOPLE)]
        readers = in_channels(self.discord, PEOPLE)
        busy: set[object] = set()

        async def one(who: object, asking: object) -> None:
            busy.add(who)
            await asking  # type: ignore[misc]
            busy.discard(who)

        async with asyncio.TaskGroup() as group:
            while time.monotonic() < until:
                kind = self._draw.randrange(3)
                who = self._draw.choice((writers, setters, readers)[kind])
                if id(who) not in busy:
                    asking = (
                        self.sets(who) if kind == 1 else self.asks(who, getattr(who, "id", "") if kind == 2 else "")
                    )
                    group.create_task(one(id(who), asking))
                await asyncio.sleep(self._draw.expovariate(RATE))

    async def things_go_wrong(self, until: float, pause: float, versions: tuple[str, str]) -> None:
        number = 0
        while time.monotonic() + pause < until:
            await asyncio.sleep(pause)
            self.memory.append(self.service.memory_mb)
            what = ("weights", "worker", "telegram", "discord", "disk")[number % 5]
            print(
                f"{time.strftime('%H:%M:%S')} {self.memory[-1]:.1f} MB, {dict(self.counts)}; next: {what}", flush=True
            )
            match what:
                case "weights":
                    await asyncio.to_thread(activate, self.place / "copies", versions[number // 5 % 2])
                case "worker":
                    for worker in self.service.workers:
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(worker, signal.SIGKILL)
                case "telegram":
                    await self.telegram.down()
                    await asyncio.sleep(OUTAGE_SECONDS)
                    await self.telegram.up()
                case "discord":
                    self.cut_at = time.monotonic()
                    self.discord.cut()
                case "disk":
                    with full(self.place / "disk"):
                        await asyncio.sleep(OUTAGE_SECONDS)
            self.counts[f"fault: {what}"] += 1
            number += 1
            if number % 5 == 0:
                self.telegram.calls.clear()

    async def check_the_database(self, database: Path) -> None:
        await Store.inspect(database)  # raises if it is damaged
        async with Store.open(database) as store:
            for chat, possible in self.settings.items():
                stored = (await store.preferences("telegram", str(chat))).temperature
                self.counts["settings lost"] += stored not in possible
            with_text = [user for user in self.texts if await has_text(store, user)]
            self.counts["texts lost"] += len(self.texts) - len(with_text)
            self.counts["rows checked"] += len(self.settings) + len(self.texts)


async def has_text(store: Store, user: str) -> bool:
    return await store.conversations("discord", str(500_000 + int(user) - 10_000), user) != []


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """Not one byte is free while the block runs."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    try:
        yield
    finally:
        filler.unlink()


@contextmanager
def small_disk(place: Path) -> Iterator[Path]:
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


async def run(hours: float) -> int:
    began = time.monotonic()
    until = began + hours * 3600
    with tempfile.TemporaryDirectory(prefix="lstmega-soak-") as folder:
        place = Path(folder)
        versions = two_copies(place / "copies", load_weights(shipped_folder()))
        with small_disk(place / "disk") as disk:
            settings = {"STORE__PATH": str(disk / "db.sqlite3"), "BOT__COOLDOWN": "0", "BOT__LENGTH": "200"}
            async with Bench(place, place / "copies").on_both(**settings) as (service, telegram, discord):
                soak = Soak(service, telegram, discord, place)
                pause = min(60.0, hours * 3600 / 20)
                async with asyncio.TaskGroup() as group:
                    group.create_task(soak.people_ask(until))
                    group.create_task(soak.things_go_wrong(until, pause, versions))
            await soak.check_the_database(disk / "db.sqlite3")
    quarter = max(1, len(soak.memory) // 4)
    first, last = (statistics.median(part) for part in (soak.memory[1 : quarter + 1], soak.memory[-quarter:]))
    print(f"\n{hours:g} hours")
    for name, count in sorted(soak.counts.items()):
        print(f"{name:30} {count:10,}")
    print(f"{'memory, first quarter':30} {first:10.1f} MB\n{'memory, last quarter':30} {last:10.1f} MB")
    lost = sum(count for name, count in soak.counts.items() if name.endswith("lost"))
    return int(lost > 0 or last > first * (1 + GROWTH))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A long run of the service with faults.")
    parser.add_argument("--hours", type=float, default=2.0)
    sys.exit(asyncio.run(run(parser.parse_args().hours)))
