"""The Unix socket by which `python -m bot reload` reaches the service. The file's permissions decide who may: no port,
on which a proxy or a page in a browser may forward another user's request."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec

from bot.config.schema import Config
from bot.logs import Redaction
from generator import WeightsError

REQUEST: Final = b"reload\n"
log = logging.getLogger(__name__)


class Answer(msgspec.Struct, frozen=True):
    """Whether the weights were reloaded, and the service's message."""

    reloaded: bool
    message: str


def socket_path(config: Config) -> Path:
    """Returns the socket of the service with this configuration; the port distinguishes those that share a folder."""
    return config.folder / f"reload-{config.http.port}.sock"


@asynccontextmanager
async def serving(config: Config, reload: Callable[[], Awaitable[object]], redact: Redaction) -> AsyncIterator[None]:
    """Calls `reload` for each request while the block runs. When no socket can be made, only logs that."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if await reader.read(len(REQUEST)) == REQUEST:
                writer.write(msgspec.json.encode(await answer()))
        finally:
            writer.close()

    async def answer() -> Answer:
        try:
            return Answer(reloaded=True, message=str(await reload()))
        except WeightsError as error:
            return Answer(reloaded=False, message=redact(str(error)))

    path = socket_path(config)
    try:
        server = await asyncio.start_unix_server(handle, sock=_bound(path))
    except OSError as error:
        log.warning("reload.no_socket path=%s error=%s", path, error)
        yield
        return
    try:
        yield
    finally:
        server.close()
        path.unlink(missing_ok=True)


def _bound(path: Path) -> socket.socket:
    """Returns a socket that only this user can connect to, in the place of one that a killed process left."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    bound = socket.socket(socket.AF_UNIX)
    try:
        bound.bind(str(path))
        path.chmod(0o600)
    except OSError:
        bound.close()
        raise
    return bound
