"""The supervisor: serves each platform independently, and retries one that fails with exponential backoff."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from enum import Enum
from typing import Final

from bot.logs import format_error
from bot.platforms.base import BadToken, Platform
from generator.backoff import Backoff

STEADY_SECONDS: Final = 60.0
"""After a connection of this length the backoff starts from its first pause again."""
log = logging.getLogger(__name__)


class State(Enum):
    """The state of a platform."""

    STARTING = "starting"
    CONNECTED = "connected"
    DOWN = "down"
    REFUSED = "refused"
    """The platform rejected the token. Final."""
    STOPPED = "stopped"


class NoPlatformLeft(Exception):
    """Every platform rejected its token; one line with what each of them said."""


class Supervised:
    """One platform and its state. `on_failure` is called with its name at each failure."""

    def __init__(
        self, platform: Platform, backoff: Backoff, on_failure: Callable[[str], None] = lambda _name: None
    ) -> None:
        self.platform = platform
        self.state = State.STARTING
        self.reason = ""
        """Why it is down or refused; empty otherwise. Holds no line break."""
        self._backoff = backoff
        self._on_failure = on_failure
        self._failures = 0
        self._since = 0.0
        """When the state last changed, on the loop's clock."""

    @property
    def name(self) -> str:
        """The platform's."""
        return self.platform.name

    async def serve(self) -> None:
        """Serves and retries until cancelled. Raises `BadToken`."""
        self._since = asyncio.get_running_loop().time()
        try:
            while True:
                await self._attempt()
                await asyncio.sleep(self._backoff.pause(self._failures))
        except BadToken as error:
            self._change(State.REFUSED, " ".join(str(error).split()))
            self._on_failure(self.name)
            raise
        finally:
            if self.state is not State.REFUSED:
                self._change(State.STOPPED)

    async def _attempt(self) -> None:
        try:
            await self.platform.serve()
        except BadToken:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is logged below, and the platform is retried
            failure: Exception = error
        else:
            failure = ConnectionError("the platform returned")
        if self.state is State.CONNECTED and self._seconds_in_state() >= STEADY_SECONDS:
            self._failures = 0
        self._failures += 1
        self._on_failure(self.name)
        reason = format_error(failure)
        log.debug("platform.attempt_failed platform=%s attempt=%d error=%s", self.name, self._failures, reason)
        if self.state is State.DOWN:
            self.reason = reason
        else:
            self._down(reason, failure)

    def poll(self) -> None:
        """Notices that the platform connected, or lost a connection that it restores itself."""
        connected = self.platform.connected
        if connected and self.state in {State.STARTING, State.DOWN}:
            log.info("platform.connected platform=%s after_s=%.0f", self.name, self._seconds_in_state())
            self._change(State.CONNECTED)
        elif not connected and self.state is State.CONNECTED:
            self._down(self.platform.problem or "connection lost")

    def _down(self, reason: str, error: Exception | None = None) -> None:
        self._change(State.DOWN, reason)
        # Network errors and those of a library explain themselves; a bare TypeError is a defect and needs its stack.
        expected = error is None or isinstance(error, OSError) or type(error).__module__ != "builtins"
        event = "platform.down platform=%s max_retry_s=%g error=%s"
        log.warning(event, self.name, self._backoff.longest, reason, exc_info=None if expected else error)

    def _change(self, state: State, reason: str = "") -> None:
        self.state, self.reason = state, reason
        self._since = asyncio.get_running_loop().time()

    def _seconds_in_state(self) -> float:
        return asyncio.get_running_loop().time() - self._since


class Supervisor:
    """All platforms of the service. `on_failure` is called with the name of a platform at each failure."""

    def __init__(
        self,
        platforms: Sequence[Platform],
        backoff: Backoff | None = None,
        on_failure: Callable[[str], None] = lambda _name: None,
    ) -> None:
        self.platforms = tuple(Supervised(platform, backoff or Backoff(), on_failure) for platform in platforms)
        self._draining = False

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Serves every platform while the block runs. Ends it with `NoPlatformLeft` when each rejected its token."""
        refusal: NoPlatformLeft | None = None
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._serve(supervised)) for supervised in self.platforms]
                try:
                    yield
                finally:
                    for task in tasks:
                        task.cancel()
        except* NoPlatformLeft as refusals:
            refusal = NoPlatformLeft(str(refusals.exceptions[0]))
        if refusal is not None:
            raise refusal

    async def _serve(self, supervised: Supervised) -> None:
        try:
            await supervised.serve()
        except BadToken as error:
            if all(other.state is State.REFUSED for other in self.platforms):
                reasons = "; ".join(f"{other.name}: {other.reason}" for other in self.platforms)
                raise NoPlatformLeft(reasons) from None
            log.error("platform.token_rejected platform=%s retry=never error=%s", supervised.name, error)

    def poll(self) -> None:
        """Updates the state of each platform; called periodically."""
        if self._draining:
            return  # a drained platform is expected to disconnect
        for supervised in self.platforms:
            supervised.poll()

    async def drain(self) -> None:
        """Returns when each platform, also one that is down, has answered every request that it accepted."""
        self._draining = True
        async with asyncio.TaskGroup() as group:
            for supervised in self.platforms:
                group.create_task(self._drain(supervised))

    async def _drain(self, supervised: Supervised) -> None:
        try:
            await supervised.platform.drain()
        except Exception:  # the others still have answers to send
            log.exception("platform.drain_failed platform=%s", supervised.name)
