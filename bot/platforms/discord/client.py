"""discord.py's client for this bot: events in, replies out."""

from __future__ import annotations

import asyncio
import logging
import re
from collections import deque
from dataclasses import replace
from functools import partial
from typing import Any, Final

import aiohttp
import discord
import yarl
from discord.gateway import DiscordWebSocket

from bot.config.schema import DiscordSection
from bot.core.ask import Ask, Where
from bot.core.buttons import decode
from bot.core.commands import Commands, continuing, is_private, parse_message
from bot.platforms.base import MAX_RECENT, Recent
from bot.platforms.discord.render import PREFIX, messages_of
from bot.platforms.discord.responder import InteractionResponder, MessageResponder, Responder, Work, respond
from bot.platforms.discord.slash_commands import PLATFORM, CommandTree, Interaction, manages, where_of, within_of
from bot.store.errors import StoreError
from generator.connector import Connector

CLOSE_SECONDS: Final = 2.0
"""How long a gateway may take to confirm that a connection closes; discord.py would wait for half a minute."""
SESSION_SECONDS: Final = 90.0
"""How long a gateway may take to accept a connection, and again to acknowledge a session. More than 86.4, since Discord
allows 1,000 new sessions a day (https://discord.com/developers/docs/events/gateway#session-start-limit-object)."""
log = logging.getLogger(__name__)


