"""Where a text stopped, as bytes that can be kept and gone on from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from generator.weights.session import Rows, StateSpec

_FORMAT: Final = 1
_MAX_HEADER_BYTES: Final = 4096


class StateMismatch(ValueError):
    """Bytes that are no state of the weights that serve: of another version, or damaged."""


@dataclass(frozen=True, slots=True)
class KeptState:
    """The network's state after a text, and the one character that was drawn but not yet fed.

    `rows` has one array per `state.N`, without the batch. Feeding `pending` goes on exactly: nothing is computed twice.
    """

    version: str
    rows: Rows
    pending: str

    def to_bytes(self) -> bytes:
        """A JSON line that says what follows, and the arrays' bytes, little-endian."""
        header = {"format": _FORMAT, "version": self.version, "pending": self.pending}
        arrays = (np.ascontiguousarray(row, row.dtype.newbyteorder("<")).tobytes() for row in self.rows)
        return json.dumps(header).encode("ascii") + b"\n" + b"".join(arrays)

    @classmethod
    def from_bytes(cls, content: bytes, version: str, specs: Sequence[StateSpec]) -> KeptState:
        """Reads a state of that version, whose arrays are as `specs` says. Raises `StateMismatch`."""
        line, _, body = content.partition(b"\n")
        try:
            header = json.loads(line[:_MAX_HEADER_BYTES])
            form, made_by, pending = header["format"], header["version"], header["pending"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise StateMismatch("not a state") from error
        if form != _FORMAT or made_by != version or not isinstance(pending, str) or len(pending) != 1:
            raise StateMismatch("a state of other weights")
        if len(body) != sum(spec.bytes for spec in specs):
            raise StateMismatch("a state of another size")
        rows: list[NDArray[Any]] = []
        offset = 0
        for spec in specs:
            array = np.frombuffer(body, spec.dtype.newbyteorder("<"), int(np.prod(spec.shape)), offset)
            rows.append(array.astype(spec.dtype).reshape(spec.shape))
            offset += spec.bytes
        if not all(np.isfinite(row).all() for row in rows):
            raise StateMismatch("a state that holds no numbers")
        return cls(version, tuple(rows), pending)
