"""Float weights -> `model.onnx`, the step that the bot serves."""

from __future__ import annotations

from generator.training.architectures import architecture_of
from generator.training.architectures.architecture import FloatWeights


def step_model(weights: FloatWeights, *, quantised: bool) -> bytes:
    """One step of the network as the contract's graph. `quantised`: as served; else all in float32, to measure by.

    Raises `ValueError` when the weights are of no known architecture, or no numbers.
    """
    return architecture_of(weights).step(weights, quantised)
