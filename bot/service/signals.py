"""The signals of a service: SIGTERM and SIGINT stop it, a second one of them ends it at once, SIGHUP reloads."""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

STOPPING: Final = (signal.SIGTERM, signal.SIGINT)
_STATUS: Final = 128
"""A shell reports a process that a signal ended as this number plus the signal's."""
log = logging.getLogger(__name__)


class Signals:
    """What the process was told. Install it with `installed`.

    The handlers are Python's own, not the loop's: they run even while the loop is busy, which a second signal needs.
    `end_within`: seconds after the first signal to stop in which the process ends, whatever it hangs in (None: no
    limit). That holds even after the block, since some waits come later: for threads, when the loop is closed.
    """

    def __init__(self, end_within: float | None = None) -> None:
        self._end_within = end_within
        self.stopped = False
        """Whether a SIGTERM or SIGINT has come."""
        self._on_stop: Callable[[], object] | None = None
        self._on_reload: Callable[[], object] | None = None
        self._reload_wanted = False

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Handles the signals while the block runs, in the main thread, inside a running event loop."""
        loop = asyncio.get_running_loop()

        def stop(_number: int, _frame: FrameType | None) -> None:
            for stopping in STOPPING:
                signal.signal(stopping, end)
            if self._end_within is not None:
                signal.signal(signal.SIGALRM, give_up)
                signal.setitimer(signal.ITIMER_REAL, self._end_within)
                # Once every thread has ended, the interpreter ends, in which an alarm would have no handler any more.
                atexit.register(signal.setitimer, signal.ITIMER_REAL, 0.0)
            loop.call_soon_threadsafe(self._stop)

        def end(number: int, _frame: FrameType | None) -> None:
            os._exit(_STATUS + number)  # whoever sends a second signal wants no tidying up

        def give_up(_number: int, _frame: FrameType | None) -> None:
            # By now every answer that was due is sent or given up, and the database is whole at any moment.
            log.error(
                "something does not let go within %g s of the stop; the process ends without it", self._end_within
            )
            os._exit(0)

        def reload(_number: int, _frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(self._reload)

        handlers = {signal.SIGHUP: reload} | dict.fromkeys(STOPPING, stop)
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def on_stop(self, act: Callable[[], object]) -> None:
        """What the first SIGTERM or SIGINT does from now on; if one has come, it is done now."""
        self._on_stop = act
        if self.stopped:
            act()

    def on_reload(self, act: Callable[[], object]) -> None:
        """What SIGHUP does from now on; if one came before anything was to be done, it is done now."""
        self._on_reload = act
        if self._reload_wanted:
            act()

    def _stop(self) -> None:
        self.stopped = True
        if self._on_stop is not None:
            self._on_stop()

    def _reload(self) -> None:
        if self._on_reload is None:
            self._reload_wanted = True
        else:
            self._on_reload()
