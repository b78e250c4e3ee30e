"""Hot reload: on SIGHUP, on request, and when CURRENT or a refused version changes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bot.core import messages
from generator import Generator, WeightsError
from generator.weights.versions import CURRENT, current_version

POLL_SECONDS: Final = 1.0
_Seen = tuple[str, dict[str, int]]
"""What CURRENT names, or why that cannot be said, and when each file of that version was changed."""
log = logging.getLogger(__name__)


@dataclass
class Reloading:
    """Reloads one generator. `on_outcome` is called with "loaded", "unchanged" or "refused" each time."""

    generator: Generator
    on_outcome: Callable[[str], None] = lambda _outcome: None
    refusal: str = ""
    """Why the last attempt was refused; empty if it was not."""

    async def reload(self, trigger: str) -> str:
        """Loads what CURRENT names while the old weights serve, then switches to it; returns a sentence about it.

        `trigger` says in the log what asked for it. Raises `WeightsError`; every error is logged, and the old weights
        stay.
        """
        before = self._serving
        try:
            await self.generator.reload()
        except Exception as error:
            self.refusal = str(error) or type(error).__name__
            self.on_outcome("refused")
            defect = None if isinstance(error, WeightsError) else error
            log.error("reload.refused trigger=%r serving=%s reason=%s", trigger, before, self.refusal, exc_info=defect)
            raise
        self.refusal = ""
        self.on_outcome("unchanged" if before == self._serving else "loaded")
        log.info("reload.done trigger=%r version=%s before=%s", trigger, self._serving, before)
        return messages.reloaded(before, self._serving)

    async def on_request(self, asked: asyncio.Event) -> None:
        """Reloads whenever SIGHUP sets the event. Several signals make one reload."""
        while True:
            await asked.wait()
            asked.clear()
            with suppress(Exception):  # `reload` has logged it
                await self.reload("SIGHUP")

    async def watch(self, folder: Path | None) -> None:
        """Reloads when CURRENT in `folder` (None: nowhere) names another version, or when the files of one that was
        refused have changed and are at rest: it may still have been copied."""
        tried: _Seen = (self._serving, {})
        last = tried
        while folder is not None:
            seen = await asyncio.to_thread(_look, folder)
            at_rest, last = seen == last, seen
            if seen[0] != tried[0] or (self.refusal and seen != tried and at_rest):
                tried = seen
                if seen[0] != self._serving:
                    with suppress(Exception):
                        await self.reload(CURRENT)
            await asyncio.sleep(POLL_SECONDS)

    @property
    def _serving(self) -> str:
        return self.generator.weights.manifest.version


def _look(folder: Path) -> _Seen:
    try:
        named = current_version(folder)
    except WeightsError as error:
        return str(error), {}
    try:
        return named, {file.name: file.stat().st_mtime_ns for file in (folder / named).iterdir()}
    except OSError:
        return named, {}
