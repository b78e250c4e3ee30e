"""What training has to know about a kind of network. Each kind is one module that makes one value of this class."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generator.training.presets import Preset, TrainingConfig

FloatWeights = dict[str, NDArray[np.float32]]
"""A network's weights by name; each architecture's module says which."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """A kind of network.

    `name` is what presets call it, and what the names of its recurrent weights begin with.

    `logits` (characters, preset, config, symbols, seed) puts the Keras layers on a `keras.Input` of characters,
    int32 `[batch, steps]`, −1 where there is none, and returns their logits, float32 `[batch, steps, symbols]`, or
    `[batch, symbols]` where only the character after the last one is predicted.

    `variables` gives the trained variables of such a model by the names that `FloatWeights` has.

    `step` (weights, quantised) is one step as `model.onnx` has it: as served, or all in float32 to measure by.

    `per_symbol` names the weights that have one row or column per vocabulary character, and its axis.

    `describe` says in a few words what a preset's network is made of.
    """

    name: str
    logits: Callable[[Any, Preset, TrainingConfig, int, int], Any]
    variables: Callable[[Any], dict[str, Any]]
    step: Callable[[FloatWeights, bool], bytes]
    per_symbol: Mapping[str, int]
    describe: Callable[[Preset], str]
