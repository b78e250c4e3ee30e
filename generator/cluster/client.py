"""The generator of a bot that uses a pool: the same surface, errors and texts as `ThreadedGenerator`."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from generator.cluster import require_ray
from generator.errors import Overloaded, Unavailable, WeightsError
from generator.process.client import WorkerClient
from generator.process.generator import RemoteGenerator
from generator.process.protocol import Result, Work
from generator.types import OnSentence
from generator.weights.versions import NIETZSCHE, Weights

REQUEST_SECONDS: Final = 30.0
"""After so long a text is given up: as long as a user waits in the queue."""
START_SECONDS: Final = 60.0
"""How long opening waits for the pool."""
_LATE_SECONDS: Final = 5.0
"""When to try again after a text timed out."""


class Pool(RemoteGenerator):
    """Texts from a voice's pool at an address, by way of a side-car process (`generator.cluster.sidecar`).

    Open it by `async with Pool.open(address) as pool`. The counts are of this bot's requests; what runs, and how fast,
    is that of all replicas, for all bots.
    """

    def __init__(self, address: str, voice: str, folder: Path, request_seconds: float) -> None:
        super().__init__()
        self._arguments = address, voice, str(folder)
        self._folder = folder
        self._request_seconds = request_seconds

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        address: str,
        voice: str = NIETZSCHE,
        *,
        request_seconds: float = REQUEST_SECONDS,
        start_seconds: float = START_SECONDS,
    ) -> AsyncIterator[Pool]:
        """Connects: "auto" finds a cluster on this machine (or by `RAY_ADDRESS`), "ray://host:10001" one elsewhere.

        `request_seconds`: how long a text may take; `start_seconds`: how long to wait for the pool. Raises
        `Unavailable`.
        """
        with tempfile.TemporaryDirectory(prefix="lstmega-pool-") as folder:
            pool = cls(address, voice, Path(folder), request_seconds)
            async with pool._serving(drain=0.0):
                try:
                    async with asyncio.timeout(start_seconds):
                        await pool._restart()
                except TimeoutError as error:
                    raise Unavailable(f"the pool at {address} is not there: {pool._last_fault}") from error
                yield pool

    async def reload(self) -> Weights:
        """Returns the weights that serve. The pool gets others by `python -m generator serve`.

        Raises `WeightsError` when the pool is away.
        """
        if self._unavailable:
            raise WeightsError(f"the pool is away: {self._unavailable}")
        return self.weights

    async def _request(self, work: Work, on_sentence: OnSentence | None) -> Result:
        try:
            async with asyncio.timeout(self._request_seconds):
                return await super()._request(work, on_sentence)
        except TimeoutError as error:
            raise Overloaded(_LATE_SECONDS) from error

    async def _start_worker(self, version: str) -> WorkerClient:  # noqa: ARG002 - the pool says what it serves
        require_ray()
        return await WorkerClient.start(self._folder, "generator.cluster.sidecar", *self._arguments)
