"""A proxy on a loopback port, which speaks HTTP (CONNECT, and absolute addresses) and SOCKS5 (RFC 1928, RFC 1929)."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class ProxyServer:
    """Connects to `routes[host]` in place of each host, so that a host need not exist.

    `requests`: what it was asked for, such as "CONNECT api.example:443" or "SOCKS api.example:443". `user`:
    "name:password" that it demands. `refuse_with`: a status that it answers to every request in HTTP.
    """

    def __init__(self, routes: dict[str, tuple[str, int]], user: str = "") -> None:
        self.routes = routes
        self.user = user
        self.refuse_with = 0
        self.requests: list[str] = []
        self.port = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[ProxyServer]:
        """Serves on a free port while the block runs."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    def address(self, scheme: str = "http") -> str:
        """What a client is configured with."""
        return f"{scheme}://{self.user}{'@' * bool(self.user)}127.0.0.1:{self.port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                first = await reader.readexactly(1)
                serve = self._serve_socks if first == b"\x05" else self._serve_http
                await serve(first, (reader, writer))
        finally:
            writer.close()

    async def _serve_http(self, first: bytes, client: Streams) -> None:
        reader, writer = client
        head = first + await reader.readuntil(b"\r\n\r\n")
        method, target, _ = head.split(b"\r\n")[0].decode().split(" ")
        self.requests.append(f"{method} {target}")
        expected = b"basic " + base64.b64encode(self.user.encode()).lower()
        status = self.refuse_with
        if not status and self.user and b"proxy-authorization: " + expected not in head.lower():
            status = 407
        if status:
            writer.write(f"HTTP/1.1 {status} Refused by the proxy\r\nContent-Length: 0\r\n\r\n".encode())
            await writer.drain()
            return
        host = urlsplit(f"//{target}" if method == "CONNECT" else target).hostname or ""
        if method == "CONNECT":
            await self._pipe(client, host, answer=b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            await self._pipe(client, host, sent=head)

    async def _serve_socks(self, _: bytes, client: Streams) -> None:
        reader, writer = client
        methods = await reader.readexactly((await reader.readexactly(1))[0])
        wanted = 2 if self.user else 0
        if wanted not in methods:
            writer.write(b"\x05\xff")
            return
        writer.write(bytes((5, wanted)))
        if self.user:
            await reader.readexactly(1)
            name = await reader.readexactly((await reader.readexactly(1))[0])
            password = await reader.readexactly((await reader.readexactly(1))[0])
            right = b":".join((name, password)).decode() == self.user
            writer.write(b"\x01\x00" if right else b"\x01\x01")
            if not right:
                return
        _version, _command, _reserved, kind = await reader.readexactly(4)
        length = (await reader.readexactly(1))[0] if kind == 3 else 4
        name = await reader.readexactly(length)
        host = name.decode() if kind == 3 else ".".join(map(str, name))
        port = int.from_bytes(await reader.readexactly(2), "big")
        self.requests.append(f"SOCKS {host}:{port}")
        await self._pipe(client, host, answer=b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")

    async def _pipe(self, client: Streams, host: str, *, answer: bytes = b"", sent: bytes = b"") -> None:
        """Connects to the host's route, answers the client, and copies in both directions until one ends."""
        server = await asyncio.open_connection(*self.routes[host])
        client[1].write(answer)
        server[1].write(sent)
        tasks = [asyncio.create_task(_copy(client[0], server[1])), asyncio.create_task(_copy(server[0], client[1]))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            server[1].close()


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while content := await source.read(65_536):
            target.write(content)
            await target.drain()
