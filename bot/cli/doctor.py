"""`check`: says what is right and what is wrong with an installation, and changes nothing."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Final

from aiohttp import ClientError, ClientSession, ClientTimeout, web
from yarl import URL

from bot.cli.errors import UsageError
from bot.config.schema import Config, Secret, addresses, platform_problems, redact_url
from bot.http_server import CannotListen, listening
from bot.service.generator_factory import open_generator
from bot.service.reload import socket_path
from bot.store.errors import StoreError
from bot.store.store import Store
from generator import GenerationRequest, GeneratorError
from generator.connector import Connector
from generator.prose import presentable

_TRIAL_LENGTH: Final = 200
"""Characters of the text that tests the weights."""
_PROXY_SECONDS: Final = 10.0


async def findings(config: Config, source: Path | None) -> AsyncIterator[tuple[bool, str]]:
    """Yields for everything that a start needs whether it is right, and a line about it.

    `source`: the file that the configuration came from.
    """
    yield _finding("configuration", str(source) if source else "no config.toml here, so the defaults hold")
    problems, telegram, running = platform_problems(config), config.telegram, is_running(config)
    for name, token in (("discord token", config.discord.token), ("telegram token", telegram.token)):
        state = "set, and has the right shape" if token else "not set, so that platform stays off"
        yield _finding(name, problems.get(name, state), right=name not in problems)
    yield await _checked("http", _port(config.http.host, config.http.port, running=running))
    if "webhook" in problems:
        yield _finding("webhook", problems["webhook"], right=False)
    elif telegram.webhook_url:
        yield await _checked("webhook", _port(telegram.webhook_host, telegram.webhook_port, running=running))
    if "proxy" in problems:
        yield _finding("proxy", problems["proxy"], right=False)
    else:
        connector = Connector(config.network.proxy.reveal())
        behind = [address for address in addresses(config) if connector.proxy_of(URL(address))]
        if behind:
            yield await _checked("proxy", _proxy(connector, behind))
    yield await _checked("weights", _weights(config))
    yield await _checked("database", _database(config.database))


def is_running(config: Config) -> bool:
    """Returns whether a service with this configuration runs as this user."""
    with socket.socket(socket.AF_UNIX) as connection, suppress(OSError):
        connection.connect(str(socket_path(config)))
        return True
    return False


def _finding(name: str, detail: object, *, right: bool = True) -> tuple[bool, str]:
    return right, f"{'ok' if right else 'wrong':<5}  {name:<15}  {detail}"


async def _checked(name: str, check: Awaitable[str]) -> tuple[bool, str]:
    try:
        return _finding(name, await check)
    except (UsageError, CannotListen, StoreError) as problem:
        return _finding(name, problem, right=False)


async def _port(host: str, port: int, *, running: bool) -> str:
    try:
        async with listening(web.Application(), host, port):
            pass
    except CannotListen:
        if not running:
            raise
    local = host == "localhost" or re.fullmatch(r"127\.[\d.]+|::1", host)
    who = "this machine alone" if local else "OTHER MACHINES; a firewall can keep them out"
    return f"{host}, port {port}: open to {who}{'; the service is running' if running else ''}"


async def _proxy(connector: Connector, behind: list[str]) -> str:
    """Sends a request without a token to each of these addresses."""
    hosts = []
    async with ClientSession(connector=connector, timeout=ClientTimeout(_PROXY_SECONDS)) as session:
        for address in behind:
            url = URL(address)
            try:
                async with session.get(url.with_scheme(url.scheme.replace("ws", "http")), allow_redirects=False) as got:
                    if got.status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED or got.status >= HTTPStatus.BAD_GATEWAY:
                        problem = f"the proxy {connector.proxy_of(url)} answers {got.status} {got.reason}"
                        raise UsageError(f"{url.host}: {problem}")
            except TimeoutError:
                problem = f"the proxy {connector.proxy_of(url)} gives no answer in {_PROXY_SECONDS:g} s"
                raise UsageError(f"{url.host}: {problem}") from None
            except ClientError as error:
                raise UsageError(f"{url.host}: {error}; change [network] proxy, or HTTPS_PROXY") from None
            hosts.append(f"{url.host} through {connector.proxy_of(url)}")
    return f"{', '.join(hosts)}: answers"


async def _weights(config: Config) -> str:
    try:
        async with open_generator(config.generator, child=True) as generator:
            manifest = generator.weights.manifest
            began = time.perf_counter()
            generation = await generator.generate(GenerationRequest(length=_TRIAL_LENGTH, seed=0))
            took = time.perf_counter() - began
    except GeneratorError as error:
        key = "address names the pool" if config.generator.address else "weights names their folder"
        raise UsageError(f"{error}; [generator] {key}") from error
    if not presentable(generation.text, hard_wrapped=manifest.hard_wrapped):
        raise UsageError(f"{manifest.version} loads, but writes nothing; take other weights")
    return (
        f"{manifest.version}: hashes right; wrote {len(generation.text)} characters in {took:.2f} s;"
        f" {manifest.metrics['valid_bits_per_character']:.3f} bits per character"
    )


async def _database(place: Path | Secret) -> str:
    """Inspects the database if there is one; otherwise checks whether a start could create it."""
    if isinstance(place, Secret):
        return f"{redact_url(place)}: {await Store.inspect(place)}"
    folder = next(folder for folder in place.parents if folder.exists())
    if not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):  # SQLite writes two more files there
        raise UsageError(f"{place}: {folder} cannot be written; change [store] path")
    if not await asyncio.to_thread(place.exists):
        return f"{place}: not there yet; the first start creates it"
    if not os.access(place, os.R_OK | os.W_OK):
        raise UsageError(f"{place}: cannot be written; change its owner or [store] path")
    return f"{place}: {await Store.inspect(place)}"
