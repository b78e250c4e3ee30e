"""The pulse of the event loop: it measures how late the loop is, and does what has to be done every so often.

A loop that is held up cannot tell about it. So a thread listens to the pulse, and writes down where the loop is.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import FrameType
from typing import Final

from bot.logs import format_stack
from bot.service import systemd

PERIOD_SECONDS: Final = 0.5
MISSING_BEATS: Final = 10
"""After so many periods without a beat the log says where the loop is."""
LATE_SECONDS: Final = 2.0
"""A beat that comes later than this is told of: people have waited for that long."""
log = logging.getLogger(__name__)


@asynccontextmanager
async def beating(
    on_lag: Callable[[float], None], look: Callable[[], bool], period: float = PERIOD_SECONDS
) -> AsyncIterator[None]:
    """Beats while the block runs, as `beat` says. What goes wrong in it ends the block."""
    pulse = threading.Event()
    with _listening(pulse, period):
        async with asyncio.TaskGroup() as group:
            heart = group.create_task(beat(on_lag, look, period, pulse))
            try:
                yield
            finally:
                heart.cancel()


async def beat(
    on_lag: Callable[[float], None], look: Callable[[], bool], period: float, pulse: threading.Event
) -> None:
    """Until it is cancelled, every `period` seconds: sets `pulse`, tells `on_lag` how many seconds too late the beat
    is, calls `look`, and, if that says that all can go on like this, tells systemd that the service lives. A loop that
    hangs does none of it."""
    loop = asyncio.get_running_loop()
    due = loop.time()
    listened = True
    while True:
        pulse.set()
        late = max(0.0, loop.time() - due)
        on_lag(late)
        if late >= LATE_SECONDS:
            log.warning("the event loop was held up for %.1f s, or the process or its machine was stopped", late)
        try:
            if look():
                systemd.notify(systemd.ALIVE)
        except OSError as error:
            if listened:
                log.warning("systemd does not take the news: %s", error)
            listened = False
        else:
            listened = True
        due = loop.time() + period
        await asyncio.sleep(period)


@contextmanager
def _listening(pulse: threading.Event, period: float) -> Iterator[None]:
    """A thread listens to the pulse of this one's loop while the block runs."""
    over = threading.Event()
    listener = threading.Thread(
        target=_listen, args=(pulse, period, threading.get_ident(), over), name="pulse", daemon=True
    )
    listener.start()
    try:
        yield
    finally:
        over.set()
        listener.join()


def _listen(pulse: threading.Event, period: float, patient: int, over: threading.Event) -> None:
    """Tells once where the thread `patient` is when the pulse is missing. It counts periods of its own, so that a
    process that was stopped as a whole, which misses no more of them than of beats, is no news."""
    missing = 0
    while not over.wait(period):
        missing = 0 if pulse.is_set() else missing + 1
        pulse.clear()
        if missing == MISSING_BEATS:
            frame: FrameType | None = sys._current_frames().get(patient)  # noqa: SLF001 - documented, for this purpose
            where = format_stack(traceback.extract_stack(frame)) if frame is not None else "nowhere"
            log.error("the event loop does not move; it is in %s", where)
