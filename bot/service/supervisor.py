"""The supervisor: serves and retries each platform independently, and sends the heartbeat to systemd's watchdog."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from bot.logs import format_error
from bot.platforms.base import BadToken, Platform
from generator.backoff import Backoff

STEADY_SECONDS: Final = 60.0
"""After an attempt of this length the backoff starts from its first pause again."""
PERIOD_SECONDS: Final = 0.5
READY: Final = "READY=1"
STOPPING: Final = "STOPPING=1"
ALIVE: Final = "WATCHDOG=1"
log = logging.getLogger(__name__)


@dataclass
class Supervised:
    """A platform that is served again and again. `on_failure` is called with its name at each failure."""

    platform: Platform
    backoff: Backoff
    on_failure: Callable[[str], None] = lambda _name: None
    logged: str = "starting"
    """The state that was logged last: "starting", "connected", "down", or "refused" (the token), which is final."""
    reason: str = ""
    """Why it is down or refused; empty otherwise. Holds no line break."""

    @property
    def state(self) -> str:
        """Its state at this moment, and the reason."""
        if self.platform.connected:
            return "connected"
        state = "down" if self.logged == "connected" else self.logged
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
                self.logged, self.reason = "refused", " ".join(str(failure).split())
                return
            self._down(format_error(failure), failure)
            failures = 1 if clock() - began >= STEADY_SECONDS else failures + 1
            await asyncio.sleep(self.backoff.pause(failures))

    def poll(self) -> None:
        """Logs that the platform connected, or lost a connection that it restores itself; called periodically."""
        if self.platform.connected and self.logged != "connected":
            self.logged, self.reason = "connected", ""
            log.info("platform.connected platform=%s", self.platform.name)
        elif self.logged == "connected" and not self.platform.connected:
            self._down(self.platform.problem or "connection lost")

    def _down(self, reason: str, error: Exception | None = None) -> None:
        if self.logged == "down":
            log.debug("platform.attempt_failed platform=%s error=%s", self.platform.name, reason)
        else:
            # Network errors and a library's explain themselves; a bare TypeError is a defect and needs its stack.
            expected = error is None or isinstance(error, OSError) or type(error).__module__ != "builtins"
            event = "platform.down platform=%s max_retry_s=%g error=%s"
            log.warning(event, self.platform.name, self.backoff.longest, reason, exc_info=None if expected else error)
        self.logged, self.reason = "down", reason


async def serve(platforms: Sequence[Supervised]) -> None:
    """Serves every platform until cancelled, or until every one has rejected its token."""

    async def serve_one(supervised: Supervised) -> None:
        await supervised.serve()
        if any(other.logged != "refused" for other in platforms):
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


def notify(*states: str) -> None:
    """Sends `NAME=value` states to systemd, as sd_notify(3) describes, if it started the service."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as datagrams:
            datagrams.setblocking(False)
            datagrams.connect(address.replace("@", "\0", 1) if address[0] == "@" else address)
            datagrams.send("\n".join(" ".join(state.split()) for state in states).encode())
    except OSError as error:
        log.log(logging.WARNING if READY in states else logging.DEBUG, "systemd.notify_failed error=%s", error)


async def heartbeat(on_lag: Callable[[float], object], *checks: Callable[[], object]) -> None:
    """Every `PERIOD_SECONDS`, reports the loop's lag in seconds to `on_lag`, calls `checks`, and notifies systemd."""
    clock = asyncio.get_running_loop().time
    due = clock()
    while True:
        lag = max(0.0, clock() - due)
        on_lag(lag)
        if lag >= 2.0:
            log.warning("event_loop.lagged seconds=%.1f reason=blocked, or the process was stopped", lag)
        for check in checks:
            check()
        notify(ALIVE)
        due = clock() + PERIOD_SECONDS
        await asyncio.sleep(PERIOD_SECONDS)
