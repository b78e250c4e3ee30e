"""The parent's end of one worker process: requests in flight, and what the worker reports."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Callable
from contextvars import Context, copy_context
from dataclasses import dataclass
from typing import Any, Final

from generator.errors import GeneratorError, WeightsError
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
Fail = Callable[[str], GeneratorError]
"""Makes an error from the reason."""


@dataclass(frozen=True, slots=True)
class _InFlight:
    """A request, and the context that it was made in, for what is logged about it."""

    work: Work
    future: asyncio.Future[Any]
    context: Context


class WorkerClient:
    """One worker process. `run` has to run while it is used.

    `ready` is done when the worker serves `weights`, and fails when it cannot. `on_report` is called with what the
    worker says about itself, before the attributes here follow. `refused` and `lost` make the error of a worker that
    does not become ready, and of the requests that are in flight when it ends or its cluster cannot be reached.
    """

    def __init__(
        self, child: ChildProcess, on_report: Callable[[WorkerClient, Report], None], refused: Fail, lost: Fail
    ) -> None:
        self.child = child
        self.lost = lost
        self.began = asyncio.get_running_loop().time()
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ready.add_done_callback(lambda ready: ready.cancelled() or ready.exception())  # somebody may wait no more
        self.weights: Weights | None = None
        self.heartbeat = Heartbeat(WorkerStatistics(0, 0, 0, 0, 0, 0, _FIRST_GUESS), GeneratorStatus(0))
        self.missing = 0
        """Heartbeats that have not come."""
        self.ended = ""
        """Why it ended; empty while it runs."""
        self.unreachable = ""
        """Why the cluster behind the worker does not answer."""
        self.in_flight: dict[int, _InFlight] = {}
        self._on_report = on_report
        self._refused = refused
        self._numbers = itertools.count(1)

    async def request(self, work: Work, expires: float = 0.0) -> Any:
        """Generates or scores a text. Cancelling frees its batch slot. Raises what the worker raises."""
        if reason := self.ended or self.unreachable:
            raise self.lost(reason)
        number, future = next(self._numbers), asyncio.get_running_loop().create_future()
        self.in_flight[number] = _InFlight(work, future, copy_context())
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
        self._refuse(self._refused(self.ended))
        self._fail_all(self.ended)
        return self.ended

    def _handle(self, message: Any) -> None:
        match message:
            case Generated() | Scored() | Failed():
                self._settle(message.number, message.result)
            case Refused(reason):
                self._refuse(WeightsError(reason))
            case Heartbeat():
                self._on_report(self, message)
                self.heartbeat, self.missing, self.unreachable = message, 0, ""
            case Ready():
                self._on_report(self, message)
                if not self.ready.done():
                    self.ready.set_result(None)
            case Unreachable(reason):
                self._on_report(self, message)
                self.unreachable, self.missing = reason, 0
                self._refuse(self._refused(reason))
                self._fail_all(reason)
            case LogRecord():
                asked = self.in_flight.get(message.number)
                (asked.context if asked else Context()).run(_log, message)

    def _settle(self, number: int, result: Result) -> None:
        asked = self.in_flight.get(number)
        if asked is None or asked.future.done():
            return  # it was cancelled
        if isinstance(result, GeneratorError):
            asked.future.set_exception(result)
        else:
            asked.future.set_result(result)

    def _refuse(self, error: GeneratorError) -> None:
        if not self.ready.done():
            self.ready.set_exception(error)

    def _fail_all(self, reason: str) -> None:
        for number in self.in_flight:
            self._settle(number, self.lost(reason))


def _log(message: LogRecord) -> None:
    logger = logging.getLogger(message.logger)
    if logger.isEnabledFor(message.level):
        record = logger.makeRecord(message.logger, message.level, "", 0, message.message, (), None)
        record.exc_text = message.error or None
        logger.handle(record)
