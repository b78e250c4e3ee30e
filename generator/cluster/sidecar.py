"""A worker process whose texts come from the cluster: `python -m generator.cluster.sidecar`.

A process of its own, because Ray's library ends the process that it is in when the cluster is away for a minute. It
ends when the pool is away: the bot starts another.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from ray import serve
from ray.exceptions import RayActorError, WorkerCrashedError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError

from generator.cluster import application
from generator.cluster.deploy import connect
from generator.cluster.replica import CURVE
from generator.errors import GeneratorError, Overloaded, ShuttingDown, Unavailable
from generator.process import server
from generator.process.protocol import Heartbeat, Result, Work
from generator.types import GeneratorStatus, OnSentence

REPLICA_SECONDS: Final = 1.0
"""How long each replica may take to say how it is."""
ANSWER_SECONDS: Final = 1.5
"""How long the pool may take to say how it is: so short that no heartbeat is late."""
AWAY_SECONDS: Final = 10.0
"""After so long without an answer the pool is away: longer than Serve takes to replace its only replica."""
RETRY_SECONDS: Final = 0.2
"""Before a text whose replica died is asked for again."""
_SUMMED: Final = ("running", "queued", "characters_per_second", "threads", "slots")
"""Of the replicas' states. The bot counts texts and failures itself."""
_RETRY_AFTER: Final = 5.0
"""When a bot may ask again that Serve refused."""


class Sidecar:
    """The `Backend` that asks the application's replicas, by `handle`. It writes `CURVE` into `folder`."""

    def __init__(self, handle: Any, folder: Path) -> None:
        self._handle = handle
        self._folder = folder
        self._version = ""
        self._answered = time.monotonic()
        self._last: Heartbeat | None = None

    async def run(self, work: Work, _: OnSentence | None = None) -> Result:
        """Asks again for a text whose replica died: by the same seed it is the same text."""
        while True:
            try:
                return await self._ask_once(work)
            except BackPressureError:
                raise Overloaded(_RETRY_AFTER) from None
            except (ShuttingDown, RayActorError, WorkerCrashedError, DeploymentUnavailableError, ConnectionError):
                await asyncio.sleep(RETRY_SECONDS)
            except GeneratorError:
                raise
            except Exception as error:
                raise Unavailable(f"asking the pool failed: {type(error).__name__}") from error

    async def _ask_once(self, work: Work) -> Result:
        response = self._handle.generate.remote(work)
        try:
            result: Result | GeneratorError = await response
        except asyncio.CancelledError:
            # It waits until the request has a replica, so it must not run in the loop's thread.
            await asyncio.shield(asyncio.to_thread(response.cancel))
            raise
        if isinstance(result, GeneratorError):
            raise result
        return result

    async def heartbeat(self) -> Heartbeat | None:
        """Returns the sum of all replicas. Raises `Unavailable` when none has answered for a while."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                self._last = await self._ask_replicas()
            self._answered = time.monotonic()
        except Exception as error:
            if time.monotonic() - self._answered >= AWAY_SECONDS:
                raise Unavailable(f"the pool does not answer ({type(error).__name__})") from error
        return self._last

    async def _ask_replicas(self) -> Heartbeat:
        """Returns the sum of the replicas that answer soon: one may hang."""
        # What `results_async` begins with; it would then wait for all of them.
        results = await self._handle.broadcast("status")._fetch_replica_results_async()  # noqa: SLF001
        asked = [asyncio.ensure_future(result.get_async()) for result in results]
        done, late = await asyncio.wait(asked, timeout=REPLICA_SECONDS)
        for task in late:
            task.cancel()
        replicas = [task.result() for task in done if not task.exception()]
        if not replicas:
            raise Unavailable("no replica answers")
        together = {name: sum(getattr(status, name) for _, status in replicas) for name in _SUMMED}
        manifest = await self._changed_manifest([version for version, _ in replicas])
        measured = any(status.speed_measured for _, status in replicas)
        return Heartbeat(GeneratorStatus(**together, speed_measured=measured), manifest)

    async def _changed_manifest(self, versions: Sequence[str]) -> str:
        if self._version in versions:
            return ""
        description = await self._handle.describe.remote()
        (self._folder / CURVE).unlink(missing_ok=True)
        if description.curve is not None:
            (self._folder / CURVE).write_bytes(description.curve)
        self._version = versions[0]
        return str(description.manifest)


async def _connect(address: str, voice: str, folder: str) -> Sidecar:
    connect(address)
    try:
        return Sidecar(serve.get_app_handle(application(voice)), Path(folder))
    except Exception as error:
        problem = f"the cluster has no pool of {voice}: python -m generator serve --voice {voice} deploys one"
        raise Unavailable(problem) from error


if __name__ == "__main__":
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for output in (sys.stdout, sys.stderr):  # Ray prints much, and keeps logs of its own
        os.dup2(nowhere, output.fileno())
    _, descriptor, parent, *arguments = sys.argv
    server.serve(descriptor, parent, _connect(*arguments))
