"""How long people wait for their texts, and what memory it takes: the whole `python -m bot run`, through Telegram.

    python -m benchmarks.service [--json FILE] [--texts N]

Telegram is the tests' Bot API server on the loopback interface. It and the people live in this process and share the
machine with the bot, so the figures are what bot and load reach together. A wait counts from the moment when an
update exists until its answer has reached the server: the long polling, the writing of 300 characters by the shipped
weights, the store and the bot's own limiter (`bot.platforms.telegram_limits`) are all in it.

That limiter sends at most 30 messages a second, and in one private chat 5 in 5 seconds. Where people ask one at a time
(in turn, in chats of their own), it holds nothing up. Where 50 people ask again as soon as they are answered, they
wait 50/30 = 1.67 s at least, however fast the bot is. That load is therefore measured a second time on a process whose
limits are lifted through the constructor of `Telegram`, everything else being equal. Both times the people wait for
each other: 50 divided by the texts per second is their wait. The bot's own is that of people who ask independently of
the answers, at half of the speed that it reached, and at 20 texts a second at most; there, too, no limit binds. The
part about memory is run without limits, on texts of 40 characters: within them, 10,000 texts take six minutes.

The reload is the one that a finished training causes: `CURRENT` names the other of two copies of the weights, once a
second. Quiet stretches and stretches with reloads take turns in one process, at the same rate.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import math
import os
import random
import re
import signal
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from aiohttp import ClientSession

from generator.network import cores
from generator.weights import activate, add_version, load_weights, shipped_folder
from tests.telegram_server import Chat, TelegramServer

ROOT: Final = Path(__file__).resolve().parent.parent
PEOPLE: Final = 50
LENGTH: Final = 300
ALONE_TEXTS: Final = 200
TOGETHER_TEXTS: Final = 2000
ALONE_SECONDS: Final = 60.0
TOGETHER_SECONDS: Final = 90.0
"""After so many seconds no more texts are asked for, however few there were."""
HIGHEST_RATE: Final = 20.0
"""Texts a second that are asked for without regard to the answers; Telegram's limit is 30."""
LOAD: Final = 0.5
"""How much of the speed that was reached the open load asks for."""
STRETCHES: Final = 2
STRETCH_SECONDS: Final = 30.0
"""Of each of the quiet stretches and of each of those with reloads."""
RELOAD_EVERY: Final = 1.0
SHORT_LENGTH: Final = 40
MANY_CHATS: Final = 1000
MEMORY_TEXTS: Final = 10_000
MEMORY_FIRST: Final = 100
MEMORY_SECONDS: Final = 280.0
"""As `TOGETHER_SECONDS`."""
PATIENCE: Final = 60.0
"""Seconds. An answer, a start or an end that takes longer is lost, and the run with it."""
LONGEST_RUN: Final = 720.0
LIFTED: Final = """
import functools, sys
from bot.cli import main
from bot.platforms import telegram
from bot.platforms.telegram_limits import Limits, Rate
at_once = Rate(1, 0.0)
telegram.Telegram = functools.partial(telegram.Telegram, limits=Limits(at_once, at_once, at_once))
sys.exit(main(["run"]))
"""
"""`python -m bot run` but for Telegram's limits."""


@dataclass(frozen=True)
class Answer:
    """A person's `wait` in seconds; what came had so many `characters`, and was a text or a refusal."""

    wait: float
    characters: int
    is_text: bool


