"""The network of the older Keras examples: for every character it reads the last 40 again.

Weights: `window.kernel` [vocabulary, 4·units], `window.recurrent_kernel` [units, 4·units], `window.bias` [4·units],
gates in Keras's order; for each dense layer n from 0, `dense.n.kernel` and `dense.n.bias`; `output_kernel`,
`output_bias`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto

from generator.training.architectures.recurrent import StatefulRNN
from generator.training.backend import keras
from generator.training.onnx_export import FloatWeights, StepGraph
from generator.training.presets import WINDOW_LENGTH, Preset, TrainingConfig
from generator.vocabulary import Vocabulary


def logits(characters: Any, preset: Preset, config: TrainingConfig, vocabulary: Vocabulary, seed: int) -> Any:
    """Of the character after the window, float32 `[batch, symbols]`. A place without a character is a row of zeros."""
    x = keras.ops.one_hot(characters, len(vocabulary))
    x = StatefulRNN("lstm", preset.units, recurrent_initializer="orthogonal", name="window")(x)[:, -1, :]
    for n, (width, rate) in enumerate(zip(preset.dense, (config.hidden_dropout, config.output_dropout), strict=True)):
        x = keras.layers.Dense(width, activation="relu", name=f"dense.{n}")(x)
        x = keras.layers.Dropout(rate, seed=seed + 1 + n)(x)
    return keras.layers.Dense(len(vocabulary), dtype="float32", name="output")(x)


def step(weights: FloatWeights) -> bytes:
    """Returns one step. `state.0` is the window, float32 `[batch, 40]`: the oldest character first, index + 1, or 0 for
    none yet.

    In float32 also when served. ONNX's own LSTM operator runs the 40 steps more than twice as fast as a graph of 40
    times the integer step, for one text, which is what a person waits for; and its rows, like those of a product with a
    constant matrix, are computed by the same sums whatever stands beside them (which the tests hold it to).
    """
    graph = StepGraph(quantised=False)
    symbols = len(weights["output_bias"])

    # The window moves on by one character.
    one = graph.constant("one", np.array([1], np.int64))
    kept = graph.op("Slice", "state.0", one, graph.constant("end", np.array([WINDOW_LENGTH], np.int64)), one)
    number = graph.op("Cast", graph.op("Add", graph.op("Unsqueeze", "char", one), one), to=TensorProto.FLOAT)
    window = graph.op("Concat", kept, number, name="next_state.0", axis=1)

    # One-hot rows, [40, batch, vocabulary]; row 0 of the table is of no character.
    table = graph.constant("one_hot", np.eye(symbols + 1, symbols, k=-1, dtype=np.float32))
    numbers = graph.op("Cast", graph.op("Transpose", window, perm=[1, 0]), to=TensorProto.INT64)
    rows = graph.op("Gather", table, numbers, axis=0)

    # ONNX orders the gates input, output, forget, candidate, and wants a bias for either product.
    units = len(weights["window.recurrent_kernel"])
    order = np.concatenate([np.arange(gate * units, (gate + 1) * units) for gate in (0, 3, 1, 2)])
    kernel, recurrent, bias = (weights[f"window.{part}"][..., order] for part in ("kernel", "recurrent_kernel", "bias"))
    inputs = [
        rows,
        graph.constant("kernel", np.ascontiguousarray(kernel.T)[None]),
        graph.constant("recurrent_kernel", np.ascontiguousarray(recurrent.T)[None]),
        graph.constant("bias", np.concatenate([bias, np.zeros_like(bias)])[None]),
    ]
    graph.node("LSTM", inputs, ["", "last"], hidden_size=units)
    x = graph.op("Squeeze", "last", graph.constant("layers", np.array([0], np.int64)))
    for n in range(sum(name.startswith("dense.") for name in weights) // 2):
        product = graph.product(x, f"dense.{n}", weights[f"dense.{n}.kernel"])
        x = graph.op("Relu", graph.op("Add", product, graph.constant(f"dense.{n}.bias", weights[f"dense.{n}.bias"])))
    product = graph.product(x, "output", weights["output_kernel"])
    graph.op("Add", product, graph.constant("output.bias", weights["output_bias"]), name="logits")
    return graph.model([WINDOW_LENGTH], symbols)
