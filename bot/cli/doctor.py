"""`check`: says what is right and what is wrong with an installation, and changes nothing."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Final

import msgspec
from aiohttp import ClientError, ClientSession, ClientTimeout, web
from yarl import URL

from bot.cli.errors import UsageError
from bot.config.schema import Config, Secret, addresses, platform_problems, redact_url
from bot.http_server import CannotListen, listening
from bot.platforms.base import BadToken, Finding
from bot.service.reload import socket_path
from bot.service.voices import open_generator
from bot.store import sqlite
from bot.store.errors import StoreError
from bot.store.store import Store
from generator import GenerationRequest, GeneratorError, files
from generator.connector import Connector, ProxyError
from generator.weights.versions import NIETZSCHE

_PROXY_SECONDS: Final = 10.0
_ONLINE_SECONDS: Final = 30.0


async def findings(config: Config, source: Path | None, *, online: bool = False) -> AsyncIterator[Finding]:
    """Checks everything that a start needs; `online`: asks the platforms too. `source`: of the configuration."""
    yield Finding("configuration", str(source) if source else "no config.toml here, so the defaults hold")
    problems, telegram, running = platform_problems(config), config.telegram, is_running(config)
    unset = "not set, so that platform stays off"
    if not config.discord.token and not telegram.token:
        unset += "; `run` needs one of them, `chat` does not"
    for name, token in (("discord token", config.discord.token), ("telegram token", telegram.token)):
        state = "set, and has the right shape" if token else unset
        yield Finding(name, problems.get(name, state), name not in problems)
    async with AsyncExitStack() as ports:  # both are open at the same time, as in `run`
        yield await _checked("http", _port(ports, config.http.host, config.http.port, running=running))
        if "webhook" in problems:
            yield Finding("webhook", problems["webhook"], right=False)
        elif telegram.webhook_url:
            webhook = _port(ports, telegram.webhook_host, telegram.webhook_port, running=running)
            yield await _checked("webhook", webhook)
    if "proxy" in problems:
        yield Finding("proxy", problems["proxy"], right=False)
    else:
        connector = Connector(config.network.proxy.reveal())
        if behind := [url for url in map(URL, addresses(config)) if connector.proxy_of(url)]:
            yield await _checked("proxy", _proxy(connector, behind))
    several = len(config.voices) > 1
    for name in config.voices:
        found = await _checked(f"voice {name}" if several else "weights", _weights(config, name))
        if several and not found.right:
            found = found._replace(detail=f"{found.detail}; the bot starts without it")
        yield found
    yield await _checked("database", _database(config.database))
    if online:
        async for found in _online(config, problems, running=running):
            yield found


async def _online(config: Config, problems: Mapping[str, str], *, running: bool) -> AsyncIterator[Finding]:
    """Asks each platform that has a token, and the service if it runs."""
    proxy = config.network.proxy.reveal()
    inspections: dict[str, AsyncIterator[Finding]] = {}
    if config.discord.token and not problems.keys() & {"discord token", "proxy"}:
        from bot.platforms.discord import inspection as discord  # noqa: PLC0415 - each takes half a second to import

        inspections["discord"] = discord.inspect(config.discord, proxy)
    if config.telegram.token and not problems.keys() & {"telegram token", "proxy"}:
        from bot.platforms.telegram import inspection as telegram  # noqa: PLC0415

        inspections["telegram"] = telegram.inspect(config.telegram, proxy)
    if running:
        inspections["service"] = _readiness(config)
    for name, inspection in inspections.items():
        try:
            async with asyncio.timeout(_ONLINE_SECONDS):
                async for finding in inspection:
                    yield finding
        except (BadToken, OSError, ClientError) as error:
            yield Finding(name, str(error) or f"gives no answer in {_ONLINE_SECONDS:g} s", right=False)


async def _readiness(config: Config) -> AsyncIterator[Finding]:
    """Asks the running service, which knows whether its platforms are connected, and why not."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(config.http.host, config.http.host)  # noqa: S104 - any address
    url = URL.build(scheme="http", host=host, port=config.http.port, path="/readyz")
    async with ClientSession() as session, session.get(url) as response:
        for line in (await response.text()).splitlines():
            part = msgspec.json.decode(line)
            name = f"run: {part['part']} {part.get('voice', '')}".rstrip()
            yield Finding(name, part["detail"], part["ready"])


def is_running(config: Config) -> bool:
    """Returns whether a service with this configuration runs as this user."""
    with socket.socket(socket.AF_UNIX) as connection, suppress(OSError):
        connection.connect(str(socket_path(config)))
        return True
    return False


async def _checked(name: str, check: Awaitable[str]) -> Finding:
    try:
        return Finding(name, await check)
    except (UsageError, CannotListen, StoreError) as problem:
        return Finding(name, str(problem), right=False)


async def _port(ports: AsyncExitStack, host: str, port: int, *, running: bool) -> str:
    try:
        await ports.enter_async_context(listening(web.Application(), host, port))
    except CannotListen:
        if not running:
            raise
    local = host == "localhost" or re.fullmatch(r"127\.[\d.]+|::1", host)
    who = "this machine alone" if local else "OTHER MACHINES; a firewall can keep them out"
    return f"{host}, port {port}: open to {who}{'; the service is running' if running else ''}"


async def _proxy(connector: Connector, behind: Sequence[URL]) -> str:
    """Sends a request without a token to each of these addresses."""
    shown = ", ".join(f"{url.host} through {connector.proxy_of(url)}" for url in behind)
    try:
        async with ClientSession(connector=connector, timeout=ClientTimeout(_PROXY_SECONDS)) as session:
            for url in behind:
                async with session.get(url.with_scheme(url.scheme.replace("ws", "http")), allow_redirects=False) as got:
                    if got.status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED or got.status >= HTTPStatus.BAD_GATEWAY:
                        raise ProxyError(f"answers {got.status} {got.reason}")
    except (TimeoutError, ClientError) as error:
        raise UsageError(f"{shown}: {str(error) or f'no answer in {_PROXY_SECONDS:g} s'}") from None
    return f"{shown}: answers"


async def _weights(config: Config, name: str) -> str:
    try:
        async with open_generator(config, name, child=True) as generator:
            manifest = generator.weights.manifest
            began = time.perf_counter()
            generation = await generator.generate(GenerationRequest(length=200, seed=0))
            took = time.perf_counter() - began
    except GeneratorError as error:
        key = f"[{'generator' if name == NIETZSCHE else f'voices.{name}'}] weights names their folder"
        if config.generator.address:
            key = "[generator] address names the pool"
        raise UsageError(f"{error}; {key}") from error
    return (
        f"{manifest.version}: hashes right; wrote {len(generation.text)} characters in {took:.2f} s;"
        f" {manifest.metrics['valid_bits_per_character']:.3f} bits per character"
    )


async def _database(place: Path | Secret) -> str:
    """Inspects the database if there is one; otherwise checks whether a start could create it."""
    if isinstance(place, Secret):
        return f"{redact_url(place)}: {await Store.inspect(place)}"
    folder = files.nearest(place.parent)
    if not files.takes_files(folder):  # SQLite writes two more files there
        raise UsageError(f"{place}: {folder} cannot be written; change [store] path")
    exists = await asyncio.to_thread(place.exists)
    if exists and not os.access(place, os.R_OK | os.W_OK):
        raise UsageError(f"{place}: cannot be written; change its owner or [store] path")
    await asyncio.to_thread(sqlite.rehearse, place, folder)
    if not exists:
        return f"{place}: not there yet; the first start creates it"
    return f"{place}: {await Store.inspect(place)}"