class Service:
    """The process under test."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self._process = process
        self._port = port

    @property
    def resident_mb(self) -> float:
        """`VmRSS`, in MB of 2^20 bytes."""
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii")
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024

    async def metric(self, name: str) -> float:
        """A number of `/metrics`; 0 while there is none of that name and labels."""
        url = f"http://127.0.0.1:{self._port}/metrics"
        async with ClientSession() as session, session.get(url) as response:
            found = re.search(rf"^{re.escape(name)} (\S+)$", await response.text(), re.MULTILINE)
        return float(found[1]) if found else 0.0

    async def stop(self) -> None:
        """Ends it as an operator does."""
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE):
            await self._process.wait()


@dataclass
class Result:
    """Figures by name, as `--json` writes them, and rows of the table: what, median, 99th percentile, the rest."""

    figures: dict[str, float]
    rows: list[tuple[str, str, str, str]]

    def add_waits(self, name: str, what: str, answers: Sequence[Answer], rest: str) -> None:
        """Percentiles of the waits for texts; refusals are counted apart."""
        waits = sorted(answer.wait for answer in answers if answer.is_text)
        median, high = statistics.median(waits), waits[math.ceil(0.99 * len(waits)) - 1]
        self.figures |= {
            f"{name}_texts": len(waits),
            f"{name}_refused": len(answers) - len(waits),
            f"{name}_median_seconds": median,
            f"{name}_p99_seconds": high,
        }
        refused = f", {len(answers) - len(waits)} refused" if len(answers) > len(waits) else ""
        self.rows.append((what, f"{median:.3f} s", f"{high:.3f} s", rest + refused))

    def show(self) -> None:
        """Prints the table."""
        for what, median, high, rest in [("", "median", "99th", ""), *self.rows]:
            print(f"{what:<49}{median:>9}{high:>9}  {rest}".rstrip())


def main() -> int:
    """Prints the table; writes the JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    parser.add_argument(
        "--texts", type=int, default=MEMORY_TEXTS, metavar="N", help="for the part about memory; 0 leaves it out"
    )
    arguments = parser.parse_args()

    print(f"weights {load_weights(shipped_folder()).manifest.version}, {cores()} cores\n", flush=True)
    result, status = Result({}, []), 0
    try:
        asyncio.run(measure(result, arguments.texts))
    except* TimeoutError:
        print(f"given up after {LONGEST_RUN:.0f} s", file=sys.stderr)
        status = 1
    except* AssertionError as missing:  # of the server: what it waited for did not come
        print(f"given up: {missing.exceptions[0]}", file=sys.stderr)
        status = 1
    finally:
        result.show()
        if arguments.json:
            arguments.json.write_text(json.dumps(result.figures, indent=2) + "\n", encoding="utf-8")
    return status


async def measure(result: Result, memory_texts: int) -> None:
    """Everything, one part after the other. Raises `TimeoutError` when that takes too long."""
    with tempfile.TemporaryDirectory(prefix="lstmega-benchmark-") as folder:
        async with asyncio.timeout(LONGEST_RUN):
            place = Path(folder)
            versions = two_copies(place / "weights")
            async with running(place, LENGTH) as (service, server):
                chats = await people(server, PEOPLE)
                await alone(result, chats)
                await together(result, service, chats, limited=True)
                await reloads(result, service, chats, versions, place / "weights")
            async with running(place, LENGTH, limited=False) as (service, server):
                await together(result, service, await people(server, PEOPLE), limited=False)
            if memory_texts:
                async with running(place, SHORT_LENGTH, limited=False) as (service, server):
                    await memory(result, service, await people(server, MANY_CHATS, warm=0), memory_texts)


# ---- what is measured -----------------------------------------------------------------------------------------------


async def alone(result: Result, chats: Sequence[Chat]) -> None:
    """One person at a time."""
    answers = await closed_loop(chats, 1, ALONE_TEXTS, seconds=ALONE_SECONDS)
    result.figures["characters_per_text"] = statistics.mean(answer.characters for answer in answers)
    result.add_waits("alone", "one person at a time", answers, f"{len(answers)} texts")


