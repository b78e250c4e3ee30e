"""Signals: SIGTERM and SIGINT stop the service, a second one ends it at once, SIGHUP reloads."""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Final

STOPPING: Final = (signal.SIGTERM, signal.SIGINT)
log = logging.getLogger(__name__)


@dataclass
class Signals:
    """What signals ask of `task`, the one that makes this in the main thread.

    The handlers are Python's, not the event loop's, so they run while the loop is blocked. `end_within`: seconds after
    the first stop signal in which the process ends, whatever hangs (None: no limit), also when the loop has closed.
    """

    task: asyncio.Task[object]
    end_within: float | None
    reload_asked: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by SIGHUP."""
    _stopped: bool = False

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Handles the signals while the block runs, and ends the block at the first SIGTERM or SIGINT."""
        handlers = {signal.SIGHUP: self._reload} | dict.fromkeys(STOPPING, self._stop)
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            with self.ending_block():
                yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def ending_block(self) -> Iterator[None]:
        """Lets the first SIGTERM or SIGINT end only this block, which is inside that of `handled`."""
        try:
            yield
        except asyncio.CancelledError:
            if not self._stopped or self.task.uncancel():
                raise

    def _reload(self, _number: int, _frame: FrameType | None) -> None:
        self.task.get_loop().call_soon_threadsafe(self.reload_asked.set)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopped = True
        for stopping in STOPPING:
            signal.signal(stopping, signal.SIG_DFL)  # a second signal asks for no cleanup
        if self.end_within is not None:
            signal.signal(signal.SIGALRM, self._give_up)
            signal.setitimer(signal.ITIMER_REAL, self.end_within)
            # After the last thread the interpreter ends, and an alarm would have no handler.
            atexit.register(signal.setitimer, signal.ITIMER_REAL, 0.0)
        self.task.get_loop().call_soon_threadsafe(self.task.cancel)

    def _give_up(self, _number: int, _frame: FrameType | None) -> None:
        # By now every due answer is sent or abandoned, and the database is intact at any moment.
        log.error("shutdown.timeout limit_s=%g", self.end_within)
        logging.shutdown()
        os._exit(0)
