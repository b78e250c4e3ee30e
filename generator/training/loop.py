"""The training loop: an epoch, its validation through the form that will be served, samples, a checkpoint."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from generator.scoring.surprisal import bits_per_character
from generator.training import progress
from generator.training.architectures import step_model
from generator.training.backend import keras
from generator.training.checkpoint import Epoch, TrainingState, load_checkpoint, save_checkpoint
from generator.training.corpus import Corpus
from generator.training.dataset import Batch, batches, part_for_epoch, steps_per_epoch
from generator.training.model import (
    averaged_weights,
    build_model,
    fill_missing,
    float_weights,
    reset_states,
    set_float_weights,
)
from generator.training.onnx_export import FloatWeights
from generator.training.presets import Preset, TrainingConfig
from generator.training.run import RunError, RunSettings
from generator.training.samples import random_prompt, samples
from generator.vocabulary import Indices
from generator.weights.session import Network

_TIMED_STEPS: Final = 2


@dataclass(frozen=True)
class Stage:
    """A text to train on, how it is read, and the folder of its checkpoints.

    `rehearsal` is an earlier text; each epoch also reads a tenth of it, so that it is not forgotten.
    """

    text: Indices
    preset: Preset
    config: TrainingConfig
    folder: Path
    rehearsal: Indices = field(default_factory=lambda: np.zeros(0, np.int64))

    def text_of_epoch(self, epoch: int) -> Indices:
        """Returns what the epoch, counted from 1, reads."""
        tenth = len(self.rehearsal) // 10
        first = (epoch - 1) % 10 * tenth
        text = part_for_epoch(self.text, self.config, epoch)
        return np.concatenate([self.rehearsal[first : first + tenth], text]) if tenth else text


def learn(stage: Stage, settings: RunSettings, corpus: Corpus, start: FloatWeights | None) -> TrainingState:
    """Trains on the stage's text, from its last checkpoint, else from `start`, else from a new network.

    Validation is on the corpus's own split. Raises `RunError` or `WeightsError`.
    """
    preset, config, vocabulary = stage.preset, stage.config, corpus.vocabulary
    first_text = stage.text_of_epoch(1)
    per_epoch = steps_per_epoch(len(first_text), preset, config.order)
    # The same prompt after every epoch shows how the texts improve.
    prompt = random_prompt(vocabulary.decode(corpus.training), np.random.default_rng(settings.seed))

    keras.utils.set_random_seed(settings.seed)
    model = build_model(preset, config, vocabulary, per_epoch * config.epochs, settings.seed)
    if start is not None:
        set_float_weights(model, fill_missing(start, float_weights(model)))
    state = load_checkpoint(stage.folder, model)
    if state.epochs >= config.epochs:
        return state
    seconds = seconds_per_step(model, next(iter(batches(first_text, preset, config.order, np.random.default_rng()))))
    progress.print_stage(
        len(stage.text), preset, config, per_epoch, seconds * per_epoch * (config.epochs - state.epochs)
    )

    with progress.training_bar(per_epoch, config.epochs, state.epochs) as bar:
        for epoch in range(state.epochs + 1, config.epochs + 1):
            if config.patience and state.epochs - state.best_epoch >= config.patience:
                bar.stopped(state)
                break
            began = time.perf_counter()
            random = np.random.default_rng([settings.seed, epoch])
            data = batches(stage.text_of_epoch(epoch), preset, config.order, random)
            bits, accuracy = one_epoch(model, data, bar, carry_state=config.carry_state)
            weights = averaged_weights(model)
            served = Network(step_model(weights, quantised=True), len(vocabulary))
            validated = bits_per_character(served, corpus.validation)
            if config.keep == "last" or validated < state.best_validation:
                state.best_epoch, state.best = epoch, weights
            rate = float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))
            characters = per_epoch * preset.batch * preset.steps
            seconds = time.perf_counter() - began
            state.history.append(Epoch(epoch, bits, validated, rate, seconds, accuracy, characters))
            save_checkpoint(stage.folder, model, state)
            texts = samples(served, vocabulary, prompt, settings.temperatures, random, length=preset.sample_length)
            bar.epoch_done(state, prompt, texts, settings.temperatures)
    return state


def one_epoch(
    model: keras.Model, data: Iterable[Batch], bar: progress.TrainingBar, *, carry_state: bool
) -> tuple[float, float | None]:
    """Trains on all batches. Returns mean loss in bits per character, dropout included, and accuracy if it is known.

    Raises `RunError` when training diverges.
    """
    reset_states(model)
    nats, right, steps = 0.0, 0.0, 0
    for inputs, targets in data:
        if not carry_state:
            reset_states(model)
        figures = model.train_on_batch(inputs, targets, return_dict=True)
        nats += float(figures["loss"])
        right += float(figures.get("accuracy", math.nan))
        steps += 1
        if not math.isfinite(nats):
            raise RunError("training diverged: the loss is not finite; start a new run with --dtype float32")
        bar.step(nats / steps / math.log(2))
    return nats / steps / math.log(2), None if math.isnan(right) else right / steps


def seconds_per_step(model: keras.Model, batch: Batch) -> float:
    """Returns how long a training step takes, measured on a few whose effect is undone.

    The first step also compiles the model, which the run needs anyway; it is not timed.
    """
    model.optimizer.build(model.trainable_variables)
    variables = [*model.variables, *model.optimizer.variables]
    before = [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]
    model.train_on_batch(*batch)
    began = time.perf_counter()
    for _ in range(_TIMED_STEPS):
        model.train_on_batch(*batch)
    seconds = (time.perf_counter() - began) / _TIMED_STEPS
    for variable, value in zip(variables, before, strict=True):
        variable.assign(value)
    return seconds
