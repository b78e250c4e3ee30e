"""Loading a weights version: verified, tested, and with states to start texts from."""

from __future__ import annotations

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
from generator.weights.session import Network
from generator.weights.versions import load_weights

INITIAL_STATES: Final = 16
"""Sentence ends that texts without a prompt start after; with them the first words differ from text to text."""
_LENGTH: Final = 100
"""Characters that are generated, and thrown away, before such a sentence end."""
_TEMPERATURE: Final = 0.6
_MAX_LOGIT: Final = 1e4
_TEST_ROWS: Final = 64
"""Batch size of the self-test, which feeds every character of the vocabulary once."""


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
        network = Network(weights.folder / MODEL, len(vocabulary))
        _test_every_character(network)
        space = " " if " " in vocabulary else vocabulary.characters[0]
        zero = SavedState(network.zero_row(), space)
        model = Model(weights, network, rules, (zero,))
        return replace(model, initial_states=_initial_states(model))
    except ModelError as error:
        raise WeightsError(f"{weights.folder / MODEL}: self-test failed: {error}") from error


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
