"""How fast texts are generated, against the loop of character-level examples.

    python -m benchmarks.generation [--json FILE] [--weights FOLDER] [--rounds N]

Everything is measured in one run, in turns, and the medians are shown. Ratios are per round, so that other work on the
machine counts on both sides; a run during which other work took more than 5 % of the processors says that it is not
valid, and exits with 1. Needs the `train` extra, for the classic loop.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks import machine
from benchmarks.engine import STREAMS, characters_per_second, open_scheduler
from benchmarks.training_extra import keras, onnx
from generator.serving.loading import load_model
from generator.serving.model import Model
from generator.training.architectures import architecture_of
from generator.training.architectures.stacked import layers_of
from generator.training.model import build_model, from_bytes, set_float_weights
from generator.training.presets import PRESETS
from generator.weights.manifest import FLOAT_WEIGHTS, MODEL
from generator.weights.versions import shipped_folder

CLASSIC_CHARACTERS = 150
MATRIX_PRODUCTS = 100


def main() -> int:
    """Prints the table and writes the JSON. Returns 1 when the run is not valid."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    parser.add_argument("--weights", type=Path, default=shipped_folder(), metavar="FOLDER")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()

    model = load_model(arguments.weights)
    scheduler = open_scheduler(model)
    contenders: dict[str, Callable[[], float]] = {
        "classic": classic_loop(model),
        "one": lambda: characters_per_second(scheduler, 1),
        "many": lambda: characters_per_second(scheduler, STREAMS),
        "bandwidth": bytes_per_second(model),
    }
    for measure in contenders.values():
        measure()  # to warm up
    rounds, disturbed = [], []
    for _ in range(arguments.rounds):
        figures = {}
        for name, measure in contenders.items():
            disturbed.append(machine.disturbance())
            figures[name] = measure()
        rounds.append(figures)
    scheduler.close(deadline=0)
    starts = [first_character(arguments.weights) for _ in range(arguments.rounds)]
    disturbed.append(machine.disturbance())
    problem = machine.verdict(disturbed)

    def median(value: Callable[[dict[str, float]], float]) -> float:
        return statistics.median(value(figures) for figures in rounds)

    per_character = weight_bytes(model)
    results = {
        "valid": not problem,
        "disturbance": max(disturbed),
        "instruction_set": machine.instruction_set(),
        "one_stream_characters_per_second": median(lambda f: f["one"]),
        "many_streams_characters_per_second": median(lambda f: f["many"]),
        "one_stream_ratio": median(lambda f: f["one"] / f["classic"]),
        "many_streams_ratio": median(lambda f: f["many"] / f["classic"]),
        "memory_bound_fraction": median(lambda f: f["one"] * per_character / f["bandwidth"]),
        "startup_seconds": statistics.median(seconds for seconds, _ in starts),
        "peak_rss_mb": statistics.median(megabytes for _, megabytes in starts),
    }
    print(f"weights {model.version}, {machine.describe()}, medians of {arguments.rounds} rounds\n")
    rows = [
        ("classic loop: eager Keras, one stream", f"{median(lambda f: f['classic']):,.0f} characters/s", ""),
        ("one stream", f"{median(lambda f: f['one']):,.0f} characters/s", f"{results['one_stream_ratio']:.0f} ×"),
        (
            f"{STREAMS} streams together",
            f"{median(lambda f: f['many']):,.0f} characters/s",
            f"{results['many_streams_ratio']:.0f} ×",
        ),
        (
            "one stream: weights read, of the memory's speed",
            f"{median(lambda f: f['one']) * per_character / 1e9:.1f} of "
            f"{median(lambda f: f['bandwidth']) / 1e9:.1f} GB/s",
            f"{results['memory_bound_fraction']:.0%}",
        ),
        ("process start to first character", f"{results['startup_seconds']:.2f} s", ""),
        ("peak memory of that process", f"{results['peak_rss_mb']:.0f} MB", ""),
    ]
    for what, figure, ratio in rows:
        print(f"{what:<50}{figure:>24}{ratio:>9}")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    if problem:
        print(f"\n{problem}")
    return int(bool(problem))


