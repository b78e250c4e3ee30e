"""An embedding, layers of LSTM or GRU one above the other, and an output: in Keras, and as the step that is served.

Weights: `embedding` `[vocabulary, embedding]`; for each layer n from 0, `NAME.n.kernel` `[inputs, gates·units]`,
`NAME.n.recurrent_kernel` `[units, gates·units]` and `NAME.n.bias`; `output_kernel` `[units, vocabulary]`, `output_bias`
`[vocabulary]`. Gates are in Keras's order. LSTM: input, forget, candidate, output. GRU: update, reset, candidate, with
the reset gate applied after the recurrent product, as Keras and cuDNN do (`reset_after`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from generator.training.architectures.base import Architecture, FloatWeights
from generator.training.architectures.recurrent import StatefulGRU, StatefulLayer, StatefulLSTM
from generator.training.backend import keras
from generator.training.onnx_export import StepGraph
from generator.training.presets import Preset, TrainingConfig

_PER_SYMBOL: Final[Mapping[str, int]] = {"embedding": 0, "output_kernel": 1, "output_bias": 0}
_PARTS: Final = ("kernel", "recurrent_kernel", "bias")


def _stacked(name: str, layer: type[StatefulLayer], step: Callable[[FloatWeights, bool], bytes]) -> Architecture:
    """Returns the architecture with recurrent layers of class `layer`, whose weights' names begin with `name`."""
    return Architecture(
        name=name,
        logits=partial(_logits, layer, name),
        variables=partial(layer_variables, name),
        step=step,
        per_symbol=_PER_SYMBOL,
        describe=lambda preset: f"embedding {preset.embedding}, {preset.layers} × {name.upper()} {preset.units}",
    )


def _logits(  # noqa: PLR0917 (an architecture's `logits`, after layer and name)
    layer: type[StatefulLayer],
    name: str,
    characters: Any,
    preset: Preset,
    config: TrainingConfig,
    symbols: int,
    seed: int,
) -> Any:
    """The Keras layers; logits float32 `[batch, steps, symbols]`."""
    x = keras.layers.Embedding(symbols, preset.embedding, name="embedding")(characters)
    x = dropout(config.embedding_dropout, seed + 1)(x)
    for n in range(preset.layers):
        if n:
            x = dropout(config.hidden_dropout, seed + 100 + n)(x)
        x = layer(
            preset.units, config.dropconnect, carried=config.carry_state, seed=seed + 2 + 10 * n, name=f"{name}_{n}"
        )(x)
    x = dropout(config.output_dropout, seed + 3)(x)
    # The loss wants its logits in float32 whatever the products are computed in.
    return keras.layers.Dense(symbols, dtype=keras.mixed_precision.DTypePolicy("float32"), name="output")(x)


def dropout(rate: float, seed: int) -> Any:
    """A dropout layer with one mask along the whole sequence (Gal & Ghahramani 2016)."""
    return keras.layers.SpatialDropout1D(rate, seed=seed) if rate else keras.layers.Identity()


def layer_variables(name: str, model: Any) -> dict[str, Any]:
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


def add_output(graph: StepGraph, weights: FloatWeights, hidden: str, logits: str = "logits") -> str:
    """From the topmost hidden state to the logits, whose name is returned."""
    graph.constant("output.bias", weights["output_bias"])
    product = graph.product(graph.hidden(hidden), "output", weights["output_kernel"])
    graph.node("Add", [product, "output.bias"], [logits])
    return logits


def _lstm_step(weights: FloatWeights, quantised: bool) -> bytes:  # noqa: FBT001 (an architecture's `step`)
    """Layer n has its hidden state in `state.{2n}`, its cell state in `state.{2n + 1}`, float32 `[batch, units]`."""
    graph = StepGraph(quantised=quantised)
    sizes = add_lstm_layers(graph, stacked_layers("lstm", weights), partial(gather_table, graph, weights))
    add_output(graph, weights, f"next_state.{len(sizes) - 2}")
    return graph.model(sizes, len(weights["output_bias"]))


