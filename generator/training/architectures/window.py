"""The network of the older Keras examples: for every character it reads the last 40 again.

Weights: `window.kernel` [vocabulary, 4·units], `window.recurrent_kernel` [units, 4·units], `window.bias` [4·units],
gates in Keras's order; for each dense layer n from 0, `dense.n.kernel` and `dense.n.bias`; `output_kernel`,
`output_bias`.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from onnx import TensorProto

from generator.training.architectures.base import Architecture, FloatWeights
from generator.training.architectures.recurrent import StatefulLSTM
from generator.training.backend import keras
from generator.training.onnx_export import StepGraph
from generator.training.presets import WINDOW_LENGTH, Preset, TrainingConfig

_NAME: Final = "window"


def _logits(characters: Any, preset: Preset, config: TrainingConfig, symbols: int, seed: int) -> Any:
    """Of the character after the window, float32 `[batch, symbols]`. A place without a character is a row of zeros."""
    x = keras.ops.one_hot(characters, symbols)
    x = StatefulLSTM(preset.units, carried=False, recurrent_initializer="orthogonal", name=_NAME)(x)[:, -1, :]
    for n, (width, rate) in enumerate(zip(preset.dense, (config.hidden_dropout, config.output_dropout), strict=True)):
        x = keras.layers.Dense(width, activation="relu", name=f"dense_{n}")(x)
        x = keras.layers.Dropout(rate, seed=seed + 1 + n)(x)
    return keras.layers.Dense(symbols, dtype=keras.mixed_precision.DTypePolicy("float32"), name="output")(x)


def _variables(model: Any) -> dict[str, Any]:
    recurrent, output = model.get_layer(_NAME), model.get_layer("output")
    dense = [layer for layer in model.layers if layer.name.startswith("dense_")]
    return {
        **{f"{_NAME}.{part}": getattr(recurrent, part) for part in ("kernel", "recurrent_kernel", "bias")},
        **{f"dense.{n}.{part}": getattr(layer, part) for n, layer in enumerate(dense) for part in ("kernel", "bias")},
        "output_kernel": output.kernel,
        "output_bias": output.bias,
    }


def _step(weights: FloatWeights, quantised: bool) -> bytes:  # noqa: ARG001, FBT001 (an architecture's `step`)
    """`state.0` is the window, float32 `[batch, 40]`: the oldest character first, index + 1, or 0 for none yet.

    In float32 both ways. ONNX's own LSTM operator runs the 40 steps more than twice as fast as a graph of 40 times
    the integer step, for one text, which is what a person waits for; and its rows, like those of a product with a
    constant matrix, are computed by the same sums whatever stands beside them (which the tests hold it to).
    """
    units = weights[f"{_NAME}.recurrent_kernel"].shape[0]
    symbols = len(weights["output_bias"])
    graph = StepGraph(quantised=False)

    # The window moves on by one character.
    graph.constant("columns", np.array([1], np.int64))
    graph.constant("second", np.array([1], np.int64))
    graph.constant("end", np.array([WINDOW_LENGTH], np.int64))
    graph.constant("one", np.array(1, np.float32))
    graph.node("Slice", ["state.0", "second", "end", "columns"], ["kept"])
    graph.node("Cast", ["char"], ["char.float"], to=TensorProto.FLOAT)
    graph.node("Add", ["char.float", "one"], ["char.number"])
    graph.node("Unsqueeze", ["char.number", "columns"], ["char.column"])
    graph.node("Concat", ["kept", "char.column"], ["next_state.0"], axis=1)

    # One-hot rows, [40, batch, vocabulary]; row 0 of the table is of no character.
    graph.node("Transpose", ["next_state.0"], ["window"], perm=[1, 0])
    graph.node("Cast", ["window"], ["window.numbers"], to=TensorProto.INT64)
    graph.constant("one_hot", np.eye(symbols + 1, symbols, k=-1, dtype=np.float32))
    graph.node("Gather", ["one_hot", "window.numbers"], ["window.one_hot"], axis=0)

    # ONNX orders the gates input, output, forget, candidate, and wants a bias for either product.
    order = np.concatenate([np.arange(gate * units, (gate + 1) * units) for gate in (0, 3, 1, 2)])
    kernel, recurrent, bias = (
        weights[f"{_NAME}.{part}"][..., order] for part in ("kernel", "recurrent_kernel", "bias")
    )
    graph.constant("kernel", np.ascontiguousarray(kernel.T)[None])
    graph.constant("recurrent_kernel", np.ascontiguousarray(recurrent.T)[None])
    graph.constant("bias", np.concatenate([bias, np.zeros_like(bias)])[None])
    inputs = ["window.one_hot", "kernel", "recurrent_kernel", "bias"]
    graph.node("LSTM", inputs, ["", "hidden.layers"], hidden_size=units)
    graph.constant("layers", np.array([0], np.int64))
    graph.node("Squeeze", ["hidden.layers", "layers"], ["hidden"])

    x = "hidden"
    for n in range(sum(name.startswith("dense.") for name in weights) // 2):
        product = graph.product(x, f"dense.{n}", weights[f"dense.{n}.kernel"])
        graph.constant(f"dense.{n}.bias", weights[f"dense.{n}.bias"])
        graph.node("Add", [product, f"dense.{n}.bias"], [f"dense.{n}.z"])
        graph.node("Relu", [f"dense.{n}.z"], [f"dense.{n}"])
        x = f"dense.{n}"
    product = graph.product(x, "output", weights["output_kernel"])
    graph.constant("output.bias", weights["output_bias"])
    graph.node("Add", [product, "output.bias"], ["logits"])
    return graph.model([WINDOW_LENGTH], symbols)


def _describe(preset: Preset) -> str:
    dense = ", ".join(f"dense {width}" for width in preset.dense)
    case = "lower-cased text, " if preset.lowercase else ""
    return f"{case}windows of {preset.steps} one-hot characters, LSTM {preset.units}, {dense}"


WINDOW: Final = Architecture(
    name=_NAME,
    logits=_logits,
    variables=_variables,
    step=_step,
    per_symbol={f"{_NAME}.kernel": 0, "output_kernel": 1, "output_bias": 0},
    describe=_describe,
)
