"""The parts of the benchmark. Each starts the bot and adds its rows to the table."""

from __future__ import annotations

import asyncio
import itertools
import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.engine import STREAMS, characters_per_second, open_scheduler
from benchmarks.service.bare import bare_discord
from benchmarks.service.discord import in_channels
from benchmarks.service.people import PATIENCE, Answer, Kind, Person, closed_loop, open_loop
from benchmarks.service.process import Bench, Service, Usage
from benchmarks.service.table import Table, percentile, waits
from benchmarks.service.telegram import forgetting, in_private, inline
from benchmarks.store import fill_with_texts
from generator.serving.loading import load_model
from generator.weights.versions import Weights, activate, add_version

RATE: Final = 50.0
"""Texts per second that the bot should carry."""
PEOPLE: Final = 1000
"""Users who ask in turn, so that none asks again before they have their answer."""
CHATS: Final = 200
OVERLOAD: Final = 1.3
"""Times what the network alone writes: what is asked for in the part that compares the two."""
ROUNDS: Final = 5
BUSY_SHARE: Final = 0.9
"""Share of the requests that come from one chat, in the part about fairness."""
OTHERS_RATE: Final = 5.0
MIXED_RATE: Final = 20.0
"""Requests per second in the part with all kinds of requests: as much work as about 50 ordinary texts a second."""
KEPT: Final = 20_000
"""Users whose last texts are in the database of that part."""
MEMORY_STEPS: Final = (1_000, 10_000, 30_000, 100_000)
AT_ONCE: Final = 50
VOICES: Final = (1, 2, 4)
ALLOWED: Final = 30.0
"""Messages per second that Telegram accepts from a bot."""
RELOAD_RATE: Final = 15.0
RELOAD_EVERY: Final = 1.0
WARM_UP: Final = 3.0
"""Seconds of the same load before the figures are taken: libraries load on their first use, connections open."""


@dataclass(frozen=True)
class Run:
    """One run of the benchmark: `seconds` of each load, texts of `length` characters."""

    bench: Bench
    table: Table
    weights: Weights
    seconds: float
    length: int
    texts: int

    @property
    def settings(self) -> dict[str, str]:
        """The bot's configuration."""
        return {"BOT__LENGTH": str(self.length)}


async def load(run: Run) -> None:
    """Asks at the rate that the bot should carry, on each platform alone and on both together."""
    wanted = f"{RATE:.0f}/s, 99th < 1 s"
    async with run.bench.on_discord(**run.settings) as (service, discord):
        await measure(run, service, "load_discord", "Discord", wanted, (in_channels(discord, PEOPLE), RATE))
    async with run.bench.on_telegram(limited=False, **run.settings) as (service, telegram):
        people = (in_private(telegram, PEOPLE), RATE)
        await measure(run, service, "load_telegram", "Telegram, its limits lifted", wanted, people)
    async with run.bench.on_both(**run.settings) as (service, telegram, discord):
        half, other = (in_private(telegram, PEOPLE), RATE / 2), (in_channels(discord, PEOPLE), RATE / 2)
        await measure(run, service, "load_both", "half on each, within all limits", wanted, half, other)


async def overload(run: Run) -> None:
    """Asks at twice that rate, and at twice what Telegram lets through."""
    wanted = "99th < 1 s"
    async with run.bench.on_discord(**run.settings) as (service, discord):
        crowd = (in_channels(discord, PEOPLE), 2 * RATE)
        await measure(run, service, "overload_discord", f"{2 * RATE:.0f}/s on Discord", wanted, crowd)
    async with run.bench.on_telegram(limited=False, **run.settings) as (service, telegram):
        private = (in_private(telegram, PEOPLE), 2 * RATE)
        what = f"{2 * RATE:.0f}/s on Telegram, its limits lifted"
        await measure(run, service, "overload_telegram", what, wanted, private)
    async with run.bench.on_telegram(limited=True, **run.settings) as (service, telegram):
        # A user without an answer must not ask again while they wait: the next answer would count for the first.
        private = (in_private(telegram, math.ceil(2 * ALLOWED * PATIENCE)), 2 * ALLOWED)
        what = f"{2 * ALLOWED:.0f}/s on Telegram, within its limits"
        await measure(run, service, "overload_limited", what, "", private)


