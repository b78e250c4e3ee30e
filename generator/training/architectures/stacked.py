"""An embedding, layers of LSTM or GRU one above the other, and an output: in Keras, and as the step that is served.

The architecture `ngram` has layers of LSTM that also look up the last n-grams, for their input and for the logits.

Weights: `embedding` `[vocabulary, embedding]`; for each layer n from 0, `NAME.n.kernel` `[inputs, gates·units]`,
`NAME.n.recurrent_kernel` `[units, gates·units]` and `NAME.n.bias`, `[4·units]` or of a GRU `[2, 3·units]`: added to the
product of the input, and to the product of the state; `output_kernel` `[units, vocabulary]`, `output_bias`
`[vocabulary]`. Gates are in Keras's order. LSTM: input, forget, candidate, output. GRU: update, reset, candidate, with
the reset gate applied after the recurrent product, as Keras and cuDNN do (`reset_after`).

With n-grams the lowest kernel has a row for each number of the embedding and then for each of the n-grams' sum, and
there are `ngrams.output_kernel` `[width, vocabulary]`, `ngrams.table` `[rows, width]` and, not trained,
`ngrams.symbols` `[vocabulary, 2]` and `ngrams.bits` `[features]`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from generator.training.architectures import ngrams
from generator.training.architectures.ngrams import NGramEmbedding, NGrams
from generator.training.architectures.recurrent import StatefulRNN
from generator.training.backend import keras
from generator.training.onnx_export import FloatWeights, StepGraph, restored
from generator.training.presets import Preset, TrainingConfig
from generator.vocabulary import Vocabulary

Layer = tuple[NDArray[np.float32], ...]
"""Kernel, recurrent kernel and bias."""


def logits(characters: Any, preset: Preset, config: TrainingConfig, vocabulary: Vocabulary, seed: int) -> Any:
    """Of the character after each, float32 `[batch, steps, symbols]`, whatever other products are computed in."""
    name, symbols = preset.architecture, len(vocabulary)
    looked_up: Any = None
    x = keras.layers.Embedding(symbols, preset.embedding, name="embedding")(characters)
    # Each dropout has one mask along the whole sequence (Gal & Ghahramani 2016).
    x = keras.layers.SpatialDropout1D(config.embedding_dropout, seed=seed + 1)(x)
    if name == "ngram":
        looked_up = NGramEmbedding(preset, config.ngram_dropout, vocabulary, seed + 4)(characters)
        x = keras.layers.Concatenate(name="inputs")([x, looked_up])
    for n in range(preset.layers):
        if n:
            x = keras.layers.SpatialDropout1D(config.hidden_dropout, seed=seed + 100 + n)(x)
        x = StatefulRNN(
            "gru" if name == "gru" else "lstm",
            preset.units,
            config.dropconnect,
            recurrent_initializer="glorot_uniform" if looked_up is None else "orthogonal",
            seed=seed + 2 + 10 * n,
            name=f"{name}.{n}",
        )(x)
    x = keras.layers.SpatialDropout1D(config.output_dropout, seed=seed + 3)(x)
    x = keras.layers.Dense(symbols, dtype="float32", name="output")(x)
    if looked_up is None:
        return x
    from_lookup = keras.layers.Dense(symbols, use_bias=False, dtype="float32", name="ngrams.output")(looked_up)
    return keras.layers.Add(dtype="float32", name="logits")([x, from_lookup])


def layers_of(name: str, weights: FloatWeights) -> list[Layer]:
    """Returns kernel, recurrent kernel and bias of each layer, from the lowest."""
    parts = "kernel", "recurrent_kernel", "bias"
    count = sum(weight.startswith(f"{name}.") for weight in weights) // len(parts)
    return [tuple(weights[f"{name}.{n}.{part}"] for part in parts) for n in range(count)]


def step(name: str, weights: FloatWeights, *, quantised: bool) -> bytes:
    """Returns one step. Layer n of LSTM has its hidden state in `state.{2n}` and its cell state in `state.{2n + 1}`,
    layer n of GRU its hidden state in `state.{n}`, float32 `[batch, units]`.

    With n-grams the last state is what the look-up remembers, float32 `[batch, ngrams.STATE]`, integers all.
    """
    graph = StepGraph(quantised=quantised)
    layers = layers_of(name, weights)
    found = _look_up(graph, weights, f"state.{2 * len(layers)}") if name == "ngram" else None

    def lowest(kernel: NDArray[np.float32], bias: NDArray[np.float32]) -> str:
        """The name of what the gates of the lowest layer get besides its own state."""
        # Embedding, input kernel and bias as one table, a row per character: an exact rewriting.
        depth = weights["embedding"].shape[1]
        table = weights["embedding"].astype(np.float64) @ kernel[:depth] + bias
        row = graph.op("Gather", graph.constant("table", table.astype(np.float32)), "char")
        if found is None:
            return row
        return graph.op("Add", row, graph.product(found, "ngrams.input", kernel[depth:], ngrams.SUM_SCALE))

    add_layer, states = (_add_gru, 1) if name == "gru" else (_add_lstm, 2)
    sizes = [len(recurrent) for _, recurrent, _ in layers for _ in range(states)]
    top = [add_layer(graph, n, layer, lowest) for n, layer in enumerate(layers)][-1]
    product = graph.product(graph.hidden(top), "output", weights["output_kernel"])
    summands = product, graph.constant("output.bias", weights["output_bias"])
    if found is not None:
        more = graph.product(found, "ngrams.output", weights["ngrams.output_kernel"], ngrams.SUM_SCALE)
        summands = graph.op("Add", *summands), more
        sizes.append(ngrams.STATE)
    graph.op("Add", *summands, name="logits")
    return graph.model(sizes, len(weights["output_bias"]))


def matrices(name: str, constants: Mapping[str, NDArray[Any]]) -> FloatWeights:
    """Returns the kernels above the lowest layer and all recurrent kernels, from the integers of a step's constants.

    There are none in a step that is not quantised.
    """
    found: FloatWeights = {}
    for n in itertools.takewhile(lambda n: f"{n}.matrix.int8" in constants, itertools.count()):
        matrix = restored(constants, str(n))
        units = matrix.shape[1] // (3 if name == "gru" else 4)
        if name != "gru":
            matrix = matrix[:, np.argsort(_served_order(units))]
        if n:
            found[f"{name}.{n}.kernel"] = restored(constants, f"{n}.below") if name == "gru" else matrix[:-units]
        found[f"{name}.{n}.recurrent_kernel"] = matrix[-units:]
    return found


def _look_up(graph: StepGraph, weights: FloatWeights, state: str) -> str:
    """Adds the way from character and state to the sum of the rows `[batch, width]`, and the next state.

    Returns the sum's name, as it enters a product of scale `ngrams.SUM_SCALE`.
    """
    table = weights[ngrams.TABLE]
    found = NGrams.of(weights)

    def integers(name: str, value: Any) -> str:
        return graph.constant(f"ngrams.{name}", np.asarray(value, np.int64))

    # The character: its code, and the code of its letter; then what the state remembers, the latest character last.
    pair = graph.op("Gather", integers("symbols", weights["ngrams.symbols"]), "char", axis=0)
    code, letter = graph.split(pair, 2)
    remembered = graph.op("Cast", state, to=TensorProto.INT64)
    parts = integers("state_parts", [1, ngrams.CHARACTERS - 1, 1, 1])
    _, recent, word, before = graph.split(remembered, 4, parts)

    # The word so far is its letters as digits; a character that is no letter ends it.
    one = integers("one", 1)
    is_letter = graph.op("Min", letter, one)
    is_other = graph.op("Sub", one, is_letter)
    shifted = graph.op("Mul", word, integers("word_factor", ngrams.WORD_FACTOR))
    extended = graph.op("Mod", graph.op("Add", shifted, letter), integers("word_modulus", ngrams.WORD_MODULUS))
    next_word = graph.op("Mul", extended, is_letter)
    ends = graph.op("Mul", graph.op("Min", word, one), is_other)
    next_before = graph.op("Where", graph.op("Cast", ends, to=TensorProto.BOOL), word, before)

    # The next state; the hashes; the rows.
    memory = graph.op("Concat", recent, code, next_word, next_before, axis=1)
    graph.op("Cast", memory, name=f"next_{state}", to=TensorProto.FLOAT)
    inputs = graph.op("Concat", memory, graph.op("Mul", code, is_other), axis=1)
    keys = graph.op("MatMul", inputs, integers("multipliers", found.multipliers))
    hashes = graph.op("Mod", keys, integers("hash_modulus", ngrams.HASH_MODULUS))
    places = graph.op("Div", hashes, integers("divisors", found.divisors))
    rows = graph.op("Add", places, integers("offsets", found.offsets))
    features = integers("features", [1])
    if not graph.quantised:
        summed = graph.op("Gather", graph.constant(ngrams.TABLE, table), rows, axis=0)
        return graph.op("ReduceSum", summed, features, keepdims=0)
    summed = graph.op("Gather", graph.constant(ngrams.TABLE, ngrams.quantised_table(table)), rows, axis=0)
    summed = graph.op("ReduceSum", graph.op("Cast", summed, to=TensorProto.INT32), features, keepdims=0)
    scale = np.array(ngrams.SUM_SCALE / ngrams.TABLE_SCALE, np.float32)
    return graph.to_uint8(graph.op("Cast", summed, to=TensorProto.FLOAT), graph.constant("ngrams.sum_scale", scale))


def _served_order(units: int) -> NDArray[np.int64]:
    """The columns of an LSTM's matrices as they are served: one sigmoid over three gates wants the candidate last."""
    return np.arange(4 * units).reshape(4, units)[[0, 1, 3, 2]].ravel()


