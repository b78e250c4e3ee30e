"""Layers of LSTM that also look up the last n-grams, for their input and for the logits (`ngram_embedding.py`).

Weights: `embedding` [vocabulary, embedding]; for each layer n from 0, `ngram.n.kernel`, `ngram.n.recurrent_kernel` and
`ngram.n.bias` as in `stacked`, the lowest kernel with a row for each number of the embedding and then for each of the
n-grams' sum; `output_kernel`, `output_bias`; `ngrams.output_kernel` [width, vocabulary]; `ngrams.table` [rows, width];
and, not trained, `ngrams.symbols` [vocabulary, 2] and `ngrams.bits` [features].
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from generator.training.architectures import ngram_embedding as ngrams
from generator.training.architectures.base import Architecture, FloatWeights
from generator.training.architectures.ngram_embedding import NGramEmbedding, NGrams
from generator.training.architectures.recurrent import StatefulLSTM
from generator.training.architectures.stacked import (
    add_lstm_layers,
    add_output,
    dropout,
    gather_table,
    layer_variables,
    stacked_layers,
)
from generator.training.backend import keras
from generator.training.onnx_export import HIDDEN_ZERO_POINT, StepGraph
from generator.training.presets import Preset, TrainingConfig

_NAME: Final = "ngram"
_LOOKUP: Final = "ngrams"
TABLE: Final = f"{_LOOKUP}.table"
"""The weights that are most of such a network; the step graph holds them under this name."""
CONSTANTS: Final = frozenset({f"{_LOOKUP}.symbols", f"{_LOOKUP}.bits"})
"""What is not trained."""
_FLOAT32: Final = keras.mixed_precision.DTypePolicy("float32")


def _logits(characters: Any, preset: Preset, config: TrainingConfig, symbols: int, seed: int) -> Any:
    """The Keras layers; logits float32 `[batch, steps, symbols]`."""
    looked_up = NGramEmbedding(
        NGrams(dict(preset.ngram_bits), preset.ngram_width), symbols, config.ngram_dropout, seed=seed + 4, name=_LOOKUP
    )(characters)
    x = keras.layers.Embedding(symbols, preset.embedding, name="embedding")(characters)
    x = dropout(config.embedding_dropout, seed + 1)(x)
    x = keras.layers.Concatenate(name="inputs")([x, looked_up])
    for n in range(preset.layers):
        if n:
            x = dropout(config.hidden_dropout, seed + 100 + n)(x)
        x = StatefulLSTM(
            preset.units,
            config.dropconnect,
            carried=config.carry_state,
            recurrent_initializer="orthogonal",
            seed=seed + 2 + 10 * n,
            name=f"{_NAME}_{n}",
        )(x)
    x = dropout(config.output_dropout, seed + 3)(x)
    from_above = keras.layers.Dense(symbols, dtype=_FLOAT32, name="output")(x)
    from_lookup = keras.layers.Dense(symbols, use_bias=False, dtype=_FLOAT32, name=f"{_LOOKUP}_output")(looked_up)
    return keras.layers.Add(dtype=_FLOAT32, name="logits")([from_above, from_lookup])


def _variables(model: Any) -> dict[str, Any]:
    lookup = model.get_layer(_LOOKUP)
    return {
        **layer_variables(_NAME, model),
        f"{_LOOKUP}.output_kernel": model.get_layer(f"{_LOOKUP}_output").kernel,
        **{f"{_LOOKUP}.{part}": getattr(lookup, part) for part in ("table", "symbols", "bits")},
    }


def _step(weights: FloatWeights, quantised: bool) -> bytes:  # noqa: FBT001 (an architecture's `step`)
    """States 0 … 2·layers − 1 are the layers' as in `stacked`; the last one is what the look-up remembers.

    That is float32 `[batch, ngrams.STATE]`, integers all.
    """
    graph = StepGraph(quantised=quantised)
    layers = stacked_layers(_NAME, weights)
    embedding = weights["embedding"].shape[1]
    summed = _look_up(graph, weights, f"state.{2 * len(layers)}", quantised=quantised)

    def add_input(kernel: NDArray[np.float32], bias: NDArray[np.float32]) -> str:
        row = gather_table(graph, weights, kernel[:embedding], bias)
        graph.node("Add", [row, _product(graph, summed, "input", kernel[embedding:])], ["0.entering"])
        return "0.entering"

    sizes = add_lstm_layers(graph, layers, add_input)
    logits = add_output(graph, weights, f"next_state.{len(sizes) - 2}", "logits.above")
    graph.node("Add", [logits, _product(graph, summed, "output", weights[f"{_LOOKUP}.output_kernel"])], ["logits"])
    return graph.model([*sizes, ngrams.STATE], len(weights["output_bias"]))


def _look_up(graph: StepGraph, weights: FloatWeights, state: str, *, quantised: bool) -> str:
    """From character and state to the sum of the rows `[batch, width]`, as it enters a product, and the next state."""
    table = weights[TABLE]
    found = NGrams.of(table, weights[f"{_LOOKUP}.bits"])
    whole = {
        "symbols": weights[f"{_LOOKUP}.symbols"],
        "zero": 0,
        "one": 1,
        "word_factor": ngrams.WORD_FACTOR,
        "word_modulus": ngrams.WORD_MODULUS,
        # The state has the latest character last.
        "multipliers": np.concatenate(
            [found.multipliers[: ngrams.CHARACTERS][::-1], found.multipliers[ngrams.CHARACTERS :]]
        ),
        "hash_modulus": ngrams.HASH_MODULUS,
        "divisors": found.divisors,
        "offsets": found.offsets,
        "state_parts": [1, ngrams.CHARACTERS - 1, 1, 1],
        "features": [1],
    }
    for name, value in whole.items():
        graph.constant(f"ngrams.{name}", np.asarray(value, np.int64))

    def node(operator: str, inputs: str, outputs: str, **attributes: Any) -> None:
        """Names are the look-up's own, unless they have a slash before them."""
        named = [
            [name[1:] if name.startswith("/") else f"ngrams.{name}" for name in names.split()]
            for names in (inputs, outputs)
        ]
        graph.node(operator, *named, **attributes)

    # The character: its code, and the code of its letter; then what the state remembers.
    node("Gather", "symbols /char", "pair", axis=0)
    node("Split", "pair", "code letter", axis=1, num_outputs=2)
    node("Cast", f"/{state}", "remembered", to=TensorProto.INT64)
    node("Split", "remembered state_parts", "oldest recent word before", axis=1)

    # The word so far is its letters as digits; a character that is no letter ends it.
    node("Min", "letter one", "is_letter")
    node("Sub", "one is_letter", "is_other")
    node("Mul", "word word_factor", "shifted")
    node("Add", "shifted letter", "extended")
    node("Mod", "extended word_modulus", "extended_word")
    node("Mul", "extended_word is_letter", "next_word")
    node("Mul", "code is_other", "other")
    node("Min", "word one", "was_word")
    node("Mul", "was_word is_other", "ends")
    node("Cast", "ends", "ends_now", to=TensorProto.BOOL)
    node("Where", "ends_now word before", "next_before")

    # The next state; the hashes; the rows.
    node("Concat", "recent code next_word next_before", "memory", axis=1)
    node("Cast", "memory", f"/next_{state}", to=TensorProto.FLOAT)
    node("Concat", "memory other", "inputs", axis=1)
    node("MatMul", "inputs multipliers", "keys")
    node("Mod", "keys hash_modulus", "hashes")
    node("Div", "hashes divisors", "places")
    node("Add", "places offsets", "rows")
    if not quantised:
        graph.constant(TABLE, table)
        node("Gather", "table rows", "found", axis=0)
        node("ReduceSum", "found features", "sum", keepdims=0)
        return "ngrams.sum"
    graph.constant(TABLE, quantised_table(table))
    node("Gather", "table rows", "found", axis=0)
    node("Cast", "found", "found_int32", to=TensorProto.INT32)
    node("ReduceSum", "found_int32 features", "sum_int32", keepdims=0)
    node("Cast", "sum_int32", "sum_float", to=TensorProto.FLOAT)
    graph.constant("ngrams.sum_scale", np.array(ngrams.SUM_SCALE / ngrams.TABLE_SCALE, np.float32))
    graph.constant("ngrams.zero_point", np.array(HIDDEN_ZERO_POINT))
    node("QuantizeLinear", "sum_float sum_scale zero_point", "sum")
    return "ngrams.sum"


