"""A weights version, loaded, tested and ready to generate."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np

from generator.errors import ModelError, WeightsError
from generator.prose import PARAGRAPH_BREAK, ends_sentence
from generator.serving.constraints import WritingRules
from generator.serving.logits_processors import TokenMasks
from generator.serving.sampling import NO_CHARACTER, draw
from generator.serving.state import ModelId, SavedState
from generator.vocabulary import Vocabulary
from generator.weights.manifest import MODEL
from generator.weights.session import Logits, Network, State, state_row
from generator.weights.versions import Weights, load_weights

INITIAL_STATES: Final = 16
"""Sentence ends that texts without a prompt start after; with them the first words differ from text to text."""
_SHORTEST: Final = 60
_LONGEST: Final = 400
"""Characters that are generated, and thrown away, before a sentence end counts; and after which one is inserted."""
_TEMPERATURE: Final = 0.6
_MAX_LOGIT: Final = 1e4
_TEST_ROWS: Final = 64
"""Batch size of the self-test, which feeds every character of the vocabulary once."""


@dataclass(frozen=True)
class Model:
    """What the scheduler needs to generate with a version. `initial_states` are states at the end of a sentence."""

    weights: Weights
    network: Network
    masks: TokenMasks
    initial_states: tuple[SavedState, ...]

    @property
    def version(self) -> str:
        """The weights version."""
        return self.weights.manifest.version

    @property
    def vocabulary(self) -> Vocabulary:
        """The characters of the network."""
        return self.weights.manifest.vocabulary

    @cached_property
    def rules(self) -> WritingRules:
        """What texts over its vocabulary must not write next."""
        return WritingRules(self.vocabulary)

    @cached_property
    def id(self) -> ModelId:
        """What its saved states are matched by."""
        return ModelId(self.version, self.weights.manifest.files[MODEL])

    def initial_state(self, random: np.random.Generator) -> SavedState:
        """Returns where a text starts; takes the first number of the text's `random`."""
        return self.initial_states[int(random.integers(len(self.initial_states)))]


def load_model(folder: Path, version: str | None = None) -> Model:
    """Loads a version of the weights folder (by default the current one), verifies and tests it.

    Raises `WeightsError`, which names the file.
    """
    weights = load_weights(folder, version)
    vocabulary = weights.manifest.vocabulary
    name = str(weights.folder / MODEL)
    network = Network(weights.model, len(vocabulary), name)
    masks = TokenMasks(vocabulary)
    try:
        _test_every_character(network)
        initial_states = _initial_states(vocabulary, network, masks)
    except ModelError as error:
        raise WeightsError(f"{name}: self-test failed: {error}") from error
    return Model(weights, network, masks, initial_states)


def _test_every_character(network: Network) -> None:
    """Feeds every row of the table once. Checks the states too: quantising hides a NaN in them from the logits."""
    for first in range(0, network.symbols, _TEST_ROWS):
        some = np.arange(first, min(first + _TEST_ROWS, network.symbols), dtype=np.int64)
        _check_step(network, len(some), *network.step(some, network.zero_state(len(some))))


def _initial_states(vocabulary: Vocabulary, network: Network, masks: TokenMasks) -> tuple[SavedState, ...]:
    """Generates from a zero state to the end of a sentence, in several rows at once.

    A zero state is no place to start from (the classic network, trained on blank lines, writes hundreds of spaces);
    the end of a sentence of the network's own is. Raises `ModelError` when what comes out is no text.
    """
    random = np.random.default_rng(0)
    temperature = np.full(INITIAL_STATES, _TEMPERATURE)
    stop = "." if "." in vocabulary else vocabulary.characters[0]
    texts = [stop] * INITIAL_STATES
    after_stop = " " if " " in vocabulary else vocabulary.characters[0]
    state = network.zero_state(INITIAL_STATES)
    _, state = network.step(vocabulary.encode("".join(texts)), state)
    texts = [text + after_stop for text in texts]
    found: dict[int, SavedState] = {}
    for written in range(_LONGEST):
        logits, state = network.step(vocabulary.encode("".join(text[-1] for text in texts)), state)
        _check_step(network, INITIAL_STATES, logits, state)
        for row, text in enumerate(texts):
            if text[-PARAGRAPH_BREAK:].isspace() and len(text) >= PARAGRAPH_BREAK:
                logits[row, masks.space] = -np.inf
        drawn = draw(logits, temperature, random.random(INITIAL_STATES))
        if (drawn == NO_CHARACTER).any():
            raise ModelError("its logits are no distribution")
        for row, character in enumerate(vocabulary.decode(drawn)):
            if row not in found and written >= _SHORTEST and character.isspace() and ends_sentence(texts[row]):
                found[row] = SavedState(state_row(state, row), character)
            texts[row] += character
        if len(found) == INITIAL_STATES:
            break
    else:
        _, state = network.step(vocabulary.encode(stop * INITIAL_STATES), state)
    return tuple(found.get(row) or SavedState(state_row(state, row), after_stop) for row in range(INITIAL_STATES))


def _check_step(network: Network, rows: int, logits: Logits, state: State) -> None:
    shapes = [(rows, network.symbols), *((rows, *spec.shape) for spec in network.specs)]
    if [array.shape for array in (logits, *state)] != shapes:
        raise ModelError("its logits or its state have not the shapes that it declares")
    if not np.isfinite(logits).all() or np.abs(logits).max() > _MAX_LOGIT:
        raise ModelError("its logits are no finite numbers of a sensible size")
    if not all(np.isfinite(array).all() for array in state):
        raise ModelError("its state holds no finite numbers")
