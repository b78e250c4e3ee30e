"""The wire format of Protocol Buffers, as far as `model.onnx` needs it.

https://protobuf.dev/programming-guides/encoding/. Strict where other readers are lenient: a field that is not known,
or that is there twice where it may be once, is an error. Other readers pass over the one and merge the other, so that
two of them could see two different things in the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED: Final = {_FIXED64: 8, _FIXED32: 4}
_MAX_VARINT_BYTES: Final = 10
MAX_FIELDS: Final = 10_000
"""In one message. A step of two layers has about 40 nodes."""
_MAX_ALL_FIELDS: Final = 50_000
"""In all messages that are read, numbers of a list included; the shipped network has 400. Below a second of reading."""
IGNORED: Final = ""
"""The name of a field that may be there and is not looked into."""

T = TypeVar("T")
Value = int | memoryview
"""A number, or the bytes of a string, of a nested message, of packed numbers or of a float."""


class WireError(ValueError):
    """Bytes that are no such message; the text says why."""


@dataclass(slots=True)
class _Budget:
    """What may still be read, shared by a message and all that is nested in it."""

    left: int = _MAX_ALL_FIELDS

    def spend(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise WireError(f"has more than {_MAX_ALL_FIELDS} parts in all")


class Message:
    """One message's fields, by name. Nested messages are bytes until they are asked for.

    `fields`: the name of every field that may be there, by its number. Raises `WireError`, as every method does.
    """

    def __init__(self, content: memoryview, fields: Mapping[int, str], budget: _Budget | None = None) -> None:
        self._values: dict[str, list[Value]] = {}
        self._budget = budget or _Budget()
        for count, (number, value) in enumerate(_read(content)):
            if number not in fields:
                raise WireError(f"field {number} has no business beside {', '.join(filter(None, fields.values()))}")
            if count == MAX_FIELDS:
                raise WireError(f"has more than {MAX_FIELDS} parts")
            self._budget.spend(1)
            if fields[number] != IGNORED:
                self._values.setdefault(fields[number], []).append(value)

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def message(self, name: str, fields: Mapping[int, str]) -> Message:
        """A nested message that is there once."""
        return Message(self.bytes(name), fields, self._budget)

    def messages(self, name: str, fields: Mapping[int, str]) -> Iterator[Message]:
        """A repeated field of messages."""
        return (Message(value, fields, self._budget) for value in self.repeated(name))

    def number(self, name: str, default: int | None = None) -> int:
        """A field that is there once, or at most once if there is a `default`."""
        return _only(name, self.numbers(name), default)

    def numbers(self, name: str) -> list[int]:
        """A repeated field of signed integers, packed or not."""
        found: list[int] = []
        for value in self._values.get(name, []):
            if not isinstance(value, int):
                self._budget.spend(_count(value))
            found += [value] if isinstance(value, int) else _varints(value)
        return [value - (1 << 64) if value >> 63 else value for value in found]

    def count(self, name: str) -> int:
        """How many integers a repeated field has, packed or not, without reading them."""
        return sum(1 if isinstance(value, int) else _count(value) for value in self._values.get(name, []))

    def bytes(self, name: str, default: memoryview | None = None) -> memoryview:
        """A field that is there once, or at most once if there is a `default`."""
        return _only(name, self.repeated(name), default)

    def repeated(self, name: str) -> list[memoryview]:
        """A repeated field of strings or messages."""
        values = self._values.get(name, [])
        if any(isinstance(value, int) for value in values):
            raise WireError(f"{name} is a number")
        return [value for value in values if not isinstance(value, int)]

    def text(self, name: str) -> str:
        """A string; empty when it is not there."""
        return _text(self.bytes(name, memoryview(b"")))

    def texts(self, name: str) -> list[str]:
        """A repeated field of strings."""
        return [_text(value) for value in self.repeated(name)]


def _text(value: memoryview) -> str:
    try:
        return str(value, "utf-8")
    except UnicodeDecodeError as error:
        raise WireError("a name is not UTF-8") from error


def _read(content: memoryview) -> Iterator[tuple[int, Value]]:
    """The fields of a message in their order: number and value."""
    at = 0
    while at < len(content):
        key, at = _varint(content, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _varint(content, at)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            size, at = _varint(content, at)
        elif kind in _FIXED:
            size = _FIXED[kind]
        else:
            raise WireError(f"wire type {kind} is unknown")
        if size > len(content) - at:
            raise WireError("it ends in the middle")
        yield key >> 3, content[at : at + size]
        at += size


def _count(content: memoryview) -> int:
    """How many varints these are: each ends with the one byte that has no high bit."""
    return int(np.count_nonzero(np.frombuffer(content, np.uint8) < 0x80)) if content else 0


def _varints(content: memoryview) -> list[int]:
    found, at = [], 0
    while at < len(content):
        value, at = _varint(content, at)
        found.append(value)
    return found


def _varint(content: memoryview, at: int) -> tuple[int, int]:
    """An integer without sign, and where it ends."""
    value = 0
    for shift, byte in enumerate(content[at : at + _MAX_VARINT_BYTES]):
        value |= (byte & 0x7F) << 7 * shift
        if byte < 0x80:
            return value & (1 << 64) - 1, at + shift + 1
    raise WireError("it ends in the middle")


def _only(name: str, values: list[T], default: T | None) -> T:
    """The one value of a field, or the default where there is none."""
    if len(values) == 1:
        return values[0]
    if values or default is None:
        raise WireError(f"{name} is there {len(values)} times")
    return default
