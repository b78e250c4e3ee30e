"""A loopback Discord, and the core that the platform serves on it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from discord.gateway import DiscordWebSocket
from discord.http import Route
from discord_support import Core, core_on

from testing.discord import DiscordServer


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[DiscordServer]:
    """A loopback Discord. Afterwards the library has its own addresses again."""
    monkeypatch.setattr(Route, "BASE", Route.BASE)
    monkeypatch.setattr(DiscordWebSocket, "DEFAULT_GATEWAY", DiscordWebSocket.DEFAULT_GATEWAY)
    async with DiscordServer().running() as found:
        yield found


@pytest.fixture
async def core(tiny_folder: Path) -> AsyncIterator[tuple[Core, Any]]:
    """The core and its store."""
    async with core_on(tiny_folder, tiny_folder / "bot.sqlite3") as found:
        yield found