def _product(graph: StepGraph, summed: str, name: str, matrix: NDArray[np.float32]) -> str:
    return graph.product(summed, f"ngrams.{name}", matrix, scale=ngrams.SUM_SCALE)


def quantised_table(table: NDArray[np.float32]) -> NDArray[np.int8]:
    """A table as it is served and stored, in steps of `TABLE_SCALE`."""
    steps: NDArray[np.float32] = np.rint(table / ngrams.TABLE_SCALE)
    return np.clip(steps, -127, 127).astype(np.int8)


def ngram_note(weights: FloatWeights) -> dict[str, Any] | None:
    """Returns what the hash functions of a network are made of; None when it looks up no n-grams."""
    if TABLE not in weights:
        return None
    return NGrams.of(weights[TABLE], weights[f"{_LOOKUP}.bits"]).note()


def _describe(preset: Preset) -> str:
    features = ", ".join(name for name, _ in preset.ngram_bits)
    rows = sum(1 << bits for _, bits in preset.ngram_bits)
    return (
        f"embedding {preset.embedding}, {preset.layers} × LSTM {preset.units},"
        f" n-gram embeddings ({features}): {rows:,} × {preset.ngram_width}"
    )


NGRAM: Final = Architecture(
    name=_NAME,
    logits=_logits,
    variables=_variables,
    step=_step,
    per_symbol={
        "embedding": 0,
        "output_kernel": 1,
        "output_bias": 0,
        f"{_LOOKUP}.output_kernel": 1,
        f"{_LOOKUP}.symbols": 0,
    },
    describe=_describe,
)
