"""The generator as an asyncio program uses it."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from generator.serving.scheduler import Worker
from generator.types import Generation, GenerationRequest, ScoringRequest, Surprisal, Threads, WorkerStatistics
from generator.weights.loader import load_model
from generator.weights.session import cores
from generator.weights.versions import Weights

DRAIN_SECONDS: Final = 10.0
"""How long closing waits for texts in progress."""


class ThreadedGenerator:
    """Texts from the current weights of a folder.

    Open it by `async with ThreadedGenerator.open(folder) as generator`.
    """

    def __init__(self, folder: Path, version: str | None, threads: int, worker: Worker) -> None:
        self._folder = folder
        self._version = version
        self._threads = threads
        self._worker = worker
        self._reloading = asyncio.Lock()

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
    ) -> AsyncIterator[ThreadedGenerator]:
        """Loads a version of the weights folder (default: the current one), verifies and tests it, starts the worker.

        `threads` that write, 0 for one per core; `queue`: requests that may wait; `drain`: seconds that
        leaving waits for texts in progress. Raises `WeightsError`.
        """
        threads = threads or cores()
        worker = Worker(await asyncio.to_thread(load_model, folder, version, threads), queue, threads)
        try:
            yield cls(folder, version, threads, worker)
        finally:
            await asyncio.shield(asyncio.to_thread(worker.close, drain))

    @property
    def weights(self) -> Weights:
        """What the next text is written with."""
        return self._worker.model.weights

    async def generate(self, request: GenerationRequest) -> Generation:
        """Writes one text. Cancelling frees its place at the next character.

        Raises `InvalidRequest`, `Overloaded`, `ShuttingDown`, or `ModelError` when the network fails under way.
        """
        return await asyncio.wrap_future(self._worker.submit(request))

    async def score(self, request: ScoringRequest) -> Surprisal:
        """Computes the probabilities of a text once more, by the weights that serve now. As `generate` otherwise."""
        return await asyncio.wrap_future(self._worker.submit(request))

    async def reload(self) -> Weights:
        """Takes up what `CURRENT` names, or the version that was asked for at the start, if one was.

        It is loaded, verified and tested beside the one that serves.
        Texts in progress finish on the old one. Raises `WeightsError`, and then the old one goes on serving.
        """
        async with self._reloading:
            model = await asyncio.to_thread(load_model, self._folder, self._version, self._threads)
            self._worker.swap(model)
            await asyncio.to_thread(_give_memory_back)
        return model.weights

    def look(self) -> None:
        """Notices a thread that hangs, and ends its texts. To be called every half second while texts are written."""
        self._worker.look()

    def threads(self) -> Threads:
        """How the threads that write are."""
        return self._worker.threads()

    def statistics(self) -> WorkerStatistics:
        """Counts since the start, and what goes on now."""
        return self._worker.statistics()


def _give_memory_back() -> None:
    """Returns what loading has freed to the system.

    glibc keeps freed memory for itself: thirty reloads grew from 92 MB to 141 MB without this, and stay at 92 with it.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim is not None:  # glibc alone has it
        trim(0)
