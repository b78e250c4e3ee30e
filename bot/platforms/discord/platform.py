"""Discord as one of the bot's platforms: its life cycle from log-in to close."""

from __future__ import annotations

import asyncio
import logging
import re
from functools import partial
from typing import Final

import discord
from discord.http import Route

from bot.config.schema import DiscordSection
from bot.core.commands import Commands
from bot.logs import format_error
from bot.platforms.base import BadToken, CommandSyncError
from bot.platforms.discord.client import Client
from bot.platforms.discord.slash_commands import PLATFORM

_AUTHENTICATION_FAILED: Final = 4004
"""Close code (https://discord.com/developers/docs/topics/opcodes-and-status-codes#gateway-gateway-close-event-codes)."""
REFUSED: Final = "Discord refuses the token; take a new one from the page “Bot” of the application"


class Discord:
    """The platform. Each call of `serve` makes a new client, so it can be called again after any failure.

    discord.py keeps the address of its REST requests in a class, so `api_url` holds for the whole process.
    """

    name = PLATFORM
    problem = ""

    def __init__(self, settings: DiscordSection, commands: Commands, *, proxy: str = "") -> None:
        self._token = settings.token.reveal()
        self._new_client = partial(Client, commands, settings, proxy)
        self._client: Client | None = None
        use_api(settings)
        configure_logging()

    @property
    def connected(self) -> bool:
        """Whether Discord has acknowledged the session of every shard."""
        return self._client is not None and self._client.connected

    async def serve(self) -> None:
        """See `Platform`. A cancellation cancels replies in progress (see `drain`)."""
        async with self._new_client() as client:
            self._client = client
            # discord.py swallows a cancellation that comes while a shard reconnects. So it runs in a task of its own,
            # which ends because the client is closed.
            running = asyncio.create_task(client.start(self._token), name=PLATFORM)
            try:
                await asyncio.shield(running)
            except discord.LoginFailure:
                raise BadToken(REFUSED) from None
            except discord.ConnectionClosed as error:
                if error.code == _AUTHENTICATION_FAILED:
                    raise BadToken(REFUSED) from None
                raise
            finally:
                self._client = None
                await client.close()
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
        raise ConnectionError("Discord ended the connection")

    async def update_commands(self) -> None:
        """See `Platform`."""
        if self._client is not None and self._client.connected:
            await self._client.update_commands()

    async def drain(self) -> None:
        """See `Platform`."""
        if self._client is not None:
            await self._client.drain()

    async def sync(self) -> None:
        """Registers the commands, also unchanged ones. Raises `BadToken`, `CommandSyncError` or `StoreError`."""
        try:
            async with self._new_client() as client:
                await client.login(self._token)
                await client.tree.register(force=True)
        except discord.LoginFailure:
            raise BadToken(REFUSED) from None
        except (discord.DiscordException, OSError) as error:
            raise CommandSyncError(f"Discord was not told: {format_error(error)}") from error


def use_api(settings: DiscordSection) -> None:
    """Sends discord.py's requests to `api_url`, in the whole process."""
    if settings.api_url:
        Route.BASE = rest_url(settings.api_url)


def rest_url(api_url: str) -> str:
    """Returns `api_url` with what it lacks of "/api/v10", so that the address of a host is enough."""
    base = api_url.rstrip("/")
    if re.search(r"/v\d+$", base):
        return base
    return f"{base.removesuffix('/api')}/api/v{discord.http.INTERNAL_API_VERSION}"


def configure_logging() -> None:
    """Keeps discord.py from logging messages (at "debug"), a traceback for each failed attempt to connect and for each
    error that `CommandTree.on_error` gets, and at each start that it cannot send voice."""
    discord.VoiceClient.warn_nacl = discord.VoiceClient.warn_dave = False
    library = logging.getLogger("discord")
    if library.getEffectiveLevel() < logging.INFO:
        library.setLevel(logging.INFO)
    for name in ("discord.shard", "discord.app_commands.tree"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
