"""What Ray Serve runs: one worker, with its continuous batching, and how requests reach it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final

from generator.cluster.protocol import Description, Figures, Result, Work
from generator.cluster.remote_weights import within_reach
from generator.errors import GeneratorError, Overloaded, WeightsError
from generator.serving.model import Model, load_model
from generator.serving.scheduler import MAX_BATCH_SIZE, Scheduler

WAITING: Final = MAX_BATCH_SIZE
"""Requests that wait in a replica for a row; what comes beyond waits with whoever asks."""
DRAIN_SECONDS: Final = 20.0
"""How long a replica that is to go away may finish what it writes."""
STALLED_CHECKS: Final = 15
"""Health checks, which come every `generator.cluster.deploy.HEALTH_SECONDS`."""
LATE_SECONDS: Final = 5.0
"""Whoever came too late is told to come back after so long."""
_CURVE: Final = "curve.png"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model, and what is shown of its weights: a folder that was copied from a URL is gone by then."""

    model: Model
    description: Description


def load(source: str, version: str) -> Loaded:
    """Loads a version, verifies and tests it. Raises `WeightsError`."""
    with within_reach(source, version) as folder:
        model = load_model(folder, version)
        curve = model.weights.beside(_CURVE)
    files = {} if curve is None else {_CURVE: curve}
    return Loaded(model, Description(model.weights.manifest.to_json(), files))


def trial(source: str, version: str) -> str:
    """Loads a version where nobody waits for it; returns what is wrong with it, nothing when it can serve."""
    try:
        load(source, version)
    except WeightsError as error:
        return str(error)
    return ""


class Replica:
    """One worker of `threads` threads. Serve gives it its weights by `reconfigure`, at the start and later."""

    def __init__(self, threads: int) -> None:
        self._number = threads
        self._worker: Scheduler | None = None
        self._description: Description | None = None
        self._progress: tuple[int | None, ...] = ()
        self._stalled = 0

    async def reconfigure(self, settings: Mapping[str, str]) -> None:
        """Takes up `settings`: `weights`, a folder or URL, and the `version` in it.

        Texts in progress finish on the old version. Raises `WeightsError`: Serve then stops the roll-out.
        """
        loaded = await asyncio.to_thread(load, settings["weights"], settings["version"])
        if self._worker is None:
            self._worker = Scheduler(loaded.model, WAITING, self._number)
        else:
            self._worker.swap(loaded.model)
        self._description = loaded.description

    async def write(self, work: Work, expires: float) -> Result:
        """Writes or weighs one text; what goes wrong is returned. Cancelling frees its row at the next character.

        `expires` as in `Ask`: what comes later than that is not begun, and what lasts longer is given up.
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

    async def describe(self) -> Description:
        """What is shown of the weights that serve."""
        if self._description is None:
            raise RuntimeError("Serve asks only once reconfigure is done")
        return self._description

    async def figures(self) -> Figures:
        """How it is."""
        worker, now = self._ready, self._ready.statistics()
        return Figures(worker.model.version, self._number, now.running, now.characters_per_second)

    async def check_health(self) -> None:
        """Raises when the same step ran during `STALLED_CHECKS` checks: Serve then replaces this replica."""
        if self._worker is not None:
            before, self._progress = self._progress, self._worker.progress()
            stalls = any(a is not None and a == b for a, b in zip(before, self._progress, strict=False))
            self._stalled = self._stalled + 1 if stalls else 0
            if self._stalled >= STALLED_CHECKS:
                raise RuntimeError("a step of the network hangs")

    @property
    def _ready(self) -> Scheduler:
        if self._worker is None:
            raise RuntimeError("Serve sends requests only once reconfigure is done")
        return self._worker