async def together(result: Result, service: Service, chats: Sequence[Chat], *, limited: bool) -> None:
    """All people at once, each asking again when answered; what of the wait is not the command's is the sending's."""
    name = "together" if limited else "together_lifted"
    commands, seconds = await commands_done(service)
    began = time.perf_counter()
    answers = await closed_loop(chats, len(chats), TOGETHER_TEXTS, seconds=TOGETHER_SECONDS)
    speed = len(answers) / (time.perf_counter() - began)
    more_commands, more_seconds = await commands_done(service)
    command = (more_seconds - seconds) / (more_commands - commands)
    sending = statistics.mean(answer.wait for answer in answers) - command
    result.figures |= {
        f"{name}_texts_per_second": speed,
        f"{name}_mean_command_seconds": command,
        f"{name}_mean_polling_and_sending_seconds": sending,
    }
    what = f"{len(chats)} people at once, {'Telegram’s limits' if limited else 'limits lifted'}"
    rest = f"{speed:.1f} texts/s; mean {command:.2f} s writing, {sending:.2f} s poll and send"
    result.add_waits(name, what, answers, rest)


async def reloads(
    result: Result, service: Service, chats: Sequence[Chat], versions: Sequence[str], weights: Path
) -> None:
    """The same open load without and with reloads."""
    loaded = 'lstmega_weights_reloads_total{outcome="loaded"}'
    before, rss = await service.metric(loaded), service.resident_mb
    quiet: list[Answer] = []
    busy: list[Answer] = []
    rate = min(HIGHEST_RATE, LOAD * result.figures["together_texts_per_second"])
    for _ in range(STRETCHES):
        quiet += await open_loop(chats, rate, STRETCH_SECONDS)
        reloading = asyncio.create_task(reload_again_and_again(weights, versions))
        busy += await open_loop(chats, rate, STRETCH_SECONDS)
        reloading.cancel()
        await asyncio.wait({reloading})
    count = await service.metric(loaded) - before
    result.add_waits("open", f"{PEOPLE} people, {rate:.1f} texts/s", quiet, f"{len(quiet)} texts")
    result.add_waits("reloading", "the same, a reload every second", busy, f"{count:.0f} reloads")
    added = result.figures["reloading_p99_seconds"] - result.figures["open_p99_seconds"]
    result.figures |= {
        "open_texts_per_second": rate,
        "reloads": count,
        "reload_adds_to_p99_seconds": added,
        "rss_before_reloads_mb": rss,
        "rss_after_reloads_mb": service.resident_mb,
    }
    result.rows.append(("what reloads add", "", f"{added:+.3f} s", ""))
    result.rows.append(("memory before and after them", "", "", f"{rss:.0f} MB, {service.resident_mb:.0f} MB"))


async def memory(result: Result, service: Service, chats: Sequence[Chat], texts: int) -> None:
    """Resident memory after a few texts and after many. With little time left, after fewer."""
    end = time.monotonic() + MEMORY_SECONDS
    answered = 0
    for goal in sorted({min(n, texts) for n in (MEMORY_FIRST, MEMORY_FIRST * 10, texts)}):
        answered += len(await closed_loop(chats, PEOPLE, goal - answered, seconds=end - time.monotonic()))
        result.figures[f"rss_after_{answered}_texts_mb"] = service.resident_mb
        result.rows.append((f"memory after {answered:,} texts", "", "", f"{service.resident_mb:.0f} MB"))


# ---- load -----------------------------------------------------------------------------------------------------------


async def people(server: TelegramServer, count: int, warm: int = 2) -> list[Chat]:
    """Private chats; `warm` texts have been written in each."""
    chats = [server.private(server.user(f"Person {number}")) for number in range(count)]
    await closed_loop(chats, count, count * warm)
    return chats


async def ask(chat: Chat, due: float | None = None) -> Answer:
    """Types the command and waits. `due`: when it should have been typed, for what is late already."""
    asked = time.monotonic() if due is None else due
    await chat.send("/nietzsche 0.7")
    sent = await chat.next_message(PATIENCE)
    return Answer(sent.at - asked, len(sent.text), bool(sent.buttons))


