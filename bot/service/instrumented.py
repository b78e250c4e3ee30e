"""The commands, with a look at each: how it ended, how long it took, under which identifier it stands in the log."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable
from typing import Final

from bot import logs
from bot.config.schema import BotSection
from bot.core.commands import Commands
from bot.core.reply import Invocation, Press, Reply
from bot.service.metrics import Metrics
from bot.service.reload import Reloading
from bot.store.store import Store
from generator import Generation, Generator

_UNKNOWN: Final = "unknown"
"""What stands for every command that there is not: what people type must be neither logged nor counted apart."""
_BUTTON: Final = "button"
log = logging.getLogger(__name__)


class ObservedCommands(Commands):
    """`Commands` that `metrics` counts and the log tells of."""

    def __init__(
        self, generator: Generator, store: Store, settings: BotSection, metrics: Metrics, reloading: Reloading
    ) -> None:
        super().__init__(generator, store, settings)
        self._metrics = metrics
        self._reloading = reloading

    async def handle(self, invocation: Invocation) -> Reply:
        """As `Commands.handle`."""
        known = invocation.command in self.known_to(invocation.platform, invocation.person)
        name = invocation.command if known else _UNKNOWN
        return await self._observe(invocation.platform, name, super().handle(invocation))

    async def press(self, press: Press) -> Reply:
        """As `Commands.press`."""
        return await self._observe(press.platform, _BUTTON, super().press(press))

    async def take_up_weights(self) -> str:
        """As `Commands.take_up_weights`, told and counted as every reload is."""
        return str(await self._reloading.reload("/reload"))

    def undelivered(self, platform: str) -> None:
        """As `Commands.undelivered`."""
        self._metrics.platform_failed(platform)

    def written(self, generation: Generation, waited: float) -> None:
        """As `Commands.written`."""
        timing = generation.timing
        self._metrics.text_begun(waited + timing.queue_wait)
        self._metrics.first_character(waited + timing.first_character)
        self._metrics.text_written(timing.writing, len(generation.text))

    async def _observe(self, platform: str, command: str, work: Awaitable[Reply]) -> Reply:
        with logs.request():
            began = time.perf_counter()
            outcome = "cancelled"
            try:
                reply = await work
                outcome = reply.kind.value if reply.cause is None else reply.cause.value
                return reply
            finally:
                seconds = time.perf_counter() - began
                self._metrics.answered(platform, command, outcome, seconds)
                log.info("%s /%s: %s in %.3f s", platform, command, outcome, seconds)
