"""The rules about marks, words and numbers, and the temperatures that a text is drawn at."""

from __future__ import annotations

import re

import numpy as np
import pytest
from generator_rules import constrain
from hypothesis import given
from hypothesis import strategies as st

from generator import GenerationRequest, SamplingParams
from generator.serving.constraints import WritingRules, WrittenText
from generator.serving.model import Model, load_model
from generator.serving.sampling import draw, letter_temperature, word_temperature
from generator.serving.scheduler import Scheduler
from generator.vocabulary import Vocabulary
from generator.weights.versions import shipped_folder

VOCABULARY = Vocabulary.of("\n !\"'(),-.0123456789:;?[]abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ“”")
RULES = WritingRules(VOCABULARY)
EVEN = np.zeros(len(VOCABULARY), np.float32)


def allowed(before: str, *, may_open: bool = True, late: float = 0.0, logits: np.ndarray = EVEN) -> set[str]:
    """The characters that may follow `before`."""
    logits = logits.copy()
    constrain(WrittenText(RULES, before), logits, may_open=may_open, late=late)
    return {c for c, logit in zip(VOCABULARY.characters, logits, strict=True) if np.isfinite(logit)}


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
    ],
)
def test_a_mark_closes_what_is_open_and_opens_where_a_word_may_begin(before: str, may: str, may_not: str) -> None:
    found = allowed(before)
    assert set(may) <= found
    assert not set(may_not) & found


def test_near_the_end_nothing_is_opened() -> None:
    assert not set('"([“') & allowed("He said ", may_open=False)
    assert ")" in allowed("He (as he said", may_open=False)


def test_a_mark_that_has_long_been_open_becomes_likelier_to_close_where_a_word_ends() -> None:
    closer = VOCABULARY.characters.index(")")

    def more(before: str, late: float = 0.0) -> float:
        logits = EVEN.copy()
        constrain(WrittenText(RULES, before), logits, may_open=True, late=late)
        return float(logits[closer])

    long = " and so it went on" * 14
    assert more("He (as" + long[:90]) == 0.0
    assert 0 < more("He (as" + long[:162]) < more("He (as" + long[:234])
    assert more("He (as he", late=1.0) > 5
    assert more("He (as he ", late=1.0) == -np.inf


@pytest.mark.parametrize(
    ("before", "complete"),
    [("to to", False), ("To to", False), ("to\nto", False), ("had had", True), ("that that", True), ("to, to", True)],
)
def test_a_word_is_not_written_twice(before: str, complete: bool) -> None:  # noqa: FBT001
    found = allowed("He went " + before)
    assert (" " in found and "." in found) == complete
    assert "d" in found  # "to today"


@pytest.mark.parametrize(
    ("before", "number"), [("It ended. ", False), ("It ended.\n\n", False), ("", False), ("in ", True), ("in 18", True)]
)
def test_a_number_does_not_begin_a_sentence(before: str, number: bool) -> None:  # noqa: FBT001
    assert ("8" in allowed(before)) == number


@given(st.text(VOCABULARY.characters, max_size=60), st.booleans())
def test_something_may_always_follow(before: str, may_open: bool) -> None:  # noqa: FBT001
    assert allowed(before, may_open=may_open)


def test_a_vocabulary_of_marks_alone_is_no_dead_end() -> None:
    rules = WritingRules(Vocabulary.of("()1"))
    logits = np.zeros(3, np.float32)
    constrain(WrittenText(rules), logits, may_open=False, late=0.0)
    assert np.isfinite(logits).any()


# ---- temperatures ---------------------------------------------------------------------------------------------------


def test_temperatures_grow_with_the_one_that_is_asked_for() -> None:
    asked = np.linspace(0.1, 2.0, 50)
    for temperature in (word_temperature, letter_temperature):
        values = [temperature(t) for t in asked.tolist()]
        assert values == sorted(values)
        assert 0 < values[0] < 0.4
    assert word_temperature(1.0) == 1.0
    assert letter_temperature(2.0) < 1.0
    assert all(letter_temperature(t) < word_temperature(t) for t in asked.tolist())


@given(st.lists(st.floats(-20, 20, width=32), min_size=6, max_size=6), st.floats(0.1, 2.0))
def test_full_stops_keep_their_probability_at_any_temperature(row: list[float], temperature: float) -> None:
    count = 2_000
    logits, stops = np.array([row] * count, np.float32), np.array([0, 1])
    evenly = (np.arange(count) + 0.5) / count  # so that the fractions drawn are the probabilities

    def share(keeps_stops: bool) -> float:  # noqa: FBT001
        drawn = draw(logits, np.full(count, temperature), evenly, stops=stops, keeps_stops=keeps_stops)
        return float(np.isin(drawn, stops).mean())

    def expected(scale: float) -> float:
        weights = np.exp((logits[0].astype(np.float64) - logits[0].max()) / scale)
        return float(weights[stops].sum() / weights.sum())

    assert share(True) == pytest.approx(expected(1.0), abs=2e-3)
    assert share(False) == pytest.approx(expected(temperature), abs=2e-3)


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
