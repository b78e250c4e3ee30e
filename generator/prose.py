"""What makes sampled characters a text: where a sentence ends, what may come next, how it is shown."""

from __future__ import annotations

import re
from typing import Final

import numpy as np
from numpy.typing import NDArray

from generator.vocabulary import Vocabulary

PARAGRAPH_BREAK: Final = 2
"""Characters of white space in the longest run that a text may hold: an empty line."""
_SENTENCE_END: Final = re.compile(r"(?:^|[^\w.])(?P<word>[^\W\d_](?:[^\W\d_]|['’-])*[^\W\d_])[.!?…]+[\"'”’)\]_]*$")
"""A word of at least two letters, its full stop, closing marks: not an initial, not the number of a section."""
_ABBREVIATIONS: Final = frozenset({"mr", "mrs", "ms", "dr", "st", "vol", "cf", "vs", "viz", "ch", "pp", "ed", "fig"})
LOOK_BACK: Final = 40
"""Characters before a white space that are looked at: more than the longest English word and its marks."""
_BROKEN_LINE: Final = re.compile(r"(?<=-)[ \t]*\n[ \t]*(?=\S)")


class Alphabet:
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


def ends_sentence(text: str) -> bool:
    """Whether `text`, which white space follows, ends at the end of a sentence."""
    match = _SENTENCE_END.search(text[-LOOK_BACK:])
    return match is not None and match["word"].lower() not in _ABBREVIATIONS


def presentable(text: str, *, hard_wrapped: bool) -> str:
    """`text` as a person should read it: no blank edges, and one line per paragraph where the corpus was wrapped."""
    if hard_wrapped:
        paragraphs = re.split(r"\n[ \t]*\n\s*", text.strip())
        return "\n\n".join(" ".join(_BROKEN_LINE.sub("", paragraph).split()) for paragraph in paragraphs)
    return "\n".join(line.rstrip() for line in text.strip().split("\n"))


def _mask(flags: object) -> NDArray[np.bool_]:
    return np.array(list(flags), np.bool_)  # type: ignore[call-overload]
