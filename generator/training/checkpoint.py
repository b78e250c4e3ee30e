"""Where a run of training stands after its last whole epoch, on disk."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from generator import files
from generator.training import TrainingError
from generator.training.backend import keras
from generator.training.onnx_export import FloatWeights

_CHECKPOINT: Final = "checkpoint.safetensors"
_HISTORY: Final = "history"
"""Key of the metadata that holds the history and the best epoch."""


class Epoch(msgspec.Struct, frozen=True):
    """The figures of one epoch. Training bits include dropout; validation bits are of the served form.

    `characters` were read.
    """

    epoch: int
    train_bits_per_character: float
    train_accuracy: float | None
    valid_bits_per_character: float
    learning_rate: float
    seconds: float
    characters: int = 0


@dataclass(slots=True)
class TrainingState:
    """Where a run stands. `history` has one row per finished epoch; `best` holds the weights of its best epoch.

    `averaged`: the names of the weights of which `best` is the mean, if it is one after the last epoch.
    """

    history: list[Epoch] = field(default_factory=list)
    best_epoch: int = 0
    best: FloatWeights = field(default_factory=dict)
    averaged: tuple[str, ...] = ()

    @property
    def seconds(self) -> int:
        """How long the epochs took."""
        return round(sum(row.seconds for row in self.history))

    @property
    def characters(self) -> int:
        """How many characters the epochs read."""
        return sum(row.characters for row in self.history)


def save_checkpoint(folder: Path, model: keras.Model, state: TrainingState) -> None:
    """Writes model, optimiser, random generators and state atomically: a kill or a full disk leaves the last one.

    Raises `OSError`.
    """
    tensors = {f"best.{name}": array for name, array in state.best.items()}
    for name, variable in _variables(model).items():
        tensors[name] = np.asarray(keras.ops.convert_to_numpy(variable), order="C")
    history = msgspec.json.encode((state.history, state.best_epoch)).decode()
    folder.mkdir(parents=True, exist_ok=True)
    files.replace(folder / _CHECKPOINT, save(tensors, {_HISTORY: history}))


def load_checkpoint(folder: Path, model: keras.Model) -> TrainingState:
    """Restores the model from the last checkpoint; without one the run starts from its beginning.

    Raises `TrainingError`.
    """
    path = folder / _CHECKPOINT
    if not path.exists():
        return TrainingState()
    # The optimiser makes its variables when it first sees the model's.
    model.optimizer.build(model.trainable_variables)
    try:
        with safe_open(path, framework="numpy") as file:
            history, best_epoch = msgspec.json.decode(file.metadata()[_HISTORY], type=tuple[list[Epoch], int])
            for name, variable in _variables(model).items():
                variable.assign(file.get_tensor(name))
            best = {name[5:]: file.get_tensor(name) for name in file.keys() if name.startswith("best.")}  # noqa: SIM118 (safe_open is no mapping)
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise TrainingError(f"{path}: not a checkpoint of this run ({error}); start a new run") from error
    return TrainingState(history, best_epoch, best)


def _variables(model: keras.Model) -> dict[str, Any]:
    kinds = {"model": model.variables, "optimizer": model.optimizer.variables}
    return {f"{kind}.{i:03d}": variable for kind, variables in kinds.items() for i, variable in enumerate(variables)}
