"""The voices of the configuration: opens, reloads and closes each of them on its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

from bot.config.loader import ConfigError
from bot.config.schema import Config, VoiceSection
from bot.core import language, messages
from bot.core.voice import Voice, versions_of
from bot.service.reload import Reloading
from generator import Generator, GeneratorError, Unavailable, WeightsError
from generator.cores import cores
from generator.process.generator import ProcessGenerator

_QUEUE: Final = 160
"""More than `bot.core.admission` admits: 32 texts that are generated and some that wait, each perhaps a /ladder."""
log = logging.getLogger(__name__)


def open_generator(config: Config, name: str, *, child: bool = False) -> AbstractAsyncContextManager[Generator]:
    """Opens a voice's generator: that of the configured pool, or one in a `child` process, or one in this process.

    Several voices share the cores; a single one measures how many threads are best. Entering raises `WeightsError`, or
    `Unavailable`.
    """
    if config.generator.address:
        from generator.cluster.client import Pool  # noqa: PLC0415 - most bots need none

        return Pool.open(config.generator.address, name)
    folder, version = config.voices[name].location
    if child:
        threads = config.generator.threads
        if not threads and len(config.voices) > 1:
            threads = max(1, cores() // len(config.voices))
        return ProcessGenerator.open(folder, version=version, threads=threads, queue=_QUEUE)
    from generator.serving.generator import ThreadedGenerator  # noqa: PLC0415 - loads onnxruntime

    return ThreadedGenerator.open(folder, version=version, queue=_QUEUE)


@dataclass(frozen=True)
class _Open:
    section: VoiceSection
    reloading: Reloading
    closing: AsyncExitStack


class VoiceManager:
    """Keeps the voices of the configuration open. Make one with `VoiceManager.open`."""

    def __init__(self, read: Callable[[], Config], on_outcome: Callable[[str, str], None], *, child: bool) -> None:
        self.by_name: dict[str, Voice] = {}
        """The voices; the first is the default. Changes when a reload finds another configuration."""
        self.configure: Callable[[Config], None] = lambda _config: None
        """Called with the configuration that a reload has read, and that can be used."""
        self.on_change: Callable[[], Awaitable[object]] | None = None
        """Called when a reload has changed the commands."""
        self._read = read
        self._on_outcome = on_outcome
        self._child = child
        self._open: dict[str, _Open] = {}
        self._failed: dict[str, Exception] = {}
        """Why voices of the configuration could not be opened."""
        self._changing = asyncio.Lock()

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        config: Config,
        read: Callable[[], Config] | None = None,
        on_outcome: Callable[[str, str], None] = lambda _voice, _outcome: None,
        *,
        child: bool = False,
    ) -> AsyncIterator[VoiceManager]:
        """Opens every voice, each in a `child` process or all in this one; from then on each follows its CURRENT.

        `read` reads the configuration for a reload. `on_outcome`: see `Reloading`; it gets the voice's name first. A
        voice that cannot be opened is left out until a reload succeeds. Raises why when that is true of all.
        """
        manager = cls(read or (lambda: config), on_outcome, child=child)
        try:
            await manager._apply(config)
            yield manager
        finally:
            await asyncio.gather(*(each.closing.aclose() for each in manager._open.values()))

    def problems(self) -> dict[str, str]:
        """Returns why voices could not be opened, or why the last reload of those that are open was refused."""
        refused = {name: each.reloading.refusal for name, each in self._open.items() if each.reloading.refusal}
        return refused | {name: str(error) for name, error in self._failed.items()}

    async def reload(self, trigger: str) -> str:
        """Opens and closes voices as the configuration says now, and loads what CURRENT names for the others.

        Returns sentences about it. Raises `ConfigError`, and then nothing has changed, or `WeightsError`:
        then a voice stays as it was, or is still missing.
        """
        async with self._changing:
            before, commands, versions = self._open, self._commands(), versions_of(self.by_name)
            try:
                config = await asyncio.to_thread(self._read)
                await self._apply(config)
            except (ConfigError, GeneratorError) as error:
                log.error("voices.refused trigger=%r reason=%s", trigger, error)
                raise
            self.configure(config)
            if self._commands() != commands and self.on_change is not None:
                await self.on_change()
            failures = [*self._failed.values()]
            for each in [each for name, each in self._open.items() if each is before.get(name)]:
                try:
                    await each.reloading.reload(trigger)
                except Exception as error:  # noqa: BLE001 - the others are reloaded all the same
                    failures.append(error)
            if failures:
                raise failures[0]
            return messages.reloaded(versions, versions_of(self.by_name), language.of("").say)

    async def watch(self, asked: asyncio.Event) -> None:
        """Reloads whenever SIGHUP sets `asked`; several signals make one reload."""
        while True:
            await asked.wait()
            asked.clear()
            with suppress(Exception):  # it is logged
                await self.reload("SIGHUP")

    def _commands(self) -> list[tuple[str, str]]:
        return [(voice.command, voice.title or voice.manifest.corpus.name) for voice in self.by_name.values()]

    async def _apply(self, config: Config) -> None:
        """Opens, renames and closes voices, so that there are those of the configuration.

        One that cannot be opened stays as it was. Raises the reason, and changes nothing, when none would be left.
        """
        wanted = [
            name
            for name, section in config.voices.items()
            if name not in self._open or self._open[name].section.weights != section.weights
        ]
        opening = (self._open_voice(config, name) for name in wanted)
        opened = dict(zip(wanted, await asyncio.gather(*opening, return_exceptions=True), strict=True))
        self._failed = {name: each for name, each in opened.items() if isinstance(each, Exception)}
        fresh = {name: each for name, each in opened.items() if isinstance(each, _Open)}
        now = self._open | fresh
        if not now.keys() & config.voices.keys():
            raise next(iter(self._failed.values()))
        for name, error in self._failed.items():
            self._on_outcome(name, "refused")
            defect = None if isinstance(error, GeneratorError) else error
            log.error("voice.failed voice=%s reason=%s", name, error, exc_info=defect)
        before, self._open = self._open, {name: now[name] for name in config.voices if name in now}
        self.by_name.clear()
        for name, each in self._open.items():
            section = config.voices[name]
            self.by_name[name] = Voice(name, section.command, section.title, each.reloading.generator)
        closed = [name for name, each in before.items() if self._open.get(name) is not each]
        await asyncio.gather(*(before[name].closing.aclose() for name in closed))
        if before and (fresh or closed):
            log.info("voices.changed opened=%s closed=%s", ",".join(fresh), ",".join(closed))

    async def _open_voice(self, config: Config, name: str) -> _Open:
        closing, section = AsyncExitStack(), config.voices[name]
        try:
            generator = await closing.enter_async_context(open_generator(config, name, child=self._child))
        except Unavailable as error:
            if not self._open:  # for a start it is temporary
                raise
            raise WeightsError(str(error)) from error  # a reload is refused, so that the operator reads why
        reloading = Reloading(generator, partial(self._on_outcome, name))
        folder, pinned = section.location
        if not pinned and not config.generator.address:
            closing.callback(asyncio.create_task(reloading.watch(folder)).cancel)
        return _Open(section, reloading, closing)
