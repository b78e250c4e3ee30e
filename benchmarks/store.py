"""Latency of the store with very many users.

    python -m benchmarks.store --people 1000000 --conversations 2000

Makes a database of that many users with a temperature, some of them with a last text, in a temporary folder. Then
measures the latency of the store, in milliseconds: median, 99th percentile, longest.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from bot.store.store import Conversation, Store
from generator.types import ScoringRequest

STATE_BYTES: Final = 4 * 640 * 4
"""Of the shipped network: two layers of a hidden and a cell state, float32."""
TEXT: Final = 400
PLATFORM: Final = "telegram"
AT_ONCE: Final = 100
MEASURED: Final = 3000
"""Calls of each kind."""


def conversation() -> Conversation:
    """Returns a last text of the usual size."""
    written = ScoringRequest("", "x" * TEXT, 1)
    return Conversation("The philosopher", 0.7, "nietzsche-best", os.urandom(STATE_BYTES), "x" * TEXT, written)


def fill(path: Path, people: list[str]) -> None:
    """Inserts all users' temperatures, in one transaction."""
    with sqlite3.connect(path) as database:
        numbers = list(enumerate(people, 1))
        random.Random(1).shuffle(numbers)  # noqa: S311 - they do not come in the order of their names
        database.executemany("INSERT INTO people VALUES (?, ?, ?)", ((i, PLATFORM, person) for i, person in numbers))
        database.executemany(
            "INSERT INTO preferences (person_id, temperature) VALUES (?, 0.8)",
            ((i,) for i in range(1, len(people) + 1)),
        )
    database.close()


async def fill_with_texts(path: Path, count: int) -> None:
    """Makes a database of that many users, each with a last text."""
    kept = conversation()
    async with Store.open(path) as store:
        for first in range(0, count, AT_ONCE):
            async with asyncio.TaskGroup() as group:
                for number in range(first, first + AT_ONCE):
                    group.create_task(keep(store, str(number), kept))


async def keep(store: Store, person: str, kept: Conversation) -> None:
    """Saves a last text of a user in a private chat."""
    number = await store.ensure_user(PLATFORM, person)
    await store.save_conversation(PLATFORM, person, person, number, kept)


async def measure(name: str, call: Callable[[str], Awaitable[object]], people: list[str]) -> None:
    """Measures one call after the other, for random users."""
    waits = []
    for person in people:
        began = time.perf_counter()
        await call(person)
        waits.append(time.perf_counter() - began)
    show(name, waits)


def show(name: str, waits: list[float]) -> None:
    """Prints one line of the table."""
    waits.sort()
    middle, high = (1000 * waits[int(part * len(waits))] for part in (0.5, 0.99))
    print(f"{name:<46} {middle:8.2f} {high:8.2f} {1000 * waits[-1]:9.1f}   ({len(waits)})", flush=True)


async def forgetting(store: Store, gone: list[str], others: list[str]) -> None:
    """Measures `forget`, and other users' calls meanwhile."""
    waits: dict[str, list[float]] = {"forget": [], "meanwhile: preferences": [], "meanwhile: set_preference": []}
    done = asyncio.Event()

    async def again(name: str, call: Callable[[str], Awaitable[object]]) -> None:
        while not done.is_set():
            for person in others:
                began = time.perf_counter()
                await call(person)
                waits[name].append(time.perf_counter() - began)
                await asyncio.sleep(0.005)
                if done.is_set():
                    break

    async with asyncio.TaskGroup() as group:
        group.create_task(again("meanwhile: preferences", lambda person: store.preferences(PLATFORM, person)))
        group.create_task(
            again(
                "meanwhile: set_preference", lambda person: store.set_preference(PLATFORM, person, "temperature", 0.6)
            )
        )
        for person in gone:
            began = time.perf_counter()
            await store.forget(PLATFORM, person)
            waits["forget"].append(time.perf_counter() - began)
        together = time.perf_counter()
        await asyncio.gather(*(store.forget(PLATFORM, person) for person in others[:20]))
        waits["20 forget at once, all of them"] = [time.perf_counter() - together]
        done.set()
    for name, found in waits.items():
        show(name, found)


async def run(count: int, conversations: int, folder: Path) -> None:
    """Makes the database and measures."""
    path = folder / "lstmega.sqlite3"
    draw = random.Random(0)  # noqa: S311 - no secret
    people = [str(number) for number in sorted(draw.sample(range(10**8, 10**10), count))]
    async with Store.open(path):
        pass
    fill(path, people)
    chosen = draw.sample(people, min(count, max(conversations, MEASURED)))
    began = time.perf_counter()
    async with Store.open(path) as store:
        print(f"open: {time.perf_counter() - began:.2f} s; {count:,} people: {path.stat().st_size / 1e6:.1f} MB")
        print(f"{'milliseconds':<46} {'50 %':>8} {'99 %':>8} {'longest':>9}")
        kept = conversation()
        for person in chosen[:conversations]:
            await keep(store, person, kept)
        chosen = draw.sample(chosen, min(len(chosen), MEASURED))
        await measure("preferences", lambda person: store.preferences(PLATFORM, person), chosen)
        await measure(
            "set_preference", lambda person: store.set_preference(PLATFORM, person, "temperature", 0.5), chosen
        )
        await measure("ensure_user, save_conversation", lambda person: keep(store, person, kept), chosen)
        await measure("conversation", lambda person: store.conversations(PLATFORM, person, person, 1), chosen)
        print(f"with {conversations:,} conversations: {path.stat().st_size / 1e6:.1f} MB")
        await forgetting(store, chosen[:3], chosen[100:])


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=1_000_000)
    parser.add_argument("--conversations", type=int, default=2_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lstmega-store-", dir="/var/tmp") as folder:
        asyncio.run(run(arguments.people, arguments.conversations, Path(folder)))


if __name__ == "__main__":
    main()