def _add_lstm(graph: StepGraph, n: int, layer: Layer, lowest: Callable[..., str]) -> str:
    units = len(layer[1])
    order = _served_order(units)
    kernel, recurrent, bias = (part[..., order] for part in layer)
    hidden, cell = f"state.{2 * n}", f"state.{2 * n + 1}"
    if n == 0:
        added = lowest(kernel, bias)
        product = graph.product(graph.hidden(hidden), "0", recurrent)
    else:
        # What comes from below and from the step before, through one product.
        added = graph.constant(f"{n}.added", bias)
        inputs = graph.op("Concat", graph.hidden(f"next_state.{2 * n - 2}"), graph.hidden(hidden), axis=1)
        product = graph.product(inputs, f"{n}", np.concatenate([kernel, recurrent]))
    parts = graph.constant(f"{n}.three_and_one", np.array([3 * units, units], np.int64))
    ifo, g = graph.split(graph.op("Add", added, product), 2, parts)
    i, f, o = graph.split(graph.op("Sigmoid", ifo), 3)
    kept, written = graph.op("Mul", f, cell), graph.op("Mul", i, graph.op("Tanh", g))
    next_cell = graph.op("Add", kept, written, name=f"next_{cell}")
    return graph.op("Mul", o, graph.op("Tanh", next_cell), name=f"next_{hidden}")


