"""A preset as a Keras model, and its weights by name."""

from __future__ import annotations

from typing import Any

import numpy as np

from generator.training.architectures import ARCHITECTURES
from generator.training.architectures.architecture import FloatWeights
from generator.training.backend import keras
from generator.training.presets import Preset, Reading
from generator.training.recurrent import StatefulLayer

__all__ = [
    "FloatWeights",
    "averaged_weights",
    "build_model",
    "float_weights",
    "parameters",
    "reset_states",
    "set_float_weights",
]


def build_model(preset: Preset, reading: Reading, symbols: int, total_steps: int, seed: int) -> keras.Model:
    """The compiled model: characters int32 `[batch, steps]` -> logits float32, as the preset's architecture says.

    `total_steps` is the number of optimiser steps that the learning-rate schedule is laid out for.
    """
    characters = keras.Input(batch_shape=(preset.batch, preset.steps), dtype="int32", name="characters")
    logits = ARCHITECTURES[preset.architecture].logits(characters, preset, reading, symbols, seed)
    model = keras.Model(characters, logits, name=preset.name.replace("-", "_"))
    model.architecture = preset.architecture  # for whoever asks for its weights by name
    model.compile(
        optimizer=_optimizer(reading, total_steps),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")] if preset.accuracy else None,
        # Step by step, JAX takes four times as long here; TensorFlow runs a graph in any case.
        jit_compile=keras.backend.backend() == "jax",
    )
    return model


def _optimizer(reading: Reading, total_steps: int) -> keras.optimizers.Optimizer:
    """RMSprop or Adam, or AdamW (Loshchilov & Hutter 2019) where weights decay."""
    options: dict[str, Any] = {"clipnorm": reading.clip_norm or None}
    if reading.average:
        options |= {"use_ema": True, "ema_momentum": reading.average}
    rate = _learning_rate(reading, total_steps)
    if reading.optimizer == "rmsprop":
        return keras.optimizers.RMSprop(rate, **options)
    if reading.weight_decay:
        return keras.optimizers.AdamW(rate, weight_decay=reading.weight_decay, **options)
    return keras.optimizers.Adam(rate, **options)


def _learning_rate(reading: Reading, total_steps: int) -> Any:
    if not reading.warmup:
        return reading.learning_rate
    warmup = max(1, int(total_steps * reading.warmup))
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,
        warmup_target=reading.learning_rate,
        warmup_steps=warmup,
        decay_steps=max(1, total_steps - warmup),
        alpha=0.01,
    )


def reset_states(model: keras.Model) -> None:
    """Sets every carried state to zero: the next call begins a new text."""
    for layer in model.layers:
        if isinstance(layer, StatefulLayer):
            layer.reset_states()


def float_weights(model: keras.Model) -> FloatWeights:
    """The trainable weights by name, float32."""
    return {
        name: keras.ops.convert_to_numpy(variable).astype(np.float32) for name, variable in _variables(model).items()
    }


def averaged_weights(model: keras.Model) -> FloatWeights:
    """As `float_weights`, of the running average where the optimiser keeps one."""
    if not model.optimizer.use_ema:
        return float_weights(model)
    last = float_weights(model)
    model.optimizer.finalize_variable_values(model.trainable_variables)
    averaged = float_weights(model)
    set_float_weights(model, last)
    return averaged


def set_float_weights(model: keras.Model, weights: FloatWeights) -> None:
    """The inverse of `float_weights`. Raises `ValueError` when a shape differs."""
    for name, variable in _variables(model).items():
        variable.assign(weights[name])


def _variables(model: keras.Model) -> dict[str, Any]:
    return ARCHITECTURES[model.architecture].variables(model)


def parameters(weights: FloatWeights) -> int:
    """How many numbers training chose."""
    return sum(array.size for array in weights.values())
