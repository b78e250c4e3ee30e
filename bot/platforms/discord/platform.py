"""Discord as one of the bot's platforms: its life cycle from log-in to close."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

import discord

from bot.config.schema import DiscordSection
from bot.core.commands import Commands
from bot.logs import format_error
from bot.platforms.base import BadToken, CommandSyncError
from bot.platforms.discord import endpoints
from bot.platforms.discord.client import PLATFORM, Client
from bot.store.store import Store

_AUTHENTICATION_FAILED: Final = 4004
"""Close code (https://discord.com/developers/docs/topics/opcodes-and-status-codes#gateway-gateway-close-event-codes)."""
_REFUSED: Final = "Discord refuses the token; take a new one from the page “Bot” of the application"


class Discord:
    """The platform. `operated`: whether the bot has operators on Discord; if not, their commands are not registered.

    Each call of `serve` makes a new client, so it can be called again after any failure.
    """

    name = PLATFORM

    def __init__(self, settings: DiscordSection, commands: Commands, store: Store, *, operated: bool = True) -> None:
        self._settings = settings
        self._commands = commands
        self._store = store
        self._operated = operated
        self._client: Client | None = None
        configure_logging()

    @property
    def connected(self) -> bool:
        """Whether Discord has acknowledged the session of every shard."""
        return self._client is not None and self._client.connected

    @property
    def problem(self) -> str:
        """See `Platform`."""
        return ""

    async def serve(self) -> None:
        """Connects and serves until it is cancelled, which cancels replies in progress (see `drain`).

        Raises `BadToken` when Discord refuses the token, and anything else when a retry makes sense.
        """
        with endpoints.using(self._settings.api_url):
            async with self._new_client() as client:
                self._client = client
                # discord.py swallows a cancellation that comes while a shard reconnects. So it runs in a task of its
                # own, which ends because the client is closed.
                running = asyncio.create_task(client.start(self._settings.token.reveal()), name=PLATFORM)
                try:
                    await asyncio.wait({running})
                finally:
                    self._client = None
                    await client.drain(cancel=True)
                    await client.close()
                    running.cancel()
                    await asyncio.gather(running, return_exceptions=True)
                try:
                    await running
                except discord.LoginFailure:
                    raise BadToken(_REFUSED) from None
                except discord.ConnectionClosed as error:
                    if error.code == _AUTHENTICATION_FAILED:
                        raise BadToken(_REFUSED) from None
                    raise
        raise ConnectionError("Discord ended the connection")

    async def drain(self) -> None:
        """Returns when every event that was received before the call is answered."""
        if self._client is not None:
            await self._client.drain()

    async def sync(self, *, force: bool = True) -> bool:
        """Registers the commands without serving; returns whether that was necessary, which `force` makes it.

        Raises `BadToken`, `CommandSyncError` or `StoreError`.
        """
        try:
            with endpoints.using(self._settings.api_url):
                async with self._new_client(sync_on_login=False) as client:
                    await client.login(self._settings.token.reveal())
                    return await client.sync_commands(force=force)
        except discord.LoginFailure:
            raise BadToken(_REFUSED) from None
        except (discord.DiscordException, OSError) as error:
            raise CommandSyncError(f"Discord was not told: {format_error(error)}") from error

    def _new_client(self, *, sync_on_login: bool = True) -> Client:
        return Client(
            self._commands,
            self._store,
            gateway_url=self._settings.gateway_url,
            for_operators=self._operated,
            sync_on_login=sync_on_login,
            shard_ids=self._settings.shard_ids,
            shard_count=self._settings.shard_count,
        )


def configure_logging() -> None:
    """Keeps discord.py from logging messages (which it does at "debug") and from repeating itself.

    It logs a traceback for each failed attempt to connect, and at each start that it cannot send voice.
    """
    discord.VoiceClient.warn_nacl = discord.VoiceClient.warn_dave = False
    library = logging.getLogger("discord")
    if library.getEffectiveLevel() < logging.INFO:
        library.setLevel(logging.INFO)
    logging.getLogger("discord.shard").setLevel(logging.CRITICAL)
    logging.getLogger("discord.app_commands.tree").addFilter(_is_no_signature_mismatch)


def _is_no_signature_mismatch(record: logging.LogRecord) -> bool:
    """Drops the errors about a user's client that completes a command in its form before an upgrade."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, discord.app_commands.CommandSignatureMismatch)
