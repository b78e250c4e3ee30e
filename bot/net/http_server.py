"""A port for HTTP that strangers may find: nobody keeps it busy, and nothing that they send stands in the log."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from bot.logs import way

MOST_CONNECTIONS: Final = 128
"""At once; whoever comes then takes the place of whoever has been there longest. A process has a thousand or so file
descriptors (`RLIMIT_NOFILE`), and its database and the platforms need some. Telegram uses 40 (`max_connections` of
https://core.telegram.org/bots/api#setwebhook), who asks for health or metrics one or two."""
HEADER_SECONDS: Final = 15.0
"""From the beginning of a connection, or the answer before, to the last header of a request."""
_LINGER_SECONDS: Final = 2.0
"""For the body of a request that was answered without reading it. Then the connection is cut."""
_quiet = logging.getLogger(f"{__name__}.requests")
_quiet.disabled = True
"""aiohttp writes down what it cannot read, with a traceback: whoever finds the port would fill the log with what they
like. What the handlers fail at is logged by `_told`."""
log = logging.getLogger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def listening(
    app: web.Application, host: str, port: int, *, finish_seconds: float
) -> AsyncIterator[tuple[str, int]]:
    """Serves `app` while the block runs; gives host and port. Closing waits `finish_seconds` for answers under way.

    A handler that raises what is no answer of HTTP's is a defect: it is logged, and answered with 500.

    Raises `OSError`, `OverflowError` or `UnicodeError` when nothing can listen there.
    """
    app.middlewares.append(_told)
    runner = web.AppRunner(
        app,
        access_log=None,
        logger=_quiet,
        keepalive_timeout=HEADER_SECONDS,
        lingering_time=_LINGER_SECONDS,
        shutdown_timeout=finish_seconds,
    )
    await runner.setup()
    try:
        handlers = runner.server
        assert handlers is not None  # noqa: S101 - for the type checker: `setup` made it

        def come_in() -> web.RequestHandler:
            crowd = handlers.connections
            for longest in crowd[: max(0, len(crowd) + 1 - MOST_CONNECTIONS)]:
                if longest.transport is not None:
                    longest.transport.abort()
            return handlers()

        door = await asyncio.get_running_loop().create_server(come_in, host, port)
        try:
            address = door.sockets[0].getsockname()
            yield str(address[0]), int(address[1])
        finally:
            door.close()
    finally:
        await runner.cleanup()


@web.middleware
async def _told(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Logs what a handler fails at: its kind and the way to it. What it says may be what a stranger sent."""
    try:
        return await handler(request)
    except web.HTTPException:
        raise
    except Exception as error:  # noqa: BLE001 - one answer fails, and the others go on
        log.error("an answer failed: %s [%s]", type(error).__name__, way(traceback.extract_tb(error.__traceback__)))
        return web.Response(status=500, text="failed; the log says why\n")