async def engine(run: Run) -> None:
    """Compares what is written under overload with what the network alone writes, in turns."""
    scheduler = open_scheduler(load_model(run.weights.folder.parent, run.weights.folder.name))

    async def network() -> float:
        return await asyncio.to_thread(characters_per_second, scheduler, STREAMS)

    async def compare(name: str, people: Sequence[Person]) -> None:
        shares, before = [], await network()
        rate = OVERLOAD * before / run.length
        await open_loop(people, rate, WARM_UP, 100)
        for seed in range(ROUNDS):
            answers = await open_loop(people, rate, run.seconds, seed)
            after = await network()
            written = sum(answer.characters for answer in answers if answer.kind is Kind.TEXT) / run.seconds
            shares.append(written / statistics.mean((before, after)))
            before = after
        run.table.figures[f"engine_{name.lower()}"] = statistics.median(shares)
        what = f"{name}, {rate:.0f}/s: of what the network alone writes"
        seen = f"median {statistics.median(shares):.0%}, {min(shares):.0%} to {max(shares):.0%}"
        run.table.add(what, "≥ 90 %", seen, f"{ROUNDS} rounds")

    async with run.bench.on_discord(**run.settings) as (_, discord):
        await compare("Discord", in_channels(discord, 2 * PEOPLE))
    async with run.bench.on_telegram(limited=False, **run.settings) as (_, telegram):
        await compare("Telegram", in_private(telegram, 2 * PEOPLE))
    scheduler.close(deadline=0)


async def bare(run: Run) -> None:
    """Measures what discord.py alone takes of the processor for each text."""
    async with bare_discord() as (service, discord):
        people = (in_channels(discord, PEOPLE), 2 * RATE)
        await measure(run, service, "bare", f"a bot of discord.py alone, {2 * RATE:.0f}/s", "", people)


async def fairness(run: Run) -> None:
    """Measures the others' latency without and with a chat that asks for nine texts of ten."""
    each = 2
    rate = OTHERS_RATE / (1 - BUSY_SHARE)
    async with run.bench.on_discord(**run.settings) as (service, discord):
        others = in_channels(discord, each * (CHATS - 1), each)
        crowd = in_channels(discord, PEOPLE, PEOPLE)[len(others) :]  # all in one channel, and none of the others
        quiet = await measure(
            run, service, "fairness_quiet", f"{CHATS - 1} chats, {OTHERS_RATE:.0f}/s", "", (others, OTHERS_RATE)
        )
        what = f"the same, one more chat asks for {rate - OTHERS_RATE:.0f}/s"
        both = (others, OTHERS_RATE), (crowd, rate - OTHERS_RATE)
        busy = await measure(run, service, "fairness_busy", what, "", *both, only_first=True)
    before, after = (percentile(waits(answers, Kind.TEXT), 0.99) for answers in (quiet, busy))
    run.table.figures["fairness_ratio"] = after / before
    run.table.add("  the others’ 99th percentile", "at most doubles", f"{after / before:.2f} times as long")


