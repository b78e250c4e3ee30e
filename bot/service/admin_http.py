"""The HTTP endpoints of the service.

GET  /healthz   200 while the event loop runs
GET  /readyz    one JSON object a line for each part; 200, or 503 when one is not ready
GET  /metrics   for Prometheus
POST /reload    loads the weights that CURRENT names: 200, or 409 and the reason; from this machine, with the token
"""

from __future__ import annotations

import hmac
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict
from typing import Final

from aiohttp import web

from bot.config.loader import ConfigError
from bot.config.schema import Config
from bot.logs import Redaction
from bot.net import http_server
from bot.net.addresses import explain_listen_error, is_loopback
from bot.service.admin_api import MARK, RELOAD, reload_token
from bot.service.health import Health
from bot.service.metrics import Metrics
from bot.service.reload import Reloading
from generator import WeightsError

_LARGEST_BODY: Final = 1024
"""Bytes: no endpoint reads a body."""
_DRAIN_SECONDS: Final = 2.0
"""How long closing waits for running requests."""
_METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
"""https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format"""


class _Endpoints:
    """The handlers. `redact` hides the secrets that an error message may hold."""

    def __init__(self, health: Health, metrics: Metrics, reloading: Reloading, redact: Redaction) -> None:
        self._health = health
        self._metrics = metrics
        self._reloading = reloading
        self._redact = redact
        self.token = ""
        """That authorises a reload. Empty: nobody may."""

    async def healthz(self, _: web.Request) -> web.Response:
        return web.Response(text="alive\n")

    async def readyz(self, _: web.Request) -> web.Response:
        parts = await self._health.parts()
        lines = [self._redact(json.dumps(asdict(part), ensure_ascii=False)) for part in parts]
        status = 200 if all(part.ready for part in parts) else 503
        return web.Response(text="\n".join(lines) + "\n", status=status, content_type="application/x-ndjson")

    async def metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=self._metrics.text(), headers={"Content-Type": _METRICS_TYPE})

    async def reload(self, request: web.Request) -> web.Response:
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        authorised = self.token and hmac.compare_digest(given, f"Bearer {self.token}".encode())
        if not (is_loopback(request.remote) and authorised):
            message = "only from this machine and with the service's token: `python -m bot reload` sends it"
            return web.json_response({"reloaded": False, "message": message}, status=403)
        try:
            done = await self._reloading.reload("reload over HTTP")
        except WeightsError as error:
            return web.json_response({"reloaded": False, "message": self._redact(str(error))}, status=409)
        return web.json_response({"reloaded": True, "message": str(done)})


@asynccontextmanager
async def serving(
    config: Config, health: Health, metrics: Metrics, reloading: Reloading, redact: Redaction
) -> AsyncIterator[str]:
    """Serves the endpoints while the block runs; yields the address. Raises `ConfigError` if it cannot listen."""
    section = config.http
    endpoints = _Endpoints(health, metrics, reloading, redact)
    app = web.Application(client_max_size=_LARGEST_BODY, middlewares=[_marked])
    app.router.add_get("/healthz", endpoints.healthz)
    app.router.add_get("/readyz", endpoints.readyz)
    app.router.add_get("/metrics", endpoints.metrics)
    app.router.add_post(RELOAD, endpoints.reload)
    async with AsyncExitStack() as stack:
        port = http_server.listening(app, section.host, section.port, drain_seconds=_DRAIN_SECONDS)
        try:
            address = await stack.enter_async_context(port)
        except (OSError, OverflowError, UnicodeError) as error:
            raise ConfigError([f"[http] {explain_listen_error(section.host, section.port, error)}"]) from error
        host, number = address
        endpoints.token = stack.enter_context(reload_token(config.folder, number))
        yield f"http://[{host}]:{number}" if ":" in host else f"http://{host}:{number}"


@web.middleware
async def _marked(request: web.Request, handler: http_server.Handler) -> web.StreamResponse:
    """Adds `MARK` to every answer, errors included."""
    try:
        response = await handler(request)
    except web.HTTPException as error:
        error.headers[MARK] = "1"
        raise
    response.headers[MARK] = "1"
    return response
