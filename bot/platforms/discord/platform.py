"""Discord as one of the bot's platforms: connects, serves, is drained, tells Discord about the commands."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

import discord

from bot.config.schema import DiscordSection
from bot.core.commands import Commands
from bot.logs import format_error
from bot.platforms.base import BadToken, CommandSyncError
from bot.platforms.discord.client import PLATFORM, Client, Shards
from bot.platforms.discord.endpoints import Endpoints
from bot.store.store import Store

_AUTHENTICATION_FAILED: Final = 4004
"""Close code (https://discord.com/developers/docs/topics/opcodes-and-status-codes#gateway-gateway-close-event-codes)."""
_REFUSED: Final = "Discord refuses the token; take a new one from the page “Bot” of the application"


class Discord:
    """The platform. `operated`: whether anybody operates the bot on Discord; without, their commands are not told.

    Serving makes a client each time, so it may be tried again after any failure.
    """

    name = PLATFORM

    def __init__(self, settings: DiscordSection, commands: Commands, store: Store, *, operated: bool = True) -> None:
        self._token = settings.token
        self._endpoints = Endpoints(settings.api_url, settings.gateway_url)
        self._commands = commands
        self._store = store
        self._operated = operated
        self._shards = Shards(settings.shard_ids, settings.shard_count)
        self._client: Client | None = None
        quieten()

    @property
    def connected(self) -> bool:
        """Whether every shard is connected."""
        return self._client is not None and self._client.connected

    async def serve(self) -> None:
        """Connects and serves until it is cancelled; what is being answered then is stopped (see `drain`).

        Raises `BadToken` when Discord refuses the token, and anything else when it is worth trying again later.
        """
        with self._endpoints.for_interactions():
            async with self._make() as client:
                self._client = client
                # The library swallows a cancellation that comes while a shard connects anew. So it runs in a task,
                # and ends because the client is closed.
                running = asyncio.create_task(client.start(self._token.reveal()), name=PLATFORM)
                try:
                    await asyncio.wait({running})
                finally:
                    self._client = None
                    await client.finish(at_once=True)
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
        """Returns when everything that was taken before the call is answered."""
        if self._client is not None:
            await self._client.finish()

    async def sync(self, *, force: bool = True) -> bool:
        """Tells Discord about the commands without serving; returns whether it did, which without `force` depends.

        Raises `BadToken`, `CommandSyncError` or `StoreError`.
        """
        try:
            async with self._make(synchronising=False) as client:
                await client.login(self._token.reveal())
                return await client.synchronise(force=force)
        except discord.LoginFailure:
            raise BadToken(_REFUSED) from None
        except (discord.DiscordException, OSError) as error:
            raise CommandSyncError(f"Discord was not told: {format_error(error)}") from error

    def _make(self, *, synchronising: bool = True) -> Client:
        return Client(
            self._commands,
            self._store,
            self._endpoints,
            for_operators=self._operated,
            synchronising=synchronising,
            shards=self._shards,
        )


def quieten() -> None:
    """Keeps the library from logging what must not be logged, or the same again and again.

    At "debug" it writes whole messages, at any level a traceback for every attempt to connect, and at every start
    that it cannot speak.
    """
    discord.VoiceClient.warn_nacl = discord.VoiceClient.warn_dave = False
    library = logging.getLogger("discord")
    if library.getEffectiveLevel() < logging.INFO:
        library.setLevel(logging.INFO)
    logging.getLogger("discord.shard").setLevel(logging.CRITICAL)
    logging.getLogger("discord.app_commands.tree").addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    """Not that somebody's client completes a command in a form which it had before an upgrade, or never had."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, discord.app_commands.CommandSignatureMismatch)