def add_lstm_layers(
    graph: StepGraph,
    layers: list[tuple[NDArray[np.float32], ...]],
    add_input: Callable[[NDArray[np.float32], NDArray[np.float32]], str],
) -> list[int]:
    """Adds the layers from the lowest, with states as in `_lstm_step`; returns the sizes of the states.

    `add_input` (kernel, bias) adds what the gates of the lowest layer get besides its own state, and returns its name.
    """
    sizes: list[int] = []
    for n, layer in enumerate(layers):
        units = layer[1].shape[0]
        sizes += [units, units]
        # One sigmoid over input, forget and output gate wants the candidate last.
        order = np.concatenate([np.arange(gate * units, (gate + 1) * units) for gate in (0, 1, 3, 2)])
        kernel, recurrent, bias = (part[..., order] for part in layer)
        hidden, cell = f"state.{2 * n}", f"state.{2 * n + 1}"
        if n == 0:
            added = add_input(kernel, bias)
            product = graph.product(graph.hidden(hidden), "0", recurrent)
        else:
            # What comes from below and from the step before, through one product.
            below = graph.hidden(f"next_state.{2 * n - 2}")
            graph.node("Concat", [below, graph.hidden(hidden)], [f"{n}.inputs"], axis=1)
            added = f"{n}.added"
            graph.constant(added, bias)
            product = graph.product(f"{n}.inputs", f"{n}", np.concatenate([kernel, recurrent]))
        graph.node("Add", [added, product], [f"{n}.z"])
        graph.constant(f"{n}.three_and_one", np.array([3 * units, units], np.int64))
        graph.node("Split", [f"{n}.z", f"{n}.three_and_one"], [f"{n}.z.ifo", f"{n}.z.g"], axis=1)
        graph.node("Sigmoid", [f"{n}.z.ifo"], [f"{n}.ifo"])
        graph.node("Tanh", [f"{n}.z.g"], [f"{n}.g"])
        graph.node("Split", [f"{n}.ifo"], [f"{n}.i", f"{n}.f", f"{n}.o"], axis=1, num_outputs=3)
        graph.node("Mul", [f"{n}.f", cell], [f"{n}.kept"])
        graph.node("Mul", [f"{n}.i", f"{n}.g"], [f"{n}.written"])
        graph.node("Add", [f"{n}.kept", f"{n}.written"], [f"next_{cell}"])
        graph.node("Tanh", [f"next_{cell}"], [f"{n}.squashed"])
        graph.node("Mul", [f"{n}.o", f"{n}.squashed"], [f"next_{hidden}"])
    return sizes


LSTM: Final = _stacked("lstm", StatefulLSTM, _lstm_step)
"""`lstm.n.bias` is `[4·units]`."""


def _gru_step(weights: FloatWeights, quantised: bool) -> bytes:  # noqa: FBT001 (an architecture's `step`)
    """Layer n has its hidden state in `state.{n}`, float32 `[batch, units]`."""
    graph = StepGraph(quantised=quantised)
    sizes: list[int] = []
    for n, (kernel, recurrent, bias) in enumerate(stacked_layers("gru", weights)):
        units = recurrent.shape[0]
        sizes.append(units)
        # The candidate's recurrent bias is inside the reset gate's reach; the other two biases of a gate are one.
        added_bias = bias[0] + np.concatenate([bias[1, : 2 * units], np.zeros(units, np.float32)])
        if n == 0:
            added = gather_table(graph, weights, kernel, added_bias)
        else:
            below = graph.product(graph.hidden(f"next_state.{n - 1}"), f"{n}.below", kernel)
            graph.constant(f"{n}.bias", added_bias)
            graph.node("Add", [below, f"{n}.bias"], [f"{n}.added"])
            added = f"{n}.added"
        hidden = f"state.{n}"
        product = graph.product(graph.hidden(hidden), f"{n}", recurrent)
        graph.constant(f"{n}.two_and_one", np.array([2 * units, units], np.int64))
        graph.node("Split", [added, f"{n}.two_and_one"], [f"{n}.added.zr", f"{n}.added.g"], axis=1)
        graph.node("Split", [product, f"{n}.two_and_one"], [f"{n}.product.zr", f"{n}.product.g"], axis=1)
        graph.node("Add", [f"{n}.added.zr", f"{n}.product.zr"], [f"{n}.z.zr"])
        graph.node("Sigmoid", [f"{n}.z.zr"], [f"{n}.zr"])
        graph.node("Split", [f"{n}.zr"], [f"{n}.z", f"{n}.r"], axis=1, num_outputs=2)
        graph.constant(f"{n}.candidate_bias", bias[1, 2 * units :])
        graph.node("Add", [f"{n}.product.g", f"{n}.candidate_bias"], [f"{n}.before"])
        graph.node("Mul", [f"{n}.r", f"{n}.before"], [f"{n}.reset"])
        graph.node("Add", [f"{n}.added.g", f"{n}.reset"], [f"{n}.z.g"])
        graph.node("Tanh", [f"{n}.z.g"], [f"{n}.g"])
        # z·h + (1 − z)·g
        graph.node("Sub", [hidden, f"{n}.g"], [f"{n}.apart"])
        graph.node("Mul", [f"{n}.z", f"{n}.apart"], [f"{n}.kept"])
        graph.node("Add", [f"{n}.g", f"{n}.kept"], [f"next_{hidden}"])
    add_output(graph, weights, f"next_state.{len(sizes) - 1}")
    return graph.model(sizes, len(weights["output_bias"]))


GRU: Final = _stacked("gru", StatefulGRU, _gru_step)
"""`gru.n.bias` is `[2, 3·units]`: added to the product of the input, and to the product of the state."""
