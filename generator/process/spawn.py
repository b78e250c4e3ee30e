"""A child process of this program, as its parent starts it and sees it end."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from generator.process.protocol import Channel, FromWorker

_KEPT: Final = (
    *("PATH", "HOME", "LANG", "LC_", "TZ", "TMP", "LD_", "DYLD_", "PYTHON", "VIRTUAL_ENV", "MALLOC_", "GLIBC_", "OMP_"),
    *("ORT_", "RAY_"),
)
"""Beginnings of the environment variables that Python, onnxruntime and Ray need. No token is among them."""
_MAX_OUTPUT: Final = 1000
"""Bytes of native code's output that one log line repeats."""
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")
log = logging.getLogger(__name__)


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Returns what a child process may know of its parent's environment."""
    kept = {name: value for name, value in environment.items() if name.startswith(_KEPT)}
    root = Path(__file__).parents[2]
    if root.name not in {"site-packages", "dist-packages"}:  # a clone
        kept["PYTHONPATH"] = os.pathsep.join(filter(None, (str(root), kept.get("PYTHONPATH"))))
    return kept


class ChildProcess:
    """A running `python -m MODULE`, and a channel to it."""

    def __init__(self, process: subprocess.Popen[bytes], channel: Channel, output: asyncio.StreamReader | None) -> None:
        self.channel = channel
        self._process = process
        self._output = output
        self._reason = ""

    @classmethod
    async def start(cls, module: str, *arguments: str, silent: bool = False) -> ChildProcess:
        """Starts a module with the number of its socket, the parent's process ID and `arguments`.

        What it prints is logged, or dropped if `silent`. Raises `OSError` when no process can be started.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            # Not asyncio's: its `kill` may take the exit status from the one who waits for it.
            process = subprocess.Popen(  # noqa: S603, ASYNC220 - this program; it takes milliseconds
                (sys.executable, "-P", "-m", module, str(theirs.fileno()), str(os.getpid()), *arguments),
                env=clean_environment(os.environ),
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL if silent else subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        output = None
        if process.stdout is not None:
            output = asyncio.StreamReader()
            protocol = asyncio.StreamReaderProtocol(output)
            await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, process.stdout)
        return cls(process, await Channel.open(ours, FromWorker), output)

    @property
    def process_id(self) -> int:
        """Its process ID."""
        return self._process.pid

    def kill(self, reason: str = "") -> None:
        """Ends it at once. The first `reason` that is given is what `wait` returns."""
        self._reason = self._reason or reason
        self._process.kill()

    async def log_output(self) -> None:
        """Logs what native code prints, until the process ends."""
        while self._output is not None and (printed := await self._output.read(_MAX_OUTPUT)):
            text = " ".join(_COLOUR.sub("", printed.decode(errors="replace")).split())
            log.warning("worker.output process=%d text=%s", self.process_id, text)

    async def wait(self) -> str:
        """Waits for its end and returns why it ended."""
        status = await asyncio.to_thread(self._process.wait)
        self.channel.close()
        if self._reason:
            return self._reason
        if status >= 0:
            return f"the worker process ended with exit status {status}"
        hint = " (out of memory?)" if -status == signal.SIGKILL else ""
        return f"the worker process was killed by {signal.Signals(-status).name}{hint}"
