"""The messages between a program and its worker process: MessagePack frames over a local socket.

A frame is the length of a message, four bytes in network order, and the message.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec

from generator.errors import GeneratorError, InvalidRequest, ModelError, Overloaded, ShuttingDown, Unavailable
from generator.types import Generation, GenerationRequest, GeneratorStatus, ScoringRequest, Surprisal, WorkerStatistics

HEARTBEAT_SECONDS: Final = 1.0
Work = GenerationRequest | ScoringRequest
Result = Generation | Surprisal | GeneratorError
_LENGTH: Final = struct.Struct("!I")
_ERRORS: Final = {kind.__name__: kind for kind in (InvalidRequest, ModelError, Unavailable)}


class _Message(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Base of every message."""


class Generate(_Message, frozen=True):
    """Asks for a text. `expires`: seconds since 1970 after which nobody waits for it (0: no limit)."""

    number: int
    work: GenerationRequest
    expires: float = 0.0


class Score(_Message, frozen=True):
    """Asks for the surprisal of a text, otherwise as `Generate`."""

    number: int
    work: ScoringRequest
    expires: float = 0.0


class Cancel(_Message, frozen=True):
    """Nobody waits for a request any more."""

    number: int


class Drain(_Message, frozen=True):
    """Asks to finish what was admitted, within so many seconds, and to exit."""

    seconds: float


class Ready(_Message, frozen=True):
    """The worker serves weights: their `manifest.json`, and small files beside it. Sent again when they change."""

    manifest: str
    files: dict[str, bytes] = {}


class Refused(_Message, frozen=True):
    """The weights cannot be served; one line says why."""

    reason: str


class Generated(_Message, frozen=True):
    """A finished text."""

    number: int
    result: Generation


class Scored(_Message, frozen=True):
    """A finished scoring."""

    number: int
    result: Surprisal


class Failed(_Message, frozen=True):
    """A request that ended with an error of this kind."""

    number: int
    kind: str
    message: str
    retry_after: float = 0.0

    @property
    def result(self) -> GeneratorError:
        """The error."""
        if self.kind == Overloaded.__name__:
            return Overloaded(self.retry_after)
        return (
            ShuttingDown() if self.kind == ShuttingDown.__name__ else _ERRORS.get(self.kind, ModelError)(self.message)
        )


class Heartbeat(_Message, frozen=True):
    """What the worker does now. Sent every `HEARTBEAT_SECONDS`, unless a step of the network has taken that long."""

    statistics: WorkerStatistics
    status: GeneratorStatus


class Unreachable(_Message, frozen=True):
    """The cluster behind the worker does not answer; one line says why."""

    reason: str


class LogRecord(_Message, frozen=True):
    """A log record about a request (0: about none)."""

    number: int
    logger: str
    level: int
    message: str
    error: str


ToWorker = Generate | Score | Cancel | Drain
FromWorker = Ready | Refused | Generated | Scored | Failed | Heartbeat | Unreachable | LogRecord


def request(number: int, work: Work, expires: float = 0.0) -> Generate | Score:
    """Returns the message that asks for this work."""
    return Generate(number, work, expires) if isinstance(work, GenerationRequest) else Score(number, work, expires)


def reply(number: int, result: Result | BaseException) -> Generated | Scored | Failed:
    """Returns the message that ends a request."""
    match result:
        case Generation():
            return Generated(number, result)
        case Surprisal():
            return Scored(number, result)
        case Overloaded():
            return Failed(number, type(result).__name__, str(result), result.retry_after)
        case _:
            return Failed(number, type(result).__name__, str(result))


class Channel:
    """One end of a connected socket. Iterating over it gives the messages until the other end closes.

    `incoming` is the union of their types.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, incoming: Any) -> None:
        self._reader = reader
        self._writer = writer
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(incoming)

    @classmethod
    async def open(cls, connected: socket.socket, incoming: Any) -> Channel:
        """Takes over a connected socket."""
        return cls(*await asyncio.open_connection(sock=connected), incoming)

    def send(self, message: ToWorker | FromWorker) -> None:
        """Queues a message."""
        content = self._encoder.encode(message)
        self._writer.write(_LENGTH.pack(len(content)) + content)

    async def drain(self, *, whole: bool = False) -> None:
        """Waits until the queue is short, or `whole`: empty. Raises `ConnectionError` when the other end has closed."""
        if whole:
            self._writer.transport.set_write_buffer_limits(0)
        await self._writer.drain()

    def close(self) -> None:
        """Closes this end."""
        self._writer.close()

    async def __aiter__(self) -> AsyncIterator[Any]:
        try:
            while True:
                (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
                yield self._decoder.decode(await self._reader.readexactly(length))
        except (asyncio.IncompleteReadError, ConnectionError):
            return
