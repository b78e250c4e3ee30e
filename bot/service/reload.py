"""Hot reload: on SIGHUP, on request, and when CURRENT or a refused version changes."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from watchfiles import Change, awatch

from bot.core import messages
from generator import Generator, WeightsError
from generator.weights.versions import CURRENT, current_version

POLL_SECONDS: Final = 5.0
"""How often CURRENT is read although no change was reported: network file systems report none."""
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What CURRENT names, or why that cannot be said; and that version's files, each with size and time of change."""

    named: str
    files: frozenset[tuple[str, int, int]]


class Reloading:
    """Reloads one generator. `on_outcome` is called with "loaded", "unchanged" or "refused" each time."""

    def __init__(self, generator: Generator, on_outcome: Callable[[str], None] = lambda _outcome: None) -> None:
        self._generator = generator
        self._on_outcome = on_outcome
        self._asked = asyncio.Event()
        self._tried = self._last = _Seen(generator.weights.manifest.version, frozenset())
        """What CURRENT was when it was last tried, and at the last poll."""
        self.refusal = ""
        """Why the last attempt was refused; empty if it was not."""

    async def reload(self, trigger: str) -> str:
        """Loads what CURRENT names while the old weights serve, then switches to it; returns a sentence about it.

        `trigger` says in the log what asked for it. Raises `WeightsError`, which is logged; then the old weights stay.
        """
        before = self._generator.weights.manifest.version
        try:
            weights = await self._generator.reload()
        except WeightsError as error:
            self._on_outcome("refused")
            level = logging.DEBUG if str(error) == self.refusal and trigger == _RETRY else logging.ERROR
            log.log(level, "reload.refused trigger=%r serving=%s reason=%s", trigger, before, error)
            self.refusal = str(error)
            raise
        self.refusal = ""
        now = weights.manifest.version
        self._on_outcome("unchanged" if before == now else "loaded")
        log.info("reload.done trigger=%r version=%s before=%s", trigger, now, before)
        return messages.reloaded(before, now)

    def ask(self) -> None:
        """Asks for a reload from where nothing can wait for it: a signal handler. Several requests make one reload."""
        self._asked.set()

    @asynccontextmanager
    async def watching(self, folder: Path | None) -> AsyncIterator[None]:
        """While the block runs, reloads when `ask` is called, and when CURRENT in `folder` changes (`None`: pinned)."""
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            endless = [group.create_task(self._on_request())]
            if folder is not None:
                group.create_task(self._watch(folder, stop))
                endless.append(group.create_task(self._poll_again_and_again(folder)))
                await asyncio.sleep(0)  # its first step: from here on the kernel reports what changes
            try:
                yield
            finally:
                # The watcher waits in a thread, which a cancellation does not reach before its time is over.
                stop.set()
                for task in endless:
                    task.cancel()

    async def _on_request(self) -> None:
        while True:
            await self._asked.wait()
            self._asked.clear()
            await self._try("SIGHUP")

    async def _watch(self, folder: Path, stop: asyncio.Event) -> None:
        """Polls whenever the kernel reports that CURRENT changed."""

        def names_current(_: Change, path: str) -> bool:
            return Path(path).name == CURRENT

        try:
            async for _ in awatch(folder, watch_filter=names_current, stop_event=stop, recursive=False):
                await self._poll(folder)
        except (OSError, RuntimeError) as error:  # no such folder; the kernel's limit of watches is reached
            log.warning("reload.not_watched path=%s poll_s=%g error=%s", folder / CURRENT, POLL_SECONDS, error)

    async def _poll_again_and_again(self, folder: Path) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            await self._poll(folder)

    async def _poll(self, folder: Path) -> None:
        """Reloads when CURRENT names another version, or when the files of one that was refused have changed and are at
        rest: it may still have been copied."""
        seen, last = await asyncio.to_thread(_look, folder), self._last
        self._last = seen
        if seen.named != self._tried.named:
            self._tried = seen
            if seen.named != self._generator.weights.manifest.version:
                await self._try(CURRENT)
        elif self.refusal and seen != self._tried and seen == last:
            self._tried = seen
            await self._try(_RETRY)

    async def _try(self, trigger: str) -> None:
        try:
            await self.reload(trigger)
        except WeightsError:
            return  # `reload` has logged it
        except Exception:  # a defect of ours, or no memory: the old weights serve, and so does everything else
            log.exception("reload.failed trigger=%r", trigger)


_RETRY: Final = "version changed"


def _look(folder: Path) -> _Seen:
    try:
        named = current_version(folder)
    except WeightsError as error:
        return _Seen(str(error), frozenset())
    try:
        with os.scandir(folder / named) as entries:
            found = [(entry.name, entry.stat(follow_symlinks=False)) for entry in entries]
    except OSError:
        found = []
    return _Seen(named, frozenset((name, status.st_size, status.st_mtime_ns) for name, status in found))
