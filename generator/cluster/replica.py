"""What Ray Serve runs: one scheduler, with its continuous batching, and how requests reach it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from generator.cluster.remote_weights import within_reach
from generator.errors import GeneratorError, WeightsError
from generator.process.protocol import Heartbeat, Result, Work
from generator.process.worker import SchedulerBackend
from generator.serving.loading import load_model
from generator.serving.model import Model
from generator.serving.scheduler import MAX_BATCH_SIZE, Scheduler

QUEUE: Final = MAX_BATCH_SIZE
"""Requests that wait in a replica for a batch slot; more of them wait with the bots."""
DRAIN_SECONDS: Final = 20.0
"""How long a replica that Serve stops may finish its texts."""
CURVE: Final = "curve.png"
"""The picture that `/about` shows."""


@dataclass(frozen=True, slots=True)
class Description:
    """What bots show of the weights: a folder that was copied from a URL is gone by then."""

    manifest: str
    curve: bytes | None


def load(source: str, version: str) -> tuple[Model, Description]:
    """Loads a version, verifies and tests it. Raises `WeightsError`."""
    with within_reach(source, version) as folder:
        model = load_model(folder, version)
        return model, Description(model.weights.manifest.to_json(), model.weights.beside(CURVE))


def preflight(source: str, version: str) -> str:
    """Loads a version before it is rolled out; returns what is wrong with it, nothing when it can serve."""
    try:
        load(source, version)
    except WeightsError as error:
        return str(error)
    return ""


class Replica:
    """A scheduler of `threads` threads. Serve calls `reconfigure` first."""

    _backend: SchedulerBackend
    _description: Description

    def __init__(self, threads: int) -> None:
        self._threads = threads

    async def reconfigure(self, settings: Mapping[str, str]) -> None:
        """Switches to `settings`: `weights`, a folder or URL, and the `version` in it.

        Texts in progress finish on the old version. Raises `WeightsError`: Serve then stops the roll-out.
        """
        model, self._description = await asyncio.to_thread(load, settings["weights"], settings["version"])
        if hasattr(self, "_backend"):
            self._backend.scheduler.swap(model)
        else:
            self._backend = SchedulerBackend(Scheduler(model, QUEUE, self._threads))

    async def generate(self, work: Work) -> Result | GeneratorError:
        """Generates or scores one text. Errors are returned: Ray would wrap a raised one.

        Cancelling frees its batch slot at the next character.
        """
        try:
            return await self._backend.run(work)
        except GeneratorError as error:
            return error

    async def describe(self) -> Description:
        """Returns what is shown of the weights that serve."""
        return self._description

    async def status(self) -> tuple[str, Heartbeat]:
        """Returns the version that serves, and what the replica does now."""
        scheduler = self._backend.scheduler
        return scheduler.model.version, Heartbeat(scheduler.statistics(), scheduler.status())

    async def check_health(self) -> None:
        """Raises when a step has not ended since the last check: Serve replaces a replica that fails three in a row."""
        if hasattr(self, "_backend") and self._backend.scheduler.stalls():
            raise RuntimeError("a step of the network hangs")
