"""A standard error that is not read: the service answers as before, and ends within its limit."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import pytest
from service_process import PATIENCE, RUN, TYPED, Installation, asked, people

LIMIT_SECONDS: Final = 4.0
HANGING: Final = """
import sys, threading
from bot.service import app
from bot.cli.main import main
app.DRAIN_SECONDS, app.CLOSE_SECONDS = 1.0, 3.0
threading.Thread(target=threading.Event().wait).start()  # the fault: a thread that the interpreter waits for
sys.exit(main(["run", *sys.argv[1:]]))
"""
"""`python -m bot run`, which would never end."""


@asynccontextmanager
async def unread(bot: Installation, program: Sequence[str]) -> AsyncIterator[asyncio.subprocess.Process]:
    """Runs the service with a pipe as standard error that is full and not read."""
    reading, writing = os.pipe()
    try:
        os.set_blocking(writing, False)
        try:
            while True:
                os.write(writing, b"x" * 4096)
        except BlockingIOError:
            os.set_blocking(writing, True)
        process = await asyncio.create_subprocess_exec(
            sys.executable, *program, env=bot.environment, stdin=asyncio.subprocess.DEVNULL, stderr=writing
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
    finally:
        os.close(writing)
        os.close(reading)


@pytest.mark.parametrize("program", [RUN, ("-c", HANGING)])
async def test_a_full_pipe_stops_neither_the_bot_nor_its_end(bot: Installation, program: Sequence[str]) -> None:
    (alice,) = people(bot, 1)
    async with unread(bot, program) as process:
        for _ in range(3):
            assert (await asked(alice, f"/nietzsche {TYPED}")).startswith(TYPED)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE):
            assert await process.wait() == 0
    slack = 10.0  # seconds, for a busy machine; before, it never ended
    assert time.monotonic() - began < LIMIT_SECONDS + slack
