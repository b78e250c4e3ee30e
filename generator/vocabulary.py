"""The characters of a network, and how other characters are mapped to them."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]

_PLAIN_FORMS: Final[dict[str, str]] = {
    "‘": "'", "’": "'", "‚": "'", "‛": "'", "′": "'", "´": "'", "`": "'",
    "“": '"', "”": '"', "„": '"', "‟": '"', "″": '"', "«": '"', "»": '"',
    "‐": "-", "‑": "-", "‒": "-", "–": "-", "—": "--", "―": "--", "−": "-",
    "…": "...", "•": "-", "·": ".", "×": "x", "ß": "ss", "ẞ": "SS",
    "Æ": "AE", "æ": "ae", "Œ": "OE", "œ": "oe", "Ø": "O", "ø": "o", "Đ": "D", "đ": "d", "Ð": "D", "ð": "d",
    "Ł": "L", "ł": "l", "Þ": "Th", "þ": "th", "ı": "i",
}  # fmt: skip
"""Plain spellings of what Unicode's compatibility decomposition leaves as it is."""
_MARKS: Final = {'"': ("„“«", "”»“"), "'": ("‘’", "’")}
"""What stands for a plain quotation mark, or an apostrophe, in a book that has none: where it opens, and elsewhere."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A text mapped to a vocabulary: the result, what was replaced by what, and what had no plain form."""

    text: str
    replaced: tuple[tuple[str, str], ...]
    dropped: tuple[str, ...]


class Vocabulary:
    """The distinct characters in index order. Raises `ValueError` when one occurs twice or there are none."""

    def __init__(self, characters: str) -> None:
        self.characters: Final = characters
        self._index = {character: i for i, character in enumerate(characters)}
        if not characters or len(self._index) != len(characters):
            raise ValueError("a vocabulary is one string of distinct characters, at least one")

    @classmethod
    def of(cls, text: Iterable[str]) -> Vocabulary:
        """Returns the vocabulary of a text, in code point order."""
        return cls("".join(sorted(set(text))))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and other.characters == self.characters

    def __hash__(self) -> int:
        return hash(self.characters)

    def __len__(self) -> int:
        return len(self.characters)

    def __contains__(self, character: str) -> bool:
        return character in self._index

    def encode(self, text: str) -> Indices:
        """Returns indices, int64 `[len(text)]`. Raises `KeyError` with a character that is not in the vocabulary."""
        return np.fromiter(map(self._index.__getitem__, text), np.int64, len(text))

    def decode(self, indices: Iterable[int]) -> str:
        """Returns the text of indices, the inverse of `encode`."""
        return "".join(self.characters[i] for i in indices)

    def fit(self, text: str) -> Fitted:
        """Maps every character outside the vocabulary to its nearest plain form, or drops it.

        Tried in order: the text's composed form, a plain spelling (a typographic quote), the compatibility
        decomposition without accents, the other case, the book's quotation mark. Invisible characters are dropped and
        not reported.
        """
        out: list[str] = []
        replaced: dict[str, str] = {}
        dropped: dict[str, None] = {}
        for character in self._composed(text):
            plain = character if character in self else self._plain(character)
            if plain is None and (marks := _MARKS.get(_PLAIN_FORMS.get(character, character))):
                plain = next((mark for mark in marks[not _opens(character, out)] if mark in self), None)
            if plain is None:
                if unicodedata.category(character) not in {"Cc", "Cf", "Mn", "Me", "Cs"}:
                    dropped[character] = None
                continue
            if plain != character and not character.isspace():
                replaced[character] = plain
            out.append(plain)
        return Fitted("".join(out), tuple(replaced.items()), tuple(dropped))

    def _composed(self, text: str) -> Iterator[str]:
        """Yields the characters of `text`, with accents composed where the vocabulary has only that form."""
        clusters: list[str] = []
        for character in text:
            if clusters and unicodedata.combining(character):
                clusters[-1] += character
            else:
                clusters.append(character)
        for cluster in clusters:
            known = all(character in self for character in cluster)
            yield from cluster if known else unicodedata.normalize("NFC", cluster)

    def _plain(self, character: str) -> str | None:
        spelt = " " if character.isspace() else _PLAIN_FORMS.get(character)
        if spelt is None:
            decomposed = unicodedata.normalize("NFKD", character)
            spelt = "".join(_PLAIN_FORMS.get(c, c) for c in decomposed if not unicodedata.combining(c))
        case = character.lower(), spelt.lower(), character.upper(), spelt.upper()
        for candidate in (unicodedata.normalize("NFD", character), spelt, *case):
            if candidate and all(c in self for c in candidate):
                return candidate
        return None


def _opens(mark: str, before: list[str]) -> bool:
    """Whether a quotation mark opens: a typographic one says so, a plain one does at the beginning of a word."""
    category = unicodedata.category(mark)
    if category == "Po":
        return not before or before[-1].isspace() or unicodedata.category(before[-1][-1]) in {"Ps", "Pi", "Pd"}
    return category != "Pf"
