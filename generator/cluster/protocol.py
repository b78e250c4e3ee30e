"""What the bot's process and its link to the cluster say to each other, over the link's standard input and output."""

from __future__ import annotations

import asyncio
import pickle
import struct
from dataclasses import dataclass
from typing import Any, Final

from generator.errors import GeneratorError
from generator.types import Generation, GenerationRequest, ScoringRequest, Surprisal

APPLICATION: Final = "lstmega"
"""The name of the application on the cluster."""
REPLICA: Final = "Replica"
"""The name of its one deployment."""
Work = GenerationRequest | ScoringRequest
Result = Generation | Surprisal | GeneratorError
"""An error is a value here: Ray would wrap a raised one."""
_LENGTH: Final = struct.Struct("!I")


@dataclass(frozen=True, slots=True)
class Ask:
    """Wants a text. `expires`: seconds since 1970; what is not written by then is not wanted any more."""

    number: int
    work: Work
    expires: float


@dataclass(frozen=True, slots=True)
class Stop:
    """Nobody wants that text any more."""

    number: int


@dataclass(frozen=True, slots=True)
class Answer:
    """How an `Ask` ended."""

    number: int
    result: Result


@dataclass(frozen=True, slots=True)
class Description:
    """What is shown of the weights that serve: `manifest.json`, and the small files beside it by name."""

    manifest: str
    files: dict[str, bytes]


@dataclass(frozen=True, slots=True)
class Figures:
    """One replica at this moment."""

    version: str
    threads: int
    running: int
    characters_per_second: float


@dataclass(frozen=True, slots=True)
class Here:
    """The pool answers: its replicas, and the description of its weights when it is another one than before."""

    replicas: tuple[Figures, ...]
    description: Description | None


@dataclass(frozen=True, slots=True)
class Away:
    """The pool does not answer; one line: why."""

    reason: str


def packed(message: Any) -> bytes:
    """A message as bytes. Pickles, since both ends are one program on one machine."""
    content = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(content)) + content


async def read(stream: asyncio.StreamReader) -> Any:
    """The next message. Raises `asyncio.IncompleteReadError` at the end."""
    (length,) = _LENGTH.unpack(await stream.readexactly(_LENGTH.size))
    return pickle.loads(await stream.readexactly(length))  # noqa: S301 - as `packed` says
