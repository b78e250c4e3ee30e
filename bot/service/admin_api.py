"""The request for a reload as `bot.service.admin_http` serves it and `bot.cli.reload_client` sends it.

It is authorised by a token in a file of the state folder, which only the service's user can read. That the request
comes from this machine proves nothing: a local proxy, or a page in a browser, may forward somebody else's.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

RELOAD: Final = "/reload"
MARK: Final = "X-LSTMega"
"""Header of every answer, by which a client recognises the service."""
log = logging.getLogger(__name__)


class Answer(msgspec.Struct, frozen=True):
    """Whether the weights were reloaded, and the service's message."""

    reloaded: bool
    message: str


def token_file(folder: Path, port: int) -> Path:
    """Returns the file with the token of the service that listens on `port` and has its state in `folder`."""
    return folder / f"reload-{port}.token"


@contextmanager
def reload_token(folder: Path, port: int) -> Iterator[str]:
    """Yields a new token, which stands in its file while the block runs; an empty one where no file can be written."""
    path, token = token_file(folder, port), secrets.token_urlsafe()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # of a process that was killed
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(token)
    except OSError as error:
        log.warning("reload.token_failed consequence=only SIGHUP and CURRENT reload error=%s", error)
        yield ""
        return
    try:
        yield token
    finally:
        path.unlink(missing_ok=True)
