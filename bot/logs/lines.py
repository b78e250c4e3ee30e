"""How an event becomes a line, with the ID of the request that it belongs to."""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
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
        error = self.formatException(record.exc_info) if record.exc_info else record.exc_text or ""
        fields = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")[:-6] + "Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self._redaction(" ".join(record.getMessage().split())),
            "request": REQUEST_ID.get(),
            "error": self._redaction(" ".join(error.split())),
        }
        if self._form == "json":
            return json.dumps({key: value for key, value in fields.items() if value}, ensure_ascii=False)
        line = "{time} {level} {request} {logger}: {message}" + (" | {error}" if error else "")
        return line.format_map(fields | {"request": fields["request"] or "-"})
