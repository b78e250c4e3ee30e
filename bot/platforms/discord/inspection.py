"""What Discord says about the token and the application, and the link that adds the bot to a server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import discord

from bot.config.schema import DiscordSection
from bot.logs import format_error
from bot.platforms.base import BadToken, Finding
from bot.platforms.discord.platform import REFUSED, use_api
from generator.connector import Connector

SCOPES: Final = ("bot", "applications.commands")
PERMISSIONS: Final = discord.Permissions(
    view_channel=True,
    send_messages=True,
    send_messages_in_threads=True,
    attach_files=True,  # pictures, and texts that are too long for messages
    read_message_history=True,  # which a reply to a message needs
)
"""What the bot uses on a server. Answers to slash commands need none of them."""


def invite_link(application: int) -> str:
    """Returns the address where a server's administrator adds the bot."""
    return discord.utils.oauth_url(application, permissions=PERMISSIONS, scopes=SCOPES)


async def inspect(settings: DiscordSection, proxy: str) -> AsyncIterator[Finding]:
    """Asks Discord. Raises `BadToken`, or `ConnectionError` when it gives no answer."""
    use_api(settings)
    try:
        async with discord.Client(intents=discord.Intents(guilds=True), connector=Connector(proxy, limit=0)) as client:
            await client.login(settings.token.reveal())
            application = await client.application_info()
            _, _, sessions = await client.http.get_bot_gateway()
            user = client.user
    except discord.LoginFailure:
        raise BadToken(REFUSED) from None
    except (discord.DiscordException, OSError) as error:
        raise ConnectionError(format_error(error)) from None
    yield Finding("discord", f"accepts the token of {user}, on {application.approximate_guild_count} servers")
    left = sessions["remaining"]
    yield Finding("sessions", f"{left} of {sessions['total']} a day are left", left > 0)
    flags = application.flags
    privileged = flags.gateway_message_content or flags.gateway_message_content_limited
    needless = "message content is on, and the bot does not need it; the application's page Bot switches it off"
    yield Finding("intents", needless if privileged else "no privileged one is needed", None if privileged else True)
    if not application.bot_public:
        yield Finding("public", "no: only its owner can add the bot; its page Bot changes that", None)
    yield Finding("invite link", invite_link(application.id))
