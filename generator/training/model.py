"""A preset as a Keras model, its weights by name, and how a version stores them.

The table of n-gram embeddings and the matrices between layers, which are most of a network, are stored once, as the
integers of a version's `model.onnx`; the other weights are float16 in safetensors. Nothing executable is in either, and
the model can be made again from the two.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import onnx
import onnx.numpy_helper
from safetensors.numpy import load, save

from generator.training.architectures import architecture_of, stacked, window
from generator.training.architectures.ngrams import CONSTANTS, TABLE, TABLE_SCALE
from generator.training.backend import keras
from generator.training.muon import Muon
from generator.training.onnx_export import FloatWeights
from generator.training.presets import Preset, TrainingConfig
from generator.vocabulary import Vocabulary
from generator.weights.manifest import FLOAT_WEIGHTS, MODEL
from generator.weights.versions import Weights

_STORED: Final = frozenset({"embeddings", "kernel", "recurrent_kernel", "bias", "table", "symbols", "bits"})
"""The variables that are a network's weights, by their names within a layer; the others are training's."""
_PER_SYMBOL: Final = {
    **dict.fromkeys(("embedding", "window.kernel", "ngrams.symbols"), 0),
    **dict.fromkeys(("output_kernel", "output_bias", "ngrams.output_kernel"), -1),
}
"""The weights that have one row or column per vocabulary character, and its axis."""


def build_model(
    preset: Preset, config: TrainingConfig, vocabulary: Vocabulary, total_steps: int, seed: int
) -> keras.Model:
    """Returns the compiled model of the preset's architecture: characters -> logits.

    Characters are int32 `[batch, steps]`, -1 where there is none; logits float32 `[batch, steps, symbols]`, or
    `[batch, symbols]` where only the character after the last one is predicted. `total_steps` is the number of
    optimiser steps that the learning-rate schedule is laid out for.
    """
    characters = keras.Input(batch_shape=(preset.batch, preset.steps), dtype="int32", name="characters")
    layers = window.logits if preset.architecture == "window" else stacked.logits
    model = keras.Model(characters, layers(characters, preset, config, vocabulary, seed))
    model.compile(
        optimizer=_optimizer(config, total_steps, preset.units),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")] if preset.accuracy else None,
        # Step by step, JAX takes four times as long here; TensorFlow runs a graph in any case.
        jit_compile=keras.backend.backend() == "jax",
    )
    if preset.architecture == "ngram":
        model.get_layer("ngrams").learning_rate = lambda: model.optimizer.learning_rate * config.ngram_rate
    return model


def _optimizer(config: TrainingConfig, total_steps: int, units: int) -> keras.optimizers.Optimizer:
    """RMSprop, Adam or Muon; weights decay as in AdamW (Loshchilov & Hutter 2019)."""
    rate: Any = config.learning_rate
    if config.warmup:
        warmup = max(1, int(total_steps * config.warmup))
        decay = max(1, total_steps - warmup)
        rate = keras.optimizers.schedules.CosineDecay(0.0, decay, alpha=0.01, warmup_target=rate, warmup_steps=warmup)
    options: dict[str, Any] = {
        "weight_decay": config.weight_decay or None,
        "clipnorm": config.clip_norm or None,
        "use_ema": config.average > 0,
        "ema_momentum": config.average,
    }
    if config.optimizer == "muon":
        return Muon(rate, units, **options)
    return (keras.optimizers.RMSprop if config.optimizer == "rmsprop" else keras.optimizers.Adam)(rate, **options)


def reset_states(layers: Iterable[keras.layers.Layer]) -> None:
    """Sets every state that the layers carry to zero, for the start of a text."""
    for layer in layers:
        for state in getattr(layer, "states", ()):
            state.assign(keras.ops.zeros_like(state.value))


def float_weights(model: keras.Model) -> FloatWeights:
    """Returns the weights by name, float32."""
    variables = _variables(model).items()
    return {name: keras.ops.convert_to_numpy(variable).astype(np.float32) for name, variable in variables}


def averaged_weights(model: keras.Model) -> FloatWeights:
    """Returns the weights as `float_weights` does, of the running average where the optimiser keeps one."""
    last = float_weights(model)
    if not model.optimizer.use_ema:
        return last
    model.optimizer.finalize_variable_values(model.trainable_variables)
    averaged = float_weights(model)
    set_float_weights(model, last)
    return averaged


def set_float_weights(model: keras.Model, weights: FloatWeights) -> None:
    """Assigns weights by name; a NaN leaves the number that is there. Raises `ValueError` when a shape differs."""
    fresh = float_weights(model)
    for name, variable in _variables(model).items():
        variable.assign(np.where(np.isnan(weights[name]), fresh[name], weights[name]))


def _variables(model: keras.Model) -> dict[str, Any]:
    """By layer and name, such as `lstm.0.kernel`; but `embedding`, `output_kernel`, `output_bias`."""
    return {
        f"{layer.name}.{variable.name}".removesuffix(".embeddings").replace("output.", "output_"): variable
        for layer in model.layers
        for variable in layer.weights
        if variable.name in _STORED
    }


def parameters(weights: FloatWeights) -> int:
    """Returns the number of trained parameters."""
    return sum(array.size for name, array in weights.items() if name not in CONSTANTS)


def to_bytes(weights: FloatWeights, model: bytes) -> bytes:
    """Returns the content of `weights.safetensors`: float16, without what `from_bytes` takes from `model.onnx`."""
    there = _integers(model, architecture_of(weights))
    return bytes(save({name: array.astype(np.float16) for name, array in weights.items() if name not in there}))


def from_bytes(content: bytes, model: bytes) -> FloatWeights:
    """Returns the weights of a version, as float32, from its `weights.safetensors` and its `model.onnx`."""
    weights = {name: array.astype(np.float32) for name, array in load(content).items()}
    return _integers(model, architecture_of(weights)) | weights


def _integers(model: bytes, architecture: str) -> FloatWeights:
    """The table and the matrices between layers, from the integers of a served model."""
    graph = onnx.load_model_from_string(model).graph
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    weights = stacked.matrices(architecture, constants)
    if TABLE in constants:
        weights[TABLE] = constants[TABLE] * TABLE_SCALE
    return weights


def transfer_weights(version: Weights, vocabulary: Vocabulary) -> FloatWeights:
    """Returns a version's float weights for another vocabulary: rows and columns move with their characters.

    Those of characters that the version does not know are NaN, except for a low output bias. Raises `OSError`.
    """
    known = version.manifest.vocabulary
    weights = from_bytes((version.folder / FLOAT_WEIGHTS).read_bytes(), (version.folder / MODEL).read_bytes())
    shared = "".join(character for character in vocabulary.characters if character in known)
    for name in _PER_SYMBOL.keys() & weights.keys():
        source = np.moveaxis(weights[name], _PER_SYMBOL[name], 0)
        # A bias is the output's. New characters start as improbable as the rarest known one; at zero they would be
        # scattered over every text until training lowers them.
        unknown = source.min() if source.ndim == 1 else np.nan
        carried = np.full((len(vocabulary), *source.shape[1:]), unknown, np.float32)
        carried[vocabulary.encode(shared)] = source[known.encode(shared)]
        weights[name] = np.moveaxis(carried, 0, _PER_SYMBOL[name])
    return weights
