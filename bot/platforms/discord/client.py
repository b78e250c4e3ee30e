"""discord.py's client for this bot: events in, replies out."""

from __future__ import annotations

import asyncio
import logging
import re
import sys
import time
from collections.abc import Coroutine, Sequence
from typing import Any, Final

import discord
import yarl

from bot.core import messages
from bot.core.ask import Ask, Where
from bot.core.buttons import decode
from bot.core.commands import Commands, is_private, parse
from bot.core.reply import Reply
from bot.platforms.dedup import RecentKeys
from bot.platforms.discord.command_tree import CommandTree
from bot.platforms.discord.endpoints import Http
from bot.platforms.discord.render import PREFIX
from bot.platforms.discord.responder import InteractionResponder, MentionResponder, Responder, respond
from bot.platforms.discord.slash_commands import Portuguese, commands, definition
from bot.store.errors import StoreError
from bot.store.store import Store

PLATFORM: Final = "discord"
CLOSE_SECONDS: Final = 2.0
"""How long a gateway may take to confirm that a connection closes; discord.py would wait for half a minute."""
LAUNCH_SECONDS: Final = 60.0
"""A shard that has not connected by then counts as a failure of the platform."""
SESSION_SECONDS: Final = 90.0
"""How long a gateway may take to acknowledge a session. More than 86.4, since Discord allows 1,000 new sessions a day
(https://discord.com/developers/docs/events/gateway#session-start-limit-object)."""
SUGGESTION_SECONDS: Final = 30.0
"""How long suggestions are kept while a user types: Discord asks for them at every key."""
_MAX_SUGGESTIONS: Final = 1024
"""Users."""
log = logging.getLogger(__name__)


