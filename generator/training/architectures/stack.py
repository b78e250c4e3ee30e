"""What networks of recurrent layers share: an embedding, the layers one above the other, and the output.

Their weights: `embedding` [vocabulary, embedding]; for each layer n from 0, `NAME.n.kernel` [inputs, gates·units],
`NAME.n.recurrent_kernel` [units, gates·units] and `NAME.n.bias`; `output_kernel` [units, vocabulary], `output_bias`
[vocabulary].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from generator.training.architectures.architecture import Architecture, FloatWeights
from generator.training.backend import keras
from generator.training.presets import Preset, Reading
from generator.training.recurrent import StatefulLayer
from generator.training.step_graph import StepGraph

_PER_SYMBOL: Final[Mapping[str, int]] = {"embedding": 0, "output_kernel": 1, "output_bias": 0}
_PARTS: Final = ("kernel", "recurrent_kernel", "bias")


def stack(name: str, layer: type[StatefulLayer], step: Callable[[FloatWeights, bool], bytes]) -> Architecture:
    """The architecture of such networks: recurrent layers of the class `layer`, weights named from `name`."""
    return Architecture(
        name=name,
        logits=partial(_logits, layer, name),
        variables=partial(_variables, name),
        step=step,
        per_symbol=_PER_SYMBOL,
        describe=lambda preset: f"embedding {preset.embedding}, {preset.layers} × {name.upper()} {preset.units}",
    )


def _logits(  # noqa: PLR0917 (an architecture's `logits`, after what tells the stacks apart)
    layer: type[StatefulLayer], name: str, characters: Any, preset: Preset, reading: Reading, symbols: int, seed: int
) -> Any:
    """The Keras layers; logits float32 `[batch, steps, symbols]`."""
    x = keras.layers.Embedding(symbols, preset.embedding, name="embedding")(characters)
    x = _dropout(reading.embedding_dropout, seed + 1)(x)
    for n in range(preset.layers):
        if n:
            x = _dropout(reading.hidden_dropout, seed + 100 + n)(x)
        x = layer(
            preset.units, reading.dropconnect, carried=reading.carry_state, seed=seed + 2 + 10 * n, name=f"{name}_{n}"
        )(x)
    x = _dropout(reading.output_dropout, seed + 3)(x)
    # The loss wants its logits in float32 whatever the products are computed in.
    return keras.layers.Dense(symbols, dtype=keras.mixed_precision.DTypePolicy("float32"), name="output")(x)


def _dropout(rate: float, seed: int) -> Any:
    """One mask along the whole sequence (Gal & Ghahramani 2016)."""
    return keras.layers.SpatialDropout1D(rate, seed=seed) if rate else keras.layers.Identity()


def _variables(name: str, model: Any) -> dict[str, Any]:
    """Its trained variables by name."""
    layers = [layer for layer in model.layers if isinstance(layer, StatefulLayer)]
    return {
        "embedding": model.get_layer("embedding").embeddings,
        **{f"{name}.{n}.{part}": getattr(layer, part) for n, layer in enumerate(layers) for part in _PARTS},
        "output_kernel": model.get_layer("output").kernel,
        "output_bias": model.get_layer("output").bias,
    }


def stacked_layers(name: str, weights: FloatWeights) -> list[tuple[NDArray[np.float32], ...]]:
    """Kernel, recurrent kernel and bias of each layer, from the lowest."""
    layers = sum(weight.startswith(f"{name}.") for weight in weights) // len(_PARTS)
    return [tuple(weights[f"{name}.{n}.{part}"] for part in _PARTS) for n in range(layers)]


def gather_table(
    graph: StepGraph, weights: FloatWeights, kernel: NDArray[np.float32], bias: NDArray[np.float32]
) -> str:
    """Embedding, input kernel and bias as one table, a row per character: an exact rewriting. Returns a row's name."""
    table = weights["embedding"].astype(np.float64) @ kernel + bias
    graph.constant("table", table.astype(np.float32))
    graph.node("Gather", ["table", "char"], ["0.added"])
    return "0.added"


def add_output(graph: StepGraph, weights: FloatWeights, hidden: str) -> None:
    """From the topmost hidden state to the logits."""
    graph.constant("output.bias", weights["output_bias"])
    product = graph.product(graph.hidden(hidden), "output", weights["output_kernel"])
    graph.node("Add", [product, "output.bias"], ["logits"])
