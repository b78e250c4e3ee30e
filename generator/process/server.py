"""What a worker process does, whatever generates in it: it answers requests, sends heartbeats, and logs through its
parent, which alone decides when it ends."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Awaitable, Coroutine
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Final, Protocol

from generator.errors import GeneratorError
from generator.process.protocol import (
    HEARTBEAT_SECONDS,
    THE_WORKER,
    Beginning,
    Cancel,
    Channel,
    Heartbeat,
    Item,
    LogRecord,
    Result,
    ToWorker,
    Work,
)
from generator.types import OnSentence

_REQUEST_NUMBER: ContextVar[int] = ContextVar("request_number", default=0)
"""The request that is being worked on; a log record names it, and the parent knows its request ID."""
_PR_SET_PDEATHSIG: Final = 1
"""prctl(2)"""
_OOM_SCORE: Final = 500
"""Of -1000 to 1000 (proc_pid_oom_score_adj(5)): the kernel ends this process before its parent, which restarts it."""


class Backend(Protocol):
    """What generates."""

    async def run(self, work: Work, on_sentence: OnSentence | None = None) -> Result:
        """Generates or scores a text; `on_sentence` as for `Generator.generate`. Raises a `GeneratorError`."""

    async def heartbeat(self) -> Heartbeat | None:
        """Returns what it does now; `None` when it makes no progress: the parent ends a worker that sends nothing.

        Raises a `GeneratorError` when it can serve no more.
        """


def serve(descriptor: str, parent: str, starting: Coroutine[Any, Any, Backend]) -> None:
    """Serves by what `starting` returns, until that can serve no more, or the parent is gone.

    `descriptor` and `parent` are the numbers of a socket and a process, as `WorkerClient.start` passes them.
    """
    _isolate(int(parent))
    asyncio.run(_serve(socket.socket(fileno=int(descriptor)), starting))


async def _serve(connected: socket.socket, starting: Coroutine[Any, Any, Backend]) -> None:
    channel = await Channel.open(connected, ToWorker)
    logging.getLogger().setLevel(logging.INFO)
    logging.getLogger().addHandler(_LogForwarder(channel))
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
    def send_beginning(text: str) -> None:
        channel.send(Beginning(asked.number, text))

    _REQUEST_NUMBER.set(asked.number)
    try:
        answer = Item.of(asked.number, await backend.run(asked.value, send_beginning if asked.by_sentence else None))
    except Exception as error:  # noqa: BLE001 - whatever it is, the request has ended
        answer = Item.of(asked.number, error)
    channel.send(answer)


def _isolate(parent: int) -> None:
    """Makes this process depend on its parent and on nothing else: signals to the group do not end it, the parent's
    death does."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if sys.platform == "linux":
        # Closing the socket ends this process as well, but not while native code holds the interpreter's lock.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text(f"{_OOM_SCORE}")
    if os.getppid() != parent:
        os._exit(0)  # the parent ended before this
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold users' texts


class _LogForwarder(logging.Handler):
    """Sends log records to the parent, from any thread."""

    def __init__(self, channel: Channel) -> None:
        super().__init__()
        self._channel = channel
        self._loop = asyncio.get_running_loop()

    def emit(self, record: logging.LogRecord) -> None:
        """Sends one record."""
        error = logging.Formatter().formatException(record.exc_info) if record.exc_info else ""
        message = LogRecord(_REQUEST_NUMBER.get(), record.name, record.levelno, record.getMessage(), error)
        self._loop.call_soon_threadsafe(self._channel.send, message)
