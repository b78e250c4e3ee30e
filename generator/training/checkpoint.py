"""A run of training on disk: what it was asked for, and where it stands after its last whole epoch."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from generator import files
from generator.training.backend import keras
from generator.training.model import FloatWeights

RUNS: Final = ".training"
"""Folder inside the weights folder; a run's own folder has its version's name."""
_SETTINGS: Final = "settings.json"
_CHECKPOINT: Final = "checkpoint.safetensors"


class RunError(Exception):
    """A run cannot be begun or gone on with; the message says what to do instead."""


@dataclass(frozen=True, slots=True)
class RunSettings:
    """Everything that decides how a run goes, so that going on needs nothing but its name."""

    name: str
    preset: str
    epochs: int
    seed: int
    dtype: str
    temperatures: tuple[float, ...]
    corpus: str
    corpus_sha256: str
    pretrain: tuple[str, ...]
    pretrain_epochs: int
    start_from: str | None

    def save(self, folder: Path) -> None:
        """Writes the settings into the run's folder. Raises `RunError` when a run of that name is there."""
        try:
            folder.mkdir(parents=True)
        except FileExistsError as error:
            raise RunError(
                f"{folder}: a run of this name was begun before; go on with it by --resume {self.name}, "
                "or choose another --name"
            ) from error
        (folder / _SETTINGS).write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> RunSettings:
        """Reads them back. Raises `RunError`."""
        path = folder / _SETTINGS
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            for name in ("temperatures", "pretrain"):
                content[name] = tuple(content[name])
            return cls(**content)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(f"{path}: cannot be read, so this run cannot be gone on with; begin it anew") from error


@dataclass(slots=True)
class Progress:
    """Where a run stands. `history` has one row per epoch done; `best` holds the weights of its best epoch.

    `seconds_before`: what pretraining took.
    """

    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    best: FloatWeights = field(default_factory=dict)
    seconds_before: float = 0.0

    @property
    def best_validation(self) -> float:
        """Bits per character of the best epoch so far; infinite before the first."""
        return min((row["valid_bits_per_character"] for row in self.history), default=math.inf)

    @property
    def seconds(self) -> float:
        """What the epochs took, pretraining left out."""
        return sum(row["seconds"] for row in self.history)

    @property
    def epochs(self) -> int:
        """Epochs done."""
        return len(self.history)


def save_checkpoint(folder: Path, model: keras.Model, progress: Progress) -> None:
    """Writes model, optimiser, random generators and progress, atomically: a kill, or a full disk, leaves the last one
    whole. Raises `RunError`."""
    tensors = {f"{kind}.{i:03d}": array for kind, i, array in _variables(model)}
    tensors |= {f"best.{name}": array for name, array in progress.best.items()}
    notes = {"history": progress.history, "best_epoch": progress.best_epoch}
    content = save(tensors, {"progress": json.dumps(notes)})
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files.replace(folder / _CHECKPOINT, content)
    except OSError as error:
        raise RunError(
            f"{folder}: epoch {progress.epochs} could not be kept: {files.reason(error)};"
            " mend that and go on with --resume"
        ) from error


def load_checkpoint(folder: Path, model: keras.Model) -> Progress:
    """Brings the model to where the run stood; a run killed in its first epoch begins anew. Raises `RunError`."""
    path = folder / _CHECKPOINT
    if not path.exists():
        return Progress()
    try:
        with safe_open(path, framework="numpy") as file:
            notes = json.loads(file.metadata()["progress"])
            tensors: dict[str, NDArray[Any]] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (safe_open is no mapping)
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise RunError(f"{path}: not a checkpoint that can be read ({error}); begin the run anew") from error
    # The optimiser makes its variables when it first sees the model's.
    model.optimizer.build(model.trainable_variables)
    for kind, i, array in _variables(model):
        saved = tensors.get(f"{kind}.{i:03d}")
        if saved is None or saved.shape != array.shape:
            raise RunError(f"{path}: made by another version of this program; begin the run anew")
        _variable_lists(model)[kind][i].assign(saved)
    best = {name.removeprefix("best."): array for name, array in tensors.items() if name.startswith("best.")}
    return Progress(notes["history"], notes["best_epoch"], best)


def _variable_lists(model: keras.Model) -> dict[str, list[Any]]:
    return {"model": model.variables, "optimizer": model.optimizer.variables}


def _variables(model: keras.Model) -> list[tuple[str, int, NDArray[Any]]]:
    return [
        (kind, i, np.asarray(keras.ops.convert_to_numpy(variable), order="C"))
        for kind, variables in _variable_lists(model).items()
        for i, variable in enumerate(variables)
    ]


def unfinished_runs(weights: Path) -> list[Path]:
    """The runs that have no finished version yet, the most recently begun last."""
    runs = [place for place in (weights / RUNS).glob("*") if (place / _SETTINGS).is_file()]
    unfinished = [place for place in runs if not (weights / place.name).exists()]
    return sorted(unfinished, key=lambda place: (place / _SETTINGS).stat().st_mtime)
