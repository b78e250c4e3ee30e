"""A worker process as its parent sees it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextvars import Context, copy_context
from copy import copy
from pathlib import Path
from typing import Any, Final

from generator.errors import GeneratorError, Interrupted, ModelError, ShuttingDown, Unavailable
from generator.process.protocol import (
    HEARTBEAT_SECONDS,
    THE_WORKER,
    Beginning,
    Cancel,
    Channel,
    FromWorker,
    Heartbeat,
    Item,
    LogRecord,
    Result,
    Work,
)
from generator.types import OnSentence
from generator.weights.manifest import Manifest
from generator.weights.versions import Weights

LOAD_SECONDS: Final = 60.0
"""How long a worker may take until it is ready. One whose model hangs is ended then."""
HANG_SECONDS: Final = 15.0
"""A worker that made no progress for so long hangs."""
_KEPT: Final = (
    *("PATH", "HOME", "LANG", "LC_", "TZ", "TMP", "LD_", "DYLD_", "PYTHON", "VIRTUAL_ENV", "MALLOC_", "GLIBC_", "OMP_"),
    *("ORT_", "RAY_"),
)
"""Beginnings of the environment variables that Python, onnxruntime and Ray need. No token is among them."""
_MAX_OUTPUT: Final = 1000
"""Bytes of native code's output that one log line repeats."""
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")
log = logging.getLogger(__name__)


