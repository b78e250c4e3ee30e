"""Discord's addresses: the real ones, or a REST proxy and a gateway proxy that the configuration names."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import aiohttp
import yarl
from discord.gateway import DiscordWebSocket
from discord.http import HTTPClient, Route

if TYPE_CHECKING:
    from discord.types.gateway import SessionStartLimit

_VERSIONED: Final = re.compile(r"/v\d+$")
_API: Final = "/api"


@contextmanager
def using(api_url: str) -> Iterator[None]:
    """Sends discord.py's REST requests to `api_url` while the block runs; empty means the real Discord.

    discord.py keeps its addresses in class attributes, so this holds for the whole process.
    """
    before = Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY
    try:
        if api_url:
            Route.BASE = rest_url(api_url)
        yield
    finally:
        Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY = before


def rest_url(api_url: str) -> str:
    """Returns `api_url` with what it lacks of "/api/v10", so that the address of a host is enough."""
    base = api_url.rstrip("/")
    if _VERSIONED.search(base):
        return base
    version = Route.BASE.rpartition("/")[2]
    return f"{base}/{version}" if base.endswith(_API) else f"{base}{_API}/{version}"


class Http(HTTPClient):
    """discord.py's HTTP client, with a gateway of the configuration's if `gateway_url` is not empty."""

    def __init__(self, loop: asyncio.AbstractEventLoop, gateway_url: str) -> None:
        super().__init__(loop)
        self._gateway_url = gateway_url

    async def get_bot_gateway(self) -> tuple[int, str, SessionStartLimit]:
        """Returns the number of shards, the gateway's address, and how many sessions may be started."""
        shards, gateway, limits = await super().get_bot_gateway()
        DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(gateway)  # discord.py reconnects to this one
        return shards, gateway, limits

    async def ws_connect(self, url: str, *, compress: int = 0) -> aiohttp.ClientWebSocketResponse:
        """Opens every connection to the gateway, also one that resumes a session at the address in READY."""
        if self._gateway_url:
            url = str(yarl.URL(self._gateway_url).update_query(yarl.URL(url).query))
        return await super().ws_connect(url, compress=compress)
