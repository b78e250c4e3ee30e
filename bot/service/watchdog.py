"""The event loop's heartbeat: it measures the loop's lag, runs periodic checks, and notifies systemd.

A blocked loop cannot report that it is blocked, so a thread watches the heartbeat and logs the loop's stack.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
import threading
import traceback
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final

from bot.logs import format_stack

PERIOD_SECONDS: Final = 0.5
MAX_MISSED_BEATS: Final = 10
"""After so many periods without a heartbeat the log says where the loop is."""
LAG_WARNING_SECONDS: Final = 2.0
READY: Final = "READY=1"
STOPPING: Final = "STOPPING=1"
ALIVE: Final = "WATCHDOG=1"
log = logging.getLogger(__name__)


class Systemd:
    """Sends the service's state to systemd, as sd_notify(3) describes. A failure is logged once, and stops nothing."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._environment = environment
        self._failed = False

    def notify(self, *states: str) -> None:
        """Sends `NAME=value` states in one datagram to the socket that systemd named, if it named one."""
        address = self._environment.get("NOTIFY_SOCKET", "")
        if not address.startswith(("/", "@")):  # a path, or an abstract name behind an @; vsock is for guests
            return
        address = address.replace("@", "\0", 1) if address[0] == "@" else address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as datagrams:
                datagrams.setblocking(False)
                datagrams.sendto("\n".join(" ".join(state.split()) for state in states).encode(), address)
        except OSError as error:
            if not self._failed:
                log.warning("systemd.notify_failed error=%s", error)
            self._failed = True
        else:
            self._failed = False


@asynccontextmanager
async def heartbeat(
    on_lag: Callable[[float], None], check: Callable[[], object], systemd: Systemd, period: float = PERIOD_SECONDS
) -> AsyncIterator[None]:
    """While the block runs, every `period` seconds: reports the loop's lag in seconds to `on_lag`, calls `check`, and
    notifies systemd. An exception in them ends the block."""
    beats, stopped = threading.Event(), threading.Event()
    monitor = threading.Thread(
        target=_monitor, args=(beats, stopped, period, threading.get_ident()), name="loop-monitor", daemon=True
    )
    monitor.start()

    async def beat() -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            beats.set()
            lag = max(0.0, loop.time() - due)
            on_lag(lag)
            if lag >= LAG_WARNING_SECONDS:
                log.warning("event_loop.lagged seconds=%.1f reason=blocked, or the process was stopped", lag)
            check()
            systemd.notify(ALIVE)
            due = loop.time() + period
            await asyncio.sleep(period)

    try:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(beat())
            try:
                yield
            finally:
                task.cancel()
    finally:
        stopped.set()
        monitor.join()


def _monitor(beats: threading.Event, stopped: threading.Event, period: float, loop_thread: int) -> None:
    """Logs once where the loop's thread is when heartbeats are missing. It counts its own periods, so a process that
    was stopped as a whole, which misses as many of them as of heartbeats, logs nothing."""
    missed = 0
    while not stopped.wait(period):
        missed = 0 if beats.is_set() else missed + 1
        beats.clear()
        if missed == MAX_MISSED_BEATS:
            frame = sys._current_frames().get(loop_thread)  # noqa: SLF001 - documented, for this purpose
            stack = format_stack(traceback.extract_stack(frame)) if frame is not None else "unknown"
            log.error("event_loop.blocked stack=%s", stack)
