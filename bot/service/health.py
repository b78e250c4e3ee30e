"""Readiness: whether each part of the service works, checked on request."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from bot.core.commands import Commands
from bot.service.reload import Reloading
from bot.service.supervisor import Supervised
from bot.store.errors import StoreError
from bot.store.store import Store
from generator import Generator

TIMEOUT_SECONDS: Final = 2.0
"""A database that answers later than this is not ready."""
CHECK_SECONDS: Final = 5.0
"""How long the result of a check of the database is shown again: a check writes, and every GET may ask for one."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the service: whether it is ready, and what its state is."""

    part: str
    ready: bool
    detail: str


@dataclass
class Health:
    """The parts of one service."""

    commands: Commands
    platforms: Sequence[Supervised]
    generator: Generator
    reloading: Reloading
    store: Store
    _checking: asyncio.Lock = field(default_factory=asyncio.Lock)
    _checked: Part | None = None
    _check_again: float = 0.0

    async def parts(self) -> list[Part]:
        """Returns the state of every part. A refused reload is no fault: the old weights still serve."""
        stopping = self.commands.closing
        weights = self.generator.weights.manifest.version
        if self.reloading.refusal:
            weights += f"; the last reload was refused: {self.reloading.refusal}"
        return [
            Part("service", not stopping, "stopping" if stopping else "running"),
            *(Part(each.platform.name, each.platform.connected, each.state) for each in self.platforms),
            Part("weights", ready=True, detail=weights),
            self._worker(),
            await self._database(),
        ]

    def _worker(self) -> Part:
        """Returns whether all threads work, and the last fault."""
        status = self.generator.status()
        detail = f"unavailable: {status.unavailable}" if status.unavailable else f"threads: {status.threads} work"
        if status.faults:
            detail += f"; faults since the start: {status.faults}, the last: {status.last_fault}"
        return Part("generator", ready=not status.unavailable, detail=detail)

    async def _database(self) -> Part:
        async with self._checking:
            now = asyncio.get_running_loop().time()
            if self._checked is None or now >= self._check_again:
                self._checked, self._check_again = await self._check_database(), now + CHECK_SECONDS
            return self._checked

    async def _check_database(self) -> Part:
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                await self.store.temperature("", "")  # of no user: reads the database and finds nothing
                await self.store.check_writable()
        except StoreError as error:
            return Part("store", ready=False, detail=str(error))
        except TimeoutError:
            return Part("store", ready=False, detail=f"no answer within {TIMEOUT_SECONDS:g} s")
        return Part("store", ready=True, detail="reads and writes")
