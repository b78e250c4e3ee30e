"""`python -m bot run` as a process of its own, with Telegram on a loopback server, for tests to drive."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import ClientSession

from testing.telegram import Chat, TelegramServer, User

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 60.0
"""Seconds that a test waits for a process before it fails; a busy machine takes its time to import libraries."""
RUN = ("-m", "bot", "run")
TYPED = "Zarathustra"
"""A word that the tests' people type, and that no log may hold."""


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Log:
    """The lines of a process's standard error, as they come."""

    def __init__(self, stream: asyncio.StreamReader) -> None:
        self.lines: list[str] = []
        self._stream = stream
        self._read = 0

    async def next(self, part: str) -> str:
        """The next line, not looked at before, that holds `part`."""
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    while self._read < len(self.lines):
                        self._read += 1
                        if part in self.lines[self._read - 1]:
                            return self.lines[self._read - 1]
                    if not await self._more():
                        break
        except TimeoutError:
            pass
        raise AssertionError(f"no line with {part!r} in:\n" + "\n".join(self.lines))

    async def rest(self) -> None:
        """Reads to the end, which the process's end is."""
        while await self._more():
            pass

    async def _more(self) -> bool:
        line = await self._stream.readline()
        if line:
            self.lines.append(line.decode().rstrip("\n"))
        return bool(line)


class ServiceProcess:
    """One run of the service."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        assert process.stderr is not None
        self._process = process
        self.url = f"http://127.0.0.1:{port}"
        self.log = Log(process.stderr)

    @property
    def process_id(self) -> int:
        return self._process.pid

    def workers(self) -> list[int]:
        """The process IDs of its child processes."""
        found: list[int] = []
        for thread in Path(f"/proc/{self.process_id}/task").iterdir():
            with contextlib.suppress(OSError):  # the thread has ended
                found += map(int, (thread / "children").read_text().split())
        return found

    def tell(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def ended(self) -> int:
        """The exit status. A process that ends writes no more lines."""
        async with asyncio.timeout(PATIENCE):
            await self.log.rest()
            return await self._process.wait()

    async def stop(self) -> None:
        self.tell(signal.SIGTERM)
        assert await self.ended() == 0, "\n".join(self.log.lines)

    async def ready(self) -> tuple[int, dict[str, bool]]:
        async with ClientSession() as session, session.get(f"{self.url}/readyz") as response:
            parts = [json.loads(line) for line in (await response.text()).splitlines()]
            return response.status, {part["part"]: part["ready"] for part in parts}

    async def reports(self, status: int) -> dict[str, bool]:
        """Waits until `/readyz` has that status, which may be the last one for a few seconds; returns the parts."""
        async with asyncio.timeout(PATIENCE):
            while (found := await self.ready())[0] != status:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.1)
        return found[1]

    async def get(self, path: str) -> str:
        async with ClientSession() as session, session.get(self.url + path) as response:
            assert response.status == 200
            return await response.text()

    async def kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self.ended()


class Installation:
    """A folder with weights and a database, and the Telegram that the bot talks to."""

    def __init__(self, weights: Path, state: Path, server: TelegramServer) -> None:
        self.weights = weights
        self.server = server
        self.logged: list[str] = []
        """Every line of every run."""
        self.port = unused_port()
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("LSTMEGA_")} | {
            "LSTMEGA_TELEGRAM__TOKEN": server.token,
            "LSTMEGA_TELEGRAM__API_URL": server.url,
            "LSTMEGA_GENERATOR__WEIGHTS": str(weights),
            "LSTMEGA_STORE__PATH": str(state / "db.sqlite3"),
            "LSTMEGA_HTTP__PORT": str(self.port),
            "LSTMEGA_LOG__LEVEL": "debug",
            "LSTMEGA_BOT__LENGTH": "80",
            "LSTMEGA_BOT__COOLDOWN": "0",
            "PYTHONPATH": str(ROOT),
        }

    @asynccontextmanager
    async def service(
        self,
        *options: str,
        until: str = "platform.connected platform=telegram",
        program: Sequence[str] = RUN,
        **more: str,
    ) -> AsyncIterator[ServiceProcess]:
        """A run; the block begins when a line with `until` is logged. `more`: environment variables."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, *program, *options, env=self.environment | more, cwd=self.weights.parent,
            stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        service = ServiceProcess(process, self.port)
        try:
            if until:
                await service.log.next(until)
            yield service
        finally:
            await service.kill()
            self.logged += service.log.lines

    async def command(self, *arguments: str, **more: str) -> tuple[int, str, str]:
        """Another command with the same configuration and `more`: exit status, standard output, standard error."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bot", *arguments, env=self.environment | more, cwd=self.weights.parent,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        async with asyncio.timeout(PATIENCE):
            out, err = await process.communicate()
        return process.returncode or 0, out.decode(), err.decode()

    def check_what_was_logged(self) -> None:
        """No line of any run holds a token or what somebody typed or was told."""
        number, _, key = self.server.token.partition(":")
        for line in self.logged:
            assert number not in line
            assert key not in line
            assert TYPED not in line
        for chat in self.server.chats.values():
            for sent in chat.sent.values():
                words = sent.text[:40]
                assert not any(words in line for line in self.logged)


def has_ended(process: int) -> bool:
    """Whether a process is gone, or waits for nothing but its parent."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2].startswith("Z")
    except OSError:
        return True


def people(bot: Installation, count: int) -> list[Chat]:
    return [bot.server.private(bot.server.user(f"Person {number}")) for number in range(count)]


async def asked(chat: Chat, text: str, **extra: Any) -> str:
    """What the bot answers."""
    await chat.send(text, **extra)
    return (await chat.next_message(PATIENCE)).text


async def forget_me(chat: Chat, user: User) -> str:
    """Types /forgetme, presses the button under the answer, and returns what the bot says to that."""
    await chat.send("/forgetme", by=user)
    press = await user.press(await chat.next_message(PATIENCE), "Delete everything")
    return (await press.answer())[0]


def heard(systemd: socket.socket) -> list[bytes]:
    """What systemd was told since the last time."""
    told: list[bytes] = []
    while True:
        try:
            told.append(systemd.recv(1000))
        except BlockingIOError:
            return told
