"""Signals: SIGTERM and SIGINT stop the service, a second one ends it at once, SIGHUP reloads."""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

STOPPING: Final = (signal.SIGTERM, signal.SIGINT)
log = logging.getLogger(__name__)


@contextmanager
def handled(end_within: float | None) -> Iterator[asyncio.Event]:
    """Handles signals while the block runs in the main thread; yields an event that SIGHUP sets.

    The first SIGTERM or SIGINT cancels the block, which then ends without an error. `end_within`: seconds after it in
    which the process ends, whatever hangs (None: no limit), also when the loop has closed. The handlers are Python's,
    not the event loop's, so they run while the loop is blocked.
    """
    loop, task, reload_asked = asyncio.get_running_loop(), asyncio.current_task(), asyncio.Event()
    assert task is not None  # noqa: S101 - for the type checker
    stopped = False

    def reload(_number: int, _frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(reload_asked.set)

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal stopped
        stopped = True
        for stopping in STOPPING:
            signal.signal(stopping, signal.SIG_DFL)  # a second signal asks for no cleanup
        if end_within is not None:
            signal.signal(signal.SIGALRM, give_up)
            signal.setitimer(signal.ITIMER_REAL, end_within)
            # After the last thread the interpreter ends, and an alarm would have no handler.
            atexit.register(signal.setitimer, signal.ITIMER_REAL, 0.0)
        loop.call_soon_threadsafe(task.cancel)

    def give_up(_number: int, _frame: FrameType | None) -> None:
        # By now every due answer is sent or abandoned, and the database is intact at any moment.
        log.error("shutdown.timeout limit_s=%g", end_within)
        logging.shutdown()
        os._exit(0)

    handlers = {signal.SIGHUP: reload} | dict.fromkeys(STOPPING, stop)
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield reload_asked
    except asyncio.CancelledError:
        if not stopped or task.uncancel():
            raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
