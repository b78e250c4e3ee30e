"""The worker process: `python -m generator.process.worker`, started by `generator.process.generator`.

It loads a version under a memory limit, tries it, and then serves requests until its parent closes the socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import socket
import sys
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final, NoReturn

from generator.errors import GeneratorError, ModelError, WeightsError
from generator.process.isolation import REQUEST_NUMBER, LogForwarder, isolate
from generator.process.protocol import (
    HEARTBEAT_SECONDS,
    Cancel,
    Channel,
    Drain,
    Generate,
    Heartbeat,
    Ready,
    Refused,
    Score,
    ToWorker,
    reply,
)
from generator.serving.model import Model, load_model
from generator.serving.scheduler import MAX_BATCH_SIZE, Scheduler
from generator.types import GenerationRequest
from generator.weights.manifest import MODEL
from generator.weights.session import cores

_PER_THREAD: Final = 160 << 20
"""Address space of a thread that generates and of one of onnxruntime: a stack and an arena of malloc for each."""
_PER_MODEL_BYTE: Final = 8
"""Loading takes three to four times the file."""
_TRIAL_LENGTH: Final = 20


def main(arguments: Sequence[str]) -> None:
    """Serves until the parent is gone. See `ProcessGenerator` for the arguments."""
    descriptor, parent, folder, version, threads, queue, headroom, level = arguments
    isolate(int(parent))
    logging.getLogger().setLevel(int(level))
    server = _Server(Path(folder), version, int(threads) or cores(), int(queue), int(headroom))
    asyncio.run(server.run(socket.socket(fileno=int(descriptor))))


class _Server:
    def __init__(self, folder: Path, version: str, threads: int, queue: int, headroom: int) -> None:
        self._folder = folder
        self._version = version
        self._threads = threads
        self._queue = queue
        self._headroom = headroom
        self._futures: dict[int, Future[Any]] = {}

    async def run(self, connected: socket.socket) -> None:
        """Loads the weights, says how that went, and serves."""
        self._loop = asyncio.get_running_loop()
        self._channel = await Channel.open(connected, ToWorker)
        logging.getLogger().addHandler(LogForwarder(self._channel))
        async with asyncio.TaskGroup() as group:
            group.create_task(self._obey())
            try:
                model = await self._load()
            except WeightsError as error:
                await self._exit_with(Refused(str(error).encode(errors="replace").decode()))  # a path may be any bytes
            self._channel.send(self._heartbeat())
            self._channel.send(Ready(model.weights.manifest.to_json()))
            group.create_task(self._report())

    async def _load(self) -> Model:
        place = self._folder / self._version
        _limit_memory(self._headroom + self._threads * _PER_THREAD, place / MODEL)
        try:
            model = await asyncio.to_thread(load_model, self._folder, self._version)
            self._scheduler = Scheduler(model, self._queue, self._threads)
            await asyncio.to_thread(_try, self._scheduler)
        except MemoryError as error:
            raise WeightsError(f"{place}: needs more memory than its limit") from error
        return model

    async def _obey(self) -> None:
        async for message in self._channel:
            match message:
                case Generate() | Score():
                    self._begin(message)
                case Cancel(number) if number in self._futures:
                    self._futures[number].cancel()
                case Drain(seconds):
                    self._draining = asyncio.create_task(self._drain(seconds))
        os._exit(0)  # the parent has ended, or wants this process to

    async def _drain(self, seconds: float) -> None:
        await asyncio.to_thread(self._scheduler.close, seconds)
        await self._exit_with(self._heartbeat())

    def _begin(self, asked: Generate | Score) -> None:
        REQUEST_NUMBER.set(asked.number)
        try:
            future: Future[Any] = self._scheduler.submit(asked.work)
        except GeneratorError as error:
            self._channel.send(reply(asked.number, error))
        else:
            self._futures[asked.number] = future
            future.add_done_callback(lambda _: self._loop.call_soon_threadsafe(self._end, asked.number))
        finally:
            REQUEST_NUMBER.set(0)

    def _end(self, number: int) -> None:
        future = self._futures.pop(number)
        if not future.cancelled():
            self._channel.send(reply(number, future.exception() or future.result()))

    async def _report(self) -> None:
        """Sends heartbeats while every busy thread makes progress. The parent ends a worker that sends none."""
        before: tuple[int | None, ...] = ()
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            progress = self._scheduler.progress()
            if not any(a is not None and a == b for a, b in zip(progress, before, strict=False)):
                self._channel.send(self._heartbeat())
            before = progress

    def _heartbeat(self) -> Heartbeat:
        return Heartbeat(self._scheduler.statistics(), self._scheduler.status())

    async def _exit_with(self, last: Refused | Heartbeat) -> NoReturn:
        self._channel.send(last)
        with contextlib.suppress(ConnectionError):
            await self._channel.drain(whole=True)
        os._exit(0)  # a thread that hangs in native code would keep the interpreter from ending


def _limit_memory(more: int, model: Path) -> None:
    """Limits the address space to what is used now, `more`, and what a model of that size needs."""
    with contextlib.suppress(OSError):  # no such file, which loading reports; no /proc outside Linux
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + more + model.stat().st_size * _PER_MODEL_BYTE
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


def _try(scheduler: Scheduler) -> None:
    """Generates in every batch size, as users' requests will. Raises `WeightsError`."""
    for texts in (1, MAX_BATCH_SIZE):
        asked = [scheduler.submit(GenerationRequest(_TRIAL_LENGTH + i, seed=i)) for i in range(texts)]
        for future in asked:
            try:
                future.result()
            except ModelError as error:
                raise WeightsError(f"{scheduler.model.weights.folder / MODEL}: self-test failed: {error}") from error


if __name__ == "__main__":
    main(sys.argv[1:])
