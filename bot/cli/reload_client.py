"""Client of the running service on this machine, by its socket: `bot.service.reload`."""

from __future__ import annotations

import asyncio
import socket
from contextlib import closing
from typing import Final

import msgspec

from bot.cli.errors import UsageError
from bot.config.schema import Config
from bot.service.reload import REQUEST, Answer, socket_path

TIMEOUT_SECONDS: Final = 120.0
"""Weights load in a second or two; large ones on a small, busy machine take longer."""


def is_running(config: Config) -> bool:
    """Returns whether a service with this configuration runs as this user."""
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(str(socket_path(config)))
        except OSError:
            return False
        return True


async def request_reload(config: Config, within: float = TIMEOUT_SECONDS) -> Answer:
    """Requests the weights that CURRENT names, and waits at most `within` seconds until they serve or are refused.

    Raises `UsageError` when no service answers.
    """
    path = socket_path(config)
    try:
        async with asyncio.timeout(within):
            reader, writer = await asyncio.open_unix_connection(path)
            with closing(writer):
                writer.write(REQUEST)
                content = await reader.read()
    except TimeoutError:
        raise UsageError(f"the service has not answered for {within:g} s; its log says why") from None
    except PermissionError:
        raise UsageError(f"{path} is another user's; run `reload` as the service's user, or send SIGHUP") from None
    except OSError:
        place = f"with its state in {path.parent} and [http] port {config.http.port}"
        raise UsageError(f"no service is running {place}; in a running `chat`, type /reload") from None
    try:
        return msgspec.json.decode(content, type=Answer)
    except msgspec.DecodeError:
        raise UsageError("the service failed; its log says why") from None
