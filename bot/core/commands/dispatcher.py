"""Runs commands: an `Ask` in, a `Reply` out, every error turned into a reply."""

from __future__ import annotations

import asyncio
import difflib
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Final

from bot import logs
from bot.config.schema import BotSection
from bot.core import buttons, messages
from bot.core.admission import Admission
from bot.core.ask import Ask, Invalid, Where
from bot.core.commands.catalogue import COMMANDS, name_of, operator_commands, user_commands
from bot.core.commands.generation import OVERSHOOT
from bot.core.commands.spec import CommandSpec, Context
from bot.core.events import Answered, Event, Undelivered
from bot.core.reply import Cause, Reply
from bot.store.errors import StoreError
from bot.store.store import Store
from generator import Generator, ShuttingDown, Unavailable, WeightsError

_UNKNOWN: Final = "unknown"
"""Stands in the log and the metrics for every command that does not exist: what users type is not logged."""
_BUTTON: Final = "button"
log = logging.getLogger(__name__)


class Commands:
    """The bot's commands on a generator and a store, the same for every platform.

    `on_event` observes what happens. `reload` loads the current weights for /reload and returns what to say about it.
    """

    def __init__(
        self,
        generator: Generator,
        store: Store,
        settings: BotSection,
        *,
        on_event: Callable[[Event], None] = lambda _: None,
        reload: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        self._generator = generator
        self.admission = Admission(
            lambda: generator.status().slots,
            settings.queue,
            settings.cooldown,
            typical=settings.length * OVERSHOOT,
            speed=lambda: generator.statistics().characters_per_second,
        )
        self._context = Context(
            generator, store, settings, self.admission, on_event, self.reload if reload is None else reload
        )
        self._running = 0
        self.closing = False
        self._idle = asyncio.Event()
        self._idle.set()

    def summary(self) -> str:
        """Returns what the bot is at this moment, in one line."""
        return messages.summary(self._generator.weights.manifest)

    def known_to(self, platform: str, user: str) -> dict[str, CommandSpec]:
        """Returns the commands that exist for this user, by name."""
        operator = self._context.is_operator(Where(platform, "", user))
        return user_commands() | (operator_commands() if operator else {})

    def close(self) -> None:
        """Answers everything from now on with the news that the bot restarts; what runs is finished."""
        self.closing = True

    async def finished(self) -> None:
        """Returns when no request runs any more."""
        await self._idle.wait()

    async def handle(self, ask: Ask, where: Where) -> Reply:
        """Does what was asked. Every error becomes a reply here; only cancellation passes through."""
        known = self.known_to(where.platform, where.user)
        name = name_of(ask)
        return await self._observed(where, name if name in known else _UNKNOWN, self._handle(ask, where, name, known))

    async def press(self, data: str, where: Where) -> Reply:
        """Does what a button asks for, for the user whose button it is. `data`: the `Action.data` of the button."""
        return await self._observed(where, _BUTTON, self._press(data, where))

    async def suggest(self, where: Where) -> dict[float, str]:
        """Returns temperatures to offer, with their labels: the user's own, the default, and a few others."""
        try:
            own = await self._context.store.temperature(where.platform, where.user)
        except StoreError as error:
            log.error("suggest.failed reason=%s", error)
            own = None
        return messages.suggestions(own, self._context.settings.sampling.temperature)

    async def reload(self) -> str:
        """Loads the weights that CURRENT names and returns a sentence about it. Raises `WeightsError`."""
        before = self._generator.weights.manifest.version
        weights = await self._generator.reload()
        return messages.reloaded(before, weights.manifest.version)

    async def moved(self, platform: str, old: str, new: str) -> None:
        """Moves what is stored for a chat to its new identifier."""
        try:
            await self._context.store.move_chat(platform, old, new)
        except StoreError as error:
            log.error("chat.migration_failed platform=%s reason=%s", platform, error)
        else:
            log.info("chat.migrated platform=%s", platform)

    def undelivered(self, platform: str) -> None:
        """Notes that a reply could not be sent, through no fault of the user."""
        self._context.on_event(Undelivered(platform))

    async def _observed(self, where: Where, name: str, work: Awaitable[Reply]) -> Reply:
        with logs.request():
            began = time.perf_counter()
            outcome = "cancelled"
            try:
                reply = await work
                outcome = reply.kind.value if reply.cause is None else reply.cause.value
                return reply
            finally:
                self._context.on_event(Answered(where.platform, name, outcome, time.perf_counter() - began))

    async def _press(self, data: str, where: Where) -> Reply:
        button = buttons.decode(data)
        if button is None:
            return Reply.refusal(messages.NO_SUCH_BUTTON)
        if button.owner != where.user:
            return Reply.refusal(messages.NOT_YOUR_TEXT)
        return await self._handle(button.ask, where, name_of(button.ask), COMMANDS)

    async def _handle(self, ask: Ask, where: Where, name: str, known: dict[str, CommandSpec]) -> Reply:
        if name not in known:
            nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
            return Reply.refusal(messages.unknown(name, nearest[0] if nearest else None))
        spec = known[name]
        self._running += 1
        self._idle.clear()
        try:
            if self.closing:
                raise ShuttingDown
            if isinstance(ask, Invalid):
                raise ask.error
            async with AsyncExitStack() as stack:
                if spec.exclusive:
                    await stack.enter_async_context(self.admission.one_at_a_time((where.platform, where.user)))
                reply = await spec.run(self._context, ask, where)
            return replace(reply, private=True) if spec.private else reply
        except Exception as error:
            if isinstance(error, messages.EXPECTED):
                return Reply.refusal(messages.explain(error))
            if isinstance(error, ShuttingDown):
                return Reply.refusal(messages.explain(error), Cause.RESTARTING)
            reported = isinstance(error, StoreError | Unavailable | WeightsError)  # any other may be a defect
            log.error("command.failed command=%s reason=%s", name, error, exc_info=None if reported else error)
            return Reply.refusal(messages.explain(error), Cause.FAILED)
        finally:
            self._running -= 1
            if not self._running:
                self._idle.set()
