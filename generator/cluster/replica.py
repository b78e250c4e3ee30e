"""What Ray Serve runs: one scheduler, with its continuous batching, and how requests reach it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final

from generator.cluster.remote_weights import within_reach
from generator.errors import GeneratorError, Overloaded, WeightsError
from generator.process.protocol import Ready, Result, Work
from generator.serving.model import Model, load_model
from generator.serving.scheduler import MAX_BATCH_SIZE, Scheduler
from generator.types import WorkerStatistics

QUEUE: Final = MAX_BATCH_SIZE
"""Requests that wait in a replica for a batch slot; more of them wait with the bots."""
DRAIN_SECONDS: Final = 20.0
"""How long a replica that Serve stops may finish its texts."""
STALLED_CHECKS: Final = 15
"""Health checks, which come every `generator.cluster.deploy.HEALTH_SECONDS`."""
LATE_SECONDS: Final = 5.0
"""When to try again after a request came too late."""
_CURVE: Final = "curve.png"


@dataclass(frozen=True, slots=True)
class ReplicaStatus:
    """One replica now."""

    version: str
    threads: int
    statistics: WorkerStatistics


def load(source: str, version: str) -> tuple[Model, Ready]:
    """Loads a version, verifies and tests it; returns the model and what bots show of its weights: a folder that was
    copied from a URL is gone by then. Raises `WeightsError`."""
    with within_reach(source, version) as folder:
        model = load_model(folder, version)
        curve = model.weights.beside(_CURVE)
    return model, Ready(model.weights.manifest.to_json(), {} if curve is None else {_CURVE: curve})


def preflight(source: str, version: str) -> str:
    """Loads a version before it is rolled out; returns what is wrong with it, nothing when it can serve."""
    try:
        load(source, version)
    except WeightsError as error:
        return str(error)
    return ""


class Replica:
    """A scheduler of `threads` threads. Serve gives it its weights by `reconfigure`, at the start and later."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._scheduler: Scheduler | None = None
        self._description: Ready | None = None
        self._progress: tuple[int | None, ...] = ()
        self._stalled = 0

    async def reconfigure(self, settings: Mapping[str, str]) -> None:
        """Switches to `settings`: `weights`, a folder or URL, and the `version` in it.

        Texts in progress finish on the old version. Raises `WeightsError`: Serve then stops the roll-out.
        """
        model, description = await asyncio.to_thread(load, settings["weights"], settings["version"])
        if self._scheduler is None:
            self._scheduler = Scheduler(model, QUEUE, self._threads)
        else:
            self._scheduler.swap(model)
        self._description = description

    async def generate(self, work: Work, expires: float) -> Result:
        """Generates or scores one text. Errors are returned: Ray would wrap a raised one.

        Cancelling frees its batch slot at the next character. `expires` as in `generator.process.protocol.Generate`.
        """
        left = expires - time.time()
        try:
            if left <= 0:
                raise Overloaded(LATE_SECONDS)
            async with asyncio.timeout(left):
                future: Future[Any] = self._ready.submit(work)
                result: Result = await asyncio.wrap_future(future)
        except TimeoutError:
            return Overloaded(LATE_SECONDS)
        except GeneratorError as error:
            return error
        return result

    async def describe(self) -> Ready:
        """Returns what is shown of the weights that serve."""
        if self._description is None:
            raise RuntimeError("Serve asks only once reconfigure is done")
        return self._description

    async def status(self) -> ReplicaStatus:
        """Returns what it does now."""
        scheduler = self._ready
        return ReplicaStatus(scheduler.model.version, self._threads, scheduler.statistics())

    async def check_health(self) -> None:
        """Raises when the same step ran during `STALLED_CHECKS` checks: Serve then replaces this replica."""
        if self._scheduler is not None:
            before, self._progress = self._progress, self._scheduler.progress()
            stalls = any(a is not None and a == b for a, b in zip(before, self._progress, strict=False))
            self._stalled = self._stalled + 1 if stalls else 0
            if self._stalled >= STALLED_CHECKS:
                raise RuntimeError("a step of the network hangs")

    @property
    def _ready(self) -> Scheduler:
        if self._scheduler is None:
            raise RuntimeError("Serve sends requests only once reconfigure is done")
        return self._scheduler
