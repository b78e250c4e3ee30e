"""A weights version, loaded, tested and ready to write."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from generator.errors import ModelError, WeightsError
from generator.serving.prose import PARAGRAPH_BREAK, Alphabet, ends_sentence
from generator.serving.sampling import NO_CHARACTER, draw
from generator.serving.state import KeptState
from generator.weights.session import Logits, Network, State, row_of
from generator.weights.versions import Weights, load_weights

BEGINNINGS: Final = 16
"""Sentence ends that texts without a prompt begin after; with them the first words differ from text to text."""
_WARM_UP_LEAST: Final = 60
_WARM_UP_MOST: Final = 400
"""Characters written, and thrown away, before a sentence end counts; and after which one is put there by hand."""
_WARM_UP_TEMPERATURE: Final = 0.6
_MAX_LOGIT: Final = 1e4
_TEST_ROWS: Final = 64
"""Batch size of the self-test, which feeds every character of the vocabulary once."""


@dataclass(frozen=True)
class Model:
    """What the worker needs to write with a version. `beginnings` are states at the end of a sentence."""

    weights: Weights
    network: Network
    alphabet: Alphabet
    beginnings: tuple[KeptState, ...]

    @property
    def version(self) -> str:
        """The weights version."""
        return self.weights.manifest.version

    def beginning(self, random: np.random.Generator) -> KeptState:
        """Where a text begins whose draws `random` makes: its first."""
        return self.beginnings[int(random.integers(len(self.beginnings)))]


def load_model(folder: Path, version: str | None = None, threads: int = 1) -> Model:
    """Loads a version of the weights folder (by default the current one), verifies and tests it.

    `threads` as in `Network`. Raises `WeightsError`, which names the file.
    """
    weights = load_weights(folder, version)
    vocabulary = weights.manifest.vocabulary
    name = str(weights.folder / "model.onnx")
    network = Network(weights.model, len(vocabulary), threads, name)
    alphabet = Alphabet(vocabulary)
    try:
        beginnings = _warm_up(weights, network, alphabet)
    except ModelError as error:
        raise WeightsError(f"{name}: self-test failed: {error}") from error
    return Model(weights, network, alphabet, beginnings)


def _warm_up(weights: Weights, network: Network, alphabet: Alphabet) -> tuple[KeptState, ...]:
    """Writes to the end of a sentence in several rows at once, from a zero state; also the model's self-test.

    A network started on nothing knows no place to begin from (the classic one, on blank lines, writes hundreds of
    spaces); at the end of a sentence of its own it does. Raises `ModelError` when what comes out is no text.
    """
    vocabulary = weights.manifest.vocabulary
    # Every row of the table once. The states count too: quantising hides a NaN in them from the logits.
    for first in range(0, len(vocabulary), _TEST_ROWS):
        some = np.arange(first, min(first + _TEST_ROWS, len(vocabulary)), dtype=np.int64)
        _sane(network, len(some), *network.step(some, network.zero_state(len(some))))
    random = np.random.default_rng(0)
    temperature = np.full(BEGINNINGS, _WARM_UP_TEMPERATURE)
    stop = "." if "." in vocabulary else vocabulary.characters[0]
    texts = [stop] * BEGINNINGS
    after_stop = " " if " " in vocabulary else vocabulary.characters[0]
    state = network.zero_state(BEGINNINGS)
    _, state = network.step(vocabulary.encode("".join(texts)), state)
    texts = [text + after_stop for text in texts]
    found: dict[int, KeptState] = {}
    for written in range(_WARM_UP_MOST):
        logits, state = network.step(vocabulary.encode("".join(text[-1] for text in texts)), state)
        _sane(network, BEGINNINGS, logits, state)
        for row, text in enumerate(texts):
            if text[-PARAGRAPH_BREAK:].isspace() and len(text) >= PARAGRAPH_BREAK:
                logits[row, alphabet.space] = -np.inf
        drawn = draw(logits, temperature, random.random(BEGINNINGS))
        if (drawn == NO_CHARACTER).any():
            raise ModelError("its logits are no distribution")
        for row, character in enumerate(vocabulary.decode(drawn)):
            if row not in found and written >= _WARM_UP_LEAST and character.isspace() and ends_sentence(texts[row]):
                found[row] = KeptState(weights.manifest.version, row_of(state, row), character)
            texts[row] += character
        if len(found) == BEGINNINGS:
            break
    else:
        _, state = network.step(vocabulary.encode(stop * BEGINNINGS), state)
    version = weights.manifest.version
    return tuple(found.get(row) or KeptState(version, row_of(state, row), after_stop) for row in range(BEGINNINGS))


def _sane(network: Network, rows: int, logits: Logits, state: State) -> None:
    shapes = [(rows, network.symbols), *((rows, *spec.shape) for spec in network.specs)]
    if [array.shape for array in (logits, *state)] != shapes:
        raise ModelError("its logits or its state have not the shapes that it declares")
    if not np.isfinite(logits).all() or np.abs(logits).max() > _MAX_LOGIT:
        raise ModelError("its logits are no finite numbers of a sensible size")
    if not all(np.isfinite(array).all() for array in state):
        raise ModelError("its state holds no finite numbers")
