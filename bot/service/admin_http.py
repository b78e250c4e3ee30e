"""The HTTP endpoints of the service.

GET /healthz   200 while the event loop runs
GET /readyz    one JSON object a line for each part; 200, or 503 when one is not ready
GET /metrics   for Prometheus
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from bot.config.loader import ConfigError
from bot.config.schema import HttpSection
from bot.logs import Redaction
from bot.net.http_server import CannotListen, listening
from bot.service.health import Health
from bot.service.metrics import Metrics


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
        return web.Response(body=generate_latest(metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", prometheus)])
    try:
        async with listening(app, section.host, section.port) as (host, port):
            yield f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    except CannotListen as error:
        raise ConfigError([f"[http] {error}"]) from error