class WorkerClient:
    """A process that runs `python -m MODULE`, and the requests in flight to it. `run` has to run while it is used.

    `weights`, in `folder`, and `heartbeat` are there when it is `ready`.
    """

    weights: Weights
    heartbeat: Heartbeat

    def __init__(self, folder: Path, process: subprocess.Popen[bytes], channel: Channel, output: socket.socket) -> None:
        self.process_id = process.pid
        self.began = asyncio.get_running_loop().time()
        self.ready = asyncio.Event()
        """Set when it serves, or has `ended`."""
        self.ended: GeneratorError | None = None
        """Why it ended."""
        self.missing = 0
        """Heartbeats that have not come."""
        self.in_flight: dict[int, tuple[asyncio.Future[Result | GeneratorError], Context, OnSentence | None]] = {}
        """Requests by number, each with the context that it was made in, for what is logged about it."""
        self._folder = folder
        self._process = process
        self._channel = channel
        self._output = output
        self._numbers = itertools.count(THE_WORKER + 1)
        self._reason: GeneratorError | None = None
        self._closing = False

    @classmethod
    async def start(cls, folder: Path, module: str, *arguments: str) -> WorkerClient:
        """Starts a module with the number of its socket, the parent's process ID and `arguments`.

        Raises `OSError` when no process can be started.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            channel = await Channel.open(ours, FromWorker)  # first: a cancelled start leaves no process
            output, printed = socket.socketpair()
            with printed:
                # Not asyncio's: its `kill` may take the exit status from the one who waits for it.
                process = subprocess.Popen(  # noqa: S603, ASYNC220 - this program; it takes milliseconds
                    (sys.executable, "-P", "-m", module, str(theirs.fileno()), str(os.getpid()), *arguments),
                    env=clean_environment(os.environ),
                    pass_fds=(theirs.fileno(),),
                    stdin=subprocess.DEVNULL,
                    stdout=printed.fileno(),
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        return cls(folder, process, channel, output)

    async def request(self, work: Work, on_sentence: OnSentence | None = None) -> Result:
        """Generates or scores a text. Cancelling frees its batch slot. Raises what the worker raises."""
        number, future = next(self._numbers), asyncio.get_running_loop().create_future()
        self.in_flight[number] = future, copy_context(), on_sentence
        self._channel.send(Item.of(number, work, by_sentence=on_sentence is not None))
        try:
            result: Result | GeneratorError = await future
        finally:
            del self.in_flight[number]
            if future.cancelled():
                self._channel.send(Cancel(number))
            if self._closing and not self.in_flight:
                self.kill()
        if isinstance(result, GeneratorError):
            raise result
        return result

    async def run(self) -> None:
        """Handles what the worker sends until it has `ended`."""
        output, watching = asyncio.create_task(self._log_output()), asyncio.create_task(self._watch())
        try:
            async for message in self._channel:
                self._handle(message)
        except (ValueError, LookupError, TypeError) as error:
            self.kill(f"the worker process sent an invalid message: {error}")
        self.kill()
        status = await asyncio.to_thread(self._process.wait)
        watching.cancel()
        await output
        await self._channel.close()
        how = f"ended with exit status {status}"
        if status < 0:
            how = f"was killed by {signal.Signals(-status).name}"
        kind = Interrupted if -status in {signal.SIGKILL, signal.SIGTERM} else Unavailable  # others are crashes
        self.ended = self._reason or kind(f"the worker process {how}")
        self.ready.set()
        self._fail_all(ModelError(f"the request was lost: {self.ended}"))

    def close(self, seconds: float) -> None:
        """Ends it when the requests in flight are done; after so many seconds they raise `ShuttingDown`."""
        self._closing = True
        asyncio.get_running_loop().call_later(seconds, self._fail_all, ShuttingDown())
        asyncio.get_running_loop().call_later(seconds, self.kill)
        if not self.in_flight:
            self.kill()

    def kill(self, reason: str = "") -> None:
        """Ends it at once. The first `reason` that is given is why it `ended`."""
        if reason and self._reason is None:
            self._reason = Unavailable(reason)
        self._process.kill()

    def _handle(self, message: Any) -> None:
        match message:
            case Item(number) if number == THE_WORKER:
                self._reason = message.value
            case Item(number):
                self._settle(number, message.value)
            case Beginning(number) if number in self.in_flight:
                future, _, on_sentence = self.in_flight[number]
                if on_sentence is not None and not future.done():
                    on_sentence(message.text)
            case Heartbeat(manifest=manifest):
                self.heartbeat, self.missing = message, 0
                if manifest:
                    self.weights = Weights(self._folder, Manifest.from_json(manifest))
                    if self.ready.is_set():  # a pool rolled them out; a worker of this machine keeps its own
                        log.info("worker.weights_changed version=%s", self.weights.manifest.version)
                    self.ready.set()
            case LogRecord(number):
                _, context, _ = self.in_flight.get(number, (None, Context(), None))
                logger = logging.getLogger(message.logger)
                if logger.isEnabledFor(message.level):
                    record = logger.makeRecord(message.logger, message.level, "", 0, message.message, (), None)
                    record.exc_text = message.error or None
                    context.run(logger.handle, record)

    def _settle(self, number: int, result: Result | GeneratorError) -> None:
        if number in self.in_flight and not self.in_flight[number][0].done():
            self.in_flight[number][0].set_result(result)

    def _fail_all(self, error: GeneratorError) -> None:
        for number in self.in_flight:
            self._settle(number, copy(error))  # one that several tasks raise would collect all their tracebacks

    async def _watch(self) -> None:
        """Ends it when it hangs. It counts heartbeats, not seconds: a process that was stopped, or a machine that
        slept, hangs in nothing."""
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            self.missing += 1
            what, limit = "it was not ready within", LOAD_SECONDS
            if self.ready.is_set():
                what, limit = "the worker process made no progress for", HANG_SECONDS
            if self.missing * HEARTBEAT_SECONDS >= limit:
                self.kill(f"{what} {limit:g} s")

    async def _log_output(self) -> None:
        reader, writer = await asyncio.open_connection(sock=self._output)
        with contextlib.closing(writer):
            while printed := await reader.read(_MAX_OUTPUT):
                text = " ".join(_COLOUR.sub("", printed.decode(errors="replace")).split())
                log.warning("worker.output process=%d text=%s", self.process_id, text)


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Returns what a child process may know of its parent's environment."""
    kept = {name: value for name, value in environment.items() if name.startswith(_KEPT)}
    root = Path(__file__).parents[2]
    if root.name not in {"site-packages", "dist-packages"}:  # a clone
        kept["PYTHONPATH"] = os.pathsep.join(filter(None, (str(root), kept.get("PYTHONPATH"))))
    return kept
