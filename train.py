#!/usr/bin/env python3
"""Trains a character-level recurrent network on a text and adds it to the weights folder as a version to serve.

    python train.py                        the best recipe, on nietzsche.txt
    python train.py --corpus my-book.txt   a book of your own, UTF-8
    python train.py --resume               goes on with a run that was stopped

Needs the `train` extra: pip install 'lstmega[train]'.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

try:
    import numpy as np

    from generator.errors import WeightsError
    from generator.measure import bits_per_character
    from generator.network import Network
    from generator.training import floats, show
    from generator.training.backend import keras
    from generator.training.batches import Batch, batches, steps_per_epoch
    from generator.training.checkpoint import (
        RUNS,
        Progress,
        RunError,
        RunSettings,
        load_checkpoint,
        save_checkpoint,
        unfinished_runs,
    )
    from generator.training.corpus import Corpus, CorpusError, default_corpus, read_corpus, read_together
    from generator.training.export import step_model
    from generator.training.model import (
        FloatWeights,
        averaged_weights,
        build_model,
        float_weights,
        reset_states,
        set_float_weights,
    )
    from generator.training.presets import DEFAULT, PRESETS, Preset, Reading
    from generator.training.release import release
    from generator.training.samples import random_opening, samples
    from generator.vocabulary import Indices
    from generator.weights import VERSION_NAME, activate
except ModuleNotFoundError as missing:
    sys.exit(f"train.py: {missing.name} is not installed; training needs: pip install 'lstmega[train]'")


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0, or 2 with one line on standard error when something was asked for wrongly."""
    arguments = parse(argv)
    try:
        settings, corpus, folder = begin(arguments)
        train(settings, corpus, folder, arguments.out, make_current=not arguments.no_activate)
    except (CorpusError, RunError, WeightsError) as error:
        print(f"train.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ntrain.py: stopped; epochs that are done are kept: go on with --resume", file=sys.stderr)
        return 130
    return 0


def train(settings: RunSettings, corpus: Corpus, folder: Path, out: Path, *, make_current: bool) -> None:
    """The run from where it stands to a version in `out`. Raises `CorpusError`, `RunError` or `WeightsError`."""
    keras.mixed_precision.set_global_policy("mixed_bfloat16" if settings.dtype == "bfloat16" else "float32")
    start = None
    if settings.start_from is not None:
        start = floats.carry_over(Path(settings.start_from), corpus.vocabulary)
    training, _, _ = corpus.splits()
    whole = PRESETS[settings.preset]
    show.plan(whole, settings.dtype, folder)
    if settings.pretrain:
        english = read_together([Path(name) for name in settings.pretrain], corpus.vocabulary)
        pretraining = dataclasses.replace(whole.pretraining, epochs=settings.pretrain_epochs)
        preset = whole.fitted(len(english))
        start = learn(settings, preset, pretraining, corpus, english, start, folder / "pretraining").best
    preset = whole.fitted(len(corpus.text))
    reading = dataclasses.replace(whole.reading, epochs=settings.epochs)
    progress = learn(settings, preset, reading, corpus, training, start, folder)

    # The version: exported, measured, moved into the weights folder whole.
    manifest, place = release(settings, preset, corpus, progress, out)
    show.result(manifest)
    if make_current:
        activate(out, settings.name)
    print(f"{place}: {'now the current version' if make_current else 'CURRENT left as it was'}")


def learn(  # noqa: PLR0917 (the run's own values, in the order in which they come about)
    settings: RunSettings,
    preset: Preset,
    reading: Reading,
    corpus: Corpus,
    text: Indices,
    start: FloatWeights | None,
    folder: Path,
) -> Progress:
    """Reads `text` as often as `reading` says, from `start` or from a new network, or from the checkpoint in `folder`.

    Validation is on the corpus's own split. Raises `RunError` or `WeightsError`.
    """
    vocabulary = corpus.vocabulary
    _, validation, _ = corpus.splits()
    per_epoch = steps_per_epoch(len(text), preset, reading.order)

    # The model: new, or as it was left.
    keras.utils.set_random_seed(settings.seed)
    model = build_model(preset, reading, len(vocabulary), per_epoch * reading.epochs, settings.seed)
    if start is not None:
        set_float_weights(model, floats.completed(start, float_weights(model)))
    progress = load_checkpoint(folder, model)
    show.reading(len(text), reading.epochs, per_epoch, preset)

    # The loop: an epoch, its validation through the form that will be served, samples, a checkpoint.
    with show.training_bar(per_epoch, reading.epochs, progress.epochs) as bar:
        for epoch in range(progress.epochs + 1, reading.epochs + 1):
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
                    "train_bits_per_character": trained,
                    "valid_bits_per_character": validated,
                    "learning_rate": float(keras.ops.convert_to_numpy(model.optimizer.learning_rate)),
                    "seconds": time.perf_counter() - began,
                }
            )
            save_checkpoint(folder, model, progress)
            opening = random_opening(vocabulary.decode(text), random)
            texts = samples(served, vocabulary, opening, settings.temperatures, random)
            bar.epoch_done(progress, opening, texts, settings.temperatures)
    return progress


def one_epoch(model: keras.Model, fed: Iterable[Batch], bar: show.TrainingBar) -> float:
    """Reads what is fed; returns the mean training loss in bits per character, dropout included.

    Raises `RunError` when training diverges.
    """
    reset_states(model)
    nats, steps = 0.0, 0
    for inputs, targets in fed:
        nats += float(model.train_on_batch(inputs, targets))
        steps += 1
        if not math.isfinite(nats):
            raise RunError("training diverged: the loss is no number any more; begin anew with --dtype float32")
        bar.step(nats / steps / math.log(2))
    return nats / steps / math.log(2)


