"""The base of the generators whose texts a child process generates, here or by way of a cluster.

One mechanism serves the start, a reload and a crash: start a worker, wait until it is ready, switch to it, drain the
old one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextvars import Context
from dataclasses import replace
from typing import Any, Final

from generator.backoff import Backoff
from generator.errors import GeneratorError, Overloaded, ShuttingDown, Unavailable
from generator.process.client import Report, WorkerClient
from generator.process.protocol import HEARTBEAT_SECONDS, Drain, Heartbeat, Ready, Unreachable, Work
from generator.process.spawn import ChildProcess
from generator.types import Generation, GenerationRequest, GeneratorStatus, ScoringRequest, Surprisal, WorkerStatistics
from generator.weights.versions import Weights

RETIRE_SECONDS: Final = 60.0
"""How long a worker that was replaced may finish its texts."""
STEADY_SECONDS: Final = 60.0
"""After a worker ran this long, the first restart comes at once again."""
HANG_SECONDS: Final = 15.0
"""A worker that made no progress for so long hangs."""
_LATE_SECONDS: Final = 3.0
"""After so long without progress a worker is reported as unavailable."""
_GRACE_SECONDS: Final = 1.0
log = logging.getLogger(__name__)


class RemoteGenerator(ABC):
    """Sends requests to a worker process, which it watches and replaces.

    `load_seconds`: how long a worker may take until it is ready; `wait_seconds`: how long a request waits for a worker;
    `backoff`: the pauses between its restarts. The counts are this process's, so they survive a restart of the worker.
    """

    def __init__(self, load_seconds: float, wait_seconds: float, backoff: Backoff) -> None:
        self._load_seconds = load_seconds
        self._wait_seconds = wait_seconds
        self._backoff = backoff
        self._worker: WorkerClient | None = None
        """The one that requests go to, or that they went to last."""
        self._running: dict[WorkerClient, asyncio.Task[None]] = {}
        self._starting = asyncio.Lock()
        self._available = asyncio.Event()
        self._restarting: asyncio.Task[None] | None = None
        self._closing = False
        self._texts = self._characters = self._refused = self._failed = 0
        self._faults = self._failures = self._restarts = 0
        self._last_fault = ""

    @abstractmethod
    async def _spawn(self, *, again: bool) -> ChildProcess:
        """Starts a worker process; `again`: in place of one that ended. Raises `OSError` or `WeightsError`."""

    @abstractmethod
    def _weights_of(self, ready: Ready) -> Weights:
        """Returns the weights that a worker serves."""

    @property
    def weights(self) -> Weights:
        """The weights of the next text, without the model."""
        if self._worker is None or self._worker.weights is None:
            raise Unavailable("no worker was ready yet")
        return self._worker.weights

    async def generate(self, asked: GenerationRequest) -> Generation:
        """As `ThreadedGenerator.generate`; raises `Unavailable` while no worker can be reached."""
        generation: Generation = await self._counted(asked)
        self._texts += 1
        self._characters += len(asked.prompt) + len(generation.text)
        return generation

    async def score(self, written: ScoringRequest) -> Surprisal:
        """As `ThreadedGenerator.score`, with the errors of `generate`."""
        surprisal: Surprisal = await self._counted(written)
        self._characters += written.characters
        return surprisal

    async def _counted(self, work: Work) -> Any:
        try:
            return await self._request(work)
        except Overloaded:
            self._refused += 1
            raise
        except GeneratorError:
            self._failed += 1
            raise

    async def _request(self, work: Work) -> Any:
        return await (await self._ready_worker()).request(work)

    async def _ready_worker(self) -> WorkerClient:
        if not self._available.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._wait_seconds):
                    await self._available.wait()
        if self._closing:
            raise ShuttingDown
        if self._worker is None or self._worker.ended:
            raise Unavailable(self._unavailable)
        return self._worker

    def status(self) -> GeneratorStatus:
        """Says whether texts are generated now, and what went wrong since the start."""
        unavailable, worker = self._unavailable, self._worker
        status = GeneratorStatus(0) if worker is None else worker.heartbeat.status
        return replace(
            status,
            threads=0 if unavailable else status.threads,
            unavailable=unavailable,
            faults=self._faults,
            last_fault=self._last_fault,
            restarts=self._restarts,
            process_id=None if worker is None or worker.ended else worker.child.process_id,
        )

    @property
    def _unavailable(self) -> str:
        if self._worker is None or self._worker.ended:
            return f"the worker process is restarting: {self._last_fault}"
        if self._worker.missing * HEARTBEAT_SECONDS >= _LATE_SECONDS:
            return "the worker process makes no progress"
        return self._worker.unreachable

    def statistics(self) -> WorkerStatistics:
        """Counts since the start, and what the worker does now."""
        if self._worker is None:
            raise Unavailable("no worker was ready yet")
        now = self._worker.heartbeat.statistics
        return replace(now, texts=self._texts, characters=self._characters, refused=self._refused, failed=self._failed)

    @contextlib.asynccontextmanager
    async def _serving(self, drain: float) -> AsyncIterator[None]:
        """Watches the workers while the block runs, and then ends them, within `drain` seconds for texts in flight."""
        watching = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.shield(self._close(drain))

    async def _close(self, drain: float) -> None:
        self._closing = True
        self._available.set()
        if self._restarting is not None:
            self._restarting.cancel()
        workers = dict(self._running)
        for worker in workers:
            if worker.ready.done():
                worker.child.channel.send(Drain(drain))
            else:
                worker.child.kill()
        if workers:
            await asyncio.wait(workers.values(), timeout=drain + _GRACE_SECONDS)
        for worker in workers:
            worker.fail_all(ShuttingDown())
            worker.child.kill()
        await asyncio.gather(*workers.values())

    async def _replace_worker(self, *, again: bool = False) -> None:
        """Starts a worker and switches to it. The old one finishes its requests and exits.

        Raises `Unavailable` or `WeightsError`: nothing has changed then.
        """
        new = await self._start(again=again)
        old, self._worker = self._worker, new
        self._restarts += old is not None and bool(old.ended)
        self._available.set()
        version, number = self.weights.manifest.version, self._worker.child.process_id
        log.info("worker.ready version=%s process=%d", version, number)
        if old is not None and not old.ended:
            old.child.channel.send(Drain(RETIRE_SECONDS))
            asyncio.get_running_loop().call_later(RETIRE_SECONDS + _GRACE_SECONDS, old.child.kill)

    async def _start(self, *, again: bool) -> WorkerClient:
        try:
            child = await self._spawn(again=again)
        except OSError as error:
            raise Unavailable(f"no worker process can be started: {error}") from error
        worker = WorkerClient(child, self._on_report)
        self._running[worker] = asyncio.create_task(self._follow(worker), context=Context())
        try:
            async with asyncio.timeout(self._load_seconds):
                await asyncio.shield(worker.ready)
        except TimeoutError:
            raise Unavailable(f"it was not ready within {self._load_seconds:g} s") from None
        finally:
            if not worker.ready.done() or worker.ready.exception() is not None:
                child.kill()
        return worker

    async def _follow(self, worker: WorkerClient) -> None:
        """Waits for a worker's end. If it served, another one is started."""
        reason = await worker.run()
        del self._running[worker]
        if worker is self._worker and not self._closing:
            self._available.clear()
            self._faults += 1
            self._last_fault = reason
            log.critical("worker.ended reason=%s", reason)
            if asyncio.get_running_loop().time() - worker.began >= STEADY_SECONDS:
                self._failures = 0
            self._restarting = asyncio.create_task(self._restart())

    async def _restart(self) -> None:
        """Tries to start a worker until one serves."""
        while self._worker is None or self._worker.ended:
            if self._failures:
                await asyncio.sleep(self._backoff.pause(self._failures))
            self._failures += 1
            try:
                async with self._starting:
                    if self._worker is None or self._worker.ended:  # else a reload has started one
                        await self._replace_worker(again=True)
            except GeneratorError as error:
                level = logging.DEBUG if str(error) == self._last_fault else logging.ERROR
                log.log(level, "worker.start_failed attempt=%d reason=%s", self._failures, error)
                self._last_fault = str(error)

    def _on_report(self, worker: WorkerClient, report: Report) -> None:
        match report:
            case Ready():
                worker.weights = self._weights_of(report)
            case Unreachable(reason) if not worker.unreachable:
                self._faults += 1
                self._last_fault = reason
                log.error("worker.unreachable reason=%s", reason)
            case Heartbeat():
                if worker.unreachable:
                    log.info("worker.reachable")
                if more := report.status.faults - worker.heartbeat.status.faults:
                    self._faults += more
                    self._last_fault = report.status.last_fault

    async def _watch(self) -> None:
        """Ends workers that hang. It counts heartbeats, not seconds: a process that was stopped, or a machine that
        slept, hangs in nothing."""
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            for worker in self._running:
                if worker.ready.done():
                    worker.missing += 1
                    if worker.missing * HEARTBEAT_SECONDS >= HANG_SECONDS:
                        worker.child.kill(f"the worker process made no progress for {HANG_SECONDS:g} s")
