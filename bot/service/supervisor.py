"""The supervisor: serves each platform independently, and retries one that fails with exponential backoff."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from bot.logs import format_error
from bot.platforms.base import BadToken, Platform
from generator.backoff import Backoff

STEADY_SECONDS: Final = 60.0
"""After an attempt of this length the backoff starts from its first pause again."""
log = logging.getLogger(__name__)


@dataclass
class Supervised:
    """A platform that is served again and again. `on_failure` is called with its name at each failure."""

    platform: Platform
    backoff: Backoff
    on_failure: Callable[[str], None] = lambda _name: None
    refused: bool = False
    """Whether it rejected the token, which is final."""
    reason: str = ""
    """Why it is down or refused; empty otherwise. Holds no line break."""
    _connected: bool = False
    """What was logged last."""

    @property
    def state(self) -> str:
        """Its state at this moment: "starting", "connected", "down" or "refused", and the reason."""
        if self.platform.connected:
            return "connected"
        state = "refused" if self.refused else "down" if self.reason or self._connected else "starting"
        return f"{state}: {self.reason}" if self.reason else state

    async def serve(self) -> None:
        """Serves and retries until cancelled, or until the platform rejects the token."""
        failures, clock = 0, asyncio.get_running_loop().time
        while True:
            began = clock()
            try:
                await self.platform.serve()
                failure: Exception = ConnectionError("the platform returned")
            except Exception as error:  # noqa: BLE001 - whatever it is, it is logged below
                failure = error
            self.on_failure(self.platform.name)
            if isinstance(failure, BadToken):
                self.refused, self.reason, self._connected = True, " ".join(str(failure).split()), False
                return
            self._down(format_error(failure), failure)
            failures = 1 if clock() - began >= STEADY_SECONDS else failures + 1
            await asyncio.sleep(self.backoff.pause(failures))

    def poll(self) -> None:
        """Logs that the platform connected, or lost a connection that it restores itself; called periodically."""
        if self.platform.connected and not self._connected:
            self._connected, self.reason = True, ""
            log.info("platform.connected platform=%s", self.platform.name)
        elif self._connected and not self.platform.connected:
            self._down(self.platform.problem or "connection lost")

    def _down(self, reason: str, error: Exception | None = None) -> None:
        if self.reason and not self._connected:
            log.debug("platform.attempt_failed platform=%s error=%s", self.platform.name, reason)
        else:
            # Network errors and a library's explain themselves; a bare TypeError is a defect and needs its stack.
            expected = error is None or isinstance(error, OSError) or type(error).__module__ != "builtins"
            event = "platform.down platform=%s max_retry_s=%g error=%s"
            exc_info = None if expected else error
            log.warning(event, self.platform.name, self.backoff.longest, reason, exc_info=exc_info)
        self._connected, self.reason = False, reason


async def serve(platforms: Sequence[Supervised]) -> None:
    """Serves every platform until cancelled, or until every one has rejected its token."""

    async def serve_one(supervised: Supervised) -> None:
        await supervised.serve()
        if not all(other.refused for other in platforms):
            event = "platform.token_rejected platform=%s retry=never error=%s"
            log.error(event, supervised.platform.name, supervised.reason)

    async with asyncio.TaskGroup() as group:
        for supervised in platforms:
            group.create_task(serve_one(supervised))


async def drain(platforms: Sequence[Supervised]) -> None:
    """Returns when each platform, also one that is down, has answered every request that it accepted."""
    outcomes = await asyncio.gather(*(each.platform.drain() for each in platforms), return_exceptions=True)
    for supervised, error in zip(platforms, outcomes, strict=True):
        if error is not None:
            log.error("platform.drain_failed platform=%s", supervised.platform.name, exc_info=error)
