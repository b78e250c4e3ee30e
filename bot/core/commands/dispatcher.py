"""The commands there are, in the order of menus, and what runs them: an `Ask` in, a `Reply` out, also for errors."""

from __future__ import annotations

import asyncio
import difflib
import logging
import time
from collections.abc import Awaitable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Final

from bot import logs
from bot.core import buttons, messages
from bot.core.ask import Ask, Invalid, Plain, Where
from bot.core.commands.account import forgetme, temperature
from bot.core.commands.command import Command, Context
from bot.core.commands.info import about, reload, start, stats, surprise
from bot.core.commands.writing import again, continue_, ladder, nietzsche
from bot.core.parsing import TakesNoArgument
from bot.core.reply import Refused, Reply
from bot.store.errors import StoreError
from generator import ShuttingDown, Unavailable, WeightsError

_UNKNOWN: Final = "unknown"
"""Stands in the log and the metrics for every command that does not exist: what users type is not logged."""
_BUTTON: Final = "button"
log = logging.getLogger(__name__)


@Command("help", "this list", "esta lista", private=True)
async def help_(context: Context, _: Ask, where: Where) -> Reply:
    """Lists the commands that the user has."""
    known = commands_of(context, where).values()
    return Reply("\n".join(f"{command.usage} — {command.purpose}" for command in known))


COMMANDS: Final = {
    command.name: command
    for command in (
        *(nietzsche, continue_, again, temperature, ladder, surprise, about, forgetme, help_, start),
        *(reload, stats),
    )
}


def user_commands() -> dict[str, Command]:
    """Returns the commands that everybody has, by name."""
    return {name: command for name, command in COMMANDS.items() if not command.for_operators}


def operator_commands() -> dict[str, Command]:
    """Returns the commands that operators have besides, by name."""
    return {name: command for name, command in COMMANDS.items() if command.for_operators}


def commands_of(context: Context, where: Where) -> dict[str, Command]:
    """Returns the commands that exist for this user, by name."""
    return user_commands() | (operator_commands() if context.is_operator(where) else {})


def parse(name: str, arguments: str) -> Ask:
    """Returns what a typed command asks for; `arguments` is what follows its name."""
    command = COMMANDS.get(name)
    if command is None:
        return Plain(name)
    if command.bare and arguments:
        return Invalid(name, TakesNoArgument(name))
    if command.parse is None:
        return Plain(name) if command.ask is Plain else command.ask()
    try:
        return command.parse(arguments)
    except ValueError as error:
        return Invalid(name, error)


def name_of(ask: Ask) -> str:
    """Returns the name of the command that an `Ask` belongs to."""
    if isinstance(ask, Plain | Invalid):
        return ask.command
    return next(name for name, command in COMMANDS.items() if isinstance(ask, command.ask))


def is_private(ask: Ask) -> bool:
    """Returns whether only the user sees the reply, whatever it says."""
    command = COMMANDS.get(name_of(ask))
    return command is None or command.private or isinstance(ask, Invalid)


@dataclass(eq=False)
class Commands(Context):
    """The bot's commands on a generator and a store, the same for every platform. `closing`: after `close`."""

    closing: bool = field(default=False, init=False)
    _running: int = field(default=0, init=False)
    _idle: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def summary(self) -> str:
        """Returns what the bot is at this moment, in one line."""
        return messages.summary(self.generator.weights.manifest)

    def known_to(self, platform: str, user: str) -> dict[str, Command]:
        """Returns the commands that exist for this user, by name."""
        return commands_of(self, Where(platform, "", user))

    def _find(self, name: str, where: Where) -> Command | None:
        """Returns the command of that name if it exists for this user."""
        command = COMMANDS.get(name)
        return command if command is not None and (not command.for_operators or self.is_operator(where)) else None

    def close(self) -> None:
        """Answers everything from now on with the news that the bot restarts; what runs is finished."""
        self.closing = True

    async def finished(self) -> None:
        """Returns when no request runs any more."""
        while self._running:
            await self._idle.wait()

    async def handle(self, ask: Ask, where: Where) -> Reply:
        """Does what was asked. Every error becomes a reply here; only cancellation passes through."""
        name = name_of(ask)
        label = _UNKNOWN if self._find(name, where) is None else name
        return await self._answer(label, where, self._run(ask, where))

    async def press(self, data: str, where: Where) -> Reply:
        """Does what a button asks for, for the user whose button it is. `data`: the `Action.data` of the button."""
        return await self._answer(_BUTTON, where, self._press(data, where))

    async def suggest(self, where: Where) -> dict[float, str]:
        """Returns temperatures to offer, with their labels: the user's own, the default, and a few others."""
        try:
            own = await self.store.temperature(where.platform, where.user)
        except StoreError as error:
            log.error("suggest.failed reason=%s", error)
            own = None
        return messages.suggestions(own, self.settings.sampling.temperature)

    async def moved(self, platform: str, old: str, new: str) -> None:
        """Moves what is stored for a chat to its new identifier."""
        try:
            await self.store.move_chat(platform, old, new)
        except StoreError as error:
            log.error("chat.migration_failed platform=%s reason=%s", platform, error)
        else:
            log.info("chat.migrated platform=%s", platform)

    def undelivered(self, platform: str) -> None:
        """Notes that a reply could not be sent, through no fault of the user."""
        self.observer.platform_failed(platform)

    async def _answer(self, label: str, where: Where, work: Awaitable[Reply]) -> Reply:
        began, outcome = time.perf_counter(), "cancelled"
        self._running += 1
        self._idle.clear()
        with logs.request():
            try:
                reply = await work
                outcome = reply.kind.value
                return reply
            except messages.EXPECTED as error:
                outcome = "refused"
                return Reply.refusal(messages.explain(error))
            except ShuttingDown as error:
                outcome = "restarting"
                return Reply.refusal(messages.explain(error))
            except Exception as error:
                outcome = "failed"
                reported = isinstance(error, StoreError | Unavailable | WeightsError)  # any other may be a defect
                log.error("command.failed command=%s reason=%s", label, error, exc_info=None if reported else error)
                return Reply.refusal(messages.explain(error))
            finally:
                self.observer.answered(where.platform, label, outcome, time.perf_counter() - began)
                self._running -= 1
                if not self._running:
                    self._idle.set()

    async def _press(self, data: str, where: Where) -> Reply:
        button = buttons.decode(data)
        if button is None:
            raise Refused(messages.NO_SUCH_BUTTON)
        if button.owner != where.user:
            raise Refused(messages.NOT_YOUR_TEXT)
        return await self._run(button.ask, where)

    async def _run(self, ask: Ask, where: Where) -> Reply:
        name = name_of(ask)
        command = self._find(name, where)
        if command is None:
            nearest = difflib.get_close_matches(name, commands_of(self, where), n=1)
            raise Refused(messages.unknown(name, nearest[0] if nearest else None))
        if self.closing:
            raise ShuttingDown
        if isinstance(ask, Invalid):
            raise ask.error
        async with self.admission.one_at_a_time(where.user_key) if command.exclusive else nullcontext():
            reply = await command.run(self, ask, where)
        return replace(reply, private=True) if command.private else reply
