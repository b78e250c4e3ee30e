"""Texts from the network, through the proxy of the environment, and the folder that keeps them."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Final

import aiohttp

from generator.connector import Connector
from generator.training import TrainingError

_TIMEOUT_SECONDS: Final = 30.0


def download(url: str, otherwise: str) -> bytes:
    """Returns the content of an address. Raises `TrainingError`, which ends with `otherwise`: what to do instead."""
    try:
        return asyncio.run(_download(url))
    except (OSError, aiohttp.ClientError, ValueError) as error:
        raise TrainingError(f"{url} cannot be downloaded ({error}). {otherwise}") from error


async def _download(url: str) -> bytes:
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_TIMEOUT_SECONDS, sock_read=_TIMEOUT_SECONDS)
    session = aiohttp.ClientSession(connector=Connector(), timeout=timeout, raise_for_status=True)
    async with session, session.get(url) as response:
        return await response.read()


def cache_folder() -> Path:
    """Returns `$XDG_CACHE_HOME/lstmega`, or `~/.cache/lstmega` (XDG base directory specification)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lstmega"
