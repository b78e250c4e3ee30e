"""The pulse of the event loop: it measures how late the loop is, and does what has to be done every so often."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from bot import systemd

PERIOD_SECONDS: Final = 0.5
log = logging.getLogger(__name__)


@asynccontextmanager
async def beating(
    on_lag: Callable[[float], None], look: Callable[[], None], period: float = PERIOD_SECONDS
) -> AsyncIterator[None]:
    """Beats while the block runs, as `beat` says. What goes wrong in it ends the block."""
    async with asyncio.TaskGroup() as group:
        heart = group.create_task(beat(on_lag, look, period))
        try:
            yield
        finally:
            heart.cancel()


async def beat(on_lag: Callable[[float], None], look: Callable[[], None], period: float) -> None:
    """Until it is cancelled, every `period` seconds: tells `on_lag` how many seconds too late the beat is, calls
    `look`, and tells systemd that the service lives. A loop that hangs does none of it."""
    loop = asyncio.get_running_loop()
    due = loop.time()
    listened = True
    while True:
        on_lag(max(0.0, loop.time() - due))
        look()
        try:
            systemd.notify(systemd.ALIVE)
        except OSError as error:
            if listened:
                log.warning("systemd does not take the news: %s", error)
            listened = False
        else:
            listened = True
        due = loop.time() + period
        await asyncio.sleep(period)
