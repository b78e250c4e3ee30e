"""What is right and what is wrong with an installation, one finding after the other."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bot.config.schema import Config, Secret, TelegramSection, platform_problems, redact_url
from bot.net.http_server import is_loopback
from bot.service.generator_factory import open_generator
from bot.store.errors import StoreError
from bot.store.store import Store
from generator import GenerationRequest, GeneratorError, Unavailable, WeightsError
from generator.prose import presentable

_TRIAL_LENGTH: Final = 200
"""Characters of the text that tests the weights."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: its name, whether it is right, and what was seen or what to do."""

    right: bool
    name: str
    detail: str

    def __str__(self) -> str:
        return f"{'ok' if self.right else 'wrong':<5}  {self.name:<15}  {self.detail}"


def _right(name: str, detail: str) -> Finding:
    return Finding(right=True, name=name, detail=detail)


def _wrong(name: str, detail: str) -> Finding:
    return Finding(right=False, name=name, detail=detail)


async def findings(config: Config, source: Path | None) -> AsyncIterator[Finding]:
    """Looks at everything that a start would need. `source`: the file that the configuration came from."""
    yield _right("configuration", str(source) if source else "no config.toml here, so the defaults hold")
    problems = platform_problems(config)
    for name, token in (("discord token", config.discord.token), ("telegram token", config.telegram.token)):
        state = "set, and has the right shape" if token else "not set, so that platform stays off"
        yield _wrong(name, problems[name]) if name in problems else _right(name, state)
    yield _open("http", config.http.host, config.http.port, "who can read health and metrics, but change nothing")
    if config.telegram.webhook_url:
        yield _wrong("webhook", problems["webhook"]) if "webhook" in problems else _webhook(config.telegram)
    yield await _weights(config)
    yield await _database(config.database)


def _open(name: str, host: str, port: int, others: str) -> Finding:
    """To whom a port is open. `others`: what that means when it is to other machines."""
    if is_loopback(host):
        return _right(name, f"{host}, port {port}: open to this machine alone")
    return _right(name, f"{host}, port {port}: open to OTHER MACHINES, {others}; a firewall can keep them out")


def _webhook(section: TelegramSection) -> Finding:
    """To whom the webhook's port is open."""
    secrecy = "without the secret they get nowhere" if section.webhook_secret else "a secret is made up at each start"
    return _open("webhook", section.webhook_host, section.webhook_port, secrecy)


async def _weights(config: Config) -> Finding:
    """Loads what would serve, which verifies the hashes and tests the network, and writes a text with it."""
    try:
        async with open_generator(config.generator) as generator:
            manifest = generator.weights.manifest
            began = time.perf_counter()
            generation = await generator.generate(GenerationRequest(length=_TRIAL_LENGTH, seed=0))
            took = time.perf_counter() - began
    except Unavailable as error:
        return _wrong("weights", f"{error}; [generator] address names the pool")
    except WeightsError as error:
        return _wrong("weights", f"{error}; [generator] weights names their folder")
    except GeneratorError as error:
        return _wrong("weights", f"{manifest.version} loads, but cannot write: {error}; take other weights")
    if not presentable(generation.text, hard_wrapped=manifest.hard_wrapped):
        return _wrong("weights", f"{manifest.version} loads, but writes nothing; take other weights")
    return _right(
        "weights",
        f"{manifest.version}: hashes right; wrote {len(generation.text)} characters in {took:.2f} s;"
        f" {manifest.metrics['valid_bits_per_character']:.3f} bits per character",
    )


def _absent(path: Path) -> Finding | None:
    """What to say about a database that is not there; `None` when it is."""
    if path.exists():
        return None
    home = next(folder for folder in path.parents if folder.exists())
    if home.is_dir() and os.access(home, os.W_OK | os.X_OK):
        return _right("database", f"{path}: not there yet; the first start makes it")
    return _wrong("database", f"{path}: cannot be made: {home} cannot be written; change [store] path")


async def _database(place: Path | Secret) -> Finding:
    """Inspects the database if there is one; otherwise says whether a start could make it."""
    name = redact_url(place) if isinstance(place, Secret) else place
    try:
        absent = _absent(place) if isinstance(place, Path) else None
        return absent or _right("database", f"{name}: {await Store.inspect(place)}")
    except StoreError as error:
        return _wrong("database", str(error))
