"""A preset as a Keras model, and its weights by name."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from generator.training.backend import keras
from generator.training.presets import Preset
from generator.training.recurrent import StatefulLSTM

FloatWeights = dict[str, NDArray[np.float32]]
"""`embedding` [vocabulary, embedding], `kernel` [embedding, 4·units], `recurrent_kernel` [units, 4·units],
`bias` [4·units], `output_kernel` [units, vocabulary], `output_bias` [vocabulary]; gates in Keras's order i, f, g, o."""


def build_model(preset: Preset, symbols: int, total_steps: int, seed: int) -> keras.Model:
    """The compiled model: characters int32 `[batch, steps]` -> logits float32 `[batch, steps, symbols]`.

    `total_steps` is the number of optimiser steps that the learning-rate schedule is laid out for.
    """
    characters = keras.Input(batch_shape=(preset.batch, preset.steps), dtype="int32", name="characters")
    x = keras.layers.Embedding(symbols, preset.embedding, name="embedding")(characters)
    if preset.embedding_dropout:
        # One mask along the whole sequence (Gal & Ghahramani 2016).
        x = keras.layers.SpatialDropout1D(preset.embedding_dropout, seed=seed + 1)(x)
    x = StatefulLSTM(preset.units, preset.dropconnect, seed=seed + 2, name="lstm")(x)
    if preset.output_dropout:
        x = keras.layers.SpatialDropout1D(preset.output_dropout, seed=seed + 3)(x)
    # The loss wants its logits in float32 whatever the products are computed in.
    logits = keras.layers.Dense(symbols, dtype=keras.mixed_precision.DTypePolicy("float32"), name="output")(x)
    model = keras.Model(characters, logits, name=preset.name.replace("-", "_"))
    model.compile(
        optimizer=keras.optimizers.Adam(
            _learning_rate(preset, total_steps), clipnorm=preset.clip_norm if preset.clip_norm else None
        ),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )
    return model


def _learning_rate(preset: Preset, total_steps: int) -> Any:
    if not preset.warmup:
        return preset.learning_rate
    warmup = max(1, int(total_steps * preset.warmup))
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,
        warmup_target=preset.learning_rate,
        warmup_steps=warmup,
        decay_steps=max(1, total_steps - warmup),
        alpha=0.01,
    )


def reset_states(model: keras.Model) -> None:
    """Sets every carried state to zero: the next call begins a new text."""
    for layer in model.layers:
        if isinstance(layer, StatefulLSTM):
            layer.reset_states()


def float_weights(model: keras.Model) -> FloatWeights:
    """The trainable weights by name, float32."""
    embedding, lstm, output = (model.get_layer(name) for name in ("embedding", "lstm", "output"))
    variables = {
        "embedding": embedding.embeddings,
        "kernel": lstm.kernel,
        "recurrent_kernel": lstm.recurrent_kernel,
        "bias": lstm.bias,
        "output_kernel": output.kernel,
        "output_bias": output.bias,
    }
    return {name: keras.ops.convert_to_numpy(variable).astype(np.float32) for name, variable in variables.items()}


def set_float_weights(model: keras.Model, weights: FloatWeights) -> None:
    """The inverse of `float_weights`. Raises `ValueError` when a shape differs."""
    embedding, lstm, output = (model.get_layer(name) for name in ("embedding", "lstm", "output"))
    embedding.set_weights([weights["embedding"]])
    for name in ("kernel", "recurrent_kernel", "bias"):
        getattr(lstm, name).assign(weights[name])
    output.set_weights([weights["output_kernel"], weights["output_bias"]])


def parameters(weights: FloatWeights) -> int:
    """How many numbers training chose."""
    return sum(array.size for array in weights.values())
