"""The service: its parts open in the order in which they stand here, and close in reverse."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from types import FrameType
from typing import Final

from bot.config.loader import ConfigError
from bot.config.schema import Config, platform_problems
from bot.core.commands import Commands
from bot.logs import Redaction
from bot.platforms.base import Platform
from bot.service import monitoring, reload, supervisor
from bot.service.monitoring import Metrics, Status
from bot.service.supervisor import Supervised
from bot.service.voices import VoiceManager
from bot.store.store import Store
from generator.backoff import Backoff

DRAIN_SECONDS: Final = 10.0
"""How long stopping waits for texts in progress and for their answers to be sent."""
CLOSE_SECONDS: Final = 12.0
"""How long everything may take to close after that, the generator's own drain included. The unit's `TimeoutStopSec` is
longer than both together."""
BACKOFF: Final = Backoff()
STOPPING: Final = (signal.SIGTERM, signal.SIGINT)
Platforms = Callable[[Config, Commands], Sequence[Platform]]
log = logging.getLogger(__name__)


def platforms_of(config: Config, commands: Commands) -> list[Platform]:
    """Returns an adapter for each platform that has a token."""
    # A platform's library takes half a second to import, and tens of megabytes.
    platforms: list[Platform] = []
    proxy = config.network.proxy.reveal()
    if config.discord.token:
        from bot.platforms.discord.platform import Discord  # noqa: PLC0415

        platforms.append(Discord(config.discord, commands, proxy=proxy))
    if config.telegram.token:
        from bot.platforms.telegram.platform import Telegram  # noqa: PLC0415

        platforms.append(Telegram(config.telegram, commands, proxy=proxy))
    return platforms


async def run(
    config: Config,
    platforms: Platforms = platforms_of,
    *,
    read: Callable[[], Config] | None = None,
    end_within: float | None = None,
) -> None:
    """Serves until SIGTERM or SIGINT; then sends the replies that are due, within `DRAIN_SECONDS`.

    `read`: reads the configuration again; a reload takes over what it says in `[voices]`, `[bot]` and `[access]`.
    `end_within`: seconds after the signal in which the process ends, whatever hangs (None: no limit). Raises
    `ConfigError` (also when no platform accepts its token, or the port is in use), `WeightsError` or `StoreError` when
    the service cannot start.
    """
    if problems := platform_problems(config):
        raise ConfigError(f"{name}: {problem}" for name, problem in problems.items())
    with _signals(end_within) as reload_asked:
        await _serve(config, platforms, read, reload_asked)
    log.info("service.stopped")


@contextmanager
def _signals(end_within: float | None) -> Iterator[asyncio.Event]:
    """Handles signals while the block runs in the main thread; yields an event that SIGHUP sets.

    The first SIGTERM or SIGINT cancels the block, which then ends without an error. `end_within`: as `run`. The
    handlers are Python's, not the event loop's, so they run while the loop is blocked.
    """
    loop, task, reload_asked = asyncio.get_running_loop(), asyncio.current_task(), asyncio.Event()
    assert task is not None  # noqa: S101 - for the type checker
    stopped = False

    def on_reload(_number: int, _frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(reload_asked.set)

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal stopped
        stopped = True
        for stopping in STOPPING:
            signal.signal(stopping, signal.SIG_DFL)  # a second signal asks for no cleanup
        if end_within is not None:
            timer = threading.Timer(end_within, give_up)
            timer.daemon = True
            timer.start()
        loop.call_soon_threadsafe(task.cancel)

    def give_up() -> None:
        # By now every due answer is sent or abandoned, and the database is intact at any moment.
        log.error("shutdown.timeout limit_s=%g", end_within)
        logging.shutdown()
        os._exit(0)

    handlers = {signal.SIGHUP: on_reload} | dict.fromkeys(STOPPING, stop)
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield reload_asked
    except asyncio.CancelledError:
        if not stopped or task.uncancel():
            raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


async def _serve(
    config: Config, platforms: Platforms, read: Callable[[], Config] | None, reload_asked: asyncio.Event
) -> None:
    """Serves until it is cancelled. Raises `ConfigError` when every platform has rejected its token."""
    metrics, redact = Metrics(), Redaction.of(config)
    async with (
        Store.open(config.database, keep_days=config.store.keep_days) as store,
        VoiceManager.open(config, read, metrics.reloaded, child=True) as voices,
    ):
        commands = Commands(
            voices.by_name,
            store,
            config.bot,
            observer=metrics,
            reload=lambda: voices.reload(reload.COMMAND),
            access=config.access,
        )

        def configure(now: Config) -> None:
            changed = [name for name in config.__struct_fields__ if getattr(now, name) != getattr(config, name)]
            later = [name for name in changed if name not in ("bot", "access", "voices")]
            commands.configure(now.bot, now.access)
            log.info("config.read differs=%s needs_restart=%s", ",".join(changed) or "-", ",".join(later) or "-")

        voices.configure = configure
        supervised = [Supervised(each, BACKOFF, metrics.platform_failed) for each in platforms(config, commands)]
        voices.on_change = lambda: asyncio.gather(*(each.platform.update_commands() for each in supervised))
        metrics.registry.register(status := Status(commands, supervised, voices.problems))
        async with (
            monitoring.serving(config.http, status, metrics, redact) as address,
            reload.listening(config, lambda: voices.reload("reload"), redact),
            _in_background(voices.watch(reload_asked)),
            _in_background(supervisor.serve(supervised)) as serving,
            _draining(commands, supervised),
            _in_background(supervisor.heartbeat(metrics.loop_lag.observe, *(each.poll for each in supervised))),
        ):
            carries, summary = commands.admission.texts_per_second, commands.summary()
            log.info("service.ready http=%s texts_per_second=%.0f summary=%s", address, carries, summary)
            supervisor.notify(supervisor.READY, f"STATUS={summary}; health at {address}")
            gc.collect()
            gc.freeze()  # what lives as long as the process: collecting it paused the loop for 50 to 110 ms (measured)
            await asyncio.wait({serving})
    reasons = "; ".join(f"{each.platform.name}: {each.reason}" for each in supervised)
    raise ConfigError([f"no platform is left: {reasons}"])


@asynccontextmanager
async def _draining(commands: Commands, platforms: Sequence[Supervised]) -> AsyncIterator[None]:
    """After the block, refuses new work, and waits until what was admitted is done and sent."""
    try:
        yield
    finally:
        if task := asyncio.current_task():
            task.uncancel()  # a signal's cancellation has done its work; before Python 3.11.3 it disturbs timeouts
        log.info("service.stopping drain_s=%g", DRAIN_SECONDS)
        supervisor.notify(supervisor.STOPPING)
        commands.closing = True
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                # The platforms still listen meanwhile: new requests are answered that the bot restarts.
                await supervisor.drain(platforms)
        except TimeoutError:
            log.warning("service.drain_timeout drain_s=%g", DRAIN_SECONDS)


@asynccontextmanager
async def _in_background(work: Coroutine[None, None, None]) -> AsyncIterator[asyncio.Task[None]]:
    """Runs `work` while the block runs, and then cancels it. An exception in it ends the block."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work)
        try:
            yield task
        finally:
            task.cancel()


async def sync(config: Config) -> None:
    """Registers the commands at Discord, whether they changed or not.

    Raises `CommandSyncError`, `BadToken`, or the errors of `Store.open`.
    """
    from bot.platforms.discord.platform import Discord  # noqa: PLC0415

    async with Store.open(config.database) as store, VoiceManager.open(config) as voices:
        commands = Commands(voices.by_name, store, config.bot)
        await Discord(config.discord, commands, proxy=config.network.proxy.reveal()).sync()
    log.info("discord.commands_synced")
