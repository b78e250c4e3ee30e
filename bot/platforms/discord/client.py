"""discord.py's client for this bot: what Discord tells becomes invocations, what the core replies becomes answers."""

from __future__ import annotations

import asyncio
import logging
import re
import sys
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Final

import discord
import yarl
from discord import app_commands

from bot.core import messages
from bot.core.ask import Ask, Invalid, Where
from bot.core.commands import Commands, parse
from bot.core.reply import Reply, Suggestion
from bot.platforms.dedup import Seen
from bot.platforms.discord.endpoints import Http
from bot.platforms.discord.responder import PREFIX, InteractionResponder, MentionResponder, Responder, respond
from bot.platforms.discord.slash_commands import Portuguese, commands, definition
from bot.store.errors import StoreError
from bot.store.store import Store
from generator import InvalidRequest

PLATFORM: Final = "discord"
GOODBYE_SECONDS: Final = 2.0
"""How long a gateway may take to confirm that a connection ends; the library would wait for half a minute."""
LAUNCH_SECONDS: Final = 60.0
"""A shard that has not connected by then counts as a failure of the platform."""
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Shards:
    """Which shards connect here (none named: all), and how many there are in all (0: as many as Discord recommends)."""

    numbers: tuple[int, ...] = ()
    count: int = 0


ALL_SHARDS: Final = Shards()


class Tree(app_commands.CommandTree["Client"]):
    """The slash commands. Usable on servers, in direct messages and wherever a user who installed the app writes."""

    def __init__(self, client: Client) -> None:
        super().__init__(
            client,
            allowed_contexts=app_commands.AppCommandContext(guild=True, dm_channel=True, private_channel=True),
            allowed_installs=app_commands.AppInstallationType(guild=True, user=True),
        )

    async def interaction_check(self, interaction: discord.Interaction[Client], /) -> bool:
        """Whether it is new: a session that goes on may be told again what it has heard."""
        return self.client.seen.add(interaction.id)

    async def _call(self, interaction: discord.Interaction[Client]) -> None:
        """The library's own step from an interaction to a command.

        Options of a form that it does not expect break it, and asyncio would log that with the words in them; so that
        becomes an error of the one kind that `on_error` is told of.
        """
        try:
            await super()._call(interaction)
        except app_commands.AppCommandError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, `on_error` tells of it
            raise app_commands.AppCommandError(type(error).__name__) from None

    async def on_error(self, interaction: discord.Interaction, error: app_commands.AppCommandError, /) -> None:
        """For a command that Discord knows in another form than this version of the bot, and for mistakes of ours.

        What was typed stands in some of these errors, so of those only the kind is logged.
        """
        if isinstance(error, app_commands.CommandInvokeError) and isinstance(error.original, InvalidRequest):
            await self.client.ask(interaction, Invalid(error.command.name, error.original))
            return
        if isinstance(error, app_commands.CommandInvokeError):
            log.error("a slash command failed", exc_info=error.original)
        else:
            log.warning("a slash command was not understood: %s", type(error).__name__)
        if interaction.type is discord.InteractionType.autocomplete:
            return
        if isinstance(error, app_commands.CommandNotFound):
            await self.client.ask(interaction, parse(error.name, ""))
        else:
            await self.client.send_error(interaction)


