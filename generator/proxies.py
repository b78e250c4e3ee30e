"""The proxy that an address is reached through: one rule for everything that the program sends."""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from generator.dependencies import how_to_install

FORM: Final = "http://user:password@host:port, https://… or socks5://…, with @ : / ? # in the password written as"
_PORTS: Final = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
"""By scheme, the port where none is given. With both of SOCKS, the proxy resolves host names."""
_ADDRESS: Final = re.compile(r"(?:(\w+)://)?([^\s@/?#]*@)?(\[[\da-fA-F:.]+\]|[\w.-]+)(?::(\d{1,5}))?/?")


class Proxy(NamedTuple):
    """A proxy. `user`: "user:password@", or empty. As a text it has none of that."""

    scheme: str
    user: str
    host: str
    port: int

    @property
    def is_socks(self) -> bool:
        """Whether it speaks SOCKS5, and not HTTP."""
        return self.scheme.startswith("socks")

    @property
    def url(self) -> str:
        """The whole address, for what connects to it."""
        return f"{self.scheme.removesuffix('h')}://{self.user}{self.host}:{self.port}"

    def __repr__(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"


def parse(address: str) -> Proxy:
    """Returns the proxy of an address; without a scheme, one that speaks HTTP. Raises `ValueError`."""
    match = _ADDRESS.fullmatch(address)
    scheme = match[1].lower() if match and match[1] else "http"
    if match is None or scheme not in _PORTS or not 0 < (port := int(match[4] or _PORTS[scheme])) <= 65_535:
        raise ValueError(f"must be {FORM} %40 %3A %2F %3F %23")
    return Proxy(scheme, match[2] or "", match[3], port)


def proxy_for(url: str, configured: str = "") -> Proxy | None:
    """Returns the proxy for an address: the `configured` one, else the one that the environment names.

    The environment's variables are HTTPS_PROXY, HTTP_PROXY and ALL_PROXY, in either case. The hosts in NO_PROXY have no
    proxy. Raises `ValueError`: the variable holds no address, or SOCKS needs a package that is not installed.
    """
    import urllib.request  # noqa: PLC0415 - brings email and http.client, which most commands never need

    target = urlsplit(url)
    scheme = {"ws": "http", "wss": "https"}.get(target.scheme, target.scheme)
    proxies = urllib.request.getproxies()
    name = scheme if scheme in proxies else "all"
    address = configured or proxies.get(name, "")
    if not address or urllib.request.proxy_bypass(target.netloc.rpartition("@")[2]):
        return None
    try:
        proxy = parse(address)
    except ValueError as error:
        raise ValueError(f"{name.upper()}_PROXY: {error}") from None
    if proxy.is_socks and find_spec("aiohttp_socks") is None:
        raise ValueError(f"{proxy} needs aiohttp-socks, which is not installed; {how_to_install('socks')}")
    return proxy
