"""What is told about the running: one line for each event, with the request that it belongs to, never with a secret.

What people type and what the network writes is never logged by `bot` and `generator`. Other libraries do so at
"debug" and "info" (python-telegram-bot writes down whole updates, discord.py whole gateway events, httpx addresses
with the token in them), so from them only warnings and worse are taken, whatever the level is.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, TextIO
from urllib.parse import quote, unquote, urlsplit

import msgspec

from bot.config.schema import Config, Secret

Format = Literal["human", "json"]
FORMATS: Final[tuple[Format, ...]] = ("human", "json")
OURS: Final = ("bot", "generator")
"""The loggers that the level is for."""
NO_REQUEST: Final = "-"
HIDDEN: Final = "***"
_REQUEST: ContextVar[str] = ContextVar("request", default=NO_REQUEST)
_SHORTEST_PART: Final = 16
"""Characters: a part of a token that is this long is as secret as the whole."""
_SHORTEST_PASSWORD: Final = 8
"""Characters: a shorter one is hidden in an address alone, or the log would tell it by what is missing there."""
_MAX_REASON: Final = 300
"""Characters of an exception's words that a line repeats."""
_SHAPES: Final = re.compile(
    # https://core.telegram.org/bots/api#authorizing-your-bot, in addresses with the colon encoded
    r"(?P<telegram>(?<!\d)\d{5,}(?::|%3[Aa])[\w-]{30,})"
    # account, time and signature in URL-safe base64
    r"|(?P<discord>[\w-]{18,}\.[\w-]{5,}\.[\w-]{20,})"
    # who has an interaction's token may answer for the bot for 15 minutes
    r"|(?P<before>/(?:webhooks|interactions)/\d+/)[\w.-]+"
)
"""What looks like a secret is hidden even when it is none of this configuration's."""


def current_request() -> str:
    """The identifier of the request that this task works for, `NO_REQUEST` when it works for none."""
    return _REQUEST.get()


@contextmanager
def request() -> Iterator[str]:
    """Everything logged within, and in tasks begun within, carries one identifier, which is given.

    Within another request nothing changes: what a platform began, the commands go on with.
    """
    if (present := current_request()) != NO_REQUEST:
        yield present
        return
    token = _REQUEST.set(secrets.token_hex(4))
    try:
        yield current_request()
    finally:
        _REQUEST.reset(token)


class Redaction:
    """Hides `secrets`, as they are and as they stand in an address, and whatever has the shape of a token."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        hidden: set[str] = set()
        for secret in filter(None, secrets):
            parts = [part for part in re.split(r"[:.]", secret) if len(part) >= _SHORTEST_PART]
            hidden |= {form for text in (secret, *parts) for form in (text, quote(text), quote(text, safe=""))}
        longest_first = sorted(hidden, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, longest_first))) if hidden else None

    @classmethod
    def of(cls, config: Config) -> Redaction:
        """Hides every secret of a configuration."""
        sections = [getattr(config, section.name) for section in msgspec.structs.fields(config)]
        values = [getattr(section, key.name) for section in sections for key in msgspec.structs.fields(section)]
        secrets = [value.reveal() for value in values if isinstance(value, Secret) and value is not config.store.url]
        return cls([*secrets, *_passwords(config.store.url)])

    def __call__(self, text: str) -> str:
        """`text` without the secrets."""
        if self._known is not None:
            text = self._known.sub(HIDDEN, text)
        return _SHAPES.sub(lambda match: (match["before"] or "") + HIDDEN, text)


def _passwords(address: Secret) -> Iterator[str]:
    """What is secret of a database's address: where it is may be told."""
    password = urlsplit(address.reveal()).password or ""
    if password:
        yield f":{password}@"
    if len(unquote(password)) >= _SHORTEST_PASSWORD:
        yield unquote(password)


def reason(error: BaseException) -> str:
    """An exception in a few words on one line: its kind, and what it says."""
    said = " ".join(str(error).split())
    kind = type(error).__name__
    return f"{kind}: {said[:_MAX_REASON]}" if said else kind


def way(frames: traceback.StackSummary) -> str:
    """How the program came to where it is, on one line: file:line function, outermost first."""
    return " > ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames)


def _whole_story(error: BaseException, told: frozenset[int] = frozenset()) -> str:
    """An exception and those behind it on one line, each with the way that it came. `told`: whose story this is part
    of; an exception that was raised again out of a group has that group behind it, and itself in that."""
    if id(error) in told:
        return reason(error)
    told |= {id(error)}
    came = way(traceback.extract_tb(error.__traceback__))
    story = f"{reason(error)} [{came}]" if came else reason(error)
    if isinstance(error, BaseExceptionGroup):
        story += f" {{{'; '.join(_whole_story(inner, told) for inner in error.exceptions)}}}"
    behind = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return f"{story} <- {_whole_story(behind, told)}" if behind is not None else story


class _Line(logging.Formatter):
    """Base of the two formats: what a record says, on one line, with nothing secret in it."""

    def __init__(self, redaction: Redaction) -> None:
        super().__init__()
        self._redaction = redaction

    def _message(self, record: logging.LogRecord) -> str:
        return self._redaction(" ".join(record.getMessage().split()))

    def _story(self, record: logging.LogRecord) -> str:
        error = record.exc_info[1] if record.exc_info else None
        return self._redaction(_whole_story(error)) if error is not None else ""

    @staticmethod
    def _time(record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class HumanFormat(_Line):
    """`2026-01-31T12:00:00.000Z info 3f0a11c2 bot.service: ready`; times are UTC."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        head = f"{self._time(record)} {record.levelname.lower()} {_request_of(record)} {record.name}"
        line = f"{head}: {self._message(record)}"
        story = self._story(record)
        return f"{line} | {story}" if story else line


class JsonFormat(_Line):
    """One JSON object: `time` (UTC), `level`, `logger`, `request` (when there is one), `message`, `error`."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        content: dict[str, Any] = {
            "time": self._time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self._message(record),
        }
        if (identifier := _request_of(record)) != NO_REQUEST:
            content["request"] = identifier
        if story := self._story(record):
            content["error"] = story
        return json.dumps(content, ensure_ascii=False)


def _request_of(record: logging.LogRecord) -> str:
    """The record's own, which a thread that works for somebody gives as `extra`, else that of the task."""
    return str(getattr(record, "request", current_request()))


def set_up(level: str, form: Format, redaction: Redaction, stream: TextIO | None = None) -> logging.Handler:
    """Sends every line to `stream` (default: standard error), and nothing anywhere else. Returns the handler.

    `level` holds for this program; other libraries are heard from "warning" on.
    """
    handler = logging.StreamHandler(sys.stderr if stream is None else stream)
    handler.setFormatter(JsonFormat(redaction) if form == "json" else HumanFormat(redaction))
    threshold = logging.getLevelNamesMapping()[level.upper()]
    root = logging.getLogger()
    for other in root.handlers[:]:
        root.removeHandler(other)
    root.addHandler(handler)
    root.setLevel(max(threshold, logging.WARNING))
    for name in OURS:
        logging.getLogger(name).setLevel(threshold)
    logging.captureWarnings(capture=True)
    return handler
