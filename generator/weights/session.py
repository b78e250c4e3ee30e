"""One step of a network, batched: the contract of `model.onnx`, run in onnxruntime.

inputs    char int64 [batch]             state.0 … state.N  [batch, …], all zeros at the start of a text
outputs   logits float32 [batch, vocabulary]   next_state.0 … next_state.N, same types and shapes
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from generator.errors import ModelError, WeightsError
from generator.vocabulary import Indices
from generator.weights.manifest import MODEL

State = list[NDArray[Any]]
"""One array per `state.N`, each `[batch, …]`."""
StateRow = tuple[NDArray[Any], ...]
"""One text's state: one array per `state.N`, without the batch."""
Logits = NDArray[np.float32]

_DTYPES: Final[dict[str, np.dtype[Any]]] = {
    "tensor(float)": np.dtype(np.float32),
    "tensor(float16)": np.dtype(np.float16),
    "tensor(int64)": np.dtype(np.int64),
    "tensor(int32)": np.dtype(np.int32),
}
_MAX_STATE_BYTES: Final = 1 << 20
"""Per text. The classic network has 8 kB; a state is stored with every conversation."""
_ERRORS_ONLY: Final = 3


@dataclass(frozen=True, slots=True)
class StateSpec:
    """Shape (without the batch) and type of one state."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def bytes(self) -> int:
        """Size of one text's state."""
        return math.prod(self.shape) * self.dtype.itemsize


class Network:
    """A `model.onnx`, ready to step. Raises `WeightsError` when the model breaks the contract.

    A model is a program: it may take any memory or time, or crash onnxruntime. The service therefore loads it in a
    child process with limits.

    A step runs in the thread that calls it. Steps may run at once, called from several threads. The result of a row
    depends on that row alone, bit for bit: integer products are exact, and everything else works element by element.
    """

    def __init__(self, model: bytes | Path, symbols: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # a second one gains little and costs throughput (docs/benchmarks.md)
        options.log_severity_level = _ERRORS_ONLY
        # A constant may refer to another file. There is no folder in which such a file would be found.
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", os.devnull)
        name = MODEL if isinstance(model, bytes) else str(model)
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises bare Exception subclasses of its own C++ binding
            raise WeightsError(f"{name}: onnxruntime cannot load it: {_first_line(error)}") from error
        self.symbols = symbols
        self._inputs = [f"state.{i}" for i in range(len(self._session.get_inputs()) - 1)]
        self._outputs = ["logits", *(f"next_{state}" for state in self._inputs)]
        self.specs = self._checked_specs(name)

    def _checked_specs(self, name: str) -> tuple[StateSpec, ...]:
        inputs, outputs = _signature(self._session.get_inputs()), _signature(self._session.get_outputs())
        states = [inputs.get(state, ("", ())) for state in self._inputs]
        needed = {"char": ("tensor(int64)", ()), **dict(zip(self._inputs, states, strict=True))}
        given = dict(zip(self._outputs, [("tensor(float)", (self.symbols,)), *states], strict=True))
        fixed = all(type_ in _DTYPES and all(isinstance(s, int) and s > 0 for s in shape) for type_, shape in states)
        if inputs != needed or outputs != given or not fixed:
            found = f"{inputs} -> {outputs}"[:500]
            raise WeightsError(f"{name}: is no step of {self.symbols} characters with states of fixed size: {found}")
        specs = tuple(StateSpec(shape, _DTYPES[type_]) for type_, shape in states)
        if sum(spec.bytes for spec in specs) > _MAX_STATE_BYTES:
            raise WeightsError(f"{name}: a state of more than {_MAX_STATE_BYTES} bytes cannot be stored with a text")
        return specs

    def zero_state(self, batch: int) -> State:
        """The state at the start of a text, for `batch` rows."""
        return [np.zeros((batch, *spec.shape), spec.dtype) for spec in self.specs]

    def zero_row(self) -> StateRow:
        """The state at the start of one text."""
        return state_row(self.zero_state(1), 0)

    def step(self, characters: Indices, state: Sequence[NDArray[Any]]) -> tuple[Logits, State]:
        """Feeds one character to each row: int64 `[batch]` -> logits `[batch, vocabulary]` and the next state.

        Raises `ModelError` when onnxruntime cannot run the step.
        """
        try:
            logits, *following = self._session.run(
                self._outputs, {"char": characters, **dict(zip(self._inputs, state, strict=True))}
            )
        except Exception as error:  # as above
            raise ModelError(f"the network's step failed: {_first_line(error)}") from error
        return logits, following


def state_row(state: State, row: int) -> StateRow:
    """A copy of one text's state out of a batch's."""
    return tuple(array[row].copy() for array in state)


def _signature(tensors: Sequence[Any]) -> dict[str, tuple[str, tuple[Any, ...]]]:
    return {tensor.name: (tensor.type, tuple(tensor.shape[1:])) for tensor in tensors}


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
