"""The bot as a process of its own, on platforms that run in this one, and what it takes of the machine."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import ClientSession

from benchmarks.service.discord import LoadedDiscord
from benchmarks.service.people import PATIENCE
from testing.discord import TOKEN
from testing.telegram import TelegramServer

ROOT: Final = Path(__file__).resolve().parent.parent.parent
LIFTED: Final = """
import functools, sys
from bot.cli.main import main
from bot.platforms.telegram import platform as telegram
from bot.platforms.telegram.rate_limit import Limits, Rate
at_once = Rate(1, 0.0)
telegram.Telegram = functools.partial(telegram.Telegram, limits=Limits(at_once, at_once, at_once))
sys.exit(main(["run"]))
"""
"""`python -m bot run` but for Telegram's limits."""
_TICK: Final = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """Seconds of processor time: the bot's main thread, its other threads and its worker process, and this process,
    which is the load. `strangers`: other processes on the machine, and other machines on its processor.
    """

    main: float
    others: float
    load: float
    strangers: float

    def __sub__(self, earlier: Usage) -> Usage:
        return Usage(
            self.main - earlier.main,
            self.others - earlier.others,
            self.load - earlier.load,
            self.strangers - earlier.strangers,
        )

    def each(self, texts: int) -> str:
        """Returns the milliseconds per text, in words."""
        main, others, load = (1000 * part / texts for part in (self.main, self.others, self.load))
        return f"main thread {main:.1f} ms, worker and others {others:.1f} ms, load {load:.1f} ms"


class Service:
    """The process under test, with its worker process."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self._process = process
        self._port = port

    @property
    def _folders(self) -> list[Path]:
        """The /proc folders of the bot and of every process that it started."""
        found = [Path(f"/proc/{self._process.pid}")]
        for folder in found:
            for children in folder.glob("task/*/children"):
                found += [Path(f"/proc/{child}") for child in children.read_text(encoding="ascii").split()]
        return found

    @property
    def workers(self) -> list[int]:
        """The process IDs of its child processes."""
        return [int(folder.name) for folder in self._folders[1:]]

    @property
    def memory_mb(self) -> float:
        """Proportional set size of all its processes, in MB of 2^20 bytes."""
        rollups = [(folder / "smaps_rollup").read_text(encoding="ascii") for folder in self._folders]
        return sum(int(rollup.partition("\nPss:")[2].split()[0]) for rollup in rollups) / 1024

    def usage(self) -> Usage:
        """Returns what was used so far, by workers that have ended too."""
        folders = self._folders
        whole, main = sum(map(_cpu, folders)), _cpu(folders[0] / "task" / str(self._process.pid), ended=False)
        load = time.process_time()
        return Usage(main, whole - main, load, _machine() - whole - load)

    async def metric(self, name: str) -> float:
        """Returns a number of `/metrics`; 0 while there is none of that name and labels."""
        url = f"http://127.0.0.1:{self._port}/metrics"
        async with ClientSession() as session, session.get(url) as response:
            found = re.search(rf"^{re.escape(name)} (\S+)$", await response.text(), re.MULTILINE)
        return float(found[1]) if found else 0.0

    async def connected(self) -> None:
        """Waits until every platform is connected."""
        async with asyncio.timeout(PATIENCE), ClientSession() as session:
            while True:
                try:
                    async with session.get(f"http://127.0.0.1:{self._port}/readyz") as response:
                        if response.status == 200:
                            return
                except OSError:
                    pass  # it does not listen yet
                await asyncio.sleep(0.1)

    async def stop(self) -> None:
        """Stops it as an operator does."""
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE):
            await self._process.wait()


def _cpu(folder: Path, *, ended: bool = True) -> float:
    """Returns the user and system time of a `stat` file (proc(5)) in seconds, with that of children that `ended`."""
    fields = (folder / "stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return sum(map(int, fields[11 : 15 if ended else 13])) * _TICK


def _machine() -> float:
    """Returns the seconds in which the machine's cores were busy, or another machine's (proc(5), `stat`)."""
    user, nice, system, _idle, _waiting, *interrupts_and_stolen = map(
        int, Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:9]
    )
    return (user + nice + system + sum(interrupts_and_stolen)) * _TICK


@dataclass(frozen=True)
class Bench:
    """Starts the bot with `weights` as in the configuration; `place` is for databases and logs, `under` a command that
    runs it under limits.
    """

    place: Path
    weights: Path
    under: tuple[str, ...] = ()

    @asynccontextmanager
    async def on_telegram(self, *, limited: bool, **more: str) -> AsyncIterator[tuple[Service, TelegramServer]]:
        """Runs the bot on Telegram. `limited`: whether it keeps to Telegram's limits; `more`: configuration."""
        async with TelegramServer() as server, self._running(_telegram(server) | more, limited=limited) as service:
            yield service, server

    @asynccontextmanager
    async def on_discord(self, **more: str) -> AsyncIterator[tuple[Service, LoadedDiscord]]:
        """Runs the bot on Discord."""
        discord = LoadedDiscord()
        async with discord.running(), self._running(_discord(discord) | more, limited=True) as service:
            yield service, discord

    @asynccontextmanager
    async def on_both(self, **more: str) -> AsyncIterator[tuple[Service, TelegramServer, LoadedDiscord]]:
        """Runs the bot on both, within all limits."""
        discord = LoadedDiscord()
        async with AsyncExitStack() as stack:
            server = await stack.enter_async_context(TelegramServer())
            await stack.enter_async_context(discord.running())
            both = _telegram(server) | _discord(discord) | more
            yield await stack.enter_async_context(self._running(both, limited=True)), server, discord

    @asynccontextmanager
    async def _running(self, settings: Mapping[str, str], *, limited: bool) -> AsyncIterator[Service]:
        """Runs the bot, connected, with a new database. Prints its warnings at the end."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        log = self.place / f"log-{port}"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("LSTMEGA_")} | {
            "LSTMEGA_GENERATOR__WEIGHTS": str(self.weights),
            "LSTMEGA_STORE__PATH": str(self.place / f"{port}.sqlite3"),
            "LSTMEGA_HTTP__PORT": str(port),
            "PYTHONPATH": str(ROOT),
        }
        with log.open("wb") as errors:
            process = await asyncio.create_subprocess_exec(
                *self.under,
                sys.executable,
                *(("-m", "bot", "run") if limited else ("-c", LIFTED)),
                env=environment | {f"LSTMEGA_{key}": value for key, value in settings.items()},
                cwd=self.place,
                stdin=asyncio.subprocess.DEVNULL,
                stderr=errors,
            )
        service = Service(process, port)
        try:
            await service.connected()
            yield service
        finally:
            await service.stop()
            lines = log.read_text(encoding="utf-8").splitlines()
            warnings = [line for line in lines if " info " not in line and " debug " not in line]
            if warnings:
                print("\n".join(warnings[:20]), file=sys.stderr)


def _telegram(server: TelegramServer) -> dict[str, str]:
    return {"TELEGRAM__TOKEN": server.token, "TELEGRAM__API_URL": server.url}


def _discord(server: LoadedDiscord) -> dict[str, str]:
    return {"DISCORD__TOKEN": TOKEN, "DISCORD__API_URL": server.url, "DISCORD__GATEWAY_URL": server.gateway_url}