class Client(discord.AutoShardedClient):
    """One connection from log-in to close; the next one needs a new client."""

    def __init__(self, core: Commands, settings: DiscordSection, proxy: str = "") -> None:
        super().__init__(
            connector=Connector(proxy, limit=0),
            shard_ids=list(settings.shard_ids) or None,  # type: ignore[arg-type] # None is its default
            shard_count=settings.shard_count or None,
            intents=discord.Intents(guilds=True, guild_messages=True, dm_messages=True),
            allowed_mentions=discord.AllowedMentions.none(),
            max_messages=None,  # no event needs a message of the past
            member_cache_flags=discord.MemberCacheFlags.none(),
        )
        if settings.gateway_url:
            self._use_gateway(yarl.URL(settings.gateway_url))
        self._core = core
        self._replying: set[asyncio.Task[Any]] = set()
        self._pending: dict[int, asyncio.TimerHandle] = {}  # shards whose session Discord has not acknowledged yet
        self._refused = Recent()
        self._events: deque[int] = deque(maxlen=MAX_RECENT)
        self.tree = CommandTree(self, core, self._handle)

    async def update_commands(self) -> None:
        """Registers commands that changed. If that fails, Discord shows the old ones."""
        try:
            await self.tree.register()
        except (discord.DiscordException, StoreError) as error:
            log.error("discord.sync_failed reason=%s", " ".join(str(error).split()))

    setup_hook = update_commands

    async def drain(self) -> None:
        """Waits for the replies in progress."""
        await asyncio.sleep(0)  # an event that has just arrived has a task by now, but that has not begun
        if self._replying:
            await asyncio.wait(self._replying.copy())

    async def on_interaction(self, interaction: Interaction) -> None:
        """Answers a button; the tree answers the other kinds."""
        custom_id = interaction.custom_id or ""
        if interaction.type is discord.InteractionType.component and custom_id.startswith(PREFIX):
            data = custom_id.removeprefix(PREFIX)
            button = decode(data)
            private = button is None or is_private(button.ask)
            responder = InteractionResponder(interaction, self.tree.mentions, private=private)
            await self._respond(interaction.id, responder, partial(self._core.press, data), where_of(interaction))

    async def on_message(self, message: discord.Message) -> None:
        """Answers a direct message, one that begins with a mention of the bot, and a reply to a text of the bot.

        Without a privileged intent, Discord leaves out the words of others
        (https://discord.com/developers/docs/events/gateway#message-content-intent): also those of a reply to the answer
        to a slash command, which continues that text all the same, for its user.
        """
        if message.author.bot or message.is_system() or self.user is None:
            return
        private, user = message.guild is None, str(message.author.id)
        text = re.sub(rf"^\s*<@!?{self.user.id}>[,:]?", "", message.content)
        mentioned, replied = text != message.content, self._replied_to(message)
        theirs = [owner for owner, _ in continuing(replied)]
        if not (private or mentioned or user in theirs or (theirs and text.strip())):
            return
        locale = str(message.guild.preferred_locale) if message.guild else ""  # a message does not have its author's
        within, chat = within_of(message.channel, message.guild.id if message.guild else None), str(message.channel.id)
        where = Where(PLATFORM, chat, user, locale, has_fields=True, public=not private, within=within)
        if message.guild is not None and isinstance(message.author, discord.Member):
            administers = partial(manages, message.author.guild_permissions)
            where = replace(where, group=str(message.guild.id), administers=administers)
        if self._core.ignores(where):
            return
        ask = parse_message(text, user, replied)
        may_refuse = lambda: private or self._refused.is_first((where.chat, user))  # noqa: E731
        responder = MessageResponder(message, self.tree.mentions, may_refuse)
        if not responder.may_write:
            log.info("discord.mention_ignored reason=missing_permission")
        elif text.strip() or mentioned or theirs:
            await self._respond(message.id, responder, partial(self._core.handle, ask), where)
        elif self._refused.is_first(where.chat):  # a direct message without words: a picture, a sticker, a voice
            await self._respond(message.id, responder, partial(self._core.refusal, "words-only"), where)

    def _replied_to(self, message: discord.Message) -> list[str]:
        """Returns the data of the buttons under the bot's own message that a message replies to."""
        replied = message.reference.resolved if message.reference is not None else None
        if not isinstance(replied, discord.Message) or replied.author != self.user:
            return []
        rows = [row.children for row in replied.components if isinstance(row, discord.ActionRow)]
        ids = [getattr(button, "custom_id", None) or "" for row in rows for button in row]
        return [name.removeprefix(PREFIX) for name in ids if name.startswith(PREFIX)]

    async def on_guild_join(self, guild: discord.Guild) -> None:
        """Says how the bot works in a server that it is added to, where the server has such messages."""
        channel, where = guild.system_channel, Where(PLATFORM, str(guild.id), str(guild.owner_id))
        if channel is not None and self._core.allows(where) and channel.permissions_for(guild.me).send_messages:
            welcome = self._core.welcome(str(guild.preferred_locale))
            [message] = messages_of(welcome, with_notice=False, mentions=self.tree.mentions)
            try:
                await channel.send(suppress_embeds=True, **message.arguments())
            except discord.HTTPException as error:
                log.info("discord.not_welcomed status=%d code=%d", error.status, error.code)

    async def _handle(self, interaction: Interaction, ask: Ask) -> None:
        self.tree.suggestions.pop(interaction.user.id, None)
        responder = InteractionResponder(interaction, self.tree.mentions, private=is_private(ask))
        await self._respond(interaction.id, responder, partial(self._core.handle, ask), where_of(interaction))

    async def _respond(self, event: int, responder: Responder, work: Work, where: Where) -> None:
        if event in self._events:  # a resumed session may repeat an event
            return
        self._events.append(event)
        on_failure = partial(self._core.observer.platform_failed, PLATFORM)
        replying = asyncio.create_task(respond(responder, work, where, on_failure))
        self._replying.add(replying)
        replying.add_done_callback(self._replying.discard)
        await replying

    @property
    def connected(self) -> bool:
        """Whether Discord has acknowledged the session of every shard."""
        return self.is_ready() and not self.is_closed() and not self._pending

    def _use_gateway(self, gateway: yarl.URL) -> None:
        """Opens every connection at `gateway`, also one that resumes a session at the address in READY."""
        connect = self.http.ws_connect

        async def ws_connect(url: str, *, compress: int = 0) -> aiohttp.ClientWebSocketResponse:
            return await connect(str(gateway.update_query(yarl.URL(url).query)), compress=compress)

        self.http.ws_connect = ws_connect  # type: ignore[method-assign] # discord.py has no option for it

    async def launch_shard(self, gateway: yarl.URL, shard_id: int, *, initial: bool = False) -> None:
        """Connects a shard. Raises `TimeoutError` where discord.py would retry for ever, one call deeper each time."""
        DiscordWebSocket.DEFAULT_GATEWAY = gateway  # for a new session after a lost one
        async with asyncio.timeout(SESSION_SECONDS):
            await super().launch_shard(gateway, shard_id, initial=initial)
        self._await_session(shard_id)

    def _await_session(self, shard_id: int) -> None:
        self._pending[shard_id] = self.loop.call_later(SESSION_SECONDS, self.dispatch, "session_timeout", shard_id)

    async def on_shard_disconnect(self, shard_id: int) -> None:
        """Logs a lost connection, once while discord.py retries."""
        if shard_id not in self._pending and not self.is_closed():
            log.warning("discord.shard_disconnected shard=%d", shard_id)
            self._await_session(shard_id)

    async def on_session_timeout(self, shard_id: int) -> None:
        """Replaces a connection that the gateway keeps open without acknowledging a session."""
        self._await_session(shard_id)
        shard = self.get_shard(shard_id)
        if shard is not None and not shard.is_closed():
            log.warning("discord.session_not_acknowledged shard=%d seconds=%g", shard_id, SESSION_SECONDS)
            await shard.reconnect()

    async def on_shard_connect(self, shard_id: int) -> None:
        """Notes that Discord has acknowledged a session, a new one or one that is resumed."""
        if shard_id in self._pending:
            self._pending.pop(shard_id).cancel()
            log.info("discord.shard_connected shard=%d", shard_id)

    on_shard_resumed = on_shard_connect

    async def close(self) -> None:
        """Cancels the replies in progress, and closes the connections, also if a gateway does not answer."""
        for task in self._replying:
            task.cancel()
        await self.drain()
        for timer in self._pending.values():
            timer.cancel()
        closing = asyncio.create_task(super().close())
        await asyncio.wait({closing}, timeout=CLOSE_SECONDS)
        if not closing.done():
            await self.http.close()
        await closing