class Client(discord.AutoShardedClient):
    """One connection from log-in to close; the next one needs a new client.

    `for_operators`: whether the operators' commands are registered. `sync_on_login`: whether commands that changed are
    registered at log-in. `shard_ids`: the shards that connect here (none: all), of `shard_count` (0: as Discord says).
    """

    def __init__(
        self,
        core: Commands,
        store: Store,
        *,
        for_operators: bool,
        gateway_url: str = "",
        sync_on_login: bool = True,
        shard_ids: Sequence[int] = (),
        shard_count: int = 0,
    ) -> None:
        super().__init__(
            shard_ids=list(shard_ids) or None,  # type: ignore[arg-type] # None is its default
            shard_count=shard_count or None,
            intents=discord.Intents(guilds=True, guild_messages=True, dm_messages=True),
            allowed_mentions=discord.AllowedMentions.none(),
            max_messages=None,  # no event needs a message of the past
            member_cache_flags=discord.MemberCacheFlags.none(),
        )
        # discord.py makes its HTTP client itself, and offers no way to give it one. The tree takes it from here.
        self.http = self._connection.http = Http(self.loop, gateway_url)
        self._core = core
        self._store = store
        self._sync_on_login = sync_on_login
        self._replying: set[asyncio.Task[Any]] = set()
        self._unacknowledged: dict[int, asyncio.Event] = {}
        """By shard, set when Discord acknowledges the session."""
        self._events = RecentKeys()
        self._suggestions: dict[int, tuple[float, dict[float, str]]] = {}
        """By user, with the time when they expire."""
        self.tree = CommandTree(self, is_new=self._events.add, handle=self.handle, send_error=self._send_error)
        for command in commands(self.handle, self._suggest, for_operators=for_operators):
            self.tree.add_command(command)

    async def setup_hook(self) -> None:
        """Registers commands that changed, after the log-in. If that fails, the bot serves with the old ones."""
        await self.tree.set_translator(Portuguese())
        if self._sync_on_login:
            try:
                await self.sync_commands(force=False)
            except (discord.DiscordException, StoreError) as error:
                log.error("discord.sync_failed reason=%s", " ".join(str(error).split()))

    async def sync_commands(self, *, force: bool) -> bool:
        """Registers the commands if they changed, or if `force`; returns whether it did.

        Raises `discord.DiscordException` or `StoreError`.
        """
        key, now = f"discord.commands.{self.application_id}", await definition(self.tree)
        if not force and await self._store.setting(key) == now:
            return False
        registered = await self.tree.sync()
        await self._store.set_setting(key, now)
        log.info("discord.commands_synced count=%d", len(registered))
        return True

    async def drain(self, *, cancel: bool = False) -> None:
        """Waits for the replies in progress; `cancel`: cancels them first."""
        await asyncio.sleep(0)  # an event that has just arrived has a task by now, but that has not begun
        replying = self._replying.copy()
        if cancel:
            for task in replying:
                task.cancel()
        if replying:
            await asyncio.wait(replying)

    # ---- requests -------------------------------------------------------------------------------------------------

    async def handle(self, interaction: discord.Interaction[Any], ask: Ask) -> None:
        """Answers a slash command."""
        self._suggestions.pop(interaction.user.id, None)
        responder = InteractionResponder(interaction, private=is_private(ask))
        await self._respond(responder, self._core.handle(ask, _where(interaction)))

    async def on_interaction(self, interaction: discord.Interaction[Any]) -> None:
        """Answers a button; the tree answers the other kinds."""
        custom_id = interaction.custom_id or ""
        if interaction.type is not discord.InteractionType.component or not custom_id.startswith(PREFIX):
            return
        if self._events.add(interaction.id):
            data = custom_id.removeprefix(PREFIX)
            button = decode(data)
            responder = InteractionResponder(interaction, private=button is None or is_private(button.ask))
            await self._respond(responder, self._core.press(data, _where(interaction)))

    async def on_message(self, message: discord.Message) -> None:
        """Answers a message that begins with a mention of the bot, which Discord delivers without a privileged intent.

        Others arrive without their text, except those in direct messages.
        """
        if message.author.bot or self.user is None:
            return
        mention = re.match(rf"\s*<@!?{self.user.id}>", message.content)
        if mention is None or not self._events.add(message.id):
            return
        responder = MentionResponder(message, self.user.id)
        if not responder.may_write:
            log.info("discord.mention_ignored reason=missing_permission")
            return
        ask = parse("nietzsche", message.content[mention.end() :].strip())
        where = Where(PLATFORM, str(message.channel.id), str(message.author.id))
        await self._respond(responder, self._core.handle(ask, where))

    async def _send_error(self, interaction: discord.Interaction[Any]) -> None:
        async def error() -> Reply:
            return Reply.refusal(messages.UNEXPECTED)

        await self._respond(InteractionResponder(interaction), error())

    async def _respond(self, responder: Responder, work: Coroutine[Any, Any, Reply]) -> None:
        """Sends the reply, in the task that discord.py made for the event; `drain` waits for it."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - for the type checker: a coroutine runs in a task
        self._replying.add(task)
        try:
            await respond(responder, work, lambda: self._core.undelivered(PLATFORM))
        finally:
            self._replying.discard(task)

    async def _suggest(self, interaction: discord.Interaction[Any]) -> dict[float, str]:
        user, now = interaction.user.id, time.monotonic()
        expires, suggestions = self._suggestions.get(user, (now, {}))
        if expires <= now:
            suggestions = await self._core.suggest(_where(interaction))
            if len(self._suggestions) >= _MAX_SUGGESTIONS:
                self._suggestions.clear()
            self._suggestions[user] = (now + SUGGESTION_SECONDS, suggestions)
        return suggestions

    # ---- connections ----------------------------------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        """Whether Discord has acknowledged the session of every shard, and its connection is open."""
        closed = self.is_closed() or any(shard.is_closed() for shard in self.shards.values())
        return self.is_ready() and not closed and not self._unacknowledged

    async def launch_shard(self, gateway: yarl.URL, shard_id: int, *, initial: bool = False) -> None:
        """Connects a shard. Raises `TimeoutError` where discord.py would retry for ever, one call deeper each time."""
        async with asyncio.timeout(LAUNCH_SECONDS):
            await super().launch_shard(gateway, shard_id, initial=initial)
        self.dispatch("shard_launched", shard_id)

    async def on_shard_disconnect(self, shard_id: int) -> None:
        """Logs a lost connection, once while discord.py retries, and waits for the next session."""
        if shard_id not in self._unacknowledged and not self.is_closed():
            log.warning("discord.shard_disconnected shard=%d", shard_id)
            await self.on_shard_launched(shard_id)
            log.warning("discord.shard_connected shard=%d", shard_id)

    async def on_shard_connect(self, shard_id: int) -> None:
        """Notes that Discord has acknowledged a session, a new one or one that is resumed."""
        self._acknowledge(shard_id)

    on_shard_resumed = on_shard_connect

    def _acknowledge(self, shard_id: int) -> None:
        if shard_id in self._unacknowledged:
            self._unacknowledged.pop(shard_id).set()

    async def on_shard_launched(self, shard_id: int) -> None:
        """Waits until Discord acknowledges the session of a shard, or the client closes.

        A gateway that keeps a connection open without doing so gets a new one, with a new session.
        """
        acknowledged = self._unacknowledged[shard_id] = asyncio.Event()
        while not acknowledged.is_set():
            try:
                async with asyncio.timeout(SESSION_SECONDS):
                    await acknowledged.wait()
            except TimeoutError:
                shard = self.get_shard(shard_id)
                if shard is not None and not shard.is_closed():
                    log.warning("discord.session_not_acknowledged shard=%d seconds=%g", shard_id, SESSION_SECONDS)
                    await shard.reconnect()

    async def on_error(self, event_method: str, /, *_args: Any, **_named: Any) -> None:
        """Logs an unexpected error of a handler, without the event: it may be a user's message."""
        log.error("discord.event_failed event=%s", event_method, exc_info=sys.exception())

    async def close(self) -> None:
        """Closes the connections, and the sockets of a gateway that does not answer."""
        for shard_id in [*self._unacknowledged]:
            self._acknowledge(shard_id)
        closing = asyncio.create_task(super().close())
        done, _ = await asyncio.wait({closing}, timeout=CLOSE_SECONDS)
        if not done:
            await self.http.close()
        await closing


def _where(interaction: discord.Interaction[Any]) -> Where:
    """Returns where an interaction comes from. The chat is the channel or, where discord.py knows none, the user."""
    user = str(interaction.user.id)
    return Where(PLATFORM, str(interaction.channel_id or user), user, str(interaction.locale))
