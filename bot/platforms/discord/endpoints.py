"""discord.py's requests, sent to a REST proxy and a gateway proxy where the configuration names them.

discord.py keeps its addresses in two class attributes, `Route.BASE` and `DiscordWebSocket.DEFAULT_GATEWAY`, for the
whole process. They stay as they are: each client here has an `HTTPClient` of its own through which its requests and
connections pass, and answers to interactions, which go another way, pass through an adapter that discord.py looks up
in a context variable. The price is that `HTTPClient.request`, `HTTPClient.ws_connect` and `AsyncWebhookAdapter` are
known here, though only the library itself is meant to know them; tests hold the three together.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import yarl
from discord.gateway import DiscordWebSocket
from discord.http import HTTPClient, Route
from discord.webhook.async_ import AsyncWebhookAdapter, async_context

if TYPE_CHECKING:
    from discord.types.gateway import SessionStartLimit

_VERSIONED: Final = re.compile(r"/v\d+$")
_API: Final = "/api"


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where Discord is; empty means the real one.

    `api_url` stands for https://discord.com, https://discord.com/api or https://discord.com/api/v10, whichever it
    looks like: what is missing is added. `gateway_url` stands for wss://gateway.discord.gg; without it the gateway is
    the one that the REST API names.
    """

    api_url: str = ""
    gateway_url: str = ""

    def rest(self, url: str) -> str:
        """The address to use in place of one of discord.py's own."""
        if not self.api_url or not url.startswith(Route.BASE):
            return url
        base = self.api_url.rstrip("/")
        if not _VERSIONED.search(base):
            version = Route.BASE.rpartition("/")[2]
            base = f"{base}/{version}" if base.endswith(_API) else f"{base}{_API}/{version}"
        return base + url.removeprefix(Route.BASE)

    @contextmanager
    def for_interactions(self) -> Iterator[None]:
        """Sends the answers to interactions to `api_url`, in this task and in those that it starts."""
        if not self.api_url:
            yield
            return
        token = async_context.set(_WebhookAdapter(self))
        try:
            yield
        finally:
            async_context.reset(token)


class Http(HTTPClient):
    """The REST client of one bot."""

    def __init__(self, loop: asyncio.AbstractEventLoop, endpoints: Endpoints) -> None:
        super().__init__(loop)
        self._endpoints = endpoints
        self._named_gateway = ""

    async def request(self, route: Route, **options: Any) -> Any:
        """Every REST request but the answers to interactions."""
        route.url = self._endpoints.rest(route.url)
        return await super().request(route, **options)

    async def get_bot_gateway(self) -> tuple[int, str, SessionStartLimit]:
        """Shards to start with, the gateway's address, how many sessions may be started."""
        shards, self._named_gateway, limits = await super().get_bot_gateway()
        return shards, self._named_gateway, limits

    async def ws_connect(self, url: str, *, compress: int = 0) -> aiohttp.ClientWebSocketResponse:
        """Every connection to the gateway: the first, one made anew, one taken up at an address that READY named."""
        wanted = yarl.URL(url)
        gateway = self._endpoints.gateway_url
        if not gateway and wanted.host == DiscordWebSocket.DEFAULT_GATEWAY.host:
            gateway = self._named_gateway  # for connections made anew the library uses its constant
        if gateway:
            url = str(yarl.URL(gateway).update_query(wanted.query))
        return await super().ws_connect(url, compress=compress)


class _WebhookAdapter(AsyncWebhookAdapter):
    """What sends the answers to interactions."""

    def __init__(self, endpoints: Endpoints) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._endpoints = endpoints

    async def request(self, route: Route, session: aiohttp.ClientSession, **options: Any) -> Any:
        route.url = self._endpoints.rest(route.url)
        return await super().request(route, session, **options)
