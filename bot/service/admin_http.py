"""The HTTP endpoints of the service.

GET /healthz   200 while the event loop runs
GET /readyz    one JSON object a line for each part; 200, or 503 when one is not ready
GET /metrics   for Prometheus
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict
from typing import Final

from aiohttp import web

from bot.config.loader import ConfigError
from bot.config.schema import HttpSection
from bot.logs import Redaction
from bot.net import http_server
from bot.service.health import Health
from bot.service.metrics import Metrics

_LARGEST_BODY: Final = 1024
"""Bytes: no endpoint reads a body."""
_DRAIN_SECONDS: Final = 2.0
"""How long closing waits for running requests."""
_METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
"""https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format"""


@asynccontextmanager
async def serving(section: HttpSection, health: Health, metrics: Metrics, redact: Redaction) -> AsyncIterator[str]:
    """Serves the endpoints while the block runs; yields the address. Raises `ConfigError` if it cannot listen.

    `redact` hides the secrets that the reason of a failure may hold.
    """

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="alive\n")

    async def readyz(_: web.Request) -> web.Response:
        parts = await health.parts()
        lines = [redact(json.dumps(asdict(part), ensure_ascii=False)) for part in parts]
        status = 200 if all(part.ready for part in parts) else 503
        return web.Response(text="\n".join(lines) + "\n", status=status, content_type="application/x-ndjson")

    async def prometheus(_: web.Request) -> web.Response:
        return web.Response(body=metrics.text(), headers={"Content-Type": _METRICS_TYPE})

    app = web.Application(client_max_size=_LARGEST_BODY)
    for path, handler in (("/healthz", healthz), ("/readyz", readyz), ("/metrics", prometheus)):
        app.router.add_get(path, handler)
    async with AsyncExitStack() as stack:
        port = http_server.listening(app, section.host, section.port, drain_seconds=_DRAIN_SECONDS)
        try:
            address = await stack.enter_async_context(port)
        except (OSError, OverflowError, UnicodeError) as error:
            raise ConfigError(
                [f"[http] {http_server.explain_listen_error(section.host, section.port, error)}"]
            ) from error
        host, number = address
        yield f"http://[{host}]:{number}" if ":" in host else f"http://{host}:{number}"
