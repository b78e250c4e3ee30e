"""Generators whose texts a child process generates, from the weights of a folder or by way of a cluster.

One mechanism serves the start, a reload and a crash: start a worker, wait until it is ready, switch to it, close the
old one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextvars import Context
from pathlib import Path
from typing import Any, Final

from msgspec import structs

from generator.backoff import Backoff
from generator.errors import GeneratorError, Interrupted, Overloaded, ShuttingDown, Unavailable, WeightsError
from generator.process.client import WorkerClient
from generator.process.protocol import Result, Work
from generator.types import Generation, GenerationRequest, GeneratorStatus, OnSentence, ScoringRequest, Surprisal
from generator.weights.versions import Weights, current_version

RETIRE_SECONDS: Final = 60.0
"""How long a worker that was replaced may finish its texts."""
RESTART_WAIT_SECONDS: Final = 5.0
"""How long after a worker's end requests wait for another one: longer than a start usually takes."""
BACKOFF: Final = Backoff(longest=30.0)
"""Pauses between restarts, after the first, which comes at once."""
STEADY_SECONDS: Final = 60.0
"""After a worker ran this long, the first restart comes at once again."""
DRAIN_SECONDS: Final = 5.0
"""How long closing waits for texts in progress."""
_LATE_HEARTBEATS: Final = 3
"""After so many without progress a worker is reported as unavailable."""
log = logging.getLogger(__name__)


class RemoteGenerator(ABC):
    """Sends requests to a worker process, which it restarts when it ends.

    The counts are this process's, so they survive a restart.
    """

    def __init__(self) -> None:
        self._worker: WorkerClient | None = None
        """The one that requests go to, or that they went to last."""
        self._running: dict[WorkerClient, asyncio.Task[None]] = {}
        self._starting = asyncio.Lock()
        self._available = asyncio.Event()
        self._unavailable_since = 0.0
        self._restarting: asyncio.Task[None] | None = None
        self._closing = False
        self._counts: dict[str, Any] = dict.fromkeys(("texts", "characters", "refused", "failed"), 0)
        self._faults = self._failures = self._restarts = 0
        self._last_fault = ""

    @abstractmethod
    async def _start_worker(self, version: str) -> WorkerClient:
        """Starts a worker on a version, or on what there is when it is empty. Raises `OSError`."""

    @property
    def weights(self) -> Weights:
        """The weights of the next text."""
        if self._worker is None:
            raise Unavailable("no worker was ready yet")
        return self._worker.weights

    async def generate(self, request: GenerationRequest, on_sentence: OnSentence | None = None) -> Generation:
        """As `ThreadedGenerator.generate`; raises `Unavailable` while no worker can be reached."""
        generation: Generation = await self._counted(request, on_sentence)
        self._counts["texts"] += 1
        return generation

    async def score(self, request: ScoringRequest) -> Surprisal:
        """As `ThreadedGenerator.score`, with the errors of `generate`."""
        surprisal: Surprisal = await self._counted(request)
        return surprisal

    async def _counted(self, work: Work, on_sentence: OnSentence | None = None) -> Any:
        try:
            result = await self._request(work, on_sentence)
        except GeneratorError as error:
            self._counts["refused" if isinstance(error, Overloaded) else "failed"] += 1
            raise
        before = work.prompt if isinstance(work, GenerationRequest) else work.before
        self._counts["characters"] += len(before) + len(result.text)
        return result

    async def _request(self, work: Work, on_sentence: OnSentence | None) -> Result:
        if not self._available.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(self._unavailable_since + RESTART_WAIT_SECONDS):
                    await self._available.wait()
        if self._closing:
            raise ShuttingDown
        if self._worker is None or not self._available.is_set():
            raise Unavailable(self._unavailable)
        return await self._worker.request(work, on_sentence)

    def status(self) -> GeneratorStatus:
        """Returns what the worker does now, and what was done and went wrong since the start."""
        unavailable, worker = self._unavailable, self._worker
        status = worker.heartbeat.status if worker else GeneratorStatus()
        return structs.replace(
            status,
            **self._counts,
            process_id=worker.process_id if worker else None,
            threads=0 if unavailable else status.threads,
            unavailable=unavailable,
            faults=self._faults,
            last_fault=self._last_fault,
            restarts=self._restarts,
        )

    @property
    def _unavailable(self) -> str:
        if self._worker is None or self._worker.ended:
            return f"the worker process is restarting: {self._last_fault}"
        return "the worker process makes no progress" if self._worker.missing >= _LATE_HEARTBEATS else ""

    @contextlib.asynccontextmanager
    async def _serving(self, drain: float) -> AsyncIterator[None]:
        """Ends the workers after the block, within `drain` seconds for texts in flight."""
        try:
            yield
        finally:
            self._closing = True
            self._available.set()
            if self._restarting is not None:
                self._restarting.cancel()
            for worker in self._running:
                worker.close(drain)
            await asyncio.gather(*self._running.values())

    async def _replace_worker(self, version: str) -> None:
        """Starts a worker and switches to it. Texts in progress finish on the old one, which then exits.

        Raises `Unavailable` or `WeightsError`: nothing has changed then.
        """
        try:
            worker = await self._start_worker(version)
        except OSError as error:
            raise Interrupted(f"no worker process can be started: {error}") from error
        self._running[worker] = asyncio.create_task(self._follow(worker), context=Context())
        try:
            await worker.ready.wait()
        finally:
            if not worker.ready.is_set():
                worker.kill()
        if worker.ended:
            raise worker.ended
        old, self._worker = self._worker, worker
        self._available.set()
        log.info("worker.ready version=%s process=%d", self.weights.manifest.version, worker.process_id)
        if old is not None and old.ended:
            self._restarts += 1
        elif old is not None:
            old.close(RETIRE_SECONDS)

    async def _follow(self, worker: WorkerClient) -> None:
        """Waits for a worker's end. If it served, another one is started."""
        await worker.run()
        del self._running[worker]
        if worker is self._worker and not self._closing:
            self._available.clear()
            self._unavailable_since = asyncio.get_running_loop().time()
            self._faults += 1
            self._last_fault = str(worker.ended)
            log.critical("worker.ended reason=%s; it served %s", worker.ended, self.weights.manifest.version)
            if self._unavailable_since - worker.began >= STEADY_SECONDS:
                self._failures = 0
            self._restarting = asyncio.create_task(self._restart())

    async def _restart(self) -> None:
        while True:
            if self._failures:
                await asyncio.sleep(BACKOFF.pause(self._failures))
            self._failures += 1
            try:
                async with self._starting:
                    if not self._available.is_set():  # else a reload has started one
                        await self._replace_worker(self._worker.weights.manifest.version if self._worker else "")
                    return
            except GeneratorError as error:
                level = logging.DEBUG if str(error) == self._last_fault else logging.ERROR
                log.log(level, "worker.start_failed attempt=%d reason=%s", self._failures, error)
                self._last_fault = str(error)


