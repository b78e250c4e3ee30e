#!/usr/bin/env python3
"""Trains a character-level recurrent network on a text and adds it to the weights folder as a version to serve.

    python train.py                        the best recipe, on nietzsche.txt
    python train.py --corpus my-book.txt   a book of your own, UTF-8, on top of what the shipped network knows
    python train.py --resume               goes on with a run that was stopped

Needs the `train` extra: pip install 'lstmega[train]'.
"""

from __future__ import annotations

import dataclasses
import math
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

try:
    import numpy as np

    from generator import files
    from generator.errors import WeightsError
    from generator.scoring.measure import bits_per_character
    from generator.training import floats
    from generator.training import progress as show
    from generator.training.backend import keras
    from generator.training.checkpoint import Progress, RunError, RunSettings, load_checkpoint, save_checkpoint
    from generator.training.cli import begin, parse
    from generator.training.corpus import Corpus, CorpusError, read_together
    from generator.training.dataset import Batch, batches, steps_per_epoch
    from generator.training.model import (
        FloatWeights,
        averaged_weights,
        build_model,
        float_weights,
        reset_states,
        set_float_weights,
    )
    from generator.training.onnx_export import step_model
    from generator.training.presets import PRESETS, Preset, Reading
    from generator.training.publish import release
    from generator.training.samples import random_prompt, samples
    from generator.training.timing import seconds_per_step
    from generator.vocabulary import Indices
    from generator.weights.session import Network
    from generator.weights.versions import activate
