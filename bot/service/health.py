"""Readiness: whether each part of the service works, checked on request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from bot.service.supervisor import State, Supervised
from bot.store.errors import StoreError
from bot.store.store import Store
from generator import Generator, GeneratorStatus

TIMEOUT_SECONDS: Final = 2.0
"""A database that answers later than this is not ready."""
CHECK_SECONDS: Final = 5.0
"""How long the result of a check of the database is shown again."""
_NOBODY: Final = ("", "")
"""No platform and no person: asking for them reads the database and finds nothing."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the service: whether it is ready, and what its state is."""

    part: str
    ready: bool
    detail: str


class Health:
    """The parts of one service. `refused_reload` returns why the last reload was refused, empty if it was not."""

    def __init__(
        self,
        platforms: Iterable[Supervised],
        generator: Generator,
        store: Store,
        refused_reload: Callable[[], str] = lambda: "",
    ) -> None:
        self._platforms = tuple(platforms)
        self._generator = generator
        self._store = store
        self._refused_reload = refused_reload
        self._stopping = False
        self._database_lock = asyncio.Lock()
        self._database_part: Part | None = None
        self._database_checked = 0.0

    def stop(self) -> None:
        """Makes the service not ready from now on."""
        self._stopping = True

    async def parts(self) -> list[Part]:
        """Returns the state of every part."""
        service = Part("service", not self._stopping, "stopping" if self._stopping else "running")
        generator = _generator(self._generator.status())
        return [service, *map(_platform, self._platforms), self._weights(), generator, await self._database()]

    def _weights(self) -> Part:
        """Returns what serves. A refused reload is a warning: the old weights still serve."""
        detail = self._generator.weights.manifest.version
        if refusal := self._refused_reload():
            detail += f"; the last reload was refused: {refusal}"
        return Part("weights", ready=True, detail=detail)

    async def _database(self) -> Part:
        """Returns the last check's result for `CHECK_SECONDS`: a check writes, and every GET may ask for one."""
        async with self._database_lock:
            now = asyncio.get_running_loop().time()
            if self._database_part is None or now - self._database_checked >= CHECK_SECONDS:
                self._database_part, self._database_checked = await self._check_database(), now
            return self._database_part

    async def _check_database(self) -> Part:
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                await self._store.temperature(*_NOBODY)
                await self._store.check_writable()
        except StoreError as error:
            return Part("store", ready=False, detail=str(error))
        except TimeoutError:
            return Part("store", ready=False, detail=f"no answer within {TIMEOUT_SECONDS:g} s")
        return Part("store", ready=True, detail="reads and writes")


def _generator(status: GeneratorStatus) -> Part:
    """Returns whether all threads work, and the last fault."""
    detail = f"{status.threads} threads work" if status.threads > 1 else "works"
    if status.unavailable:
        detail = f"unavailable: {status.unavailable}"
    elif status.restarting:
        detail = f"{status.restarting} of {status.restarting + status.threads} threads restart"
    if status.faults:
        detail += f"; faults since the start: {status.faults}, the last: {status.last_fault}"
    return Part("generator", ready=not (status.unavailable or status.restarting), detail=detail)


def _platform(supervised: Supervised) -> Part:
    """Returns what the supervisor last saw, corrected by what the platform says now."""
    if supervised.platform.connected:
        return Part(supervised.name, ready=True, detail=State.CONNECTED.value)
    state = State.DOWN if supervised.state is State.CONNECTED else supervised.state
    detail = f"{state.value}: {supervised.reason}" if supervised.reason else state.value
    return Part(supervised.name, ready=False, detail=detail)
