"""The messages between a program and its worker process: MessagePack frames over a local socket.

A frame is the length of a message, four bytes in network order, and the message.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec

from generator.errors import GeneratorError, ModelError
from generator.types import Generation, GenerationRequest, GeneratorStatus, ScoringRequest, Surprisal

HEARTBEAT_SECONDS: Final = 1.0
THE_WORKER: Final = 0
"""In place of a request's number."""
Work = GenerationRequest | ScoringRequest
Result = Generation | Surprisal
_LENGTH: Final = struct.Struct("!I")
_VALUES: Final = {kind.__name__: kind for kind in (GenerationRequest, ScoringRequest, Generation, Surprisal)}
_ERRORS: Final = {kind.__name__: kind for kind in GeneratorError.__subclasses__()}


class _Message(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Base of every message."""


class Item(_Message, frozen=True):
    """A request, or what came of it: a value or an error, encoded, with the name of its type.

    An error of `THE_WORKER` says why it ends. `by_sentence`: the request wants a `Beginning` at each end of a sentence.
    """

    number: int
    kind: str
    content: msgspec.Raw
    by_sentence: bool = False

    @classmethod
    def of(cls, number: int, value: Work | Result | Exception, *, by_sentence: bool = False) -> Item:
        """Encodes a value, or an error."""
        content: Any = value
        if isinstance(value, Exception):
            value = value if isinstance(value, GeneratorError) else ModelError(f"{type(value).__name__}: {value}")
            # A path in it may have any bytes.
            content = [a.encode(errors="replace").decode() if isinstance(a, str) else a for a in value.args]
        return cls(number, type(value).__name__, msgspec.Raw(msgspec.msgpack.encode(content)), by_sentence)

    @property
    def value(self) -> Any:
        """The value or error, decoded."""
        if self.kind in _ERRORS:
            return _ERRORS[self.kind](*msgspec.msgpack.decode(self.content))
        return msgspec.msgpack.decode(self.content, type=_VALUES[self.kind])


class Cancel(_Message, frozen=True):
    """Nobody waits for a request any more."""

    number: int


class Beginning(_Message, frozen=True):
    """The text of a request up to the end of a sentence, while the rest is generated."""

    number: int
    text: str


class Heartbeat(_Message, frozen=True):
    """What the worker does now. The first one says that it is ready.

    `manifest`: the `manifest.json` of the weights that serve, when it is another one than before.
    """

    status: GeneratorStatus
    manifest: str = ""


class LogRecord(_Message, frozen=True):
    """A log record about a request, or about `THE_WORKER`."""

    number: int
    logger: str
    level: int
    message: str
    error: str


ToWorker = Item | Cancel
FromWorker = Item | Beginning | Heartbeat | LogRecord


class Channel:
    """One end of a connected socket. Iterating over it gives the messages until the other end closes.

    `incoming` is the union of their types; anything else raises `ValueError`.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, incoming: Any) -> None:
        self._reader = reader
        self._writer = writer
        self._decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(incoming)

    @classmethod
    async def open(cls, connected: socket.socket, incoming: Any) -> Channel:
        """Takes over a connected socket."""
        return cls(*await asyncio.open_connection(sock=connected), incoming)

    def send(self, message: ToWorker | FromWorker) -> None:
        """Queues a message."""
        content = msgspec.msgpack.encode(message)
        self._writer.write(_LENGTH.pack(len(content)) + content)

    async def close(self) -> None:
        """Sends what is queued, unless the other end has closed, and closes this end."""
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()

    async def __aiter__(self) -> AsyncIterator[Any]:
        try:
            while True:
                (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
                yield self._decoder.decode(await self._reader.readexactly(length))
        except (asyncio.IncompleteReadError, ConnectionError):
            return
