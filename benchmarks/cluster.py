"""What a pool on Ray Serve costs and carries, on one machine with real processes: `python -m benchmarks.cluster`.

A cluster of its own is started, and ended. Prints the latency that the pool adds to a short text over the local worker,
what 1 and 2 replicas write, each pinned to a core, what three bots write together with 2 replicas, and what becomes of
50 texts when a replica is killed among them. The bots are clients in this process, each with its link of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import statistics
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from benchmarks.service.table import percentile
from generator import Generation, GenerationRequest, Generator, Writer
from generator.pool.client import Pool
from generator.weights import shipped_folder
from tests.pool_cluster import PATIENCE, Cluster, cluster

_LENGTH: Final = 300
_WRITERS: Final = 24
"""Texts that are wanted at every moment, for each bot."""


async def _latencies(writer: Writer, seconds: float) -> list[float]:
    """Seconds that the shortest texts took, one after the other: one character, and on to the end of its sentence."""
    taken: list[float] = []
    until = time.perf_counter() + seconds
    while (began := time.perf_counter()) < until:
        await writer.generate(GenerationRequest(1, len(taken)))
        taken.append(time.perf_counter() - began)
    return taken


async def _throughput(writers: list[Pool], seconds: float) -> float:
    """Characters that come back in a second when each writer has `_WRITERS` texts in work at every moment."""
    counted = 0
    until = time.perf_counter() + seconds

    async def keep_writing(writer: Writer, seed: int) -> None:
        nonlocal counted
        while time.perf_counter() < until:
            generation = await writer.generate(GenerationRequest(_LENGTH, seed))
            if time.perf_counter() < until:
                counted += len(generation.text)
            seed += 1000

    async with asyncio.TaskGroup() as group:
        for number, writer in enumerate(writers):
            for seed in range(_WRITERS):
                group.create_task(keep_writing(writer, 100 * number + seed))
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


async def _killed(running: Cluster, pool: Pool) -> str:
    began = time.perf_counter()
    tasks = [asyncio.create_task(pool.generate(GenerationRequest(_LENGTH, seed))) for seed in range(50)]
    await asyncio.sleep(0.5)
    there = sum(task.done() for task in tasks)
    os.kill(running.replicas()[0], signal.SIGKILL)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    written = sum(isinstance(result, Generation) for result in results)
    took = time.perf_counter() - began
    return f"a replica of 2 killed when {there} of 50 texts were there: {written} arrived, the last after {took:.1f} s"


async def _measure(weights: Path, seconds: float) -> None:
    with cluster() as running:
        os.environ["RAY_ADDRESS"] = running.address

        async def with_replicas(number: int, work: Callable[[Pool], Awaitable[None]]) -> None:
            served = await asyncio.to_thread(running.serve, "--replicas", str(number), "--weights", str(weights))
            if served.returncode:
                raise SystemExit(served.stderr)
            async with Pool.open("auto", start=PATIENCE) as pool:
                _pin(running.replicas())
                await _latencies(pool, 2.0)
                await work(pool)

        async def one(pool: Pool) -> None:
            async with Generator.open(weights, threads=1) as local:
                await _latencies(local, 1.0)
                print(_told("local worker, shortest text", await _latencies(local, seconds)), flush=True)
            print(_told("pool, shortest text", await _latencies(pool, seconds)), flush=True)
            print(f"1 replica, 1 bot: {await _throughput([pool], seconds):,.0f} characters/s", flush=True)

        async def two(pool: Pool) -> None:
            print(f"2 replicas, 1 bot: {await _throughput([pool], seconds):,.0f} characters/s", flush=True)
            async with AsyncExitStack() as stack:
                others = [await stack.enter_async_context(Pool.open("auto")) for _ in range(2)]
                print(
                    f"2 replicas, 3 bots: {await _throughput([pool, *others], seconds):,.0f} characters/s", flush=True
                )
            print(await _killed(running, pool), flush=True)

        await with_replicas(1, one)
        await with_replicas(2, two)


def main() -> None:
    """Reads the options and measures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cluster", description=__doc__)
    parser.add_argument("--weights", type=Path, default=shipped_folder(), metavar="FOLDER", help="a weights folder")
    parser.add_argument("--seconds", type=float, default=10.0, metavar="S", help="of each measurement (default: 10)")
    options = parser.parse_args()
    asyncio.run(_measure(options.weights.resolve(), options.seconds))


if __name__ == "__main__":
    main()
