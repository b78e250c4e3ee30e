"""How surprised a network is by a text: the bits that `measure` gives, on small untrained and on shipped weights."""

# ruff: noqa: ASYNC110 - the generator tells nobody when it begins, so a test has to look

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from generator import (
    Continuation,
    GenerationRequest,
    InvalidRequest,
    ModelError,
    Overloaded,
    SamplingParams,
    ScoringRequest,
    Surprisal,
)
from generator.serving.generator import ThreadedGenerator
from generator.serving.loading import load_model
from generator.serving.model import Model
from generator.serving.scheduler import MAX_BATCH_SIZE, Scheduler
from generator.serving.scoring import CONTEXT, ScoringSequence, bits_per_character
from generator.types import MAX_SCORED_TEXT
from generator.weights.session import State
from generator.weights.versions import activate

AddVersion = Callable[[Path, str, int], Path]


@pytest.fixture(scope="module")
def shipped(weights_folder: Path) -> Model:
    return load_model(weights_folder)


def bits_after(model: Model, state: State, read: str, text: str) -> list[float]:
    """The bits of `text`, which follows `read` (not empty) from the state, by plain softmax."""
    vocabulary = model.weights.manifest.vocabulary
    bits = []
    fed = vocabulary.encode(read + text)
    for position in range(len(fed) - 1):
        logits, state = model.network.step(fed[position : position + 1], state)
        weights = np.exp(logits[0].astype(np.float64))
        bits.append(-math.log2(weights[fed[position + 1]] / weights.sum()))
    return bits[len(read) - 1 :]


async def test_the_bits_of_a_text_are_those_that_it_was_written_with(generator: ThreadedGenerator) -> None:
    model = generator._scheduler.model
    for prompt in ("The philosopher", ""):
        generation = await generator.generate(GenerationRequest(200, 7, SamplingParams(0.7), prompt))
        surprise = await generator.score(ScoringRequest(prompt, generation.text, 7))
        start = model.initial_state(np.random.default_rng(7))
        expected = bits_after(model, [row[None] for row in start.arrays], start.pending + prompt, generation.text)
        np.testing.assert_allclose(surprise.bits, expected, rtol=1e-9)
        assert surprise.text == generation.text
        assert surprise.version == "tiny-1"
        assert surprise.mean == pytest.approx(sum(expected) / len(expected))


async def test_a_text_of_the_corpus_has_the_bits_that_the_measure_gives(generator: ThreadedGenerator) -> None:
    model = generator._scheduler.model
    text = "Man is something that is to be surpassed. " * 4
    surprise = await generator.score(ScoringRequest("W", text))  # no seed: read from a zero state
    measured = bits_per_character(model.network, model.weights.manifest.vocabulary.encode("W" + text))
    assert surprise.mean == pytest.approx(measured, rel=1e-12)


def test_the_end_of_what_came_before_is_enough_to_go_on_with(shipped: Model) -> None:
    """What `CONTEXT` says of the real weights."""
    worker = Scheduler(shipped, queue=8)
    try:
        first = worker.submit(GenerationRequest(700, 3, SamplingParams(0.7), "The philosopher")).result(200)
        goes_on = Continuation(first.state, "The philosopher" + first.text)
        second = worker.submit(GenerationRequest(120, 4, SamplingParams(0.7), continuation=goes_on)).result(200)
        surprise = worker.submit(ScoringRequest(goes_on.tail, second.text)).result(200)
    finally:
        worker.close(10)
    beginning = shipped.initial_state(np.random.default_rng(3))
    state = [row[None] for row in beginning.arrays]
    exact = bits_after(shipped, state, beginning.pending + goes_on.tail, second.text)
    difference = np.abs(np.array(surprise.bits) - exact)
    assert len(goes_on.tail) > CONTEXT
    assert difference.mean() < 0.01
    assert difference.max() < 0.2


async def test_weighing_changes_nothing_and_is_the_same_in_a_crowd(generator: ThreadedGenerator) -> None:
    request = GenerationRequest(150, 11, SamplingParams(0.9), "Man")
    before = await generator.generate(request)
    written = ScoringRequest("Man", before.text, 11)
    alone = await generator.score(written)
    others = [generator.generate(GenerationRequest(150, seed, SamplingParams(1.3))) for seed in range(6)]
    *_, again, crowded = await asyncio.gather(*others, generator.generate(request), generator.score(written))
    assert again.text == before.text
    assert again.state == before.state
    assert crowded.bits == alone.bits


