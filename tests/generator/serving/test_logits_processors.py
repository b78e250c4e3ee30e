"""Rules about the next character, without a network: what they forbid, and that they never forbid everything."""

from __future__ import annotations

import random
import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from generator import Vocabulary
from generator.serving.logits_processors import RepeatedNgrams, TokenMasks, forbid

VOCABULARY = Vocabulary("\n !\"'(),-.:;?_187ABabcdefghijklmnopqrstuvwxyz")
MASKS = TokenMasks(VOCABULARY)


def forbidden_after(text: str) -> str:
    """The characters that the text must not go on with."""
    rule = RepeatedNgrams(MASKS, text)
    logits = np.zeros(len(VOCABULARY), np.float32)
    if rule.is_active:
        rule.process(logits)
    return "".join(c for c, logit in zip(VOCABULARY.characters, logits, strict=True) if logit)


@pytest.mark.parametrize(
    ("text", "forbidden"),
    [
        ("a b c d. A b c ", "d"),
        ("a b c d. A B  c, ", "d"),
        ("a b c d. A b c", ""),
        ("a b c d. x b c ", ""),
        ("a b c d e b c d ", "e"),
        ("a b c art; a b c bell; a b c ", "ABab"),
        ("a b c 187. d; a b c ", "d"),
        ("ha ha ha ", ""),
        ("ha ha ha ha ", "h"),
        ("the good man's will; the good man", "'-"),
        ("the good man's will; the good man ", "s"),
        ("the good man--will; the good man", ""),
        ("self-love is good self-love is ", "g"),
    ],
)
def test_what_would_repeat_four_words_is_forbidden(text: str, forbidden: str) -> None:
    assert forbidden_after(text) == forbidden


@given(st.integers(0, 2**32), st.integers(2, 5), st.sampled_from([" ", " ", "-", "'", ", ", ".\n", "--", " (8) "]))
def test_a_text_that_keeps_to_the_rule_never_repeats_four_words(seed: int, words: int, between: str) -> None:
    """A text out of very few words, each of its own letter, as far as the rule lets it go on."""
    draw = random.Random(seed)
    known = [letter * draw.randint(1, 3) for letter in "abcde"[:words]]
    rule, text = RepeatedNgrams(MASKS, ""), ""
    for _ in range(200):
        logits = np.full(len(VOCABULARY), -np.inf, np.float32)
        logits[VOCABULARY.encode("".join({word[0] for word in known}))] = 0.0
        if text and not text[-1].isalpha() and rule.is_active:
            rule.process(logits)
        allowed = [word for word in known if logits[VOCABULARY.characters.index(word[0])] > -np.inf]
        word = draw.choice(allowed)
        before = repeated(text)
        separator = draw.choice([between, " "])
        for character in word + separator:
            rule.append(character)
        text += word + separator
        if repeated(text) > before:
            # Every word would have repeated something: then the rule gives way.
            assert len(allowed) == len(known)
            break


def repeated(text: str) -> int:
    words = re.findall(r"[^\W\d_]+", text.lower())
    return sum(count - 1 for count in Counter(zip(*(words[i:] for i in range(4)), strict=False)).values())


def test_a_rule_that_would_forbid_everything_forbids_nothing() -> None:
    logits = np.array([1.0, -np.inf, 2.0], np.float32)
    forbid(logits, np.array([True, False, True]))
    assert logits.tolist() == [1.0, -np.inf, 2.0]
    forbid(logits, np.array([True, False, False]))
    assert logits.tolist() == [-np.inf, -np.inf, 2.0]


@pytest.mark.parametrize("characters", ["a", " ", "ab", "a1", "-'", " \n", "."])
def test_no_vocabulary_is_so_small_that_nothing_may_be_written(characters: str) -> None:
    masks = TokenMasks(Vocabulary(characters))
    assert not masks.not_first.all()
    assert not masks.not_after_prompt.all()
