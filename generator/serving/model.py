"""A weights version, loaded and ready to generate."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from generator.serving.constraints import WritingRules
from generator.serving.state import ModelId, SavedState
from generator.vocabulary import Vocabulary
from generator.weights.manifest import MODEL
from generator.weights.session import Network
from generator.weights.versions import Weights


@dataclass(frozen=True, eq=False)
class Model:
    """What the scheduler needs to generate with a version. `initial_states` are states at the end of a sentence."""

    weights: Weights
    network: Network
    rules: WritingRules
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
    def id(self) -> ModelId:
        """What its saved states are matched by."""
        return ModelId(self.version, self.weights.manifest.files[MODEL])

    def initial_state(self, random: np.random.Generator) -> SavedState:
        """Returns where a text starts; takes the first number of the text's `random`."""
        return self.initial_states[int(random.integers(len(self.initial_states)))]
