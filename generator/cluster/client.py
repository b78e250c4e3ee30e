"""The generator of a bot that uses a pool: the same surface, errors and texts as `ThreadedGenerator`."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from generator.backoff import Backoff
from generator.errors import Unavailable, WeightsError
from generator.process.protocol import Ready, Work
from generator.process.remote import RemoteGenerator
from generator.process.spawn import ChildProcess
from generator.weights.manifest import Manifest
from generator.weights.versions import Weights

REQUEST_SECONDS: Final = 30.0
"""After so long a text is given up: as long as a user waits in the queue."""
_GRACE_SECONDS: Final = 2.0
"""By so much later the pool has answered that a text is late, if it answers at all."""
START_SECONDS: Final = 60.0
"""How long opening waits for the pool."""
_BACKOFF: Final = Backoff(first=2.0, longest=10.0)


@dataclass(frozen=True, slots=True)
class PoolWeights(Weights):
    """The weights of a pool. `files` are those beside the model; they reach the disk when they are read."""

    files: Mapping[str, bytes]

    def beside(self, name: str) -> bytes | None:
        """Returns a file beside the model, and leaves it in `folder`."""
        content = self.files.get(name)
        if content is not None:
            self.folder.mkdir(exist_ok=True)
            (self.folder / name).write_bytes(content)
        return content


class Pool(RemoteGenerator):
    """Texts from the pool at an address, by way of a side-car process (`generator.cluster.sidecar`).

    Open it by `async with Pool.open(address) as pool`. The counts are of this bot's requests; what runs, and how fast,
    is that of all replicas, for all bots.
    """

    def __init__(self, address: str, folder: Path, request_seconds: float) -> None:
        super().__init__(START_SECONDS, 0.0, _BACKOFF)
        self._address = address
        self._folder = folder
        self._request_seconds = request_seconds

    @classmethod
    @asynccontextmanager
    async def open(
        cls, address: str, *, request_seconds: float = REQUEST_SECONDS, start_seconds: float = START_SECONDS
    ) -> AsyncIterator[Pool]:
        """Connects: "auto" finds a cluster on this machine (or by `RAY_ADDRESS`), "ray://host:10001" one elsewhere.

        `request_seconds`: how long a text may take; `start_seconds`: how long to wait for the pool. Raises
        `Unavailable`.
        """
        with tempfile.TemporaryDirectory(prefix="lstmega-pool-") as folder:
            pool = cls(address, Path(folder), request_seconds)
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
        if unavailable := self.status().unavailable:
            raise WeightsError(f"the pool is away: {unavailable}")
        return self.weights

    async def _request(self, work: Work) -> Any:
        try:
            async with asyncio.timeout(self._request_seconds + _GRACE_SECONDS):
                worker = await self._ready_worker()
                return await worker.request(work, time.time() + self._request_seconds)
        except TimeoutError as error:
            raise Unavailable("the pool did not answer in time") from error

    async def _spawn(self, *, again: bool) -> ChildProcess:  # noqa: ARG002 - the pool says what it serves
        # Ray prints much, and keeps logs of its own.
        return await ChildProcess.start("generator.cluster.sidecar", self._address, silent=True)

    def _weights_of(self, ready: Ready) -> Weights:
        manifest = Manifest.from_json(ready.manifest)
        return PoolWeights(self._folder / manifest.version, manifest, b"", ready.files)
