"""Loading a weights version: verified, tested, and with states to start texts from."""

from __future__ import annotations

import contextlib
import ctypes
import timeit
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from generator.errors import ModelError, WeightsError
from generator.sampling_params import SamplingParams
from generator.serving.batch import Batch, Job
from generator.serving.constraints import WritingRules
from generator.serving.model import Model
from generator.serving.state import SavedState
from generator.types import Continuation, Generation, GenerationRequest
from generator.weights.manifest import MODEL
from generator.weights.session import Network, cores, state_row
from generator.weights.versions import load_weights

INITIAL_STATES: Final = 16
"""Sentence ends that texts without a prompt start after; with them the first words differ from text to text."""
_LENGTH: Final = 100
"""Characters that are generated, and thrown away, before such a sentence end."""
_TEMPERATURE: Final = 0.6
_MAX_LOGIT: Final = 1e4
_TEST_ROWS: Final = 64
"""Batch size of the self-test, which feeds every character of the vocabulary once."""
_TIMED_STEPS: Final = 20
_SHORT_STEP: Final = 2e-4
"""Seconds. On an EPYC (Zen 4, AVX-512 VNNI) 1.1e-4 were measured, on a machine where the second thread helps 5.5e-4."""


def load_model(folder: Path, version: str | None = None) -> Model:
    """Loads a version of the weights folder (by default the current one), verifies and tests it.

    Raises `WeightsError`, which names the file.
    """
    weights = load_weights(folder, version)
    manifest = weights.manifest
    vocabulary = manifest.vocabulary
    rules = WritingRules(
        vocabulary,
        hard_wrapped=manifest.hard_wrapped,
        ends_at_lines=manifest.ends_at_lines,
        sentence_length=manifest.sentence_length,
    )
    try:
        network = _load_network(weights.folder / MODEL, len(vocabulary))
        space = " " if " " in vocabulary else vocabulary.characters[0]
        zero = SavedState(state_row(network.zero_state(1), 0), space)
        model = Model(weights, network, rules, (zero,))
        return replace(model, initial_states=_initial_states(model))
    except ModelError as error:
        raise WeightsError(f"{weights.folder / MODEL}: self-test failed: {error}") from error


def _load_network(place: Path, symbols: int) -> Network:
    """Loads a network and tests it.

    Where a step is long, a second thread makes that of a lone text 1.3 to 1.7 times as fast. Where it is short, to wake
    the thread takes longer than it saves, and many texts are written slower (docs/benchmarks.md).
    """
    network = Network(place, symbols)
    _test_every_character(network)
    if cores() == 1 or _seconds_per_step(network) < _SHORT_STEP:
        return network
    del network  # before the other one takes as much memory
    network = Network(place, symbols, threads=2)
    with contextlib.suppress(AttributeError):  # not glibc, which keeps 30 MB otherwise
        ctypes.CDLL(None).malloc_trim(0)
    return network


def _seconds_per_step(network: Network) -> float:
    """Returns the time of a lone text's step, the least of many."""
    characters, state = np.zeros(1, np.int64), network.zero_state(1)
    return min(timeit.repeat(lambda: network.step(characters, state), number=1, repeat=_TIMED_STEPS))


def generate(model: Model, requests: Iterable[GenerationRequest]) -> list[Generation]:
    """Generates texts in one batch, in this thread. Raises `ModelError`."""
    batch, jobs = Batch(model), [Job(request, model) for request in requests]
    for job in jobs:
        batch.add(job)
    while batch.jobs:
        for job, outcome in batch.step():
            job.resolve(outcome)
    return [job.future.result() for job in jobs]


def _test_every_character(network: Network) -> None:
    """Feeds every row of the table once. Checks the states too: quantising hides a NaN in them from the logits."""
    for first in range(0, network.symbols, _TEST_ROWS):
        some = np.arange(first, min(first + _TEST_ROWS, network.symbols), dtype=np.int64)
        logits, state = network.step(some, network.zero_state(len(some)))
        shapes = [(len(some), network.symbols), *((len(some), *spec.shape) for spec in network.specs)]
        if [array.shape for array in (logits, *state)] != shapes:
            raise ModelError("its logits or its state have not the shapes that it declares")
        if not np.isfinite(logits).all() or np.abs(logits).max() > _MAX_LOGIT:
            raise ModelError("its logits are no finite numbers of a sensible size")
        if not all(np.isfinite(array).all() for array in state):
            raise ModelError("its state holds no finite numbers")


def _initial_states(model: Model) -> tuple[SavedState, ...]:
    """Generates from a zero state to the end of a sentence, in several rows at once.

    A zero state is no place to start from (the classic network, trained on blank lines, writes hundreds of spaces);
    the end of a sentence of the network's own is. Raises `ModelError` when what comes out is no text.
    """
    vocabulary = model.vocabulary
    start = Continuation(b"", "." if "." in vocabulary else vocabulary.characters[0])
    sampling = SamplingParams(_TEMPERATURE)
    requests = [GenerationRequest(_LENGTH, i, sampling, continuation=start) for i in range(INITIAL_STATES)]
    states = [SavedState.from_bytes(text.state, model.id, model.network.specs) for text in generate(model, requests)]
    # Verse, a chat and code begin with a new line; nothing begins with a character that was already drawn.
    anew = model.rules.ends_at_lines
    space = "\n" if anew else " "
    if space not in vocabulary:
        return tuple(states)
    return tuple(replace(state, pending=space) if anew or not state.pending.isspace() else state for state in states)
