"""Networks side by side, a row each: quality, size, seconds per epoch, characters per second.

    python -m benchmarks.lineage --corpus nietzsche.txt VERSION… [--rounds N]

A VERSION is a folder, such as weights/nietzsche-best. Bits per character are those of its manifest, of what is served.
Seconds per epoch are those of its preset on the corpus, estimated from steps timed here, on the backend of Keras that
is set. Characters per second are of one stream and of 32 through the bot's own scheduler. Versions take turns; medians.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks import machine
from benchmarks.engine import STREAMS, characters_per_second, open_scheduler
from benchmarks.training_extra import keras
from generator.serving.loading import load_model
from generator.training.corpus import batches, read_corpus, steps_per_epoch
from generator.training.model import build_model
from generator.training.presets import PRESETS
from generator.weights.versions import load_weights

TIMED_STEPS = 6


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--corpus", type=Path, required=True, metavar="FILE")
    parser.add_argument("versions", type=Path, nargs="+", metavar="VERSION")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    one: dict[Path, list[float]] = {version: [] for version in arguments.versions}
    many: dict[Path, list[float]] = {version: [] for version in arguments.versions}
    schedulers = {version: open_scheduler(load_model(version.parent, version.name)) for version in arguments.versions}
    for number in range(arguments.rounds + 1):
        for version, scheduler in schedulers.items():
            found = characters_per_second(scheduler, 1), characters_per_second(scheduler, STREAMS)
            if number:  # the first round warms up
                one[version].append(found[0])
                many[version].append(found[1])
    for scheduler in schedulers.values():
        scheduler.close(deadline=0)

    print(f"{machine.describe()}\n")
    columns = "version", "validation", "test", "parameters", "s/epoch", "1 stream", f"{STREAMS} streams"
    print("{:<24}{:>11}{:>8}{:>12}{:>9}{:>10}{:>12}".format(*columns))
    for version in arguments.versions:
        manifest = load_weights(version.parent, version.name).manifest
        metrics = manifest.metrics
        print(
            f"{version.name:<24}{metrics['valid_bits_per_character']:>11.4f}{metrics['test_bits_per_character']:>8.4f}"
            f"{manifest.parameters:>12,}{seconds_per_epoch(manifest.preset, arguments.corpus):>9.0f}"
            f"{statistics.median(one[version]):>10,.0f}{statistics.median(many[version]):>12,.0f}"
        )
    return 0


def seconds_per_epoch(name: str, path: Path) -> float:
    """Estimates an epoch of the preset on the corpus, without validation and samples."""
    preset = PRESETS[name]
    corpus = read_corpus(path, lowercase=preset.lowercase)
    text, _, _ = corpus.splits
    steps = steps_per_epoch(len(text), preset, preset.training.order)
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    model = build_model(preset, preset.training, corpus.vocabulary, steps * preset.training.epochs, seed=0)
    batch = next(iter(batches(text, preset, preset.training.order, np.random.default_rng(0))))
    model.train_on_batch(*batch)  # compiles it
    began = time.perf_counter()
    for _ in range(TIMED_STEPS):
        model.train_on_batch(*batch)
    return (time.perf_counter() - began) / TIMED_STEPS * steps


if __name__ == "__main__":
    sys.exit(main())
