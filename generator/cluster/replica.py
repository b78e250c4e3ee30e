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
from generator.serving.scheduler import MAX_ROWS, Worker
from generator.weights.loader import Model, load_model

WAITING: Final = MAX_ROWS
"""Requests that wait in a replica for a row; what comes beyond waits with whoever asks."""
DRAIN_SECONDS: Final = 20.0
"""How long a replica that is to go away may finish what it writes."""
LOOK_SECONDS: Final = 0.5
"""As `Worker.look` wants it."""
LATE_SECONDS: Final = 5.0
"""Whoever came too late is told to come back after so long."""
_CURVE: Final = "curve.png"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model, and what is shown of its weights: a folder that was copied from a URL is gone by then."""

    model: Model
    description: Description


def load(source: str, version: str, threads: int = 1) -> Loaded:
    """Loads a version, verifies and tests it. Raises `WeightsError`."""
    with within_reach(source, version) as folder:
        model = load_model(folder, version, threads)
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
        self._worker: Worker | None = None
        self._description: Description | None = None
        self._looking: asyncio.Task[None] | None = None

    async def reconfigure(self, settings: Mapping[str, str]) -> None:
        """Takes up `settings`: `weights`, a folder or URL, and the `version` in it.

        Texts in progress finish on the old version. Raises `WeightsError`: Serve then stops the roll-out.
        """
        loaded = await asyncio.to_thread(load, settings["weights"], settings["version"], self._number)
        if self._worker is None:
            self._worker = Worker(loaded.model, WAITING, self._number)
            self._looking = asyncio.create_task(self._look_again_and_again(self._worker))
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
        """Raises when a thread hangs or is no more: Serve then puts another replica in this one's place."""
        if self._worker is not None and (lost := self._worker.threads().lost):
            raise RuntimeError(f"{lost} threads hang or are no more")

    @property
    def _ready(self) -> Worker:
        if self._worker is None:
            raise RuntimeError("Serve sends requests only once reconfigure is done")
        return self._worker

    async def _look_again_and_again(self, worker: Worker) -> None:
        while True:
            worker.look()
            await asyncio.sleep(LOOK_SECONDS)