except ModuleNotFoundError as missing:
    sys.exit(f"train.py: {missing.name} is not installed; training needs: pip install 'lstmega[train]'")


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0, or one line on standard error and 2 when something was asked for wrongly, 1 when the
    version cannot be written."""
    arguments = parse(argv, __doc__ or "")
    try:
        settings, corpus, folder = begin(arguments)
        train(settings, corpus, folder, arguments.out, make_current=not arguments.no_activate)
    except (CorpusError, RunError, WeightsError) as error:
        print(f"train.py: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        said, where = files.reason(error), error.filename or arguments.out
        print(
            f"train.py: {where}: {said}; mend that: epochs that are done are kept, go on with --resume", file=sys.stderr
        )
        return 1
    except KeyboardInterrupt:
        print("\ntrain.py: stopped; epochs that are done are kept: go on with --resume", file=sys.stderr)
        return 130
    return 0


@dataclass(frozen=True)
class Stage:
    """A text to read, how it is read, and where the checkpoints of that are kept."""

    text: Indices
    preset: Preset
    reading: Reading
    folder: Path


def train(settings: RunSettings, corpus: Corpus, folder: Path, out: Path, *, make_current: bool) -> None:
    """The run from where it stands to a version in `out`. Raises `CorpusError`, `RunError` or `WeightsError`."""
    keras.mixed_precision.set_global_policy("mixed_bfloat16" if settings.dtype == "bfloat16" else "float32")
    preset = PRESETS[settings.preset]
    show.plan(preset, settings.dtype, folder)

    # What the network can do before it meets the corpus.
    start, seconds_before = None, 0.0
    if settings.start_from is not None:
        start = floats.carry_over(Path(settings.start_from), corpus.vocabulary)
        show.start(Path(settings.start_from), corpus.vocabulary)
    pretraining = dataclasses.replace(preset.pretraining, epochs=settings.pretrain_epochs)
    if settings.pretrain:
        english = read_together([Path(name) for name in settings.pretrain], corpus.vocabulary)
        stage = Stage(english, preset.fitted(len(english)), pretraining, folder / "pretraining")
        pretrained = learn(stage, settings, corpus, start)
        start, seconds_before = pretrained.best, pretrained.seconds

    # The corpus.
    reading = dataclasses.replace(preset.reading if start is None else preset.tuning, epochs=settings.epochs)
    training, _, _ = corpus.splits()
    stage = Stage(training, preset.fitted(len(training)), reading, folder)
    progress = learn(stage, settings, corpus, start)
    progress.seconds_before = seconds_before

    # The version: exported, measured, moved into the weights folder whole.
    used = dataclasses.replace(stage.preset, reading=reading, pretraining=pretraining)
    manifest, place = release(settings, used, corpus, progress, out)
    show.result(manifest)
    if make_current:
        activate(out, settings.name)
    print(f"{place}: {'now the current version' if make_current else 'CURRENT left as it was'}")


def learn(stage: Stage, settings: RunSettings, corpus: Corpus, start: FloatWeights | None) -> Progress:
    """Reads the stage's text, from `start` or from a new network, or from where its last checkpoint stands.

    Validation is on the corpus's own split. Raises `RunError` or `WeightsError`.
    """
    text, preset, reading = stage.text, stage.preset, stage.reading
    vocabulary = corpus.vocabulary
    training, validation, _ = corpus.splits()
    per_epoch = steps_per_epoch(len(text), preset, reading.order)
    # The same prompt after every epoch, so that one sees how the texts get better.
    prompt = random_prompt(vocabulary.decode(training), np.random.default_rng(settings.seed))

    # The model: new, or as it was left.
    keras.utils.set_random_seed(settings.seed)
    model = build_model(preset, reading, len(vocabulary), per_epoch * reading.epochs, settings.seed)
    if start is not None:
        set_float_weights(model, floats.completed(start, float_weights(model)))
    progress = load_checkpoint(stage.folder, model)
    if progress.epochs >= reading.epochs:
        return progress
    seconds = seconds_per_step(model, next(iter(batches(text, preset, reading.order, np.random.default_rng()))))
    show.reading(len(text), preset, reading, per_epoch, seconds * per_epoch * (reading.epochs - progress.epochs))

    # The loop: an epoch, its validation through the form that will be served, samples, a checkpoint.
    with show.training_bar(per_epoch, reading.epochs, progress.epochs) as bar:
        for epoch in range(progress.epochs + 1, reading.epochs + 1):
            if reading.patience and progress.epochs - progress.best_epoch >= reading.patience:
                bar.stopped(progress)
                break
            began = time.perf_counter()
            random = np.random.default_rng([settings.seed, epoch])
            trained = one_epoch(model, batches(text, preset, reading.order, random), bar)
            weights = averaged_weights(model)
            served = Network(step_model(weights, quantised=True), len(vocabulary))
            validated = bits_per_character(served, validation)
            if reading.keep == "last" or validated < progress.best_validation:
                progress.best_epoch, progress.best = epoch, weights
            progress.history.append(
                {
                    "epoch": epoch,
                    **trained,
                    "valid_bits_per_character": validated,
                    "learning_rate": float(keras.ops.convert_to_numpy(model.optimizer.learning_rate)),
                    "seconds": time.perf_counter() - began,
                }
            )
            save_checkpoint(stage.folder, model, progress)
            texts = samples(served, vocabulary, prompt, settings.temperatures, random, length=preset.sample_length)
            bar.epoch_done(progress, prompt, texts, settings.temperatures)
    return progress


def one_epoch(model: keras.Model, fed: Iterable[Batch], bar: show.TrainingBar) -> dict[str, float]:
    """Reads what is fed; returns the epoch's training figures, dropout included: the mean loss in bits per character,
    and the fraction of characters that were foretold where the recipe wants to know it.

    Raises `RunError` when training diverges.
    """
    reset_states(model)
    nats, right, steps = 0.0, 0.0, 0
    for inputs, targets in fed:
        figures = model.train_on_batch(inputs, targets, return_dict=True)
        nats += float(figures["loss"])
        right += float(figures.get("accuracy", math.nan))
        steps += 1
        if not math.isfinite(nats):
            raise RunError("training diverged: the loss is no number any more; begin anew with --dtype float32")
        bar.step(nats / steps / math.log(2))
    accuracy = {} if math.isnan(right) else {"train_accuracy": right / steps}
    return {"train_bits_per_character": nats / steps / math.log(2)} | accuracy


if __name__ == "__main__":
    sys.exit(main())
