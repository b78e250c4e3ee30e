"""The network architectures: each module has the Keras layers of one kind (`logits`), and the ONNX step that serves it.

`stacked` is an embedding, layers of LSTM or GRU and an output, with n-gram tables beside them (`ngrams`) if wanted;
`window` reads the last 40 characters again for every character. A new architecture enters here.
"""

from __future__ import annotations

from typing import Final

from generator.training.architectures import stacked, window
from generator.training.onnx_export import FloatWeights

ARCHITECTURES: Final = ("lstm", "gru", "ngram", "window")
"""What presets call them, and what the names of their recurrent weights begin with."""


def architecture_of(weights: FloatWeights) -> str:
    """Returns the architecture that these weights belong to."""
    return next(name for name in ARCHITECTURES if any(weight.startswith(f"{name}.") for weight in weights))


def step_model(weights: FloatWeights, *, quantised: bool) -> bytes:
    """Returns one step of the network as `model.onnx`. `quantised`: as served; else all in float32, to measure by."""
    name = architecture_of(weights)
    return window.step(weights) if name == "window" else stacked.step(name, weights, quantised=quantised)