class Client(discord.AutoShardedClient):
    """One connection, from log-in to close; a new one is made for the next.

    `for_operators`: whether the operators' commands are told to Discord. `sync_commands`: whether logging in
    registers commands that changed. `shards`: which connect here.
    """

    def __init__(
        self,
        core: Commands,
        store: Store,
        *,
        for_operators: bool,
        gateway_url: str = "",
        sync_commands: bool = True,
        shards: Shards = ALL_SHARDS,
    ) -> None:
        super().__init__(
            shard_ids=list(shards.numbers) or None,  # type: ignore[arg-type] # None is its default
            shard_count=shards.count or None,
            intents=discord.Intents(guilds=True, guild_messages=True, dm_messages=True),
            allowed_mentions=discord.AllowedMentions.none(),
            max_messages=None,  # nothing is looked up in messages of the past, so none are kept
            member_cache_flags=discord.MemberCacheFlags.none(),
        )
        # The library makes its HTTP client itself. The tree takes it over from here.
        self.http = self._connection.http = Http(self.loop, gateway_url)
        self._core = core
        self._store = store
        self._sync_commands = sync_commands
        self._taken: set[asyncio.Task[Any]] = set()
        self._lost: set[int] = set()
        self.seen = Seen()
        """Interactions and mentions."""
        self.tree = Tree(self)
        for command in commands(self.ask, self._suggest, for_operators=for_operators):
            self.tree.add_command(command)

    async def setup_hook(self) -> None:
        """After the log-in, before the first event. Without its commands told anew the bot still serves the old."""
        await self.tree.set_translator(Portuguese())
        if self._sync_commands:
            try:
                await self.synchronise(force=False)
            except (discord.DiscordException, StoreError) as error:
                log.error("the commands could not be synchronised: %s", " ".join(str(error).split()))

    async def synchronise(self, *, force: bool) -> bool:
        """Tells Discord about the commands, if they changed or `force`; returns whether that was so.

        Raises `discord.DiscordException` or `StoreError`.
        """
        key, now = f"discord.commands.{self.application_id}", await definition(self.tree)
        if not force and await self._store.setting(key) == now:
            return False
        told = await self.tree.sync()
        await self._store.set_setting(key, now)
        log.info("%d commands synchronised", len(told))
        return True

    @property
    def connected(self) -> bool:
        """Whether every shard is."""
        shards = self.shards.values()
        return self.is_ready() and not self.is_closed() and not any(shard.is_closed() for shard in shards)

    async def drain(self, *, cancel: bool = False) -> None:
        """Waits for the replies in progress; `cancel`: cancels them first."""
        await asyncio.sleep(0)  # what arrived in this turn of the loop has a task by now, but has not begun
        taken = self._taken.copy()
        if cancel:
            for task in taken:
                task.cancel()
        if taken:
            await asyncio.wait(taken)

    async def ask(self, interaction: discord.Interaction, ask: Ask) -> None:
        """A slash command."""
        await self._answer(InteractionResponder(interaction), self._core.handle(ask, _where(interaction)))

    async def send_error(self, interaction: discord.Interaction) -> None:
        """For something that went wrong before the core was asked."""

        async def apology() -> Reply:
            return Reply.refusal(messages.UNEXPECTED)

        await self._answer(InteractionResponder(interaction), apology())

    async def on_interaction(self, interaction: discord.Interaction) -> None:
        """A button; the tree takes the other kinds."""
        custom_id = interaction.custom_id or ""
        if interaction.type is not discord.InteractionType.component or not custom_id.startswith(PREFIX):
            return
        if self.seen.add(interaction.id):
            data = custom_id.removeprefix(PREFIX)
            await self._answer(InteractionResponder(interaction), self._core.press(data, _where(interaction)))

    async def on_message(self, message: discord.Message) -> None:
        """A message that begins with the bot's name, which Discord delivers without a privileged intent.

        Others arrive without their text, except those in direct messages.
        """
        if message.author.bot or self.user is None:
            return
        mention = re.match(rf"\s*<@!?{self.user.id}>", message.content)
        if mention is not None and self.seen.add(message.id):
            typed = message.content[mention.end() :].strip()
            where = Where(PLATFORM, str(message.channel.id), str(message.author.id))
            await self._answer(MentionResponder(message), self._core.handle(parse("nietzsche", typed), where))

    async def on_shard_disconnect(self, shard_id: int) -> None:
        """Told once; the library tries again and again."""
        if shard_id not in self._lost and not self.is_closed():
            self._lost.add(shard_id)
            log.warning("shard %d has lost its connection", shard_id)

    async def on_shard_connect(self, shard_id: int) -> None:
        """A new session."""
        self._found(shard_id)

    async def on_shard_resumed(self, shard_id: int) -> None:
        """The session of before."""
        self._found(shard_id)

    async def on_error(self, event_method: str, /, *_args: Any, **_named: Any) -> None:
        """What no handler expected. The event itself is not logged: it may be somebody's message."""
        log.error("%s failed", event_method, exc_info=sys.exception())

    async def close(self) -> None:
        """Leaves the gateway, and hangs up on one that does not answer."""
        closing = asyncio.create_task(super().close())
        done, _ = await asyncio.wait({closing}, timeout=GOODBYE_SECONDS)
        if not done:
            await self.http.close()
        await closing

    async def launch_shard(self, gateway: yarl.URL, shard_id: int, *, initial: bool = False) -> None:
        """Raises `TimeoutError` where the library would try for ever, one call deeper every time."""
        async with asyncio.timeout(LAUNCH_SECONDS):
            await super().launch_shard(gateway, shard_id, initial=initial)

    def _found(self, shard_id: int) -> None:
        if shard_id in self._lost:
            self._lost.discard(shard_id)
            log.warning("shard %d is connected again", shard_id)

    async def _answer(self, responder: Responder, work: Coroutine[Any, Any, Reply]) -> None:
        """Answers, in the task that the library made for the event; until then `drain` knows about it."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - for the type checker: a coroutine runs in a task
        self._taken.add(task)
        try:
            await respond(responder, work, lambda: self._core.undelivered(PLATFORM))
        finally:
            self._taken.discard(task)

    async def _suggest(self, interaction: discord.Interaction) -> list[Suggestion]:
        return await self._core.suggest(_where(interaction))


def _where(interaction: discord.Interaction) -> Where:
    """The channel is the chat; where Discord names none that the library knows, the user is."""
    user = str(interaction.user.id)
    return Where(PLATFORM, str(interaction.channel_id or user), user, str(interaction.locale))
