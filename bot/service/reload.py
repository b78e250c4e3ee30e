"""Other weights while the service runs: on SIGHUP, when somebody asks over HTTP, and when CURRENT names others."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from watchfiles import Change, awatch

from bot.core import messages
from generator import Generator, WeightsError
from generator.weights.versions import CURRENT, current_version

LOOK_SECONDS: Final = 5.0
"""How often CURRENT is read even though no change was reported: network file systems report none."""
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reloaded:
    """The versions that served before and that serve now."""

    before: str
    now: str

    def __str__(self) -> str:
        return messages.reloaded(self.before, self.now)


class Reloading:
    """Takes up weights for one generator. `on_outcome` is told "loaded", "unchanged" or "refused" each time."""

    def __init__(self, generator: Generator, on_outcome: Callable[[str], None] = lambda _outcome: None) -> None:
        self._generator = generator
        self._on_outcome = on_outcome
        self._asked = asyncio.Event()
        self._seen = generator.weights.manifest.version

    async def reload(self, occasion: str) -> Reloaded:
        """Loads, verifies and tests what CURRENT names while the old weights serve, then swaps.

        `occasion` says in the log who wanted it. Raises `WeightsError`, which is logged; then the old ones stay.
        """
        before = self._generator.weights.manifest.version
        try:
            weights = await self._generator.reload()
        except WeightsError as error:
            self._on_outcome("refused")
            log.error("weights (%s): %s; %s goes on serving", occasion, error, before)
            raise
        done = Reloaded(before, weights.manifest.version)
        self._on_outcome("unchanged" if done.before == done.now else "loaded")
        log.info("weights (%s): %s", occasion, done)
        return done

    def ask(self) -> None:
        """Wants a reload soon, from whatever cannot wait for it: a signal. Several at once make one."""
        self._asked.set()

    @asynccontextmanager
    async def watching(self, folder: Path | None) -> AsyncIterator[None]:
        """While the block runs, does what `ask` wants, and what CURRENT in `folder` says (`None`: nobody watches)."""
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            endless = [group.create_task(self._obey())]
            if folder is not None:
                group.create_task(self._follow(folder, stop))
                endless.append(group.create_task(self._look_again_and_again(folder)))
                await asyncio.sleep(0)  # its first step: from here on the kernel notes what changes
            try:
                yield
            finally:
                # The watcher waits in a thread, which a cancellation does not reach before its time is over.
                stop.set()
                for task in endless:
                    task.cancel()

    async def _obey(self) -> None:
        while True:
            await self._asked.wait()
            self._asked.clear()
            await self._try("SIGHUP")

    async def _follow(self, folder: Path, stop: asyncio.Event) -> None:
        """Looks whenever the kernel says that CURRENT changed."""

        def names_current(_: Change, path: str) -> bool:
            return Path(path).name == CURRENT

        try:
            async for _ in awatch(folder, watch_filter=names_current, stop_event=stop, recursive=False):
                await self._look(folder)
        except (OSError, RuntimeError) as error:  # no such folder; the kernel's limit of watches is reached
            log.warning("%s cannot be watched (%s); it is read every %g s", folder / CURRENT, error, LOOK_SECONDS)

    async def _look_again_and_again(self, folder: Path) -> None:
        """Looks without being told: file systems of other machines tell nothing, and a start may miss a change."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self._look(folder)

    async def _look(self, folder: Path) -> None:
        """Takes up what CURRENT names if that has changed; what was refused is tried again when it changes."""
        named = await asyncio.to_thread(_named, folder)
        if named != self._seen:
            self._seen = named
            if named != self._generator.weights.manifest.version:
                await self._try("CURRENT changed")

    async def _try(self, occasion: str) -> None:
        try:
            await self.reload(occasion)
        except WeightsError:
            return  # `reload` has told it
        except Exception:  # a defect of ours, or no memory: the old weights serve, and so does everything else
            log.exception("weights (%s): taking them up failed; the old ones go on serving", occasion)


def _named(folder: Path) -> str:
    """What CURRENT names, or why that cannot be said: both are something new when they change."""
    try:
        return current_version(folder)
    except WeightsError as error:
        return str(error)
