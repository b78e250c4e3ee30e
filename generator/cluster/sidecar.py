"""A process beside the bot that speaks to the cluster: `python -m generator.cluster.sidecar`.

A process of its own, because Ray's library ends the process that it is in when the cluster is away for a minute. It
ends when its parent does, and when the cluster has been away for a while: the bot starts another.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

from generator.cluster.deploy import APPLICATION, connect, ray_and_serve
from generator.cluster.replica import LATE_SECONDS, ReplicaStatus
from generator.errors import GeneratorError, Overloaded, ShuttingDown, Unavailable
from generator.process.isolation import isolate
from generator.process.protocol import (
    HEARTBEAT_SECONDS,
    Cancel,
    Channel,
    Generate,
    Heartbeat,
    Result,
    Score,
    ToWorker,
    Unreachable,
    reply,
)
from generator.serving.scheduler import MAX_BATCH_SIZE
from generator.types import GeneratorStatus, WorkerStatistics

ANSWER_SECONDS: Final = 2.0
"""How long all replicas may take to say how they are, and then how long one of them."""
MISSES: Final = 3
"""Questions in a row without an answer after which the pool is away. One may go to a replica that just died."""
MAX_MISSES: Final = 6
"""After so many this process ends, for another to connect."""
RETRY_SECONDS: Final = 0.2
"""Before a text whose replica died is asked for again."""


class Sidecar:
    """Asks the application's replicas, by `handle`; `ray` is the module."""

    def __init__(self, ray: Any, handle: Any, channel: Channel) -> None:
        self._ray = ray
        self._handle = handle
        self._channel = channel
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._version = ""

    async def serve(self) -> None:
        """Answers requests until the parent closes the channel."""
        async for message in self._channel:
            match message:
                case Generate() | Score():
                    self._tasks[message.number] = asyncio.create_task(self._answer(message))
                case Cancel(number) if number in self._tasks:
                    self._tasks[number].cancel()

    async def report(self) -> None:
        """Sends heartbeats, until the pool has been away for too long."""
        missed = 0
        last: Heartbeat | Unreachable | None = None
        while missed < MAX_MISSES:
            try:
                last, missed = _total(await self._statuses()), 0
            except Exception as error:  # noqa: BLE001 - whatever Ray says, the pool does not answer
                missed += 1
                if missed >= MISSES:
                    last = Unreachable(f"the pool does not answer ({type(error).__name__})")
            if last is not None:
                self._channel.send(last)
            await asyncio.sleep(HEARTBEAT_SECONDS)

    async def _statuses(self) -> list[ReplicaStatus]:
        """Returns the replicas' statuses; sends the description of their weights when it has changed."""
        replicas = await self._answering()
        if self._version not in {replica.version for replica in replicas}:
            async with asyncio.timeout(ANSWER_SECONDS):
                description = await self._handle.describe.remote()
            self._version = replicas[0].version
            self._channel.send(_total(replicas))  # before the parent sends its first request
            self._channel.send(description)
        return replicas

    async def _answering(self) -> list[ReplicaStatus]:
        """Returns the status of every replica that answers. If one hangs, of one that does not: Serve chooses it."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                answers = await self._handle.broadcast("status").results_async(return_exceptions=True)
        except TimeoutError:
            async with asyncio.timeout(ANSWER_SECONDS):
                return [await self._handle.status.remote()]
        if replicas := [answer for answer in answers if isinstance(answer, ReplicaStatus)]:
            return replicas
        raise Unavailable("no replica answers")

    async def _answer(self, asked: Generate | Score) -> None:
        try:
            self._channel.send(reply(asked.number, await self._result(asked)))
        finally:
            del self._tasks[asked.number]

    async def _result(self, asked: Generate | Score) -> Result:
        """Asks again for a text whose replica died: by the same seed it is the same text."""
        from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError  # noqa: PLC0415 - as in `deploy`

        died = (self._ray.exceptions.RayActorError, self._ray.exceptions.WorkerCrashedError)
        while (left := asked.expires - time.time()) > 0:
            try:
                async with asyncio.timeout(left):
                    result = await self._ask_once(asked)
                if not isinstance(result, ShuttingDown):
                    return result
            except TimeoutError:
                break
            except BackPressureError:
                return Overloaded(LATE_SECONDS)
            except (*died, DeploymentUnavailableError, ConnectionError):
                await asyncio.sleep(RETRY_SECONDS)
            except Exception as error:  # noqa: BLE001 - one text's failure, whatever it is, ends it alone
                return Unavailable(f"asking the pool failed: {type(error).__name__}")
        return Overloaded(LATE_SECONDS)

    async def _ask_once(self, asked: Generate | Score) -> Result:
        response = self._handle.generate.remote(asked.work, asked.expires)
        try:
            result: Result = await response
        except asyncio.CancelledError:
            # It waits until the request has a replica, so it must not run in the loop's thread.
            await asyncio.shield(asyncio.to_thread(response.cancel))
            raise
        if not isinstance(result, GeneratorError) and not hasattr(result, "text"):
            raise TypeError("the pool's answer is no text")
        return result


def _total(replicas: Sequence[ReplicaStatus]) -> Heartbeat:
    counts = [asdict(replica.statistics) for replica in replicas]
    statistics = WorkerStatistics(**{name: sum(count[name] for count in counts) for name in counts[0]})
    threads = sum(replica.threads for replica in replicas)
    return Heartbeat(statistics, GeneratorStatus(threads, slots=len(replicas) * MAX_BATCH_SIZE))


async def _run(connected: socket.socket, address: str) -> None:
    channel = await Channel.open(connected, ToWorker)
    try:
        connect(address)
        ray, serve = ray_and_serve()
        try:
            handle = serve.get_app_handle(APPLICATION)
        except Exception as error:
            raise Unavailable("the cluster has no pool: python -m generator serve deploys one") from error
        sidecar = Sidecar(ray, handle, channel)
        tasks = [asyncio.create_task(sidecar.serve()), asyncio.create_task(sidecar.report())]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    except Unavailable as error:
        channel.send(Unreachable(str(error)))
    with contextlib.suppress(TimeoutError, ConnectionError):
        await asyncio.wait_for(channel.drain(whole=True), 1.0)
    os._exit(0)  # Ray's own farewell, and a thread that cancels a text, wait for a cluster that may be away


def main(arguments: Sequence[str]) -> None:
    """Serves until the parent or the cluster is gone. `arguments`: as `ChildProcess.start` gives them."""
    descriptor, parent, address = arguments
    isolate(int(parent))
    asyncio.run(_run(socket.socket(fileno=int(descriptor)), address))


if __name__ == "__main__":
    main(sys.argv[1:])
