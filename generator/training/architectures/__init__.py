"""The kinds of network that there are."""

from __future__ import annotations

from typing import Final

from generator.training.architectures.architecture import Architecture, FloatWeights
from generator.training.architectures.gru import GRU
from generator.training.architectures.lstm import LSTM
from generator.training.architectures.window import WINDOW

ARCHITECTURES: Final = {architecture.name: architecture for architecture in (LSTM, GRU, WINDOW)}


def architecture_of(weights: FloatWeights) -> Architecture:
    """The architecture whose weights these are. Raises `ValueError` when they are of none."""
    for name, architecture in ARCHITECTURES.items():
        if any(weight.startswith(f"{name}.") for weight in weights):
            return architecture
    raise ValueError("weights of no architecture that this program knows")