async def mixed(run: Run) -> None:
    """Asks for everything at once, with the texts of many users in the database."""
    database = run.bench.place / "mixed.sqlite3"
    await fill_with_texts(database, KEPT)
    settings = run.settings | {"STORE__PATH": str(database)}
    async with run.bench.on_both(**settings) as (service, telegram, discord):
        people = in_channels(discord, PEOPLE)
        ordinary, continuing, scoring, climbing, long = (people[number::5] for number in range(5))
        to_begin = [*continuing, *scoring]
        await closed_loop(to_begin, AT_ONCE // 5, len(to_begin))  # so that there are texts to continue and to score
        tenth = MIXED_RATE / 10
        others: list[Crowd] = [
            ([replace(person, command="continue", options={}) for person in continuing], tenth),
            ([replace(person, command="surprise", options={}) for person in scoring], tenth),
            ([replace(person, command="ladder", options={}) for person in climbing], tenth),
            ([replace(person, options={"temperature": 0.7, "length": 4000}) for person in long], tenth),
            (inline(telegram, PEOPLE), tenth),
            (forgetting(telegram, PEOPLE), tenth / 4),
        ]
        what = f"mixed crowd, {MIXED_RATE:.0f}/s: the ordinary texts"
        await measure(run, service, "mixed", what, "99th < 1 s", (ordinary, 6 * tenth), *others, only_first=True)


async def memory(run: Run) -> None:
    """Measures memory after more and more texts, without Telegram's limits: within them, 100,000 take an hour."""
    settings = {"BOT__LENGTH": "40", "BOT__COOLDOWN": "0"}
    async with run.bench.on_telegram(limited=False, **settings) as (service, telegram):
        people = in_private(telegram, PEOPLE)
        answered, began = 0, time.monotonic()
        for goal in sorted({min(step, run.texts) for step in MEMORY_STEPS}):
            while answered < goal:
                some = await closed_loop(people, AT_ONCE, min(1000, goal - answered))
                answered += len(some)
                telegram.forget()
            megabytes = service.memory_mb
            run.table.figures[f"memory_after_{answered}_texts_mb"] = megabytes
            rest = f"{answered / (time.monotonic() - began):.0f} texts/s"
            run.table.add(f"memory after {answered:,} texts", "flat ±3 %, ≤ 220 MB", f"{megabytes:.1f} MB", rest)


async def idle(run: Run) -> None:
    """Measures the processor time of an idle bot, on both platforms."""
    async with run.bench.on_both(**run.settings) as (service, telegram, discord):
        await closed_loop([*in_private(telegram, 5), *in_channels(discord, 5)], 5, 10)
        await asyncio.sleep(2 * WARM_UP)
        before = service.usage()
        await asyncio.sleep(run.seconds)
        used = service.usage() - before
        share = (used.main + used.others) / run.seconds
        run.table.figures["idle_share_of_a_core"] = share
        rest = f"main thread {used.main / run.seconds:.2%}, {service.memory_mb:.0f} MB"
        run.table.add("idle, connected to both", "< 0.5 % of a core", f"{share:.2%}", rest)


async def alone(run: Run) -> None:
    """Asks for one text at a time."""
    async with run.bench.on_telegram(limited=True, **run.settings) as (_, telegram):
        people = in_private(telegram, PEOPLE)
        await closed_loop(people[:10], 1, 10)
        began = time.monotonic()
        answers = await closed_loop(people[10:], 1, PEOPLE, seconds=run.seconds / 2)
        run.table.add_waits("alone", "one person at a time, Telegram", "", answers, time.monotonic() - began)


async def most(run: Run) -> None:
    """Measures the throughput: many users, each of whom asks again as soon as they have their answer."""
    async with run.bench.on_telegram(limited=False, **run.settings | {"BOT__COOLDOWN": "0"}) as (service, telegram):
        people = in_private(telegram, AT_ONCE)
        await closed_loop(people, AT_ONCE, 2 * AT_ONCE)
        before, began = service.usage(), time.monotonic()
        answers = await closed_loop(people, AT_ONCE, 10**9, seconds=run.seconds / 2)
        seconds = time.monotonic() - began
        run.table.add_waits("most", f"{AT_ONCE} who ask again at once", "", answers, seconds)
        _add_usage(run, "most", service.usage() - before, answers, seconds)


async def voices(run: Run) -> None:
    """Measures memory and throughput with more and more voices, all on the same weights, each asked as often."""
    for count in VOICES:
        names = ["nietzsche", *(f"voice{number}" for number in range(2, count + 1))]
        more = {f"VOICES__{name}__WEIGHTS".upper(): str(run.bench.weights) for name in names[1:]}
        async with run.bench.on_discord(**run.settings | {"BOT__COOLDOWN": "0"} | more) as (service, discord):
            crowd = in_channels(discord, AT_ONCE)
            people = [replace(each, command=names[number % count]) for number, each in enumerate(crowd)]
            await closed_loop(people, AT_ONCE, 2 * AT_ONCE)
            began = time.monotonic()
            answers = await closed_loop(people, AT_ONCE, 10**9, seconds=run.seconds / 2)
            what = f"{count} voice{'s' * (count > 1)}, {AT_ONCE} who ask again at once"
            run.table.add_waits(f"voices_{count}", what, "", answers, time.monotonic() - began)
            run.table.figures[f"voices_{count}_memory_mb"] = service.memory_mb
            run.table.add("  memory", "four: ≤ 400 MB", f"{service.memory_mb:.0f} MB")


async def reloads(run: Run) -> None:
    """Measures the same load without and with a reload of other weights every second."""
    versions = two_copies(run.bench.place / "copies", run.weights)
    bench = replace(run.bench, weights=run.bench.place / "copies")
    async with bench.on_telegram(limited=True, **run.settings) as (service, telegram):
        crowd = (in_private(telegram, PEOPLE), RELOAD_RATE)
        await measure(run, service, "reloads_none", f"Telegram, {RELOAD_RATE:.0f}/s", "", crowd)
        reloading = asyncio.create_task(_reload_repeatedly(run.bench.place / "copies", versions))
        await measure(run, service, "reloads", "the same, a reload every second", "", crowd)
        reloading.cancel()
        await asyncio.wait({reloading})
        count = await service.metric('lstmega_weights_reloads_total{outcome="loaded",voice="nietzsche"}')
        run.table.add("  reloads", "", f"{count:.0f}")


Crowd = tuple[Sequence[Person], float]
"""Users who ask in turn, and their requests per second together."""

PARTS: Final = {
    part.__name__: part
    for part in (load, overload, engine, bare, fairness, mixed, memory, idle, alone, most, voices, reloads)
}


async def measure(
    run: Run,
    service: Service,
    name: str,
    what: str,
    wanted: str,
    *crowds: Crowd,
    only_first: bool = False,
) -> list[Answer]:
    """Lets each crowd ask at its rate, after a warm-up. Returns the answers, `only_first`: those of the first crowd."""

    async def crowded(seconds: float, seed: int) -> list[list[Answer]]:
        loops = [open_loop(people, rate, seconds, seed + n) for n, (people, rate) in enumerate(crowds)]
        return await asyncio.gather(*loops)

    await crowded(WARM_UP, 100)
    before, memory_before, began = service.usage(), service.memory_mb, time.monotonic()
    found = await crowded(run.seconds, 0)
    everyone = list(itertools.chain.from_iterable(found))
    answers = found[0] if only_first else everyone
    run.table.add_waits(name, what, wanted, answers, run.seconds)
    _add_usage(run, name, service.usage() - before, everyone, time.monotonic() - began)
    run.table.figures |= {f"{name}_memory_before_mb": memory_before, f"{name}_memory_after_mb": service.memory_mb}
    run.table.add("  memory", "", f"{memory_before:.0f} MB before, {service.memory_mb:.0f} MB after")
    return answers


def _add_usage(run: Run, name: str, used: Usage, answers: Sequence[Answer], seconds: float) -> None:
    asked = len(answers)
    run.table.figures |= {
        f"{name}_main_thread_ms": 1000 * used.main / asked,
        f"{name}_other_threads_ms": 1000 * used.others / asked,
        f"{name}_load_ms": 1000 * used.load / asked,
        f"{name}_main_thread_share": used.main / seconds,
        f"{name}_strangers_share": used.strangers / seconds,
    }
    run.table.add("  processor time per request", "", used.each(asked), f"main thread {used.main / seconds:.0%}")
    ours = (used.main + used.others + used.load) / seconds
    run.table.add("  cores in use", "", f"bot and load {ours:.2f}, strangers {used.strangers / seconds:.2f}")


def two_copies(folder: Path, weights: Weights) -> tuple[str, str]:
    """Makes a weights folder with the version in it twice, the second one current; returns their names."""
    files = {name: (weights.folder / name).read_bytes() for name in weights.manifest.files}
    names = ("copy-1", "copy-2")
    for name in names:
        add_version(folder, files, msgspec.structs.replace(weights.manifest, version=name))
    activate(folder, names[-1])
    return names


async def _reload_repeatedly(weights: Path, versions: Sequence[str]) -> None:
    """Points `CURRENT` at the next version every `RELOAD_EVERY` seconds."""
    for version in itertools.cycle(versions):
        await asyncio.sleep(RELOAD_EVERY)
        await asyncio.to_thread(activate, weights, version)