class ProcessGenerator(RemoteGenerator):
    """Texts from the current weights of a folder.

    Open it by `async with ProcessGenerator.open(folder) as generator`. Each worker is on trial, under limits, until it
    is ready, so weights that crash it or make it hang do no harm to the one that serves.
    """

    def __init__(self, folder: Path, version: str | None, threads: int, queue: int) -> None:
        super().__init__()
        self._folder = folder
        self._version = version
        self._threads = threads
        self._queue = queue

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls,
        folder: Path,
        *,
        version: str | None = None,
        threads: int = 0,
        queue: int = 64,
        drain: float = DRAIN_SECONDS,
    ) -> AsyncIterator[ProcessGenerator]:
        """Starts a worker on a version of the weights folder; parameters as of `ThreadedGenerator.open`.

        `threads`: 0 for as many as write the most, which the first worker measures. `drain`: seconds that closing waits
        for texts. Raises `WeightsError`, and `Interrupted`.
        """
        generator = cls(folder, version, threads, queue)
        async with generator._serving(drain):
            await generator.reload()
            yield generator

    async def reload(self) -> Weights:
        """Starts a worker on what `CURRENT` names, or on the version that was asked for, and switches to it.

        Texts in progress finish on the old one, which then exits. Raises `WeightsError`: the old one serves on.
        """
        async with self._starting:
            version = self._version
            if version is None:
                version = await asyncio.to_thread(current_version, self._folder)
            try:
                await self._replace_worker(version)
            except Unavailable as error:
                starting = self._worker is None
                kind = Interrupted if starting and isinstance(error, Interrupted) else WeightsError
                raise kind(f"{self._folder / version}: {error}") from error
            return self.weights

    def status(self) -> GeneratorStatus:
        """Returns what is generated now, and what was done and went wrong since the start."""
        status, in_flight = super().status(), sum(len(worker.in_flight) for worker in self._running)
        running = min(in_flight, status.slots)
        return structs.replace(status, running=running, queued=in_flight - running)

    async def _start_worker(self, version: str) -> WorkerClient:
        # Measured once: beside a worker that generates, one thread would seem best.
        threads = self._threads or (self._worker.heartbeat.status.threads if self._worker else 0)
        arguments = (os.fspath(self._folder), version, str(threads), str(self._queue))
        return await WorkerClient.start(self._folder / version, "generator.process.worker", *arguments)
