"""Keeps platforms serving: each on its own, tried again with growing pauses when it fails, never in another's way."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Final

from bot import logs
from bot.platforms.base import BadToken, Platform

STEADY_SECONDS: Final = 60.0
"""A connection that held this long was a good one: the next pauses begin small again."""
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses that grow from `first` to `longest` seconds, doubling, each drawn evenly from nought to that.

    This is "full jitter" of https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/: many that lost
    the same server do not come back all at once. `draw` gives numbers from 0 to 1.
    """

    first: float = 1.0
    longest: float = 300.0
    draw: Callable[[], float] = random.random

    def ceiling(self, failures: int) -> float:
        """The longest pause, in seconds, after so many failures in a row (at least one)."""
        doublings = min(failures - 1, 32)  # by then every pause has grown to `longest`, and 2**1000 is no float
        return min(self.longest, self.first * 2.0**doublings)

    def pause(self, failures: int) -> float:
        """The pause, in seconds, after so many failures in a row (at least one)."""
        return self.ceiling(failures) * self.draw()


class State(Enum):
    """How a platform stands."""

    STARTING = "starting"
    CONNECTED = "connected"
    DOWN = "down"
    REFUSED = "refused"
    """It takes no such token. Final."""
    STOPPED = "stopped"


class NoPlatformLeft(Exception):
    """Every platform refused its token, so there is nobody to serve; one line with what each of them said."""


class Supervised:
    """A platform that is kept serving. `on_failure` is told each time that it fails."""

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
        """Serves, again and again, until it is cancelled. Raises `BadToken`."""
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
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told below, and this one is tried again
            failure: Exception = error
        else:
            failure = ConnectionError("it ended by itself")
        if self.state is State.CONNECTED and self._held() >= STEADY_SECONDS:
            self._failures = 0
        self._failures += 1
        self._on_failure(self.name)
        log.debug("%s: attempt %d failed: %s", self.name, self._failures, logs.format_error(failure))
        if self.state is State.DOWN:
            self.reason = logs.format_error(failure)
        else:
            self._lost(logs.format_error(failure), failure)

    def look(self) -> None:
        """Notices what the platform did by itself: it connected, or lost a connection that it tries to get back."""
        connected = self.platform.connected
        if connected and self.state in {State.STARTING, State.DOWN}:
            after = f" after {_duration(self._held())}" if self.state is State.DOWN else ""
            self._change(State.CONNECTED)
            log.info("%s: connected%s", self.name, after)
        elif not connected and self.state is State.CONNECTED:
            self._lost("the connection is lost")

    def _lost(self, reason: str, error: Exception | None = None) -> None:
        self._change(State.DOWN, reason)
        retrying = f"trying again, with pauses of up to {_duration(self._backoff.longest)}"
        # What the network does explains itself, as do the errors that a library names; a bare TypeError is a defect.
        expected = error is None or isinstance(error, OSError) or type(error).__module__ != "builtins"
        log.warning("%s: down: %s; %s", self.name, reason, retrying, exc_info=None if expected else error)

    def _change(self, state: State, reason: str = "") -> None:
        self.state, self.reason = state, reason
        self._since = asyncio.get_running_loop().time()

    def _held(self) -> float:
        """Seconds since the state last changed."""
        return asyncio.get_running_loop().time() - self._since


class Supervisor:
    """All platforms of the service. `on_failure` is told the name of one each time that it fails."""

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
        """Every platform is served while the block runs, which `NoPlatformLeft` ends when none takes its token."""
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
                said = "; ".join(f"{other.name}: {other.reason}" for other in self.platforms)
                raise NoPlatformLeft(said) from None
            log.error("%s: %s; it stays off until the service is started with another token", supervised.name, error)

    def look(self) -> None:
        """Notices what each platform did by itself; to be called now and then."""
        if self._draining:
            return  # who is drained no longer listens, and that is no news
        for supervised in self.platforms:
            supervised.look()

    async def drain(self) -> None:
        """Returns when each platform has answered everything it has taken, also one that is just off the network."""
        self._draining = True
        async with asyncio.TaskGroup() as group:
            for supervised in self.platforms:
                group.create_task(self._drain(supervised))

    async def _drain(self, supervised: Supervised) -> None:
        try:
            await supervised.platform.drain()
        except Exception as error:  # the others still have answers to send
            log.error("%s: some answers may not have been sent", supervised.name, exc_info=error)


def _duration(seconds: float) -> str:
    """A time as people say it, in its largest unit."""
    for unit, name in ((3600.0, "h"), (60.0, "min")):
        if seconds >= unit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds:.0f} s"
