"""The event loop's heartbeat: it measures the loop's lag, runs periodic checks, and notifies systemd."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from typing import Final

PERIOD_SECONDS: Final = 0.5
LAG_WARNING_SECONDS: Final = 2.0
READY: Final = "READY=1"
STOPPING: Final = "STOPPING=1"
ALIVE: Final = "WATCHDOG=1"
log = logging.getLogger(__name__)


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
        if lag >= LAG_WARNING_SECONDS:
            log.warning("event_loop.lagged seconds=%.1f reason=blocked, or the process was stopped", lag)
        for check in checks:
            check()
        notify(ALIVE)
        due = clock() + PERIOD_SECONDS
        await asyncio.sleep(PERIOD_SECONDS)
