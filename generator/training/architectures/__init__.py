"""The network architectures: each module defines the Keras layers of one, and the ONNX step that serves it.

A new architecture enters here, and its name into `ARCHITECTURES`.
"""

from __future__ import annotations

from typing import Final

from generator.training.architectures.base import Architecture, FloatWeights
from generator.training.architectures.ngram import NGRAM
from generator.training.architectures.stacked import GRU, LSTM
from generator.training.architectures.window import WINDOW

ARCHITECTURES: Final = {architecture.name: architecture for architecture in (LSTM, GRU, NGRAM, WINDOW)}


def architecture_of(weights: FloatWeights) -> Architecture:
    """Returns the architecture that these weights belong to. Raises `ValueError` when there is none."""
    for name, architecture in ARCHITECTURES.items():
        if any(weight.startswith(f"{name}.") for weight in weights):
            return architecture
    raise ValueError("weights of no architecture that this program knows")


def step_model(weights: FloatWeights, *, quantised: bool) -> bytes:
    """Returns one step of the network as `model.onnx`. `quantised`: as served; else all in float32, to measure by.

    Raises `ValueError` when the weights belong to no known architecture, or hold NaN.
    """
    return architecture_of(weights).step(weights, quantised)
