"""How an event becomes a line, with the ID of the request that it belongs to."""

from __future__ import annotations

import json
import logging
import secrets
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from bot.logs.redaction import Redaction

Format = Literal["human", "json"]
REQUEST_ID: Final[ContextVar[str]] = ContextVar("request_id", default="")
"""The ID of the request that this task works for; empty outside of requests."""
_MAX_MESSAGE: Final = 300
"""Characters of an exception's message that a line repeats."""


@contextmanager
def request() -> Iterator[str]:
    """Gives a new ID to the block and to the tasks that start in it; within another request, keeps that one's ID."""
    token = REQUEST_ID.set(REQUEST_ID.get() or secrets.token_hex(4))
    try:
        yield REQUEST_ID.get()
    finally:
        REQUEST_ID.reset(token)


def format_error(error: BaseException) -> str:
    """Returns an exception's type and message, on one line."""
    message = " ".join(str(error).split())
    name = type(error).__name__
    return f"{name}: {message[:_MAX_MESSAGE]}" if message else name


def format_stack(frames: traceback.StackSummary) -> str:
    """Returns `file:line function` of every frame, outermost first."""
    return " > ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames)


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
        request = getattr(record, "request", REQUEST_ID.get())  # a worker thread gives it as `extra`
        error = record.exc_text or ""  # of a worker process
        if record.exc_info:
            error = self.formatException(record.exc_info)
        message, error = (self._redaction(" ".join(text.split())) for text in (record.getMessage(), error))
        if self._form == "human":
            return f"{time} {level} {request or '-'} {name}: {message}" + (f" | {error}" if error else "")
        content = {"time": time, "level": level, "logger": name, "message": message}
        optional = {"request": request, "error": error}
        return json.dumps(content | {key: value for key, value in optional.items() if value}, ensure_ascii=False)
