"""Changes to the logits of the next character, so that characters become a text. All work in place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from generator.vocabulary import Vocabulary


class TokenMasks:
    """Which characters of a vocabulary may stand where, as masks over it, bool `[vocabulary]`."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        characters = vocabulary.characters
        self.space = _mask(c.isspace() for c in characters)
        self.stop = _mask(c in ".!?…" for c in characters)
        self._after_word = _mask(not c.isalnum() for c in characters)
        capital = _mask(c.isupper() for c in characters)
        letter = _mask(c.isalpha() for c in characters)
        first = capital if capital.any() else letter if letter.any() else ~self.space
        self.not_first = ~first
        """What a text must not begin with; a vocabulary of nothing but white space forbids nothing."""
        if self.not_first.all():
            self.not_first = ~self.not_first

    def ends_word(self, logits: NDArray[np.float32]) -> bool:
        """Whether the network rather ends the word here than goes on with it, by its logits `[vocabulary]`."""
        weights = np.exp(logits - logits.max())
        return bool(weights[self._after_word].sum() > weights.sum() / 2)


def _mask(flags: object) -> NDArray[np.bool_]:
    return np.array(list(flags), np.bool_)  # type: ignore[call-overload]
