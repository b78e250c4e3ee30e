"""The Unix socket by which `python -m bot reload` reaches the service. The file's permissions decide who may: no port,
on which a proxy or a page in a browser may forward another user's request."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
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
async def serving(config: Config, reload: Callable[[], Awaitable[str]], redact: Redaction) -> AsyncIterator[None]:
    """Calls `reload` for each request while the block runs. When no socket can be made, only logs that."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            if await reader.read(len(REQUEST)) == REQUEST:
                try:
                    answer = Answer(reloaded=True, message=await reload())
                except WeightsError as error:
                    answer = Answer(reloaded=False, message=redact(str(error)))
                writer.write(msgspec.json.encode(answer))

    path = socket_path(config)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # In the place of the socket that a killed process left. No client can connect before it listens.
        server = await asyncio.start_unix_server(handle, path, start_serving=False)
        path.chmod(0o600)
        await server.start_serving()
    except OSError as error:
        log.warning("reload.no_socket path=%s error=%s", path, error)
        yield
        return
    try:
        yield
    finally:
        server.close()
        path.unlink(missing_ok=True)
