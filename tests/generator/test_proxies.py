"""The rule that says which proxy an address is reached through, and connections through real proxies."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from service_process import unused_port

from generator import proxies
from generator.connector import Connector, ProxyError
from generator.proxies import parse, proxy_for
from testing.proxy import ProxyServer

TLS = Path(__file__).resolve().parents[1] / "data" / "tls.pem"
API = "https://api.bot.example"


pytestmark = pytest.mark.usefixtures("no_proxy")


@pytest.mark.parametrize(
    ("variables", "url", "expected"),
    [
        ({}, API, None),
        ({"HTTPS_PROXY": "http://proxy:3128"}, API, "http://proxy:3128"),
        ({"https_proxy": "proxy:3128"}, API, "http://proxy:3128"),
        ({"HTTPS_PROXY": "http://proxy:3128"}, "wss://gateway.bot.example", "http://proxy:3128"),
        ({"HTTPS_PROXY": "http://ada:hush@proxy"}, API, "http://proxy:80"),
        ({"HTTP_PROXY": "http://proxy:3128"}, API, None),
        ({"HTTP_PROXY": "http://proxy:3128"}, "ws://127.0.0.1:8081", "http://proxy:3128"),
        ({"ALL_PROXY": "socks5://proxy"}, API, "socks5://proxy:1080"),
        ({"all_proxy": "socks5h://[::1]:9"}, API, "socks5h://[::1]:9"),
        ({"ALL_PROXY": "http://proxy:3128", "NO_PROXY": "other.example, .example"}, API, None),
        ({"HTTP_PROXY": "http://proxy:3128", "NO_PROXY": "127.0.0.1:8081"}, "http://127.0.0.1:8081", None),
        ({"HTTP_PROXY": "http://proxy:3128", "no_proxy": "127.0.0.1"}, "http://127.0.0.1:8081", None),
    ],
)
def test_the_environment_names_the_proxy(
    variables: dict[str, str], url: str, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    proxy = proxy_for(url)
    assert (proxy and str(proxy)) == expected


def test_the_configuration_comes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://other:1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert str(proxy_for(API, "http://proxy:2")) == "http://proxy:2"
    assert proxy_for("http://127.0.0.1:8081", "http://proxy:2") is None


@pytest.mark.parametrize(
    "address",
    [
        "ftp://proxy", "http://", "http://proxy:99999", "http://proxy:0", "http://proxy/path", "http://[::1",
        "socks4://proxy", "http://ada:hu/sh@proxy:1", "http://ada:hu@sh@proxy:1", "http://ada:12/hush@proxy",
        "hush hush",
    ],
)  # fmt: skip
def test_an_address_that_is_none_is_refused_and_not_repeated(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", address)
    with pytest.raises(ValueError, match=r"^HTTPS_PROXY: must be http://user:password@host:port") as caught:
        proxy_for(API)
    assert "hu" not in str(caught.value)


def test_socks_without_its_package_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxies, "find_spec", lambda _: None)
    with pytest.raises(ValueError, match=r"socks5://proxy:1080 needs aiohttp-socks, which is not installed; .*socks"):
        proxy_for(API, "socks5://ada:hush@proxy")


def test_no_form_of_a_proxy_shows_the_password() -> None:
    proxy = parse("http://ada:hush@proxy:3128")
    assert {str(proxy), repr(proxy), f"{proxy}"} == {"http://proxy:3128"}


@pytest.fixture
async def api(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[str, int]]:
    """A server with TLS at a port of its own, for any host in `.example`; the client trusts it."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=f"{request.scheme} {request.host}")

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(TLS)
    trusting = ssl.create_default_context(cafile=str(TLS))
    monkeypatch.setattr(aiohttp.connector, "_SSL_CONTEXT_VERIFIED", trusting)
    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    yield "127.0.0.1", runner.addresses[0][1]
    await runner.cleanup()


async def get(proxy: str, url: str = API, timeout: float = 20) -> str:  # noqa: ASYNC109
    async with AsyncExitStack() as stack:
        limit = aiohttp.ClientTimeout(total=None, connect=timeout, sock_connect=timeout)
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=Connector(proxy), timeout=limit))
        response = await stack.enter_async_context(session.get(url))
        return await response.text()


@pytest.mark.parametrize("user", ["", "ada:hush-hush"])
@pytest.mark.parametrize("scheme", ["http", "socks5", "socks5h"])
async def test_https_goes_through_a_proxy_that_resolves_the_name(api: tuple[str, int], scheme: str, user: str) -> None:
    async with ProxyServer({"api.bot.example": api}, user).running() as proxy:
        assert await get(proxy.address(scheme)) == "https api.bot.example"
    assert proxy.requests == [f"{'CONNECT' if scheme == 'http' else 'SOCKS'} api.bot.example:443"]


@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_a_wrong_password_is_said_without_the_password(api: tuple[str, int], scheme: str) -> None:
    async with ProxyServer({"api.bot.example": api}, "ada:right").running() as proxy:
        place = f"{scheme}://127.0.0.1:{proxy.port}"
        with pytest.raises(ProxyError) as caught:
            await get(proxy.address(scheme).replace("right", "hush"))
    refused = f"the proxy {place} answers 407 Refused by the proxy"
    failed = f"api.bot.example through the proxy {place}: Username and password authentication failure"
    assert str(caught.value) == (refused if scheme == "http" else failed)


async def test_the_status_of_a_refusal_is_named(api: tuple[str, int]) -> None:
    async with ProxyServer({"api.bot.example": api}).running() as proxy:
        proxy.refuse_with = 503
        with pytest.raises(ProxyError, match=rf"the proxy http://127.0.0.1:{proxy.port} answers 503 Refused"):
            await get(proxy.address())


@pytest.mark.parametrize("scheme", ["http", "socks5"])
@pytest.mark.parametrize("host", ["127.0.0.1", "proxy.invalid"])
async def test_a_proxy_that_is_not_there(scheme: str, host: str) -> None:
    address = f"{scheme}://{host}:{unused_port()}"
    with pytest.raises(ProxyError) as caught:
        await get(address.replace("//", "//ada:hush@"))
    assert address in str(caught.value)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_a_certificate_of_another_host_is_not_the_proxy_s_fault(api: tuple[str, int], scheme: str) -> None:
    async with ProxyServer({"api.other": api}).running() as proxy:
        with pytest.raises(aiohttp.ClientConnectionError, match=r"api\.other"):
            await get(proxy.address(scheme), "https://api.other")
