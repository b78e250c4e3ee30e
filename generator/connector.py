"""HTTP connections of aiohttp, each through the proxy that `generator.proxies` names for its address."""

from __future__ import annotations

from typing import Any

import aiohttp
from yarl import URL

from generator.proxies import Proxy, proxy_for


class ProxyError(aiohttp.ClientConnectionError):
    """The proxy cannot be reached, or refuses. The message names it, without user and password."""


class Connector(aiohttp.TCPConnector):
    """Connects a session to each host as `proxy_for` says. `proxy`: the configured one, or empty.

    Connecting raises `ProxyError`, or `ValueError` for a proxy that cannot be used.
    """

    def __init__(self, proxy: str = "", *, limit: int = 100) -> None:
        super().__init__(limit=limit)
        self._configured = proxy
        self._proxies: dict[URL, Proxy | None] = {}
        self._socks: dict[Proxy, aiohttp.TCPConnector] = {}

    def proxy_of(self, url: URL) -> Proxy | None:
        """Returns the proxy for an address."""
        if (origin := url.origin()) not in self._proxies:
            self._proxies[origin] = proxy_for(str(origin), self._configured)
        return self._proxies[origin]

    async def connect(self, req: aiohttp.ClientRequest, traces: Any, timeout: Any) -> Any:  # noqa: ASYNC109
        """See `aiohttp.BaseConnector`."""
        proxy = self.proxy_of(req.url)
        if proxy is None:
            return await super().connect(req, traces, timeout)
        if proxy.is_socks:
            return await self._connect_socks(proxy, (req, traces, timeout))
        req.update_proxy(URL(proxy.url), None, None)
        try:
            return await super().connect(req, traces, timeout)
        except aiohttp.ClientHttpProxyError as error:
            raise ProxyError(f"the proxy {proxy} answers {error.status} {error.message}") from None
        except aiohttp.ClientConnectorError as error:
            if (error.host, error.port) != (URL(proxy.url).host, proxy.port):  # it is the other end's
                raise
            raise ProxyError(f"the proxy {proxy} cannot be reached: {error.os_error.strerror}") from None

    async def _connect_socks(self, proxy: Proxy, arguments: tuple[aiohttp.ClientRequest, Any, Any]) -> Any:
        import aiohttp_socks as socks  # noqa: PLC0415 - optional

        if proxy not in self._socks:
            self._socks[proxy] = socks.ProxyConnector.from_url(proxy.url, limit=self.limit)
        try:
            return await self._socks[proxy].connect(*arguments)
        except TimeoutError:
            raise
        except (socks.ProxyError, socks.ProxyConnectionError, socks.ProxyTimeoutError, OSError) as error:
            raise ProxyError(f"{arguments[0].host} through the proxy {proxy}: {error}") from None

    async def close(self, *, abort_ssl: bool = False) -> None:
        """See `aiohttp.BaseConnector`."""
        for connector in self._socks.values():
            await connector.close(abort_ssl=abort_ssl)
        await super().close(abort_ssl=abort_ssl)
