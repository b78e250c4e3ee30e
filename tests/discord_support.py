"""A simulated Discord (simcord) with users in it, around the real client, core, store and generator; and helpers for
the loopback Discord of `testing.discord`."""

from __future__ import annotations

import asyncio
import contextvars
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import discord
import pytest
import simcord
from discord.gateway import DiscordWebSocket
from discord.http import Route
from simcord.actors import MemberActor
from simcord.builders import ChannelHandle, GuildHandle, UserHandle
from simcord.interactions import base_payload
from simcord.results import InteractionResult
from voice_support import voices_of

from bot.config.schema import BotSection, DiscordSection, Secret
from bot.core.ask import Ask, Where
from bot.core.commands import Commands
from bot.core.reply import Reply
from bot.platforms.discord import responder
from bot.platforms.discord.client import Client
from bot.platforms.discord.platform import Discord
from bot.platforms.growing import TextSoFar
from bot.store.store import Store
from generator.serving.generator import ThreadedGenerator
from testing.discord import TOKEN, DiscordServer

GLOBAL_COMMANDS = r"^/applications/\d+/commands$"
CALLBACK = "/interactions/*/callback"
DEFERRED, MESSAGE = 5, 4
"""Types of an initial response."""
SLASH = 2
"""The type of an interaction with a slash command."""
SUPPRESS_EMBEDS, EPHEMERAL = 1 << 2, 1 << 6
PATIENCE = 60.0
"""Seconds until nothing moves any more. simcord's own 5 are too few for the longest text on a machine that has other
things to do."""


class Operators:
    """The operators of the configuration, who are chosen once the people exist, and one from the start."""

    def __init__(self) -> None:
        self.names = {"discord:1"}

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)


class Core(Commands):
    """The real core, which can be held up, and asked what reached it."""

    env: simcord.Env | None = None
    open_gate: asyncio.Event | None = None
    reply: Reply | None = None

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.seen: list[tuple[Ask, Where]] = []
        self.asked = asyncio.Event()
        self.cancelled = 0
        self.lost: list[str] = []
        """Platforms of answers that were not delivered."""
        self.observer.platform_failed = self.lost.append

    def hold(self) -> asyncio.Event:
        """From now on nothing is answered until the event is set."""
        self.open_gate = asyncio.Event()
        return self.open_gate

    async def handle(self, ask: Ask, where: Where) -> Reply:
        self.seen.append((ask, where))
        self.asked.set()
        await self._wait()
        return self.reply or await super().handle(ask, where)

    async def press(self, data: str, where: Where) -> Reply:
        await self._wait()
        return await super().press(data, where)

    async def _wait(self) -> None:
        if self.open_gate is None:
            return
        try:
            if self.env is None:
                await self.open_gate.wait()
            else:
                await self.env.external_wait(self.open_gate.wait(), reason="the test opens the gate")
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


@dataclass
class World:
    """A server with a channel, two people, and the bot."""

    env: simcord.Env
    core: Core
    store: Store
    guild: GuildHandle
    channel: ChannelHandle
    alice: MemberActor
    bob: MemberActor
    operators: Operators

    @property
    def client(self) -> Client:
        assert isinstance(self.env.bot, Client)
        return self.env.bot

    @property
    def bot_id(self) -> int:
        assert self.client.user is not None
        return self.client.user.id

    def person(self, name: str, **permissions: bool) -> MemberActor:
        """Another member of the server, with a role of their own."""
        role = self.guild.create_role(f"{name}s", permissions=discord.Permissions(**permissions))
        return self.guild.add_member(self.env.create_user(name), roles=[role])

    def operator(self, **permissions: bool) -> MemberActor:
        """A member who is in the configuration."""
        member = self.person("operator", **permissions)
        self.operators.names.add(f"discord:{member.id}")
        return member

    def sent(self, method: str, path: str) -> list[Any]:
        """The bodies of the requests of one kind, in order."""
        return [
            entry.json for entry in self.env.http_requests if entry.method == method and re.search(path, entry.path)
        ]

    async def interaction(
        self, user: UserHandle | MemberActor, kind: int, data: dict[str, Any], channel_id: int, **changes: Any
    ) -> InteractionResult:
        """An interaction that no actor of simcord can make; `changes` to what Discord would send."""
        record, payload = base_payload(
            self.env.backend, type=kind, channel_id=channel_id, guild_id=None, user_id=user.id, data=data
        )
        payload |= changes
        self.env.backend.emit("INTERACTION_CREATE", payload)
        await self.env.settle()
        return InteractionResult(self.env, record)


@asynccontextmanager
async def core_on(folder: Path, database: Path, **settings: Any) -> AsyncIterator[tuple[Core, Store]]:
    """The core and its store."""
    async with Store.open(database) as store, ThreadedGenerator.open(folder) as generator:
        yield Core(voices_of(generator), store, BotSection(**({"cooldown": 0.0, "length": 80} | settings))), store


@asynccontextmanager
async def world(folder: Path, *, shards: int = 1, **settings: Any) -> AsyncIterator[World]:
    """Everything, started. `settings` of `[bot]`."""
    operators = Operators()
    async with core_on(folder, folder / "bot.sqlite3", **{"operators": operators} | settings) as (core, store):
        client = Client(core, DiscordSection())
        # `simcord.run` sets a context variable, and a fixture is torn down in another context than it was set up in.
        env = simcord.Env(client, shard_count=shards, settle_timeout=PATIENCE)
        changed = TextSoFar.changed
        await env.start()
        try:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(TextSoFar, "changed", lambda it: env.external_wait(changed(it), reason="it is generated"))
                core.env = env
                guild = env.create_guild()
                channel = guild.create_text_channel("general")
                alice = guild.add_member(env.create_user("alice"))
                bob = guild.add_member(env.create_user("bob"))
                yield World(env, core, store, guild, channel, alice, bob, operators)
        finally:
            await env.shutdown()
        if env.error_cursor > env._errors_acknowledged:
            env.raise_errors()


