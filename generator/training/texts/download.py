"""Texts from the network, through the proxy of the environment, and the folder that keeps them."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Final

import aiohttp

from generator.connector import Connector

DOWNLOAD_ERRORS: Final = (OSError, aiohttp.ClientError, ValueError)
"""What `download` raises; a status of 400 or more is an `aiohttp.ClientResponseError`."""
_TIMEOUT_SECONDS: Final = 30.0


def download(url: str) -> bytes:
    """Returns the content of an address. Raises `DOWNLOAD_ERRORS`."""
    return asyncio.run(_download(url))


async def _download(url: str) -> bytes:
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_TIMEOUT_SECONDS, sock_read=_TIMEOUT_SECONDS)
    session = aiohttp.ClientSession(connector=Connector(), timeout=timeout, raise_for_status=True)
    async with session, session.get(url) as response:
        return await response.read()


def cache_folder() -> Path:
    """Returns `$XDG_CACHE_HOME/lstmega`, or `~/.cache/lstmega` (XDG base directory specification)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lstmega"
