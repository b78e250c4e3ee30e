"""discord.py's tree of slash commands: duplicates dropped, and errors answered and logged without users' words."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import discord
from discord import app_commands

from bot.core.ask import Invalid
from bot.core.commands import parse
from bot.platforms.discord.slash_commands import HandleAsk
from generator import InvalidRequest

log = logging.getLogger(__name__)


class CommandTree(app_commands.CommandTree[Any]):
    """The commands, for servers, direct messages, and everywhere else where a user installed the app.

    `is_new`: whether an interaction's ID comes for the first time. `handle` answers an interaction; `send_error`
    answers that something failed.
    """

    def __init__(
        self,
        client: discord.Client,
        *,
        is_new: Callable[[int], bool],
        handle: HandleAsk,
        send_error: Callable[[discord.Interaction[Any]], Awaitable[None]],
    ) -> None:
        super().__init__(
            client,
            allowed_contexts=app_commands.AppCommandContext(guild=True, dm_channel=True, private_channel=True),
            allowed_installs=app_commands.AppInstallationType(guild=True, user=True),
        )
        self._is_new = is_new
        self._handle = handle
        self._send_error = send_error

    async def interaction_check(self, interaction: discord.Interaction[Any], /) -> bool:
        """Returns whether the interaction is new: a resumed session may repeat what was received."""
        return self._is_new(interaction.id)

    async def _call(self, interaction: discord.Interaction[Any]) -> None:
        """Turns an interaction into a call of a command.

        Options of an unexpected form break discord.py's parsing, and asyncio would log that with the options in it.
        Raised as an `AppCommandError` it reaches `on_error`.
        """
        try:
            await super()._call(interaction)
        except app_commands.AppCommandError:
            raise
        except Exception as error:  # noqa: BLE001 - `on_error` logs it
            raise app_commands.AppCommandError(type(error).__name__) from None

    async def on_error(self, interaction: discord.Interaction[Any], error: app_commands.AppCommandError, /) -> None:
        """Answers a command that failed, or that Discord knows in another form than this version of the bot.

        Some of these errors contain what was typed, so only their kind is logged.
        """
        if isinstance(error, app_commands.CommandInvokeError) and isinstance(error.original, InvalidRequest):
            await self._handle(interaction, Invalid(error.command.name, error.original))
            return
        if isinstance(error, app_commands.CommandInvokeError):
            log.error("discord.command_failed", exc_info=error.original)
        else:
            log.warning("discord.command_not_understood error=%s", type(error).__name__)
        if interaction.type is discord.InteractionType.autocomplete:
            return
        if isinstance(error, app_commands.CommandNotFound):
            await self._handle(interaction, parse(error.name, ""))
        else:
            await self._send_error(interaction)
