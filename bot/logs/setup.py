"""How log lines reach standard error."""

from __future__ import annotations

import logging
import os
import sys
import threading
from queue import SimpleQueue
from typing import Final

from bot.logs.lines import Format, LineFormatter
from bot.logs.redaction import Redaction

OURS: Final = ("bot", "generator")
"""The loggers that the level is for. Other libraries log what users type at "debug" and "info" (python-telegram-bot
whole updates, discord.py whole gateway events, httpx addresses with the token), so only their warnings are logged."""
MAX_QUEUED_LINES: Final = 10_000
"""Some megabytes. While the reader of standard error stalls, further lines are dropped and counted."""
FLUSH_SECONDS: Final = 1.0


class QueuedHandler(logging.Handler):
    """Queues formatted lines for a thread that writes them, so that a stalled reader blocks nothing but that thread.

    Not `QueueListener` of the standard library: its stream's lock would block the interpreter's end.
    """

    def __init__(self) -> None:
        super().__init__()
        self.dropped = 0
        self._items: SimpleQueue[str | threading.Event] = SimpleQueue()  # a signal handler may use it
        threading.Thread(target=self._run, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Queues a line, or drops it when the queue is full."""
        if self._items.qsize() >= MAX_QUEUED_LINES:
            self.dropped += 1
        else:
            self._items.put(self.format(record) + "\n")

    def flush(self, timeout: float = FLUSH_SECONDS) -> None:
        """Waits until every line queued so far is written, at most `timeout` seconds."""
        written = threading.Event()
        self._items.put(written)
        written.wait(timeout)

    def write(self, text: str) -> None:
        """Writes to standard error's descriptor, without the stream's lock, which a stalled write would hold.

        Writes nothing in a process that was started without standard error: the number may be another file's then.
        """
        content = text.encode(errors="backslashreplace") if sys.stderr is not None else b""
        while content:
            content = content[os.write(sys.stderr.fileno(), content) :]

    def _run(self) -> None:
        while True:
            item = self._items.get()
            if isinstance(item, threading.Event):
                item.set()
                continue
            try:
                self.write(item)
            except (OSError, ValueError):  # a full disk, or no reader any more
                self.dropped += 1


def set_up(level: str, form: Format, redaction: Redaction) -> QueuedHandler:
    """Sends every line to standard error, and nothing anywhere else. Returns the handler.

    `level` is that of this program; other libraries log from "warning" on.
    """
    handler = QueuedHandler()
    handler.setFormatter(LineFormatter(form, redaction))
    threshold = logging.getLevelNamesMapping()[level.upper()]
    logging.basicConfig(level=max(threshold, logging.WARNING), handlers=[handler], force=True)
    for name in OURS:
        logging.getLogger(name).setLevel(threshold)
    logging.captureWarnings(capture=True)
    return handler


def dropped_lines() -> int:
    """Returns how many lines were dropped since the start because standard error was not read, or full."""
    return sum(handler.dropped for handler in logging.getLogger().handlers if isinstance(handler, QueuedHandler))
