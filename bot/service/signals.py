"""Signals: SIGTERM and SIGINT stop the service, a second one ends it at once, SIGHUP reloads."""

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

from bot import logs

STOPPING: Final = (signal.SIGTERM, signal.SIGINT)
_STATUS: Final = 128
"""A shell reports a process that a signal ended as this number plus the signal's."""
_FLUSH_SECONDS: Final = 0.2
"""How long the last line may take to be written."""
log = logging.getLogger(__name__)


class Signals:
    """The signals received so far, and what they do.

    The handlers are Python's, not the event loop's, so they run while the loop is blocked. `end_within`: seconds after
    the first stop signal in which the process ends, whatever hangs (None: no limit). The limit also covers what comes
    after the block, such as waiting for threads when the loop closes.
    """

    def __init__(self, end_within: float | None = None) -> None:
        self._end_within = end_within
        self.stopped = False
        """Whether a SIGTERM or SIGINT was received."""
        self._on_stop: Callable[[], object] | None = None
        self._on_reload: Callable[[], object] | None = None
        self._reload_wanted = False

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Handles the signals while the block runs; called in the main thread, in a running event loop."""
        loop = asyncio.get_running_loop()

        def stop(_number: int, _frame: FrameType | None) -> None:
            for stopping in STOPPING:
                signal.signal(stopping, end)
            if self._end_within is not None:
                signal.signal(signal.SIGALRM, give_up)
                signal.setitimer(signal.ITIMER_REAL, self._end_within)
                # After the last thread the interpreter ends, and an alarm would have no handler.
                atexit.register(signal.setitimer, signal.ITIMER_REAL, 0.0)
            loop.call_soon_threadsafe(self._stop)

        def end(number: int, _frame: FrameType | None) -> None:
            os._exit(_STATUS + number)  # a second signal asks for no cleanup

        def give_up(_number: int, _frame: FrameType | None) -> None:
            # By now every due answer is sent or abandoned, and the database is intact at any moment.
            log.error("shutdown.timeout limit_s=%g", self._end_within)  # queues the line, and so cannot block
            logs.flush(_FLUSH_SECONDS)
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
        """Sets what the first SIGTERM or SIGINT does; if one was received already, does it now."""
        self._on_stop = act
        if self.stopped:
            act()

    def on_reload(self, act: Callable[[], object]) -> None:
        """Sets what SIGHUP does; if one was received already, does it now."""
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
