"""The saved state: where a text stopped, as bytes that can be stored and continued from."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from generator.weights.session import StateRow, StateSpec

_FORMAT: Final = 1
_MAX_HEADER_BYTES: Final = 4096


class StateMismatch(ValueError):
    """Bytes that are no state of the weights that serve: of other weights, or damaged."""


class ModelId(NamedTuple):
    """Which weights a state belongs to: the name of the version, and the sha256 of its `model.onnx`."""

    version: str
    sha256: str


@dataclass(frozen=True, slots=True)
class SavedState:
    """The network's state after a text, and the one character that was drawn but not yet fed.

    `arrays` has one array per `state.N`, without the batch. Feeding `pending` continues exactly: nothing is computed
    twice. `topic`: words that the text was about.
    """

    arrays: StateRow
    pending: str
    topic: tuple[str, ...] = ()

    def to_bytes(self, model: ModelId) -> bytes:
        """Returns a JSON line that says what follows, and the arrays' bytes."""
        header = {"format": _FORMAT, "version": model.version, "model": model.sha256, "pending": self.pending}
        if self.topic:
            header["topic"] = " ".join(self.topic)
        return json.dumps(header).encode("ascii") + b"\n" + b"".join(array.tobytes() for array in self.arrays)

    @classmethod
    def from_bytes(cls, content: bytes, model: ModelId, specs: Sequence[StateSpec]) -> SavedState:
        """Reads a state of that model, whose arrays are as `specs` says. Raises `StateMismatch`.

        The hash decides. States that older versions of this program saved have none; there the name decides.
        """
        line, _, body = content.partition(b"\n")
        try:
            header = json.loads(line[:_MAX_HEADER_BYTES])
            form, version, pending = header["format"], header["version"], header["pending"]
            topic = header.get("topic", "")
            matches = header["model"] == model.sha256 if "model" in header else version == model.version
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise StateMismatch("not a state") from error
        texts = isinstance(pending, str) and isinstance(topic, str)
        if form != _FORMAT or not matches or not texts or len(pending) != 1:
            raise StateMismatch("a state of other weights")
        if len(body) != sum(spec.bytes for spec in specs):
            raise StateMismatch("a state of another size")
        parts = io.BytesIO(body)
        arrays = [np.frombuffer(parts.read(spec.bytes), spec.dtype).reshape(spec.shape).copy() for spec in specs]
        if not all(np.isfinite(array).all() for array in arrays):
            raise StateMismatch("a state with numbers that are not finite")
        return cls(tuple(arrays), pending, tuple(topic.split()))
