"""The model code on another backend than TensorFlow, in a process of its own, since Keras settles it at import."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from generator.training.architectures.recurrent import StatefulRNN
from generator.training.backend import keras
from generator.weights.versions import load_weights

ROOT = Path(__file__).resolve().parents[3]
BACKEND = "jax"
ENVIRONMENT = {
    **os.environ,
    "KERAS_BACKEND": BACKEND,
    "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "tests", Path(__file__).parent))),
}
ELSEWHERE = "import json, test_backends; print(json.dumps(test_backends.losses()))"


def losses() -> dict[str, list[float]]:
    """Of four steps of gradient descent, the state carried from each to the next."""
    drawn = np.random.default_rng(0)
    inputs, targets = drawn.normal(size=(4, 4, 9, 6)), drawn.normal(size=(4, 4, 9, 5))
    found = {}
    for cell in ("lstm", "gru"):
        layer = StatefulRNN(cell, 5)
        model = keras.Sequential([keras.Input(batch_shape=(4, 9, 6)), layer])
        for variable in model.trainable_variables:
            variable.assign(drawn.normal(0, 0.5, variable.shape))
        model.compile(optimizer=keras.optimizers.SGD(0.5), loss="mse")
        found[cell] = [float(model.train_on_batch(x, y)) for x, y in zip(inputs, targets, strict=True)]
    return found


def test_a_step_of_training_is_the_same_as_on_tensorflow() -> None:
    elsewhere = subprocess.run(
        [sys.executable, "-c", ELSEWHERE], env=ENVIRONMENT, check=True, capture_output=True, text=True
    )
    here, there = losses(), json.loads(elsewhere.stdout.splitlines()[-1])
    assert keras.backend.backend() == "tensorflow"
    assert here.keys() == there.keys()
    for layer, seen in here.items():
        assert there[layer] == pytest.approx(seen, rel=1e-4)
        assert len(set(seen)) == len(seen)


def test_a_run_there_gives_a_version_that_serves(book: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "train.py"), "--corpus", str(book), "--preset", "small", "--epochs", "3"]
    subprocess.run(
        [*command, "--dtype", "float32", "--name", "cats", "--out", str(tmp_path)], env=ENVIRONMENT, check=True
    )
    manifest = load_weights(tmp_path).manifest
    assert BACKEND in manifest.training["libraries"]
    assert manifest.metrics["valid_bits_per_character"] < 3.5
