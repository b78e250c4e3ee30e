"""Request IDs: every log line of one request carries the same."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

NO_REQUEST: Final = "-"
_REQUEST: ContextVar[str] = ContextVar("request", default=NO_REQUEST)


def current_request() -> str:
    """Returns the ID of the request that this task works for, or `NO_REQUEST`."""
    return _REQUEST.get()


@contextmanager
def request() -> Iterator[str]:
    """Gives a new ID to the block and to the tasks that start in it; within another request, keeps that one's ID."""
    if (present := current_request()) != NO_REQUEST:
        yield present
        return
    token = _REQUEST.set(secrets.token_hex(4))
    try:
        yield current_request()
    finally:
        _REQUEST.reset(token)
