"""The rules about marks, words and numbers, and the temperatures that a text is drawn at."""

from __future__ import annotations

import random
import re
import sys
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from generator import GenerationRequest, SamplingParams
from generator.serving.constraints import Constraints, WritingRules
from generator.serving.loading import load_model
from generator.serving.model import Model
from generator.serving.sampling import column, draw, letter_temperature, word_temperature
from generator.serving.scheduler import Scheduler
from generator.vocabulary import Vocabulary
from generator.weights.versions import shipped_folder

VOCABULARY = Vocabulary.of("\n !\"'(),-.0123456789:;=?[]_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ“”")
RULES = WritingRules(VOCABULARY)
EVEN = np.zeros(len(VOCABULARY), np.float32)


def after(text: str, rules: WritingRules = RULES, **settings: Any) -> Constraints:
    """The constraints of a text, told of what it has to be told of, as a sequence does."""
    found = Constraints(rules, **settings)
    for character in text:
        if len(found.text) < found.due and character.isalpha():
            found.text.append(character)
        else:
            found.append(character)
    return found


def allowed(before: str, *, may_open: bool = True, vocabulary: Vocabulary = VOCABULARY) -> set[str]:
    """The characters that may follow `before`."""
    rules = RULES if vocabulary is VOCABULARY else WritingRules(vocabulary)
    bias = after(before, rules, open_until=sys.maxsize if may_open else 0 if not before else len(before)).bias
    return {c for c, nats in zip(vocabulary.characters, bias, strict=True) if np.isfinite(nats)}


@pytest.mark.parametrize(
    ("before", "may", "may_not"),
    [
        ("He said ", '"([“', ")]”"),
        ("He said", "", '")](['),
        ("He said (as", ")", '"]('),
        ("He said (", '"', ")]("),
        ('He said "no', '"', "”“"),
        ('He said "no', "", ")]"),
        ('He said "no ', "([", '"'),
        ('He (and "she', '"', ")"),
        ("He said “no", "”", '“"'),
        ("thus--", '"([', ")"),
        ("He ", "=_", ""),
        ("He", "", "=_"),
        ("He =said", "=", "_"),
        ("He =said =", "", "="),
        ("He _said of her", "_", "="),
        ('He said "', "_", '"'),
        ('He said "_no', "_", '"'),
        ('He said "_no_', '"', "_"),
        ("x=y and", "", "=_"),
    ],
)
def test_a_mark_closes_what_is_open_and_opens_where_a_word_may_begin(before: str, may: str, may_not: str) -> None:
    found = allowed(before)
    assert set(may) <= found
    assert not set(may_not) & found


@pytest.mark.parametrize(
    ("marks", "before", "may", "may_not"),
    [
        ("«»", "Il dit: «", "", "«»"),
        ("«»", "Il dit: «Oui", "»", "«"),
        ("«»", "Il dit: « Oui ", "»", "«"),
        ("«»", "Er sagt ", "«»", ""),
        ("«»", "Er sagt »Ja", "«", "»"),
        ("«»", "Er sagt »Ja« ", "«»", ""),
        ("„“", "Er sagt „Ja", "“", "„"),
        ("„”", "Mówi „Tak", "”", "„"),
        ("“”", "He said “Yes ", "", "“”"),
    ],
)
def test_each_language_pairs_its_quotation_marks(marks: str, before: str, may: str, may_not: str) -> None:
    found = allowed(before, vocabulary=Vocabulary.of(set(VOCABULARY.characters + "ó") - set("“”") | set(marks)))
    assert set(may) <= found
    assert not set(may_not) & found


def test_near_the_end_nothing_is_opened() -> None:
    assert not set('"([“') & allowed("He said ", may_open=False)
    assert ")" in allowed("He (as he said", may_open=False)


def test_a_mark_that_has_long_been_open_becomes_likelier_to_close_where_a_word_ends() -> None:
    def more(before: str, late: float = 0.0) -> float:
        mark, nats = after(before).closing_bonus(late)
        assert VOCABULARY.characters[mark] == ")" or not nats
        return nats

    long = " and so it went on" * 14
    assert more("He (as" + long[:90]) == 0.0
    assert 0 < more("He (as" + long[:162]) < more("He (as" + long[:234])
    assert more("He (as he", late=1.0) > 5
    assert more("He (as he ", late=1.0) == 0.0
    assert more("He as he", late=1.0) == 0.0


@pytest.mark.parametrize(
    ("before", "complete"),
    [("to to", False), ("To to", False), ("to\nto", False), ("had had", True), ("that that", True), ("to, to", True)],
)
def test_a_word_is_not_written_twice(before: str, complete: bool) -> None:  # noqa: FBT001
    found = allowed("He went " + before)
    assert (" " in found and "." in found) == complete
    assert "d" in found  # "to today"


@pytest.mark.parametrize(
    ("before", "number"),
    [
        ("It ended. ", False),
        ("It ended.\n\n", False),
        ("", False),
        ("in ", True),
        ("in 18", True),
        ("see [", False),
        ("see (", False),
    ],
)
def test_a_number_does_not_begin_a_sentence(before: str, number: bool) -> None:  # noqa: FBT001
    assert ("8" in allowed(before)) == number


@given(st.text(VOCABULARY.characters, max_size=60), st.booleans())
def test_something_may_always_follow(before: str, may_open: bool) -> None:  # noqa: FBT001
    assert allowed(before, may_open=may_open)


