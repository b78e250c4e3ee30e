"""A process beside the bot that speaks to the cluster: `python -m generator.pool.link ADDRESS`.

A process of its own, because Ray's library ends the process that it is in when the cluster is away for a minute. It
ends itself when its standard input does, and when the cluster has been away for a while: the bot starts another.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from typing import Any, Final

from generator.cluster.deploy import connect, ray_and_serve
from generator.cluster.protocol import (
    APPLICATION,
    Answer,
    Ask,
    Away,
    Description,
    Figures,
    Here,
    Result,
    Stop,
    packed,
    read,
)
from generator.cluster.replica import LATE_SECONDS
from generator.errors import GeneratorError, Overloaded, ShuttingDown, Unavailable

LOOK_SECONDS: Final = 1.0
"""How often the replicas are asked how they are."""
PATIENCE_SECONDS: Final = 2.0
"""How long all of them may take to answer, and then how long one of them."""
MISSES: Final = 3
"""Looks in a row without an answer after which the pool is away. One may fall to a replica that just died."""
MOST_MISSES: Final = 6
"""After so many this process ends, for another to connect anew."""
AGAIN_SECONDS: Final = 0.2
"""Before a text whose replica died is asked for again."""


class Link:
    """Asks the application's replicas, by `handle`; `ray` is the module."""

    def __init__(self, ray: Any, handle: Any, out: asyncio.StreamWriter) -> None:
        self._ray = ray
        self._handle = handle
        self._out = out
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._version = ""

    async def obey(self, orders: asyncio.StreamReader) -> None:
        """Does what it is told, to the end of `orders`."""
        while True:
            try:
                message: Ask | Stop = await read(orders)
            except asyncio.IncompleteReadError:
                return
            if isinstance(message, Ask):
                task = asyncio.create_task(self._do(message))
                self._tasks[message.number] = task
            elif task_to_stop := self._tasks.get(message.number):
                task_to_stop.cancel()

    async def look_again_and_again(self) -> None:
        """Tells how the pool is, until it has been away for too long."""
        missed = 0
        while missed < MOST_MISSES:
            try:
                self._tell(await self._look())
                missed = 0
            except Exception as error:  # noqa: BLE001 - whatever Ray says, the pool does not answer
                missed += 1
                if missed >= MISSES:
                    self._tell(Away(f"the pool does not answer ({type(error).__name__})"))
            await asyncio.sleep(LOOK_SECONDS)

    async def _look(self) -> Here:
        replicas = await self._figures()
        description: Description | None = None
        if self._version not in {figures.version for figures in replicas}:
            async with asyncio.timeout(PATIENCE_SECONDS):
                description = await self._handle.describe.remote()
            self._version = replicas[0].version
        return Here(tuple(replicas), description)

    async def _figures(self) -> list[Figures]:
        """Of every replica that answers. When one of them hangs, of one alone that does not: Serve finds it."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                answers = await self._handle.broadcast("figures").results_async(return_exceptions=True)
        except TimeoutError:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return [await self._handle.figures.remote()]
        if replicas := [answer for answer in answers if isinstance(answer, Figures)]:
            return replicas
        raise Unavailable("no replica answers")

    async def _do(self, ask: Ask) -> None:
        try:
            self._tell(Answer(ask.number, await self._result(ask)))
        finally:
            del self._tasks[ask.number]

    async def _result(self, ask: Ask) -> Result:
        """A text whose replica died is asked for again: by the same seed it is the same text."""
        from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError  # noqa: PLC0415 - as in `deploy`

        died = (self._ray.exceptions.RayActorError, self._ray.exceptions.WorkerCrashedError)
        while (left := ask.expires - time.time()) > 0:
            try:
                async with asyncio.timeout(left):
                    result = await self._once(ask)
                if not isinstance(result, ShuttingDown):
                    return result
            except TimeoutError:
                break
            except BackPressureError:
                return Overloaded(LATE_SECONDS)
            except (*died, DeploymentUnavailableError, ConnectionError):
                await asyncio.sleep(AGAIN_SECONDS)
            except Exception as error:  # noqa: BLE001 - one text's failure, whatever it is, ends it alone
                return Unavailable(f"asking the pool failed: {type(error).__name__}")
        return Overloaded(LATE_SECONDS)

    async def _once(self, ask: Ask) -> Result:
        response = self._handle.write.remote(ask.work, ask.expires)
        try:
            result: Result = await response
        except asyncio.CancelledError:
            # Waits until the request has a replica, so not for the loop's thread.
            await asyncio.shield(asyncio.to_thread(response.cancel))
            raise
        if not isinstance(result, GeneratorError) and not hasattr(result, "text"):
            raise TypeError("the pool answers what is no text")
        return result

    def _tell(self, message: Answer | Here | Away) -> None:
        self._out.write(packed(message))


async def _run(address: str) -> None:
    loop = asyncio.get_running_loop()
    orders = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    # Ray prints: what it prints must not stand between the frames.
    own = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, own)
    out = asyncio.StreamWriter(transport, protocol, None, loop)
    try:
        connect(address)
        ray, serve = ray_and_serve()
        try:
            handle = serve.get_app_handle(APPLICATION)
        except Exception as error:
            raise Unavailable("the cluster has no pool: python -m generator serve deploys one") from error
    except Unavailable as error:
        out.write(packed(Away(str(error))))
        await out.drain()
        return
    link = Link(ray, handle, out)
    tasks = [asyncio.create_task(link.obey(orders)), asyncio.create_task(link.look_again_and_again())]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    with contextlib.suppress(TimeoutError, ConnectionError):  # the bot is gone: nobody reads it
        await asyncio.wait_for(out.drain(), 1.0)
    os._exit(0)  # Ray's own farewell, and a thread that cancels a text, wait for a cluster that may be gone


if __name__ == "__main__":
    asyncio.run(_run(sys.argv[1]))