def _add_gru(graph: StepGraph, n: int, layer: Layer, lowest: Callable[..., str]) -> str:
    kernel, recurrent, bias = layer
    units, hidden = len(recurrent), f"state.{n}"
    # The candidate's recurrent bias is inside the reset gate's reach; the other two biases of a gate are one.
    added_bias = bias[0] + np.concatenate([bias[1, : 2 * units], np.zeros(units, np.float32)])
    if n == 0:
        added = lowest(kernel, added_bias)
    else:
        below = graph.product(graph.hidden(f"next_state.{n - 1}"), f"{n}.below", kernel)
        added = graph.op("Add", below, graph.constant(f"{n}.bias", added_bias))
    product = graph.product(graph.hidden(hidden), f"{n}", recurrent)
    parts = graph.constant(f"{n}.two_and_one", np.array([2 * units, units], np.int64))
    added_zr, added_g = graph.split(added, 2, parts)
    product_zr, product_g = graph.split(product, 2, parts)
    z, r = graph.split(graph.op("Sigmoid", graph.op("Add", added_zr, product_zr)), 2)
    before = graph.op("Add", product_g, graph.constant(f"{n}.candidate_bias", bias[1, 2 * units :]))
    g = graph.op("Tanh", graph.op("Add", added_g, graph.op("Mul", r, before)))
    # z·h + (1 − z)·g
    kept = graph.op("Mul", z, graph.op("Sub", hidden, g))
    return graph.op("Add", g, kept, name=f"next_{hidden}")