def test_a_vocabulary_of_marks_alone_is_no_dead_end() -> None:
    assert allowed("", may_open=False, vocabulary=Vocabulary.of("()1"))


# ---- four words --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "forbidden"),
    [
        ("a b c d. A b c ", "d"),
        ("a b c d. A B  c, ", "d"),
        ("a b c d. A b c", ""),
        ("a b c d. x b c ", ""),
        ("a b c d e b c d ", "e"),
        ("a b c art; a b c bell; a b c ", "ab"),
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
    may_follow = allowed(text)
    assert "".join(c for c in "'-abcdefghijklmnopqrstuvwxyz" if c not in may_follow) == forbidden
    assert all((c.upper() in may_follow) == (c in may_follow) for c in "abcdefghijklmnopqrstuvwxyz")


@given(st.integers(0, 2**32), st.integers(2, 5), st.sampled_from([" ", " ", "-", "'", ", ", ".\n", "--", " (8) "]))
def test_a_text_that_keeps_to_the_rule_never_repeats_four_words(seed: int, words: int, between: str) -> None:
    """A text out of very few words, each of its own letter, as far as the rule lets it go on."""
    draw = random.Random(seed)
    known = [letter * draw.randint(1, 3) for letter in "abcde"[:words]]
    text = ""
    for _ in range(60):
        may_follow = allowed(text)
        word = draw.choice([word for word in known if word[0] in may_follow] or known)
        if word[0] not in may_follow:
            break  # every word would have repeated something
        text += word + draw.choice([between, " "])
        assert not repeated(text)


def repeated(text: str) -> int:
    words = re.findall(r"[^\W\d_]+", text.lower())
    return sum(count - 1 for count in Counter(zip(*(words[i:] for i in range(4)), strict=False)).values())


# ---- full stops -----------------------------------------------------------------------------------------------------


def stop_bonus(before: str = "A cat ", **settings: Any) -> float:
    """Nats by which a full stop is more probable after a text."""
    return float(after(before, WritingRules(VOCABULARY, **settings)).bias[VOCABULARY.encode(".")[0]])


def test_sentences_of_a_corpus_with_long_ones_become_shorter_and_others_stay() -> None:
    assert stop_bonus() == stop_bonus(sentence_length=60) == 0.0  # not known, and short already
    assert 0.0 < stop_bonus(sentence_length=150) < stop_bonus(sentence_length=192) < stop_bonus(sentence_length=10_000)
    assert stop_bonus(sentence_length=192) == pytest.approx(1.57, abs=0.01)
    assert stop_bonus(sentence_length=10_000) == stop_bonus(sentence_length=10**9), "a text without full stops"
    assert stop_bonus(sentence_length=192, ends_at_lines=True) == 0.0


@pytest.mark.parametrize("before", ["A cat", "A cat sat here", '"A cat', "a b c d. A b c ", "A cat-"])
def test_full_stops_have_the_same_bonus_everywhere(before: str) -> None:
    assert stop_bonus(before, sentence_length=192) == stop_bonus(sentence_length=192)


# ---- temperatures ---------------------------------------------------------------------------------------------------


def test_temperatures_grow_with_the_one_that_is_asked_for() -> None:
    asked = np.linspace(0.1, 2.0, 50)
    for temperature in (word_temperature, letter_temperature):
        values = [temperature(t) for t in asked.tolist()]
        assert values == sorted(values)
        assert 0 < values[0] < 0.4
    assert 1.0 <= word_temperature(1.0) < 1.4  # near the network's own distribution
    assert letter_temperature(2.0) < 1.0
    assert all(letter_temperature(t) < word_temperature(t) for t in asked.tolist())


@given(st.lists(st.floats(-20, 20, width=32), min_size=6, max_size=6), st.floats(0.1, 2.0))
def test_full_stops_keep_their_odds_against_the_most_probable_at_any_temperature(
    row: list[float], temperature: float
) -> None:
    count = 2_000
    logits, stops = np.array([row] * count, np.float32), [0, 1]
    evenly = column((np.arange(count) + 0.5) / count)  # so that the fractions drawn are the probabilities
    drawn = draw(logits, column([temperature] * count), evenly, stops=stops)
    weights = np.exp((logits[0].astype(np.float64) - logits[0].max()) / np.array([1.0] * 2 + [temperature] * 4))
    expected = weights[stops].sum() / weights.sum()
    assert float(np.isin(drawn, stops).mean()) == pytest.approx(expected, abs=2e-3)


# ---- texts ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shipped() -> Model:
    return load_model(shipped_folder())


@pytest.mark.parametrize("temperature", [0.5, 0.7, 1.0, 2.0])
def test_texts_close_their_marks_and_repeat_no_word(shipped: Model, temperature: float) -> None:
    worker = Scheduler(shipped, 64, 1)
    try:
        requests = [GenerationRequest(400, seed, SamplingParams(temperature=temperature)) for seed in range(16)]
        texts = [future.result(60).text for future in [worker.submit(request) for request in requests]]
    finally:
        worker.close(0)
    unbalanced = [
        text for text in texts if text.count('"') % 2 or any(text.count(a) != text.count(b) for a, b in ("()", "[]"))
    ]
    assert len(unbalanced) <= 1
    for text in texts:
        assert not re.search(r"[(\[]", text[int(len(text) * 0.9) :])
        twice = re.findall(r"\b([A-Za-z]+)\s+\1\b", text)
        assert all(word in {"had", "that"} for word in twice)
        assert not re.search(r"(?:^|\n\n|[.!?]\s)\s*\d{1,3}\.?\s", text)
