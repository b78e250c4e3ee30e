"""The bot as a service: everything it needs opens in the order in which it stands here, and closes in the reverse."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Final

from bot.config.loader import ConfigError
from bot.config.schema import Config, platform_problems
from bot.core.commands import Commands
from bot.logs import Redaction
from bot.platforms.base import BadToken, Platform
from bot.service import admin_http, watchdog
from bot.service.generator_factory import open_generator, watched
from bot.service.health import Health
from bot.service.metrics import Metrics
from bot.service.reload import Reloading
from bot.service.signals import Signals
from bot.service.supervisor import NoPlatformLeft, Supervisor
from bot.store.store import Store
from generator import Generator
from generator.backoff import Backoff

DRAIN_SECONDS: Final = 10.0
"""How long stopping waits for texts in progress and for their answers to be sent."""
CLOSE_SECONDS: Final = 12.0
"""How long everything may take to close after that, the generator's own ten seconds for texts in progress included.
The unit's `TimeoutStopSec` is longer than both together."""
Platforms = Callable[[Config, Commands, Store], Sequence[Platform]]
log = logging.getLogger(__name__)


def platforms_of(config: Config, commands: Commands, store: Store) -> list[Platform]:
    """An adapter for each platform that has a token."""
    # Each library is imported only when it is needed: it takes half a second and tens of megabytes.
    platforms: list[Platform] = []
    if config.discord.token:
        from bot.platforms.discord.platform import Discord  # noqa: PLC0415

        platforms.append(Discord(config.discord, commands, store, operated=_operated(config, Discord.name)))
    if config.telegram.token:
        from bot.platforms.telegram.platform import Telegram  # noqa: PLC0415

        platforms.append(Telegram(config.telegram, commands))
    return platforms


def _operated(config: Config, platform: str) -> bool:
    """Whether anybody operates the bot on that platform."""
    return any(operator.startswith(f"{platform}:") for operator in config.bot.operators)


async def run(
    config: Config,
    platforms: Platforms = platforms_of,
    *,
    backoff: Backoff | None = None,
    end_within: float | None = None,
) -> None:
    """Serves until SIGTERM or SIGINT; every answer that is due by then is given, within `DRAIN_SECONDS`.

    `end_within`: seconds after the signal in which the whole process ends, whatever hangs (None: no limit).
    Raises `ConfigError` (also when no platform takes its token, or the port is in use), `WeightsError` or `StoreError`
    when it cannot start.
    """
    if problems := platform_problems(config):
        raise ConfigError(f"{name}: {problem}" for name, problem in problems.items())
    signals = Signals(end_within)
    with signals.installed(), _start_given_up(signals):
        problem = ""
        try:
            async with _open(config, platforms, backoff or Backoff()) as service:
                stop = asyncio.Event()
                signals.on_stop(stop.set)
                signals.on_reload(service.reloading.ask)
                await stop.wait()
                await service.stop()
        except* NoPlatformLeft as refusals:
            problem = str(refusals.exceptions[0])
        if problem:
            raise ConfigError([f"no platform is left: {problem}"])
    log.info("service.stopped")


@contextmanager
def _start_given_up(signals: Signals) -> Iterator[None]:
    """Lets SIGTERM and SIGINT end a start that is under way: weights are being loaded, nobody has been served."""
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("a service runs in a task")
    signals.on_stop(task.cancel)
    try:
        yield
    except asyncio.CancelledError:
        if not signals.stopped or task.uncancel():
            raise


@dataclass(frozen=True, slots=True)
class _Service:
    """What runs."""

    commands: Commands
    generator: Generator
    supervisor: Supervisor
    reloading: Reloading
    health: Health
    systemd: watchdog.Systemd

    async def stop(self) -> None:
        """Takes no more work, and waits until what was taken is done and told."""
        log.info("service.stopping drain_s=%g", DRAIN_SECONDS)
        self.systemd.notify(watchdog.STOPPING)
        self.health.stop()
        self.commands.close()
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                # The platforms still listen meanwhile: whoever comes now is told that the bot restarts.
                await self.commands.finished()
                await self.supervisor.drain()
        except TimeoutError:
            log.warning("service.drain_timeout drain_s=%g", DRAIN_SECONDS)


@asynccontextmanager
async def _open(config: Config, platforms: Platforms, backoff: Backoff) -> AsyncIterator[_Service]:
    metrics, systemd = Metrics(), watchdog.Systemd()
    folder = watched(config.generator)
    async with (
        Store.open(config.database, keep_days=config.store.keep_days) as store,
        open_generator(config.generator) as generator,
    ):
        reloading = Reloading(generator, metrics.reloaded)
        commands = Commands(
            generator, store, config.bot, on_event=metrics.on_event, reload=lambda: reloading.reload("/reload")
        )
        supervisor = Supervisor(platforms(config, commands, store), backoff, metrics.platform_failed)
        metrics.observe(generator, commands, supervisor.platforms)
        health = Health(supervisor.platforms, generator, store)
        redact = Redaction.of(config)
        async with (
            admin_http.serving(config, health, metrics, reloading, redact) as address,
            reloading.watching(folder),
            supervisor.serving(),
            watchdog.heartbeat(metrics.lagged, lambda: _goes_on(supervisor), systemd),
        ):
            log.info("service.ready http=%s summary=%s", address, commands.summary())
            systemd.notify(watchdog.READY, f"STATUS={commands.summary()}; health at {address}")
            _settle()
            yield _Service(commands, generator, supervisor, reloading, health, systemd)


def _goes_on(supervisor: Supervisor) -> bool:
    """Polls the platforms; whether the process can do its work without a restart."""
    supervisor.poll()
    return True


def _settle() -> None:
    """Spares every collection of garbage what is there for good by now: modules, above all.

    A full one looked through all of it, for 50 to 110 ms on a busy machine, in which nobody was answered (measured).
    """
    gc.collect()
    gc.freeze()


async def sync(config: Config) -> None:
    """Tells Discord about the commands, whether they changed or not.

    Raises `CommandSyncError`, `ConfigError` when Discord refuses the token, or the errors of `Store.open` and
    `open_generator`.
    """
    from bot.platforms.discord.platform import Discord  # noqa: PLC0415 - as in `platforms_of`

    async with Store.open(config.database) as store, open_generator(config.generator) as generator:
        commands = Commands(generator, store, config.bot)
        discord = Discord(config.discord, commands, store, operated=_operated(config, Discord.name))
        try:
            await discord.sync(force=True)
        except BadToken as error:
            raise ConfigError([str(error)]) from error
    log.info("discord.commands_synced")
