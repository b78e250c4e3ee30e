"""What a worker process does, whatever generates in it: it answers requests and sends heartbeats."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Coroutine
from typing import Any, Protocol

from generator.errors import GeneratorError
from generator.process.isolation import REQUEST_NUMBER, LogForwarder, isolate
from generator.process.protocol import (
    HEARTBEAT_SECONDS,
    THE_WORKER,
    Cancel,
    Channel,
    Heartbeat,
    Item,
    Result,
    ToWorker,
    Work,
)


class Backend(Protocol):
    """What generates."""

    async def run(self, work: Work) -> Result:
        """Generates or scores a text. Raises a `GeneratorError`."""

    async def heartbeat(self) -> Heartbeat | None:
        """Returns what it does now; `None` when it makes no progress: the parent ends a worker that sends nothing.

        Raises a `GeneratorError` when it can serve no more.
        """


def serve(descriptor: str, parent: str, starting: Coroutine[Any, Any, Backend]) -> None:
    """Serves by what `starting` returns, until that can serve no more, or the parent is gone.

    `descriptor` and `parent` are the numbers of a socket and a process, as `WorkerClient.start` passes them.
    """
    isolate(int(parent))
    asyncio.run(_serve(socket.socket(fileno=int(descriptor)), starting))


async def _serve(connected: socket.socket, starting: Coroutine[Any, Any, Backend]) -> None:
    channel = await Channel.open(connected, ToWorker)
    logging.getLogger().setLevel(logging.INFO)
    logging.getLogger().addHandler(LogForwarder(channel))
    backend = asyncio.create_task(starting)
    async with asyncio.TaskGroup() as group:
        group.create_task(_answer_all(channel, backend))
        group.create_task(_report(channel, backend))


async def _report(channel: Channel, starting: Awaitable[Backend]) -> None:
    try:
        backend = await starting
        while True:
            if (heartbeat := await backend.heartbeat()) is not None:
                channel.send(heartbeat)
            await asyncio.sleep(HEARTBEAT_SECONDS)
    except GeneratorError as error:
        channel.send(Item.of(THE_WORKER, error))
        await channel.close()
        os._exit(0)  # a thread that hangs in native code would keep the interpreter from ending


async def _answer_all(channel: Channel, backend: Awaitable[Backend]) -> None:
    tasks: dict[int, asyncio.Task[None]] = {}
    async for message in channel:
        match message:
            case Item(number):
                tasks = {at: task for at, task in tasks.items() if not task.done()}
                tasks[number] = asyncio.create_task(_answer(channel, await backend, message))
            case Cancel(number) if number in tasks:
                tasks[number].cancel()
    os._exit(0)  # the parent has ended


async def _answer(channel: Channel, backend: Backend, asked: Item) -> None:
    REQUEST_NUMBER.set(asked.number)
    result: Result | Exception
    try:
        result = await backend.run(asked.value)
    except Exception as error:  # noqa: BLE001 - whatever it is, the request has ended
        result = error
    channel.send(Item.of(asked.number, result))
