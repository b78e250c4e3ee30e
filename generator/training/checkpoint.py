"""Where a run of training stands after its last whole epoch, on disk."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from generator import files
from generator.training.backend import keras
from generator.training.onnx_export import FloatWeights
from generator.training.run import RunError

_CHECKPOINT: Final = "checkpoint.safetensors"
_NOTES: Final = "progress"
"""Key of the metadata that holds `_Notes`."""


class Epoch(msgspec.Struct, frozen=True, omit_defaults=True):
    """The figures of one epoch. Training bits include dropout; validation bits are of the served form.

    `characters` were read.
    """

    epoch: int
    train_bits_per_character: float
    valid_bits_per_character: float
    learning_rate: float
    seconds: float
    train_accuracy: float | None = None
    characters: int = 0


class _Notes(msgspec.Struct, frozen=True):
    history: list[Epoch]
    best_epoch: int


@dataclass(slots=True)
class TrainingState:
    """Where a run stands. `history` has one row per finished epoch; `best` holds the weights of its best epoch."""

    history: list[Epoch] = field(default_factory=list)
    best_epoch: int = 0
    best: FloatWeights = field(default_factory=dict)

    @property
    def best_validation(self) -> float:
        """Bits per character of the best epoch so far; infinite before the first."""
        return min((row.valid_bits_per_character for row in self.history), default=math.inf)

    @property
    def seconds(self) -> float:
        """How long the epochs took."""
        return sum(row.seconds for row in self.history)

    @property
    def characters(self) -> int:
        """How many characters the epochs read."""
        return sum(row.characters for row in self.history)

    @property
    def epochs(self) -> int:
        """The number of finished epochs."""
        return len(self.history)


def save_checkpoint(folder: Path, model: keras.Model, state: TrainingState) -> None:
    """Writes model, optimiser, random generators and state atomically: a kill or a full disk leaves the last one.

    Raises `RunError`.
    """
    tensors = {f"{kind}.{i:03d}": array for kind, i, array in _arrays(model)}
    tensors |= {f"best.{name}": array for name, array in state.best.items()}
    notes = msgspec.json.encode(_Notes(state.history, state.best_epoch)).decode()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files.replace(folder / _CHECKPOINT, save(tensors, {_NOTES: notes}))
    except OSError as error:
        raise RunError(
            f"{folder}: epoch {state.epochs} could not be saved: {files.reason(error)};"
            " fix that and continue with --resume"
        ) from error


def load_checkpoint(folder: Path, model: keras.Model) -> TrainingState:
    """Restores the model from the last checkpoint; without one the run starts from its beginning. Raises `RunError`."""
    path = folder / _CHECKPOINT
    if not path.exists():
        return TrainingState()
    try:
        with safe_open(path, framework="numpy") as file:
            notes = msgspec.json.decode(file.metadata()[_NOTES], type=_Notes)
            tensors: dict[str, NDArray[Any]] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (safe_open is no mapping)
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise RunError(f"{path}: not a readable checkpoint ({error}); start a new run") from error
    # The optimiser makes its variables when it first sees the model's.
    model.optimizer.build(model.trainable_variables)
    for kind, i, array in _arrays(model):
        saved = tensors.get(f"{kind}.{i:03d}")
        if saved is None or saved.shape != array.shape:
            raise RunError(f"{path}: made by another version of this program; start a new run")
        _variables(model)[kind][i].assign(saved)
    best = {name.removeprefix("best."): array for name, array in tensors.items() if name.startswith("best.")}
    return TrainingState(notes.history, notes.best_epoch, best)


def _variables(model: keras.Model) -> dict[str, list[Any]]:
    return {"model": model.variables, "optimizer": model.optimizer.variables}


def _arrays(model: keras.Model) -> list[tuple[str, int, NDArray[Any]]]:
    return [
        (kind, i, np.asarray(keras.ops.convert_to_numpy(variable), order="C"))
        for kind, variables in _variables(model).items()
        for i, variable in enumerate(variables)
    ]
