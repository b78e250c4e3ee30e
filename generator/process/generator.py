"""The generator of the service: a worker process that loads its weights from a folder."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from generator.backoff import Backoff
from generator.errors import Unavailable, WeightsError
from generator.process.protocol import Ready
from generator.process.remote import RemoteGenerator
from generator.process.spawn import ChildProcess
from generator.types import WorkerStatistics
from generator.weights.manifest import Manifest
from generator.weights.versions import Weights, current_version

LOAD_SECONDS: Final = 60.0
"""How long a worker may take until it is ready. One whose model hangs is ended then."""
HEADROOM_BYTES: Final = 1 << 30
"""Address space that a worker may use beyond what its program and a sound model of that size take."""
RESTART_WAIT_SECONDS: Final = 5.0
"""How long a request waits for a worker that is being restarted: longer than a start usually takes."""
BACKOFF: Final = Backoff(longest=60.0)
"""Pauses between restarts, after the first, which comes at once."""
DRAIN_SECONDS: Final = 5.0
"""How long closing waits for texts in progress."""


class ProcessGenerator(RemoteGenerator):
    """Texts from the current weights of a folder, generated in a child process.

    Open it by `async with ProcessGenerator.open(folder) as generator`. Each worker is on trial, under limits, until it
    is ready, so weights that crash it or make it hang do no harm to the one that serves.
    """

    def __init__(self, folder: Path, version: str | None, threads: int, queue: int) -> None:
        super().__init__(LOAD_SECONDS, RESTART_WAIT_SECONDS, BACKOFF)
        self._folder = folder
        self._version = version
        self._threads = threads
        self._queue = queue
        self._place = folder
        """The folder of the version that is started."""

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
        """Starts a worker on a version of the weights folder; the parameters are those of `ThreadedGenerator.open`.

        Raises `WeightsError`.
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
            try:
                await self._replace_worker()
            except Unavailable as error:
                raise WeightsError(f"{self._place}: {error}") from error
            return self.weights

    def statistics(self) -> WorkerStatistics:
        """Counts since the start, and what is generated now."""
        in_flight = sum(len(worker.in_flight) for worker in self._running)
        running = min(in_flight, self._worker.heartbeat.status.slots if self._worker else 0)
        return replace(super().statistics(), running=running, queued=in_flight - running)

    async def _spawn(self, *, again: bool) -> ChildProcess:
        version = self.weights.manifest.version if again else self._version
        if version is None:
            version = await asyncio.to_thread(current_version, self._folder)
        self._place = self._folder / version
        level = logging.getLogger("generator").getEffectiveLevel()
        numbers = (self._threads, self._queue, HEADROOM_BYTES, level)
        return await ChildProcess.start(
            "generator.process.worker", os.fspath(self._folder), version, *map(str, numbers)
        )

    def _weights_of(self, ready: Ready) -> Weights:
        return Weights(self._place, Manifest.from_json(ready.manifest), b"")
