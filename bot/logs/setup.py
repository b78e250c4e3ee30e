"""Handlers and formats: how an event becomes a line, and how the line reaches standard error."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from queue import SimpleQueue
from typing import Final, Literal, TextIO

from bot.logs.context import NO_REQUEST, current_request
from bot.logs.exceptions import format_exception
from bot.logs.redaction import Redaction

Format = Literal["human", "json"]
OURS: Final = ("bot", "generator")
"""The loggers that the level is for. Other libraries log what users type at "debug" and "info" (python-telegram-bot
whole updates, discord.py whole gateway events, httpx addresses with the token), so only their warnings are logged."""
MAX_QUEUED_LINES: Final = 10_000
"""Some megabytes. While the reader of standard error stalls, further lines are dropped and counted."""
FLUSH_SECONDS: Final = 1.0
_DROPPED: Final = "log.dropped lines=%d reason=standard error was full or not read"


class LineFormatter(logging.Formatter):
    """One line a record, its exception included, without secrets. Times are UTC.

    human   `2026-01-31T12:00:00.000Z info 3f0a11c2 bot.service.app: service.ready port=8080 | error`
    json    an object with `time`, `level`, `logger`, `message`, and where there is one, `request` and `error`
    """

    def __init__(self, form: Format, redaction: Redaction) -> None:
        super().__init__()
        self._form = form
        self._redaction = redaction

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        level, name = record.levelname.lower(), record.name
        request = getattr(record, "request", current_request())  # a worker thread gives it as `extra`
        message = self._redaction(" ".join(record.getMessage().split()))
        exception = record.exc_info[1] if record.exc_info else None
        error = format_exception(exception) if exception is not None else record.exc_text or ""  # of a worker process
        error = self._redaction(" ".join(error.split()))
        if self._form == "human":
            return f"{time} {level} {request} {name}: {message}" + (f" | {error}" if error else "")
        content = {"time": time, "level": level, "logger": name, "message": message}
        optional = {"request": request if request != NO_REQUEST else "", "error": error}
        return json.dumps(content | {key: value for key, value in optional.items() if value}, ensure_ascii=False)


class QueuedHandler(logging.Handler):
    """Queues formatted lines for a thread that writes them, so that a stalled reader blocks nothing but that thread.

    `QueueListener` of the standard library has no such queue that a signal handler may use, and its stream's lock
    would block the interpreter's end.
    """

    def __init__(self, write: Callable[[str], object]) -> None:
        super().__init__()
        self.dropped = 0
        self._write = write
        self._items: SimpleQueue[str | threading.Event] = SimpleQueue()
        threading.Thread(target=self._run, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Queues a line, or drops it when the queue is full."""
        if self._items.qsize() >= MAX_QUEUED_LINES:
            self.dropped += 1
        else:
            self._items.put(self.format(record))

    def flush(self, timeout: float = FLUSH_SECONDS) -> None:
        """Waits until every line queued so far is written, at most `timeout` seconds."""
        written = threading.Event()
        self._items.put(written)
        written.wait(timeout)

    def _run(self) -> None:
        reported = 0
        while True:
            item = self._items.get()
            if isinstance(item, threading.Event):
                item.set()
                continue
            try:
                if reported != (dropped := self.dropped):
                    record = logging.LogRecord(__name__, logging.WARNING, "", 0, _DROPPED, (dropped - reported,), None)
                    self._write(self.format(record) + "\n")
                    reported = dropped
                self._write(item + "\n")
            except (OSError, ValueError):  # a full disk, or no reader any more
                self.dropped += 1


def set_up(level: str, form: Format, redaction: Redaction, stream: TextIO | None = None) -> QueuedHandler:
    """Sends every line to `stream` (default: standard error), and nothing anywhere else. Returns the handler.

    `level` is that of this program; other libraries log from "warning" on.
    """
    handler = QueuedHandler(_writer(sys.stderr if stream is None else stream))
    handler.setFormatter(LineFormatter(form, redaction))
    threshold = logging.getLevelNamesMapping()[level.upper()]
    logging.basicConfig(level=max(threshold, logging.WARNING), handlers=[handler], force=True)
    for name in OURS:
        logging.getLogger(name).setLevel(threshold)
    logging.captureWarnings(capture=True)
    return handler


def _writer(stream: TextIO | None) -> Callable[[str], object]:
    """Returns what writes to a stream; to a file's descriptor directly, so that a stalled write holds no lock."""
    if stream is None:  # the process was started without standard error
        return len
    try:
        descriptor = stream.fileno()
    except OSError:  # in memory
        return stream.write

    def write(text: str) -> None:
        content = text.encode(stream.encoding, "backslashreplace")
        while content:
            content = content[os.write(descriptor, content) :]

    return write


def flush(timeout: float = FLUSH_SECONDS) -> None:
    """Waits until every line is written, at most `timeout` seconds: before `os._exit`."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, QueuedHandler):
            handler.flush(timeout)


def dropped_lines() -> int:
    """Returns how many lines were dropped since the start because standard error was not read, or full."""
    return sum(handler.dropped for handler in logging.getLogger().handlers if isinstance(handler, QueuedHandler))
