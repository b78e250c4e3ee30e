"""The training loop: an epoch, its validation through the form that will be served, samples, a checkpoint."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from typing import Final

import numpy as np

from generator.serving.scoring import bits_per_character
from generator.training import TrainingError, progress
from generator.training.architectures import step_model
from generator.training.backend import keras
from generator.training.checkpoint import Epoch, TrainingState, load_checkpoint, save_checkpoint
from generator.training.corpus import Batch, batches, steps_per_epoch
from generator.training.model import averaged_weights, build_model, reset_states, set_float_weights
from generator.training.onnx_export import FloatWeights
from generator.training.run import Run, Stage
from generator.training.samples import PROMPT_LENGTH, samples
from generator.weights.session import Network

CARRIED: Final = 20_000
"""Characters after which the carried states are zero again, as at the start of a text. A network that reads a long text
otherwise comes to need cells far from zero, and writes badly from there (docs/training.md, "Streams")."""


def learn(
    run: Run, stage: Stage, start: FloatWeights | None, preview: Callable[[TrainingState, bytes], str] | None = None
) -> TrainingState:
    """Trains on the stage's text, from its last checkpoint, else from `start`, else from a new network.

    Validation is on the corpus's own split. `preview` gets the state and the served form after each epoch, and returns
    a text to show. Raises `TrainingError`, `WeightsError` or `OSError`.
    """
    options, corpus, preset, config = run.options, run.corpus, stage.preset, stage.config
    vocabulary = corpus.vocabulary
    per_epoch = steps_per_epoch(len(stage.text_of_epoch(1)), preset, config.order)
    # The same prompt after every epoch shows how the texts improve.
    place = int(np.random.default_rng(options.seed).integers(len(corpus.splits[0]) - PROMPT_LENGTH))
    prompt = vocabulary.decode(corpus.splits[0][place : place + PROMPT_LENGTH])

    keras.utils.set_random_seed(options.seed)
    model = build_model(preset, config, vocabulary, per_epoch * config.epochs, options.seed)
    if start is not None:
        set_float_weights(model, start)
    state = load_checkpoint(stage.folder, model)

    with progress.TrainingBar(per_epoch, config.epochs, len(state.history), preset.batch * preset.steps) as bar:
        for epoch in range(len(state.history) + 1, config.epochs + 1):
            if config.patience and epoch - 1 - state.best_epoch >= config.patience:
                progress.show(f"validation has not improved since epoch {state.best_epoch}: that one is kept")
                break
            began = time.perf_counter()
            random = np.random.default_rng([options.seed, epoch])
            data = batches(stage.text_of_epoch(epoch), preset, config.order, random)
            carried = max(1, CARRIED // preset.steps) if config.carry_state else 1
            bits, accuracy = one_epoch(model, data, bar, carried)
            weights = averaged_weights(model)
            served_form = step_model(weights, quantised=True)
            served = Network(served_form, len(vocabulary))
            validated = bits_per_character(served, corpus.splits[1])
            earlier = (row.valid_bits_per_character for row in state.history)
            if config.keep == "last" or validated < min(earlier, default=math.inf):
                state.best_epoch, state.best = epoch, weights
            rate = float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))
            characters = per_epoch * preset.batch * preset.steps
            seconds = time.perf_counter() - began
            state.history.append(Epoch(epoch, bits, accuracy, validated, rate, seconds, characters))
            save_checkpoint(stage.folder, model, state)
            texts = samples(served, vocabulary, prompt, options.temperatures, random, length=preset.sample_length)
            bar.epoch_done(state, prompt, dict(zip(options.temperatures, texts, strict=True)))
            if preview is not None and (text := preview(state, served_form)):
                progress.show(f"as the bot writes it, at 0.7:\n{text}\n")
    return state


def one_epoch(
    model: keras.Model, data: Iterable[Batch], bar: progress.TrainingBar, carried: int
) -> tuple[float, float | None]:
    """Trains on all batches. Returns mean loss in bits per character, dropout included, and accuracy if it is known.

    States are carried from batch to batch, and are zero again after every `carried` batches. Raises `TrainingError`
    when training diverges.
    """
    nats, right, steps = 0.0, 0.0, 0
    for inputs, targets in data:
        if steps % carried == 0:
            reset_states(model.layers)
        figures = model.train_on_batch(inputs, targets, return_dict=True)
        nats += float(figures["loss"])
        right += float(figures.get("accuracy", math.nan))
        steps += 1
        if not math.isfinite(nats):
            raise TrainingError("training diverged: the loss is not finite; start a new run with --dtype float32")
        bar.step_done(nats / steps / math.log(2))
    return nats / steps / math.log(2), None if math.isnan(right) else right / steps
