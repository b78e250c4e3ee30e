"""A platform that does what a test tells it."""

from __future__ import annotations

import asyncio

from bot.core.ask import Where
from bot.core.commands import Commands, parse
from bot.core.reply import Reply
from bot.platforms.base import BadToken


class ScriptedPlatform:
    """Each attempt to serve fails with the next of `failures`; after the last one it connects and serves.

    `attempts` gets an item each time it is served; `connect` and `lose` do what their names say, `break_down` ends
    the attempt that serves, `type` is a person's command.
    """

    def __init__(self, name: str, *failures: Exception, commands: Commands | None = None) -> None:
        self.name = name
        self.failures = list(failures)
        self.commands = commands
        self.attempts: asyncio.Queue[int] = asyncio.Queue()
        self.connected = False
        self.problem = ""
        self.up = asyncio.Event()
        self.answers_due = asyncio.Event()
        self.answers_due.set()
        self.cancelled = self.drained = False
        self.drain_error: Exception | None = None
        self._count = self.updates = 0
        self._breakdown: asyncio.Future[None] | None = None

    async def serve(self) -> None:
        self._count += 1
        self.attempts.put_nowait(self._count)
        if self.failures:
            raise self.failures.pop(0)
        self._breakdown = asyncio.get_running_loop().create_future()
        try:
            self.connect()
            await self._breakdown
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        finally:
            self.lose()

    async def update_commands(self) -> None:
        self.updates += 1

    async def drain(self) -> None:
        if self.drain_error is not None:
            raise self.drain_error
        await self.answers_due.wait()
        self.drained = True

    def connect(self) -> None:
        self.connected = True
        self.up.set()

    def lose(self) -> None:
        self.connected = False
        self.up.clear()

    def break_down(self, error: Exception) -> None:
        assert self._breakdown is not None
        self._breakdown.set_exception(error)

    async def type(self, command: str, arguments: str = "", person: str = "alice") -> Reply:
        assert self.commands is not None
        return await self.commands.handle(parse(command, arguments), Where(self.name, "chat", person))


def refused(name: str) -> ScriptedPlatform:
    """One that takes no token."""
    return ScriptedPlatform(name, BadToken(f"{name} refuses the token;\ncopy it again"))