async def closed_loop(chats: Sequence[Chat], at_once: int, texts: int, *, seconds: float = math.inf) -> list[Answer]:
    """`at_once` people ask, each again as soon as they are answered, each in their share of the chats in turn.

    Ends after so many texts, or after so many seconds.
    """
    until = time.monotonic() + seconds
    tickets = iter(range(texts))
    answers: list[Answer] = []

    async def person(share: Sequence[Chat]) -> None:
        for chat in itertools.cycle(share):
            if time.monotonic() >= until or next(tickets, None) is None:
                return
            answers.append(await ask(chat))

    async with asyncio.TaskGroup() as group:
        for number in range(at_once):
            group.create_task(person(chats[number::at_once]))
    return answers


async def open_loop(chats: Sequence[Chat], rate: float, seconds: float) -> list[Answer]:
    """People ask in turn, at times that have nothing to do with the answers.

    The gaps are drawn between half and one and a half of their mean, so that no second has 30 texts in it.
    """
    draw = random.Random(0)  # noqa: S311 - the same load each time
    tasks: list[asyncio.Task[Answer]] = []
    due = time.monotonic()
    end = due + seconds
    async with asyncio.TaskGroup() as group:
        for chat in itertools.cycle(chats):
            due += draw.uniform(0.5, 1.5) / rate
            if due >= end:
                break
            await asyncio.sleep(due - time.monotonic())
            tasks.append(group.create_task(ask(chat, due)))
    return [task.result() for task in tasks]


async def reload_again_and_again(weights: Path, versions: Sequence[str]) -> None:
    """Points `CURRENT` at the next version, again and again."""
    for version in itertools.cycle(versions):
        await asyncio.sleep(RELOAD_EVERY)
        await asyncio.to_thread(activate, weights, version)


async def commands_done(service: Service) -> tuple[float, float]:
    """How many /nietzsche there were, and the seconds of all of them together, until the reply was handed over."""
    labels = '{command="nietzsche"}'
    name = "lstmega_request_seconds"
    return await service.metric(f"{name}_count{labels}"), await service.metric(f"{name}_sum{labels}")


# ---- the process ----------------------------------------------------------------------------------------------------


def two_copies(folder: Path) -> tuple[str, str]:
    """A weights folder with the shipped version in it twice, the second one current; returns their names."""
    shipped = load_weights(shipped_folder())
    files = {name: (shipped.folder / name).read_bytes() for name in shipped.manifest.files}
    names = ("copy-1", "copy-2")
    for name in names:
        add_version(folder, files, replace(shipped.manifest, version=name))
    activate(folder, names[-1])
    return names


@asynccontextmanager
async def running(place: Path, length: int, *, limited: bool = True) -> AsyncIterator[tuple[Service, TelegramServer]]:
    """The bot, connected to a Telegram of its own, with a new database. What it warns of is printed at the end.

    `length`: characters of a text; `limited`: whether it keeps to Telegram's limits.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    log = place / f"log-{port}"
    async with TelegramServer() as server:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("LSTMEGA_")} | {
            "LSTMEGA_TELEGRAM__TOKEN": server.token,
            "LSTMEGA_TELEGRAM__API_URL": server.url,
            "LSTMEGA_GENERATOR__WEIGHTS": str(place / "weights"),
            "LSTMEGA_STORE__PATH": str(place / f"{port}.sqlite3"),
            "LSTMEGA_HTTP__PORT": str(port),
            "LSTMEGA_BOT__LENGTH": str(length),
            "LSTMEGA_BOT__REST": "0",
            "PYTHONPATH": str(ROOT),
        }
        polled = server.watch("getUpdates")
        command = ("-m", "bot", "run") if limited else ("-c", LIFTED)
        with log.open("wb") as errors:
            process = await asyncio.create_subprocess_exec(
                sys.executable, *command, env=environment, cwd=place, stdin=asyncio.subprocess.DEVNULL, stderr=errors
            )
        service = Service(process, port)
        try:
            await polled.next(PATIENCE)
            yield service, server
        finally:
            await service.stop()
            told = [line for line in log.read_text(encoding="utf-8").splitlines() if " info " not in line.lower()]
            if told:
                print("\n".join(told[:20]), file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
