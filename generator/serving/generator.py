"""The generator as an asyncio program uses it, with worker threads in its own process."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from generator.serving.loading import load_model
from generator.serving.scheduler import Scheduler
from generator.types import Generation, GenerationRequest, GeneratorStatus, OnSentence, ScoringRequest, Surprisal
from generator.weights.versions import Weights

DRAIN_SECONDS: Final = 10.0
"""How long closing waits for texts in progress."""


class ThreadedGenerator:
    """Generates with the current weights of a folder; `generator.types.Generator` documents its methods.

    Open it by `async with ThreadedGenerator.open(folder) as generator`.
    """

    def __init__(self, folder: Path, version: str | None, scheduler: Scheduler) -> None:
        self._folder = folder
        self._version = version
        self._scheduler = scheduler
        self._reloading = asyncio.Lock()

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls, folder: Path, *, version: str | None = None, threads: int = 1, queue: int = 64
    ) -> AsyncIterator[ThreadedGenerator]:
        """Loads, verifies and tests a version of the weights folder (default: the current one). Raises `WeightsError`.

        `threads`: those that generate; `queue`: requests that may wait.
        """
        scheduler = Scheduler(await asyncio.to_thread(load_model, folder, version), queue, threads)
        try:
            yield cls(folder, version, scheduler)
        finally:
            await asyncio.shield(asyncio.to_thread(scheduler.close, DRAIN_SECONDS))

    @property
    def weights(self) -> Weights:
        """The weights of the next text."""
        return self._scheduler.model.weights

    async def generate(self, request: GenerationRequest, on_sentence: OnSentence | None = None) -> Generation:
        """Generates one text."""
        generation: Generation = await self._scheduler.run(request, on_sentence)
        return generation

    async def score(self, request: ScoringRequest) -> Surprisal:
        """Computes the probabilities of a text."""
        surprisal: Surprisal = await self._scheduler.run(request)
        return surprisal

    async def reload(self) -> Weights:
        """Switches to what `CURRENT` names, or to the version that was given at the start, if one was.

        The new weights are loaded, verified and tested beside the old ones; texts in progress finish on the old ones.
        """
        async with self._reloading:
            model = await asyncio.to_thread(load_model, self._folder, self._version)
            self._scheduler.model = model
        return model.weights

    def status(self) -> GeneratorStatus:
        """Returns what it does now, and has done since the start."""
        return self._scheduler.status()
