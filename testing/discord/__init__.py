"""A Discord on this machine: the REST API and the gateway on a loopback port, and users who write to the bot.

    async with DiscordServer().running() as server:
        await server.slash("nietzsche", temperature="0.7")
        await server.until(lambda: len(server.shown) == 1)

It lies below what simcord simulates: real HTTP, a real WebSocket, connections that break. Discord's rate limits are not
simulated. It knows nothing of the bot.
"""

from testing.discord.gateway import INVALID, RECONNECT
from testing.discord.payloads import TOKEN, command, interaction_token, message
from testing.discord.rest import json_response
from testing.discord.server import DiscordServer

__all__ = [
    "INVALID",
    "RECONNECT",
    "TOKEN",
    "DiscordServer",
    "command",
    "interaction_token",
    "json_response",
    "message",
]
