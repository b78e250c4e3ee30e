"""The service: its parts open in the order in which they stand here, and close in reverse."""

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
from bot.service import admin_http, reload_socket, watchdog
from bot.service.generator_factory import open_generator, watched_folder, weights_location
from bot.service.health import Health
from bot.service.metrics import Metrics
from bot.service.reload import Reloading
from bot.service.signals import Signals
from bot.service.supervisor import NoPlatformLeft, Supervisor
from bot.store.store import Store
from generator.backoff import Backoff
from generator.process.generator import ProcessGenerator

DRAIN_SECONDS: Final = 10.0
"""How long stopping waits for texts in progress and for their answers to be sent."""
CLOSE_SECONDS: Final = 12.0
"""How long everything may take to close after that, the generator's own drain included. The unit's `TimeoutStopSec` is
longer than both together."""
Platforms = Callable[[Config, Commands, Store], Sequence[Platform]]
log = logging.getLogger(__name__)


def platforms_of(config: Config, commands: Commands, store: Store) -> list[Platform]:
    """Returns an adapter for each platform that has a token."""
    # A platform's library takes half a second to import, and tens of megabytes.
    platforms: list[Platform] = []
    if config.discord.token:
        from bot.platforms.discord.platform import Discord  # noqa: PLC0415

        platforms.append(Discord(config.discord, commands, store, operated=_operated(config, Discord.name)))
    if config.telegram.token:
        from bot.platforms.telegram.platform import Telegram  # noqa: PLC0415

        platforms.append(Telegram(config.telegram, commands))
    return platforms


def _operated(config: Config, platform: str) -> bool:
    """Returns whether the bot has operators on that platform."""
    return any(operator.startswith(f"{platform}:") for operator in config.bot.operators)


async def run(
    config: Config,
    platforms: Platforms = platforms_of,
    *,
    backoff: Backoff | None = None,
    end_within: float | None = None,
) -> None:
    """Serves until SIGTERM or SIGINT; then sends the replies that are due, within `DRAIN_SECONDS`.

    `end_within`: seconds after the signal in which the process ends, whatever hangs (None: no limit). Raises
    `ConfigError` (also when no platform accepts its token, or the port is in use), `WeightsError` or `StoreError` when
    the service cannot start.
    """
    if problems := platform_problems(config):
        raise ConfigError(f"{name}: {problem}" for name, problem in problems.items())
    signals = Signals(end_within)
    with signals.installed(), _start_cancelled_by(signals):
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
def _start_cancelled_by(signals: Signals) -> Iterator[None]:
    """Lets SIGTERM and SIGINT cancel a start."""
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
    """The parts of a running service that its end needs."""

    commands: Commands
    supervisor: Supervisor
    reloading: Reloading
    health: Health
    systemd: watchdog.Systemd

    async def stop(self) -> None:
        """Refuses new work, and waits until what was admitted is done and sent."""
        log.info("service.stopping drain_s=%g", DRAIN_SECONDS)
        self.systemd.notify(watchdog.STOPPING)
        self.health.stop()
        self.commands.close()
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                # The platforms still listen meanwhile: new requests are answered that the bot restarts.
                await self.commands.finished()
                await self.supervisor.drain()
        except TimeoutError:
            log.warning("service.drain_timeout drain_s=%g", DRAIN_SECONDS)


@asynccontextmanager
async def _open(config: Config, platforms: Platforms, backoff: Backoff) -> AsyncIterator[_Service]:
    metrics, systemd = Metrics(), watchdog.Systemd()
    async with (
        Store.open(config.database, keep_days=config.store.keep_days) as store,
        open_generator(config.generator, child=True) as generator,
    ):
        reloading = Reloading(generator, metrics.reloaded)
        commands = Commands(
            generator, store, config.bot, on_event=metrics.on_event, reload=lambda: reloading.reload("/reload")
        )
        supervisor = Supervisor(platforms(config, commands, store), backoff, metrics.platform_failed)
        metrics.observe(generator, commands, supervisor.platforms)
        health = Health(supervisor.platforms, generator, store, lambda: reloading.refusal)
        redact = Redaction.of(config)
        async with (
            admin_http.serving(config.http, health, metrics, redact) as address,
            reload_socket.serving(config, lambda: reloading.reload("reload"), redact),
            reloading.watching(watched_folder(config.generator)),
            supervisor.serving(),
            watchdog.heartbeat(metrics.lagged, supervisor.poll, systemd),
        ):
            log.info("service.ready http=%s summary=%s", address, commands.summary())
            systemd.notify(watchdog.READY, f"STATUS={commands.summary()}; health at {address}")
            _exempt_modules_from_gc()
            yield _Service(commands, supervisor, reloading, health, systemd)


def _exempt_modules_from_gc() -> None:
    """Keeps what lives as long as the process out of garbage collections: a full one paused the loop for 50 to 110 ms
    (measured)."""
    gc.collect()
    gc.freeze()


async def sync(config: Config) -> None:
    """Registers the commands at Discord, whether they changed or not.

    Raises `CommandSyncError`, `ConfigError` when Discord refuses the token, or the errors of `Store.open`.
    """
    from bot.platforms.discord.platform import Discord  # noqa: PLC0415 - as in `platforms_of`

    async with Store.open(config.database) as store:
        generator = ProcessGenerator(*weights_location(config.generator.weights), threads=1, queue=0)  # never opened
        commands = Commands(generator, store, config.bot)
        discord = Discord(config.discord, commands, store, operated=_operated(config, Discord.name))
        try:
            await discord.sync()
        except BadToken as error:
            raise ConfigError([str(error)]) from error
    log.info("discord.commands_synced")