@pytest.fixture
async def loopback_server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[DiscordServer]:
    """A loopback Discord. Afterwards the library has its own addresses again."""
    monkeypatch.setattr(Route, "BASE", Route.BASE)
    monkeypatch.setattr(DiscordWebSocket, "DEFAULT_GATEWAY", DiscordWebSocket.DEFAULT_GATEWAY)
    async with DiscordServer().running() as found:
        yield found


@pytest.fixture
async def loopback_core(tiny_folder: Path) -> AsyncIterator[tuple[Core, Any]]:
    """The core that the platform serves on it, and its store."""
    async with core_on(tiny_folder, tiny_folder / "bot.sqlite3") as found:
        yield found


@pytest.fixture
async def here(tiny_folder: Path) -> AsyncIterator[World]:
    """A simulated Discord with the bot on it."""
    async with world(tiny_folder) as found:
        yield found


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replies are deferred as soon as they take any time, and come whole."""
    monkeypatch.setattr(responder, "DEFER_AFTER_SECONDS", 0.01)
    monkeypatch.setattr(responder, "GROW_AFTER_SECONDS", 0.01)
    monkeypatch.setattr(TextSoFar, "take", lambda *_: None)


def labels(result: InteractionResult) -> list[str]:
    """The labels of the buttons under an answer."""
    last = [result.response, *result.followups][-1]
    return [button["label"] for row in (last.components if last else []) for button in row["components"]]


def shown(result: InteractionResult) -> str:
    """The text of an answer, as it is shown."""
    assert result.response is not None
    return as_shown(result.response.content)


async def ask_as_installed(here: World, owners: dict[str, str], command: str = "nietzsche") -> InteractionResult:
    """Somebody uses a command on a server. `owners`: who has installed the app, by kind (0 the server, 1 a user)."""
    user = here.alice.user
    member = {"user": {"id": str(user.id), "username": "alice", "discriminator": "0", "avatar": None}}
    member |= {"roles": [], "joined_at": "2024-01-01T00:00:00+00:00", "deaf": False, "mute": False, "flags": 0}
    return await here.interaction(
        user,
        SLASH,
        {"id": "1", "name": command, "type": 1},
        user.dm_channel.id,
        context=0,
        guild_id="7",
        guild={"id": "7", "locale": "en-US", "features": []},
        member=member | {"permissions": "0"},
        authorizing_integration_owners=owners,
        channel={"id": "8", "type": 0, "guild_id": "7", "name": "far", "position": 0, "permissions": "0"},
    )


def platform(server: DiscordServer, core: tuple[Core, Any], *, token: str = TOKEN, gateway: bool = True) -> Discord:
    """The platform on a loopback Discord."""
    gateway_url = server.gateway_url if gateway else ""
    return Discord(DiscordSection(token=Secret(token), api_url=server.url, gateway_url=gateway_url), core[0])


@asynccontextmanager
async def serving(bot: Discord, server: DiscordServer) -> AsyncIterator[asyncio.Task[None]]:
    """Serves while the block runs, which begins when a session does."""
    # In a context of its own: simcord leaves its way to answer interactions in that of the tests.
    task = asyncio.create_task(bot.serve(), context=contextvars.Context())
    task.add_done_callback(lambda _: server.changed.set())
    try:
        await server.until(lambda: server.identified > 0 or task.done())
        if task.done():
            await task
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def ready(bot: Discord) -> None:
    """Waits until the platform is connected."""
    assert bot._client is not None
    async with asyncio.timeout(PATIENCE):
        await bot._client.wait_until_ready()
    assert bot.connected


_CLICKABLE = re.compile(r"</([a-z]+):\d+>")
_ESCAPED = re.compile(r"\\([^0-9A-Za-z\s])")
_MARKUP = re.compile(
    r"[*_~`|<>@\[:/]"  # anything that could begin or end markup, a mention, an address
    r"|^[ ]*(?:\#{1,3}|-\#|-|\d+\.)[ ]",  # heading, small print, list
    re.MULTILINE,
)


def as_shown(content: str) -> str:
    """What a message shows, once bold, small print and commands to click are taken away, which only the bot writes.

    Raises `AssertionError` when anything else in it is markup. Written from Discord's description of its Markdown
    (https://support.discord.com/hc/en-us/articles/210298617), not from what the bot escapes.
    """
    content = _CLICKABLE.sub(r"\/\1", content)
    hidden = _ESCAPED.sub("\x00", content)
    assert hidden.count("**") % 2 == 0
    for _, bold in zip(range(10), re.findall(r"\*\*(.*?)\*\*", hidden, re.DOTALL), strict=False):
        assert bold
        assert not bold[0].isspace()
        assert not bold[-1].isspace()
    plain = re.sub(r"^-# ", "", hidden.replace("**", "\x01"), flags=re.MULTILINE)  # a bold line begins nothing
    assert not _MARKUP.search(plain), _MARKUP.search(plain)
    shown = re.sub(r"^-# ", "", re.sub(r"(?<!\\)((?:\\\\)*)\*\*", r"\1", content), flags=re.MULTILINE)
    return _ESCAPED.sub(r"\1", shown)
