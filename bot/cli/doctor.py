"""`check`: says what is right and what is wrong with an installation, and changes nothing."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, NamedTuple

from bot.cli.reload_client import is_running
from bot.config.schema import Config, Secret, TelegramSection, platform_problems, redact_url
from bot.net.http_server import CannotListen, listen
from bot.service.generator_factory import open_generator
from bot.store.errors import StoreError
from bot.store.store import Store
from generator import GenerationRequest, GeneratorError, Unavailable, WeightsError
from generator.prose import presentable

_TRIAL_LENGTH: Final = 200
"""Characters of the text that tests the weights."""


class Finding(NamedTuple):
    """One thing that was checked, and what was found or what to do."""

    name: str
    detail: str
    right: bool = True

    def __str__(self) -> str:
        return f"{'ok' if self.right else 'wrong':<5}  {self.name:<15}  {self.detail}"


async def findings(config: Config, source: Path | None) -> AsyncIterator[Finding]:
    """Checks everything that a start needs. `source`: the file that the configuration came from."""
    yield Finding("configuration", str(source) if source else "no config.toml here, so the defaults hold")
    problems = platform_problems(config)
    for name, token in (("discord token", config.discord.token), ("telegram token", config.telegram.token)):
        state = "set, and has the right shape" if token else "not set, so that platform stays off"
        yield Finding(name, problems[name], right=False) if name in problems else Finding(name, state)
    running = is_running(config)
    others = "who can read health and metrics, but change nothing"
    yield await _port("http", config.http.host, config.http.port, others, running=running)
    if "webhook" in problems:
        yield Finding("webhook", problems["webhook"], right=False)
    elif config.telegram.webhook_url:
        yield await _webhook(config.telegram, running=running)
    yield await _weights(config)
    yield await _database(config.database)


async def _port(name: str, host: str, port: int, others: str, *, running: bool) -> Finding:
    """Checks that the service can listen there. `others`: what it means that other machines reach the port."""
    try:
        (await listen(asyncio.Protocol, host, port)).close()
    except CannotListen as error:
        if not running:
            return Finding(name, str(error), right=False)
    state = "; the service is running" if running else ""
    if host == "localhost" or re.fullmatch(r"127\.[\d.]+|::1", host):
        return Finding(name, f"{host}, port {port}: open to this machine alone{state}")
    return Finding(name, f"{host}, port {port}: open to OTHER MACHINES, {others}; a firewall can keep them out{state}")


async def _webhook(section: TelegramSection, *, running: bool) -> Finding:
    others = "without the secret they get nowhere" if section.webhook_secret else "a secret is made up at each start"
    return await _port("webhook", section.webhook_host, section.webhook_port, others, running=running)


async def _weights(config: Config) -> Finding:
    """Loads the weights as `run` does, in a process of their own, and generates a text."""
    try:
        async with open_generator(config.generator, child=True) as generator:
            manifest = generator.weights.manifest
            began = time.perf_counter()
            generation = await generator.generate(GenerationRequest(length=_TRIAL_LENGTH, seed=0))
            took = time.perf_counter() - began
    except Unavailable as error:
        return Finding("weights", f"{error}; [generator] address names the pool", right=False)
    except WeightsError as error:
        return Finding("weights", f"{error}; [generator] weights names their folder", right=False)
    except GeneratorError as error:
        return Finding(
            "weights", f"{manifest.version} loads, but cannot write: {error}; take other weights", right=False
        )
    if not presentable(generation.text, hard_wrapped=manifest.hard_wrapped):
        return Finding("weights", f"{manifest.version} loads, but writes nothing; take other weights", right=False)
    return Finding(
        "weights",
        f"{manifest.version}: hashes right; wrote {len(generation.text)} characters in {took:.2f} s;"
        f" {manifest.metrics['valid_bits_per_character']:.3f} bits per character",
    )


async def _database(place: Path | Secret) -> Finding:
    """Inspects the database if there is one; otherwise checks whether a start could create it."""
    name = redact_url(place) if isinstance(place, Secret) else place
    try:
        if isinstance(place, Path) and (finding := _database_file(place)) is not None:
            return finding
        return Finding("database", f"{name}: {await Store.inspect(place)}")
    except StoreError as error:
        return Finding("database", str(error), right=False)


def _database_file(path: Path) -> Finding | None:
    """Checks that a service of this user could write the database; `None` when there is one that it could."""
    folder = next(folder for folder in path.parents if folder.exists())
    if not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):  # SQLite writes two more files there
        return Finding("database", f"{path}: {folder} cannot be written; change [store] path", right=False)
    if not path.exists():
        return Finding("database", f"{path}: not there yet; the first start creates it")
    if not os.access(path, os.R_OK | os.W_OK):
        return Finding("database", f"{path}: cannot be written; change its owner or [store] path", right=False)
    return None
