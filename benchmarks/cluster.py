"""What a pool on Ray Serve costs and carries, on one machine with real processes: `python -m benchmarks.cluster`.

A cluster of its own is started, and ended. Prints the latency that the pool adds to a short text over the local worker,
what 1 and 2 replicas write, each pinned to a core, what three bots write together with 2 replicas, and what 50 chats of
the three are told when a replica is killed. The latency and the replicas are measured by a client in this process; the
bots are processes, on Telegrams of their own that live in this one.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from benchmarks.service.people import Answer, Kind, asked, closed_loop
from benchmarks.service.process import Bench
from benchmarks.service.table import percentile
from benchmarks.service.telegram import TelegramPerson, in_private
from generator import GenerationRequest, Generator
from generator.cluster.client import Pool
from generator.serving.generator import ThreadedGenerator
from generator.weights.versions import shipped_folder
from tests.pool_cluster import PATIENCE, Cluster, cluster

_LENGTH: Final = 300
_WRITERS: Final = 24
"""Texts that are wanted at every moment, for each bot."""
_BOTS: Final = 3
_CHATS: Final = 50
"""That want a text each when a replica is killed."""
_ARRIVED: Final = 10
"""Of their answers have arrived by then."""


async def _latencies(writer: Generator, seconds: float) -> list[float]:
    """Seconds that the shortest texts took, one after the other: one character, and on to the end of its sentence."""
    taken: list[float] = []
    until = time.perf_counter() + seconds
    while (began := time.perf_counter()) < until:
        await writer.generate(GenerationRequest(1, len(taken)))
        taken.append(time.perf_counter() - began)
    return taken


async def _throughput(writer: Generator, seconds: float) -> float:
    """Characters that come back in a second when `_WRITERS` texts are in work at every moment."""
    counted = 0
    until = time.perf_counter() + seconds

    async def keep_writing(seed: int) -> None:
        nonlocal counted
        while time.perf_counter() < until:
            generation = await writer.generate(GenerationRequest(_LENGTH, seed))
            if time.perf_counter() < until:
                counted += len(generation.text)
            seed += 1000

    async with asyncio.TaskGroup() as group:
        for seed in range(_WRITERS):
            group.create_task(keep_writing(seed))
    return counted / seconds


def _pin(processes: list[int]) -> None:
    """Gives each process a core of its own, all its threads included."""
    cores = sorted(os.sched_getaffinity(0))
    for number, process in enumerate(processes):
        for thread in Path(f"/proc/{process}/task").iterdir():
            os.sched_setaffinity(int(thread.name), {cores[number % len(cores)]})


def _told(name: str, seconds: list[float]) -> str:
    ordered = sorted(seconds)
    median, late = statistics.median(ordered), percentile(ordered, 0.99)
    return f"{name}: median {1000 * median:.1f} ms, 99th percentile {1000 * late:.1f} ms ({len(ordered)} texts)"


@asynccontextmanager
async def _bots(place: Path, weights: Path) -> AsyncIterator[list[list[TelegramPerson]]]:
    """Three bots with people of their own, `_WRITERS` each. Their limits on Telegram are lifted."""
    settings = {"GENERATOR__ADDRESS": "auto", "BOT__LENGTH": str(_LENGTH), "BOT__REST": "0"}
    bench = Bench(place, weights)
    async with AsyncExitStack() as stack:
        crowds: list[list[TelegramPerson]] = []
        for _ in range(_BOTS):
            _, server = await stack.enter_async_context(bench.on_telegram(limited=False, **settings))
            crowds.append(in_private(server, _WRITERS))
        yield crowds


async def _bots_write(crowds: list[list[TelegramPerson]], seconds: float) -> str:
    """What people are sent when everybody asks again as soon as they are answered."""
    began = time.perf_counter()
    loops = [closed_loop(crowd, len(crowd), 10**9, seconds=seconds) for crowd in crowds]
    answers = [answer for loop in await asyncio.gather(*loops) for answer in loop]
    took = time.perf_counter() - began
    texts = [answer for answer in answers if answer.kind is Kind.TEXT]
    written = sum(text.characters for text in texts)
    others = len(answers) - len(texts)
    return f"{written / took:,.0f} characters/s, {len(texts) / took:.1f} texts/s, {others} answers without one"


async def _killed(running: Cluster, crowds: list[list[TelegramPerson]]) -> str:
    began = time.perf_counter()
    everybody = [person for row in zip(*crowds, strict=True) for person in row]
    tasks = [asyncio.create_task(asked(person)) for person in everybody[:_CHATS]]
    answers: list[Answer] = []
    for arrived in asyncio.as_completed(tasks):
        answers.append(await arrived)
        if len(answers) == _ARRIVED:
            os.kill(running.replicas()[0], signal.SIGKILL)
    kinds = Counter(answer.kind for answer in answers)
    return (
        f"a replica of 2 killed when {_ARRIVED} of {_CHATS} chats had their answer: {kinds[Kind.TEXT]} texts,"
        f" {kinds[Kind.REFUSAL]} refusals, {kinds[Kind.NOTHING]} chats without an answer,"
        f" the last after {time.perf_counter() - began:.1f} s"
    )


@asynccontextmanager
async def _replicas(running: Cluster, number: int, weights: Path) -> AsyncIterator[Pool]:
    """A client of so many replicas, each with a core of its own, which have written already."""
    served = await asyncio.to_thread(running.serve, "--replicas", str(number), "--weights", str(weights))
    if served.returncode:
        raise SystemExit(served.stderr)
    async with Pool.open("auto", start_seconds=PATIENCE) as pool:
        _pin(running.replicas())
        await _latencies(pool, 2.0)
        yield pool


async def _measure(weights: Path, seconds: float) -> None:
    with cluster() as running, tempfile.TemporaryDirectory(prefix="lstmega-benchmark-") as place:
        os.environ["RAY_ADDRESS"] = running.address
        async with _replicas(running, 1, weights) as pool:
            async with ThreadedGenerator.open(weights, threads=1) as local:
                await _latencies(local, 1.0)
                print(_told("local worker, shortest text", await _latencies(local, seconds)), flush=True)
            print(_told("pool, shortest text", await _latencies(pool, seconds)), flush=True)
            print(f"1 replica, 1 client: {await _throughput(pool, seconds):,.0f} characters/s", flush=True)
        async with _replicas(running, 2, weights) as pool:
            print(f"2 replicas, 1 client: {await _throughput(pool, seconds):,.0f} characters/s", flush=True)
            async with _bots(Path(place), weights) as crowds:
                print(f"2 replicas, {_BOTS} bots: {await _bots_write(crowds, seconds)}", flush=True)
                print(await _killed(running, crowds), flush=True)


def main() -> None:
    """Reads the options and measures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cluster", description=__doc__)
    parser.add_argument("--weights", type=Path, default=shipped_folder(), metavar="FOLDER", help="a weights folder")
    parser.add_argument("--seconds", type=float, default=10.0, metavar="S", help="of each measurement (default: 10)")
    options = parser.parse_args()
    asyncio.run(_measure(options.weights.resolve(), options.seconds))


if __name__ == "__main__":
    main()
