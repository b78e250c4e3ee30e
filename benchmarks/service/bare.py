"""A bot that is nothing but discord.py and has its text already: what a text costs at least beside the network.

`python -m benchmarks.service.bare API-URL GATEWAY-URL` runs it; `bare_discord` starts that, connected.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import discord
import yarl
from discord import app_commands
from discord.gateway import DiscordWebSocket

from benchmarks.service.discord import LoadedDiscord
from benchmarks.service.process import ROOT, Service
from bot.platforms.discord.platform import rest_url
from testing.discord import TOKEN

_TEXT: Final = "The soul that knows itself has no need of words. " * 6
_BUTTONS: Final = ("Again", "Continue", "Hotter", "Colder", "Surprise")


class BareClient(discord.Client):
    """Answers /nietzsche at once, with the buttons that a text has."""

    def __init__(self) -> None:
        super().__init__(intents=discord.Intents(guilds=True), max_messages=None)
        self.tree: app_commands.CommandTree[Any] = app_commands.CommandTree(self)
        self.tree.command(name="nietzsche")(_nietzsche)

    async def on_ready(self) -> None:
        """Says that it is connected."""
        print("connected", flush=True)


async def _nietzsche(interaction: discord.Interaction, temperature: float) -> None:  # noqa: ARG001 - as users send it
    view = discord.ui.View(timeout=None)
    for label in _BUTTONS:
        view.add_item(discord.ui.Button(label=label, custom_id=label))
    view.stop()
    await interaction.response.send_message(_TEXT, view=view)


@asynccontextmanager
async def bare_discord() -> AsyncIterator[tuple[Service, LoadedDiscord]]:
    """Runs the bot as a process."""
    server = LoadedDiscord()
    async with server.running():
        arguments = ("-m", "benchmarks.service.bare", rest_url(server.url), server.gateway_url)
        process = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE
        )
        service = Service(process, port=0)
        try:
            await process.stdout.readline()  # type: ignore[union-attr] # it is a pipe
            yield service, server
        finally:
            await service.stop()


if __name__ == "__main__":
    _, discord.http.Route.BASE, gateway = sys.argv
    DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(gateway)
    BareClient().run(TOKEN, log_handler=None)
