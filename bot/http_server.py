"""An HTTP server for a port that strangers can reach: limited connections and time, and no request in the log."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

MAX_CONNECTIONS: Final = 128
"""A further connection closes the oldest. A process has about a thousand file descriptors (`RLIMIT_NOFILE`), and its
database and platforms need some. Telegram uses 40 (`max_connections` of
https://core.telegram.org/bots/api#setwebhook), health checks and metrics one or two."""
HEADER_SECONDS: Final = 15.0
"""From the start of a connection, or the previous answer, to the last header of a request."""
_LINGER_SECONDS: Final = 2.0
"""For the body of a request that was answered without reading it. Then the connection is cut."""
_DRAIN_SECONDS: Final = 2.0
"""For requests in progress when the server closes."""
_no_log = logging.getLogger(f"{__name__}.requests")
_no_log.disabled = True
"""aiohttp logs what it cannot parse, with a traceback: strangers could fill the log. `_log_errors` logs defects."""
log = logging.getLogger(__name__)


class CannotListen(OSError):
    """The server cannot listen there; one line that says why."""


@asynccontextmanager
async def listening(app: web.Application, host: str, port: int) -> AsyncIterator[tuple[str, int]]:
    """Serves `app` while the block runs; yields host and port. Raises `CannotListen`. An exception in a handler is
    logged and answered with 500."""
    app.middlewares.append(_log_errors)
    runner = web.AppRunner(
        app,
        access_log=None,
        logger=_no_log,
        keepalive_timeout=HEADER_SECONDS,
        lingering_time=_LINGER_SECONDS,
        shutdown_timeout=_DRAIN_SECONDS,
    )
    await runner.setup()
    server = runner.server
    assert server is not None  # noqa: S101 - for the type checker: `setup` made it

    def accept() -> web.RequestHandler:
        for oldest in server.connections[: max(0, len(server.connections) + 1 - MAX_CONNECTIONS)]:
            if oldest.transport is not None:
                oldest.transport.abort()
        return server()

    try:
        listener = await asyncio.get_running_loop().create_server(accept, host, port)
    except (OSError, OverflowError, UnicodeError) as error:
        await runner.cleanup()
        reason = error.strerror if isinstance(error, OSError) else error
        raise CannotListen(f"cannot listen on {host}, port {port}: {reason}; choose another") from error
    try:
        address = listener.sockets[0].getsockname()
        yield str(address[0]), int(address[1])
    finally:
        listener.close()
        await runner.cleanup()


@web.middleware
async def _log_errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Logs an exception's type and stack. Its message may hold what a stranger sent."""
    try:
        return await handler(request)
    except web.HTTPException:
        raise
    except Exception as error:  # noqa: BLE001 - one request fails, and the others continue
        stack = "".join(traceback.format_tb(error.__traceback__))
        log.error("http.request_failed error=%s stack=%s", type(error).__name__, stack)
        return web.Response(status=500, text="failed; the log says why\n")
