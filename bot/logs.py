"""The log on standard error: one line for each event, with the ID of its request, never with a secret.

A line is `area.event key=value …`: `log.info("reload.refused version=%s reason=%s", …)`. The area is a noun (`reload`,
`telegram`, `store`), the event a noun or a past participle, both in lower case; free text (`reason=`, `error=`) is the
last field. No field holds what users type or what the network writes. Formats, redaction and request IDs enter here.
"""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
import sys
import threading
import time
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from queue import SimpleQueue
from typing import Final, Literal
from urllib.parse import quote, unquote

import msgspec

from bot.config.schema import SECTIONS, Config, Secret

Format = Literal["human", "json"]
OURS: Final = ("bot", "generator")
"""The loggers that the level is for. Other libraries log what users type at "debug" and "info" (python-telegram-bot
whole updates, discord.py whole gateway events, httpx addresses with the token), so only their warnings are logged."""
_PAUSE_SECONDS: Final = 0.02
"""After the thread has written what there was, so that one wake writes several lines under load: waking it for each
took a tenth of the event loop's processor time (measured at 100 requests a second)."""
MAX_QUEUED_LINES: Final = 10_000
"""Some megabytes. While the reader of standard error stalls, further lines are dropped and counted."""
REQUEST_ID: Final[ContextVar[str]] = ContextVar("request_id", default="")
"""The ID of the request that this task works for; empty outside of requests."""
HIDDEN: Final = "***"
_MIN_SECRET: Final = 8
"""Characters. A shorter one occurs in ordinary words, so hiding it would spoil the log and reveal it by the gaps."""
_MIN_PART: Final = 16
"""Characters: a part of a token that is this long is as secret as the whole."""
_PASSWORD: Final = re.compile(r"(?:^|//)[^\s:@/]*:([^\s@/]+)@")
"""In the address of a proxy or a PostgreSQL."""
_TOKENS: Final = re.compile(
    # https://core.telegram.org/bots/api#authorizing-your-bot, in addresses with the colon encoded
    r"(?<!\d)\d{5,}(?::|%3[Aa])[\w-]{30,}"
    # account, time and signature in URL-safe base64
    r"|[\w-]{18,}\.[\w-]{5,}\.[\w-]{20,}"
    # the token of an interaction lets its owner answer for the bot for 15 minutes
    r"|(?P<before>/(?:webhooks|interactions)/\d+/)[\w.-]+"
)


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
    return f"{name}: {message[:300]}" if message else name


class Redaction:
    """Hides `secrets`, also URL-encoded and in their long parts, and everything that has the shape of a token."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        hidden: set[str] = set()
        for secret in filter(None, secrets):
            parts = [part for part in re.split(r"[:.]", secret) if len(part) >= _MIN_PART]
            hidden |= {form for text in (secret, *parts) for form in (text, quote(text), quote(text, safe=""))}
        longest_first = sorted(hidden, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")  # of no secret, nothing

    @classmethod
    def of(cls, config: Config) -> Redaction:
        """Returns a redaction of every secret of a configuration that is not too short."""
        sections = [getattr(config, name) for name in SECTIONS]
        values = [value for section in sections for value in msgspec.structs.astuple(section)]
        urls = (config.store.url, config.network.proxy)  # of these only the passwords
        secrets = [value.reveal() for value in values if isinstance(value, Secret) and value not in urls]
        passwords = [match[1] for url in urls if (match := _PASSWORD.search(url.reveal()))]
        delimited = [f":{password}@" for password in passwords]  # safe to hide, however short
        secrets = [secret for secret in (*secrets, *map(unquote, passwords)) if len(secret) >= _MIN_SECRET]
        return cls([*secrets, *delimited])

    def __call__(self, text: str) -> str:
        """Returns `text` without the secrets."""
        return _TOKENS.sub(lambda match: (match["before"] or "") + HIDDEN, self._known.sub(HIDDEN, text))


class QueuedHandler(logging.Handler):
    """Queues lines for a thread that writes them, so that a stalled reader of standard error blocks only that thread.

    Not `QueueListener` of the standard library: its stream's lock would block the interpreter's end.
    """

    def __init__(self, form: Format, redaction: Redaction) -> None:
        super().__init__()
        self.dropped = 0
        self._form = form
        self._redaction = redaction
        self._items: SimpleQueue[str | threading.Event] = SimpleQueue()  # a signal handler may use it
        threading.Thread(target=self._run, name="log", daemon=True).start()

    def format(self, record: logging.LogRecord) -> str:
        """Returns a record, its exception included, as one line without secrets. Times are UTC.

        human   `2026-01-31T12:00:00.000Z info 3f0a11c2 bot.service.app: service.ready port=8080 | error`
        json    an object with `time`, `level`, `logger`, `message`, and where there is one, `request` and `error`
        """
        error = record.exc_text or ""
        if record.exc_info:
            error = "".join(traceback.format_exception(*record.exc_info))
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

    def emit(self, record: logging.LogRecord) -> None:
        """Queues a line, or drops it when the queue is full."""
        if self._items.qsize() >= MAX_QUEUED_LINES:
            self.dropped += 1
        else:
            self._items.put(self.format(record) + "\n")

    def flush(self, timeout: float = 1.0) -> None:
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
            if self._items.empty():
                time.sleep(_PAUSE_SECONDS)


def set_up(level: str, form: Format, redaction: Redaction) -> QueuedHandler:
    """Sends every line to standard error, and nothing anywhere else. Returns the handler.

    `level` is that of this program; other libraries log from "warning" on.
    """
    handler = QueuedHandler(form, redaction)
    threshold = logging.getLevelNamesMapping()[level.upper()]
    logging.basicConfig(level=max(threshold, logging.WARNING), handlers=[handler], force=True)
    for name in OURS:
        logging.getLogger(name).setLevel(threshold)
    logging.captureWarnings(capture=True)
    return handler


def dropped_lines() -> int:
    """Returns how many lines were dropped since the start because standard error was not read, or full."""
    return sum(handler.dropped for handler in logging.getLogger().handlers if isinstance(handler, QueuedHandler))
