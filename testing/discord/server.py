"""The server: REST API and gateway on one loopback port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from testing.discord.gateway import Gateway
from testing.discord.rest import RestApi

PATIENCE: Final = 30.0
"""Seconds that a test waits for something before it fails."""


class DiscordServer(Gateway, RestApi):
    """A Discord with one bot, whose token is `TOKEN`."""

    def __init__(self) -> None:
        Gateway.__init__(self)
        RestApi.__init__(self)
        self.url = ""
        self.gateway_url = ""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[DiscordServer]:
        """Serves on a free port while the block runs."""
        app = web.Application()
        app.router.add_get("/gateway/", self.connection)
        app.router.add_route("*", "/api/v10/{path:.*}", self.handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        address = f"127.0.0.1:{runner.addresses[0][1]}"
        self.url, self.gateway_url = f"http://{address}", f"ws://{address}/gateway/"
        try:
            yield self
        finally:
            await runner.cleanup()

    async def handle(self, request: web.Request) -> web.Response:
        """Answers one request."""
        self.changed.set()
        try:
            return await super().handle(request)
        finally:
            self.changed.set()

    async def until(self, condition: Callable[[], bool], patience: float = PATIENCE) -> None:
        """Waits until what has come in fulfils a condition."""
        async with asyncio.timeout(patience):
            while not condition():
                self.changed.clear()
                await self.changed.wait()