def classic_loop(model: Model) -> Callable[[], float]:
    """The loop of the old examples, with the same weights: one call of the stateful Keras model per character."""
    network = keras_network(model)
    random = keras.random.SeedGenerator(0)

    def measure() -> float:
        character = keras.ops.zeros((1, 1), dtype="int32")
        began = time.perf_counter()
        for _ in range(CLASSIC_CHARACTERS):
            logits = network(character)[:, -1] / 0.7
            character = keras.random.categorical(logits, 1, dtype="int32", seed=random)
        return CLASSIC_CHARACTERS / (time.perf_counter() - began)

    return measure


def keras_network(model: Model) -> keras.Model:
    """The version's network in Keras, one character at a time: of Keras's own layers if it has no others."""
    folder = model.weights.folder
    weights = from_bytes((folder / FLOAT_WEIGHTS).read_bytes(), (folder / MODEL).read_bytes())
    if architecture_of(weights) != "lstm":
        preset = replace(PRESETS[model.weights.manifest.preset], batch=1, steps=1)
        network = build_model(preset, preset.training, model.vocabulary, 1, seed=0)
        set_float_weights(network, weights)
        return network
    layers = layers_of("lstm", weights)
    network = keras.Sequential(
        [
            keras.Input(batch_shape=(1, 1), dtype="int32"),
            keras.layers.Embedding(*weights["embedding"].shape),
            *(keras.layers.LSTM(len(recurrent), return_sequences=True, stateful=True) for _, recurrent, _ in layers),
            keras.layers.Dense(len(weights["output_bias"])),
        ]
    )
    parts = itertools.chain.from_iterable(layers)
    network.set_weights([weights["embedding"], *parts, weights["output_kernel"], weights["output_bias"]])
    return network


def bytes_per_second(model: Model) -> Callable[[], float]:
    """Measures what a float32 matrix–vector product of the recurrent matrix's shape reads, by NumPy's BLAS."""
    units = model.network.specs[0].shape[0]
    matrix = np.random.default_rng(0).normal(size=(4 * units, units)).astype(np.float32)
    vector = np.ones(units, np.float32)
    out = np.empty(4 * units, np.float32)

    def measure() -> float:
        began = time.perf_counter()
        for _ in range(MATRIX_PRODUCTS):
            np.matmul(matrix, vector, out=out)
        return matrix.nbytes * MATRIX_PRODUCTS / (time.perf_counter() - began)

    return measure


def weight_bytes(model: Model) -> int:
    """Returns the bytes of weights that one step reads: the integer matrices whole, of each table what is looked up."""
    graph = onnx.load(model.weights.folder / MODEL).graph
    tables = {node.input[0] for node in graph.node if node.op_type == "Gather"}
    arrays = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    return sum(array[0].nbytes if name in tables else array.nbytes for name, array in arrays.items())


def first_character(weights: Path) -> tuple[float, float]:
    """Returns the seconds from starting `python -m bot generate` to its first character, and its peak memory in MB."""
    command = [sys.executable, "-m", "bot", "generate", "--weights", str(weights), "--length", "1", "--seed", "1"]
    # Linux counts the memory of the process that forks towards the child's peak, so a small one has to start it.
    launched = subprocess.run([sys.executable, "-c", _LAUNCHER, *command], stdout=subprocess.PIPE, check=True)
    seconds, kilobytes = json.loads(launched.stdout)
    return seconds, kilobytes / 1024


_LAUNCHER = """
import json, resource, subprocess, sys, time
began = time.perf_counter()
with subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE) as process:
    first = process.stdout.read(1)
    seconds = time.perf_counter() - began
    process.stdout.read()
if process.returncode or not first:
    sys.exit(f"{sys.argv[1:]} failed")
print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss]))
"""


if __name__ == "__main__":
    sys.exit(main())