async def test_a_text_of_other_weights_has_no_bits_where_they_lack_a_character(
    tiny_folder: Path, add_tiny_version: AddVersion
) -> None:
    add_tiny_version(tiny_folder, "tiny-2", 2)
    activate(tiny_folder, "tiny-2")
    async with ThreadedGenerator.open(tiny_folder, threads=1) as generator:
        surprise = await generator.score(ScoringRequest("größer", "Ist es €uro?", 5))
        assert surprise.version == "tiny-2"
        assert np.isnan(surprise.bits).tolist() == [character == "€" for character in "Ist es €uro?"]
        assert math.isfinite(surprise.mean)
        with pytest.raises(InvalidRequest, match="knows none"):
            await generator.score(ScoringRequest("", "€€€", 5))


async def test_weighing_is_admitted_and_counted_as_work_but_is_no_text(tiny_folder: Path) -> None:
    async with ThreadedGenerator.open(tiny_folder, threads=1, queue=0) as generator:
        before = generator.status()
        written = ScoringRequest("", "a" * 2000, 1)
        tasks = [asyncio.create_task(generator.score(written)) for _ in range(MAX_BATCH_SIZE + 8)]
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert any(isinstance(result, Overloaded) for result in done)
        assert sum(isinstance(result, Surprisal) for result in done) >= MAX_BATCH_SIZE
        after = generator.status()
        assert (after.texts, after.failed) == (before.texts, before.failed)
        assert after.characters - before.characters >= MAX_BATCH_SIZE * 2000


async def test_a_cancelled_weighing_leaves_its_place(generator: ThreadedGenerator) -> None:
    task = asyncio.create_task(generator.score(ScoringRequest("", "a" * MAX_SCORED_TEXT, 1)))
    while not generator.status().running:
        await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await generator.generate(GenerationRequest(20, 1))).text
    assert generator.status().running == 0


def test_logits_that_are_no_distribution_are_a_fault(shipped: Model) -> None:
    weighing = ScoringSequence(ScoringRequest("", "abc", 1), shipped)
    weighing.read(np.zeros(len(shipped.vocabulary), np.float32))
    with pytest.raises(ModelError):
        weighing.read(np.full(len(shipped.vocabulary), np.nan, np.float32))


@pytest.mark.parametrize(
    "arguments", [("a" * 1001, "b"), ("", "b" * (MAX_SCORED_TEXT + 1)), ("", "b", -1), ("", "b", 2**63)]
)
def test_what_cannot_be_weighed_is_refused(arguments: tuple[str, str, int]) -> None:
    with pytest.raises(InvalidRequest):
        ScoringRequest(*arguments)


def test_the_most_surprising_words_come_first() -> None:
    bits = (0.5,) * 4 + (9.0,) * 5 + (0.1,) * 4 + (2.0,) * 6
    surprise = Surprisal("ers tragi the cosmos"[:19], bits, given="The philosoph")
    assert [word for word, _ in surprise.words(3)] == ["tragi", "cosmo", "the"]
    assert surprise.words(1)[0][1] == pytest.approx(45.0)
    assert Surprisal("", ()).words(3) == []
    assert math.isnan(Surprisal("", ()).mean)
    with pytest.raises(ValueError, match="as many bits"):
        Surprisal("abc", (0.0, 0.0))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=st.text(max_size=30), text=st.text(max_size=60), seed=st.none() | st.integers(0, 2**63 - 1))
def test_any_text_can_be_weighed_or_is_refused(shipped: Model, before: str, text: str, seed: int | None) -> None:
    worker = Scheduler(shipped, queue=1)
    try:
        surprise = worker.submit(ScoringRequest(before, text, seed)).result(100)
    except InvalidRequest:
        assert not any(character in shipped.weights.manifest.vocabulary for character in text)
    else:
        known = ~np.isnan(surprise.bits)
        assert (np.array(surprise.bits)[known] >= 0).all()
        assert known.tolist() == [character in shipped.weights.manifest.vocabulary for character in text]
    finally:
        worker.close(10)