# ---- what is asked for ----------------------------------------------------------------------------------------------


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    summary, _, examples = (__doc__ or "").partition("\n\n")
    presets = "\n".join(f"  {preset.name:<12} {preset.description}" for preset in PRESETS.values())
    parser = argparse.ArgumentParser(
        prog="train.py",
        description=f"{summary}\n\n{examples}",
        epilog=f"recipes:\n{presets}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--corpus", type=Path, metavar="FILE", help="the text to learn, UTF-8 (default: nietzsche.txt, downloaded once)"
    )
    add("--preset", choices=PRESETS, default=DEFAULT, help=f"the recipe (default: {DEFAULT})")
    add("--epochs", type=positive, metavar="N", help="times that the text is read (default: the recipe's)")
    add("--seed", type=int, default=0, help="fixes every random choice (default: 0)")
    add(
        "--dtype",
        choices=["auto", "bfloat16", "float32"],
        default="auto",
        help="arithmetic of the matrix products (default: bfloat16 where the processor has it)",
    )
    add(
        "--temperatures",
        type=temperature,
        nargs="+",
        default=[0.2, 0.5, 1.0, 1.2],
        metavar="T",
        help="of the samples after each epoch (default: 0.2 0.5 1.0 1.2)",
    )
    add(
        "--pretrain",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="texts to read first, so that the network can spell before it meets the corpus",
    )
    add("--pretrain-epochs", type=positive, metavar="N", help="times that those are read (default: the recipe's)")
    add("--from", dest="start_from", type=Path, metavar="VERSION", help="folder of a version to start from")
    add("--out", type=Path, default=Path("weights"), metavar="FOLDER", help="the weights folder (default: weights)")
    add("--name", help="of the new version (default: corpus, recipe and time)")
    add("--no-activate", action="store_true", help="leave CURRENT as it is")
    add(
        "--resume",
        nargs="?",
        const="",
        metavar="NAME",
        help="go on with a run that was stopped (default: the last one), with the settings that it began with",
    )
    return parser.parse_args(argv)


def positive(text: str) -> int:
    """A whole number above 0. Raises `ValueError`, which argparse tells."""
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def temperature(text: str) -> float:
    """A finite number above 0. Raises `ValueError`, which argparse tells."""
    number = float(text)
    if not (math.isfinite(number) and number > 0):
        raise ValueError
    return number


def begin(arguments: argparse.Namespace) -> tuple[RunSettings, Corpus, Path]:
    """The run's settings, its text and its folder: of a new run, or of the one that is gone on with.

    Raises `CorpusError` or `RunError`.
    """
    if arguments.resume is not None:
        folder = run_to_resume(arguments.out, arguments.resume)
        settings = RunSettings.load(folder)
        corpus = corpus_of(settings.corpus)
        if corpus.sha256 != settings.corpus_sha256:
            raise RunError(f"{settings.corpus}: not the text that the run began with; begin a new run")
        return settings, corpus, folder
    corpus = corpus_of(arguments.corpus)
    stem = "".join(c if VERSION_NAME.fullmatch(c) else "-" for c in Path(corpus.name).stem).strip("-")[:40] or "text"
    name = arguments.name or f"{stem}-{arguments.preset}-{time.strftime('%Y%m%d-%H%M%S')}"
    if not VERSION_NAME.fullmatch(name):
        raise RunError(f"--name {name!r}: use letters, digits, dots, hyphens and underscores only")
    if (arguments.out / name).exists():
        raise RunError(f"{arguments.out / name}: this version exists, and versions never change; choose another --name")
    settings = RunSettings(
        name=name,
        preset=arguments.preset,
        epochs=arguments.epochs or PRESETS[arguments.preset].reading.epochs,
        seed=arguments.seed,
        dtype=processor_dtype() if arguments.dtype == "auto" else arguments.dtype,
        temperatures=tuple(arguments.temperatures),
        corpus=str(arguments.corpus.resolve()) if arguments.corpus else "",
        corpus_sha256=corpus.sha256,
        pretrain=tuple(str(path.resolve()) for path in arguments.pretrain),
        pretrain_epochs=arguments.pretrain_epochs or PRESETS[arguments.preset].pretraining.epochs,
        start_from=str(arguments.start_from.resolve()) if arguments.start_from else None,
    )
    if settings.start_from is not None:
        floats.carry_over(Path(settings.start_from), corpus.vocabulary)  # said now, not after an hour
    read_together(arguments.pretrain, corpus.vocabulary)
    folder = arguments.out / RUNS / name
    settings.save(folder)
    return settings, corpus, folder


def run_to_resume(out: Path, name: str) -> Path:
    """The folder of the named run, else of the last one that has no version yet. Raises `RunError`."""
    if name:
        return out / RUNS / name
    runs = unfinished_runs(out)
    if not runs:
        raise RunError(f"{out}: no run to go on with; without --resume a new one begins")
    return runs[-1]


def corpus_of(path: Path | str | None) -> Corpus:
    """The named text, or nietzsche.txt, downloaded the first time. Raises `CorpusError`."""
    if path:
        return read_corpus(Path(path))
    with show.download_bar() as progress:
        return default_corpus(progress)


def processor_dtype() -> str:
    """bfloat16 where the processor multiplies it (x86 AVX512_BF16 or AMX, Arm BF16), else float32."""
    try:
        flags = set(Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").split())
    except OSError:
        return "float32"
    return "bfloat16" if flags & {"avx512_bf16", "amx_bf16", "bf16"} else "float32"


if __name__ == "__main__":
    sys.exit(main())
