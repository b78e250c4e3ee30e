"""The parent's end of one worker process: requests in flight, and what the worker reports."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any, Final

from generator.errors import GeneratorError, ModelError, Unavailable, WeightsError
from generator.process.protocol import (
    Cancel,
    Failed,
    Generated,
    Heartbeat,
    LogRecord,
    Ready,
    Refused,
    Result,
    Scored,
    Unreachable,
    Work,
    request,
)
from generator.process.spawn import ChildProcess
from generator.types import GeneratorStatus, WorkerStatistics
from generator.weights.versions import Weights

_FIRST_GUESS: Final = 2_000.0
"""Characters per second, until the worker has measured it."""
Report = Ready | Heartbeat | Unreachable


class WorkerClient:
    """One worker process. `run` has to run while it is used.

    `ready` is done when the worker serves `weights`, and fails when it cannot. `on_report` is called with what the
    worker says about itself, before the attributes here follow.
    """

    def __init__(self, child: ChildProcess, on_report: Callable[[WorkerClient, Report], None]) -> None:
        self.child = child
        self.began = asyncio.get_running_loop().time()
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ready.add_done_callback(lambda ready: ready.cancelled() or ready.exception())  # it may be awaited no more
        self.weights: Weights | None = None
        self.heartbeat = Heartbeat(WorkerStatistics(0, 0, 0, 0, 0, 0, _FIRST_GUESS), GeneratorStatus(0))
        self.missing = 0
        """Heartbeats that have not come."""
        self.ended = ""
        """Why it ended; empty while it runs."""
        self.unreachable = ""
        """Why the cluster behind the worker does not answer."""
        self.in_flight: dict[int, tuple[asyncio.Future[Any], Context]] = {}
        """Requests by number, each with the context that it was made in, for what is logged about it."""
        self._on_report = on_report
        self._numbers = itertools.count(1)

    async def request(self, work: Work, expires: float = 0.0) -> Any:
        """Generates or scores a text. Cancelling frees its batch slot. Raises what the worker raises."""
        if reason := self.ended or self.unreachable:
            raise Unavailable(reason)
        number, future = next(self._numbers), asyncio.get_running_loop().create_future()
        self.in_flight[number] = future, copy_context()
        try:
            self.child.channel.send(request(number, work, expires))
            with contextlib.suppress(ConnectionError):  # then `run` fails the request
                await self.child.channel.drain()
            return await future
        finally:
            del self.in_flight[number]
            if not future.done() or future.cancelled():
                self.child.channel.send(Cancel(number))

    async def run(self) -> str:
        """Handles what the worker sends until it ends; returns why it ended."""
        output = asyncio.create_task(self.child.log_output())
        try:
            async for message in self.child.channel:
                self._handle(message)
        except ValueError as error:
            self.child.kill(f"the worker process sent an invalid message: {error}")
        self.child.kill()
        self.ended = await self.child.wait()
        await output
        self._fail(self.ended)
        return self.ended

    def fail_all(self, error: GeneratorError) -> None:
        """Ends every request in flight with an error."""
        for number in self.in_flight:
            self._settle(number, error)

    def _handle(self, message: Any) -> None:
        match message:
            case Generated() | Scored() | Failed():
                self._settle(message.number, message.result)
            case Heartbeat():
                self._on_report(self, message)
                self.heartbeat, self.missing, self.unreachable = message, 0, ""
            case Ready():
                self._on_report(self, message)
                if not self.ready.done():
                    self.ready.set_result(None)
            case Refused(reason):
                self.ready.set_exception(WeightsError(reason))
            case Unreachable(reason):
                self._on_report(self, message)
                self.unreachable, self.missing = reason, 0
                self._fail(reason)
            case LogRecord(number):
                _, context = self.in_flight.get(number, (None, Context()))
                context.run(_log, message)

    def _settle(self, number: int, result: Result) -> None:
        future, _ = self.in_flight.get(number, (None, None))
        if future is None or future.done():
            return  # it was cancelled
        if isinstance(result, GeneratorError):
            future.set_exception(result)
        else:
            future.set_result(result)

    def _fail(self, reason: str) -> None:
        if not self.ready.done():
            self.ready.set_exception(Unavailable(reason))
        self.fail_all(ModelError(f"the request was lost: {reason}"))


def _log(message: LogRecord) -> None:
    logger = logging.getLogger(message.logger)
    if logger.isEnabledFor(message.level):
        record = logger.makeRecord(message.logger, message.level, "", 0, message.message, (), None)
        record.exc_text = message.error or None
        logger.handle(record)
