"""Weights to test with: the shipped ones, and a small network of random numbers where only the mechanics matter."""

from __future__ import annotations

import hashlib
import string
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from generator.training.export import step_model
from generator.training.floats import FILE, to_bytes
from generator.training.model import FloatWeights, parameters
from generator.vocabulary import Vocabulary
from generator.weights import CorpusNote, Manifest, activate, add_version, shipped_folder

TINY_VOCABULARY = Vocabulary.of(string.ascii_letters + string.digits + " \n.,;:!?'\"()-")


@pytest.fixture(scope="session")
def weights_folder() -> Path:
    """The weights that ship."""
    return shipped_folder()


def random_weights(seed: int, units: int = 24, embedding: int = 8, scale: float = 0.6) -> FloatWeights:
    """An untrained network over `TINY_VOCABULARY`."""
    random = np.random.default_rng(seed)
    symbols = len(TINY_VOCABULARY)
    shapes = {
        "embedding": (symbols, embedding),
        "lstm.0.kernel": (embedding, 4 * units),
        "lstm.0.recurrent_kernel": (units, 4 * units),
        "lstm.0.bias": (4 * units,),
        "output_kernel": (units, symbols),
        "output_bias": (symbols,),
    }
    return {name: random.normal(0, scale, shape).astype(np.float32) for name, shape in shapes.items()}


def add_random_version(folder: Path, version: str, seed: int) -> Path:
    """A whole version of an untrained network; returns its folder."""
    weights = random_weights(seed)
    files = {"model.onnx": step_model(weights, quantised=True), FILE: to_bytes(weights)}
    manifest = Manifest(
        format=1,
        version=version,
        architecture="embedding 8, LSTM 24",
        preset="lstm",
        parameters=parameters(weights),
        vocabulary=TINY_VOCABULARY,
        corpus=CorpusNote("none", 0, "0" * 64),
        split="none",
        training={},
        metrics={f"{form}{split}_bits_per_character": 6.0 for form in ("", "float_") for split in ("valid", "test")},
        files={name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
        license="none",
        hard_wrapped=True,
    )
    return add_version(folder, files, manifest)


@pytest.fixture
def tiny_folder(tmp_path: Path) -> Path:
    """A weights folder of one untrained version, `tiny-1`, which is current."""
    folder = tmp_path / "weights"
    add_random_version(folder, "tiny-1", seed=1)
    activate(folder, "tiny-1")
    return folder


@pytest.fixture
def add_tiny_version() -> Callable[[Path, str, int], Path]:
    """Adds another untrained version to a weights folder: (folder, version, seed) -> its folder."""
    return add_random_version
