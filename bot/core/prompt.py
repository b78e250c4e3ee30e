"""A prompt text, from what a person typed to what a network can read."""

from __future__ import annotations

import re
from dataclasses import dataclass

from generator.types import MAX_PROMPT
from generator.weights.versions import Manifest


class PromptTooLong(ValueError):
    """The prompt has more characters than the network reads: `length` of them."""

    def __init__(self, length: int) -> None:
        super().__init__(f"the prompt has {length} characters; at most {MAX_PROMPT} are read")
        self.length = length


@dataclass(frozen=True, slots=True)
class Prompt:
    """A text of characters that the network knows, at most `MAX_PROMPT`, and what became of the others.

    `replaced` holds (typed, written) pairs, `dropped` what has no plain form. `lost`: something was typed, and
    nothing of it is left.
    """

    text: str = ""
    replaced: tuple[tuple[str, str], ...] = ()
    dropped: tuple[str, ...] = ()
    lost: bool = False


def fit_prompt(typed: str, manifest: Manifest) -> Prompt:
    """Brings what was typed to the network's vocabulary. Raises `PromptTooLong`."""
    typed = typed.strip()
    if len(typed) > MAX_PROMPT:
        raise PromptTooLong(len(typed))
    fitted = manifest.vocabulary.fit(typed)
    text = fitted.text.strip()
    if fitted.dropped:  # what stood on both sides of it must not leave two spaces
        text = re.sub(" {2,}", " ", text)
    if len(text) > MAX_PROMPT:  # a replacement may be longer than what it stands for
        raise PromptTooLong(len(text))
    replaced = tuple(
        (character, plain)
        for character, plain in fitted.replaced
        if not (manifest.lowercase and character.lower() == plain)  # everything is lower-cased there: no news
    )
    return Prompt(text, replaced, fitted.dropped, lost=bool(typed) and not text)
