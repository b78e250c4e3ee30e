"""What a child process does first and last: it lets its parent alone decide when it ends, and logs through it."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import resource
import signal
import sys
from contextvars import ContextVar
from pathlib import Path
from typing import Final

from generator.process.protocol import Channel, LogRecord

REQUEST_NUMBER: ContextVar[int] = ContextVar("request_number", default=0)
"""The request that is being worked on; a log record names it, and the parent knows its request ID."""
_PR_SET_PDEATHSIG: Final = 1
"""prctl(2)"""
_OOM_SCORE: Final = 500
"""Of -1000 to 1000 (proc_pid_oom_score_adj(5)): the kernel ends this process before its parent, which restarts it."""


def isolate(parent: int) -> None:
    """Makes this process depend on its parent and on nothing else: signals to the group do not end it, the parent's
    death does."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if sys.platform == "linux":
        # Closing the socket ends this process as well, but not while native code holds the interpreter's lock.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text(f"{_OOM_SCORE}")
    if os.getppid() != parent:
        os._exit(0)  # the parent ended before this
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold users' texts


class LogForwarder(logging.Handler):
    """Sends log records to the parent, from any thread."""

    def __init__(self, channel: Channel) -> None:
        super().__init__()
        self._channel = channel
        self._loop = asyncio.get_running_loop()

    def emit(self, record: logging.LogRecord) -> None:
        """Sends one record."""
        error = logging.Formatter().formatException(record.exc_info) if record.exc_info else ""
        message = LogRecord(REQUEST_NUMBER.get(), record.name, record.levelno, record.getMessage(), error)
        self._loop.call_soon_threadsafe(self._channel.send, message)
