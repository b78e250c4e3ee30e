"""Many texts at once on one network: each is what it would be alone, whatever happens to the others."""

from __future__ import annotations

import logging
import queue
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import TINY_VOCABULARY, add_random_version
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from generator import (
    MAX_SEED,
    MAX_TEMPERATURE,
    MIN_TEMPERATURE,
    Continuation,
    Generation,
    GenerationRequest,
    InvalidRequest,
    ModelError,
    Overloaded,
    SamplingParams,
    ShuttingDown,
)
from generator.prose import ends_sentence
from generator.serving.constraints import Constraints
from generator.serving.loading import load_model
from generator.serving.model import Model
from generator.serving.sampling import letter_temperature, word_temperature
from generator.serving.scheduler import FULL_ENOUGH, MAX_BATCH_SIZE, Scheduler
from generator.serving.state import SavedState
from generator.serving.topic import KEPT_WORDS, Topic
from generator.weights.session import Logits, Network, State, StateRow
from generator.weights.versions import activate

PATIENCE = 30.0
"""Seconds after which a test says that something will never come; nothing waits so long when all is well."""
LONG = 4000
"""Characters of a text that does not end by itself while a test looks."""
SHORTEST, MARGIN, OVERRUN = 12, 30, 150
"""Characters: of the shortest sentence, before the wanted length when a text may end, after it when it must."""
LONGEST_WORD = 40
"""Characters by which a text may be shorter than half of what was wished for: it ends after a whole word."""
NOT_IN_TINY = "é"

SAMPLING = st.builds(
    SamplingParams,
    temperature=st.floats(MIN_TEMPERATURE, MAX_TEMPERATURE),
    top_p=st.just(1.0) | st.floats(0.05, 1.0),
    min_p=st.just(0.0) | st.floats(0.0, 0.5),
)
OPENINGS = st.text(st.sampled_from(TINY_VOCABULARY.characters), max_size=12)
REQUESTS = st.builds(
    GenerationRequest, length=st.integers(1, 60), seed=st.integers(0, MAX_SEED), sampling=SAMPLING, prompt=OPENINGS
)


# ---- what the tests look through ------------------------------------------------------------------------------------


class Stepped:
    """A network that waits, before each step, until the test lets it pass; so a test can act between two characters."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._turns = threading.Semaphore(0)
        self._free = False
        self._arrivals: queue.Queue[int] = queue.Queue()
        self.symbols, self.specs, self.zero_state = network.symbols, network.specs, network.zero_state

    def step(self, characters: Any, state: Sequence[Any]) -> tuple[Logits, State]:
        self._arrivals.put(len(characters))
        if not self._free:
            self._turns.acquire()
        return self._network.step(characters, state)

    def arrived(self) -> int:
        """Waits until the worker is about to step; the number of texts in that step."""
        return self._arrivals.get(timeout=PATIENCE)

    def let_one_pass(self) -> None:
        self._turns.release()

    def release(self) -> None:
        """Lets every step from now on pass."""
        self._free = True
        self._turns.release()


class Flawed:
    """A network that breaks when it is fed one particular character, which it never writes by itself."""

    def __init__(self, network: Network, trap: str, spring: Callable[[Logits, list[int]], None]) -> None:
        self._network = network
        self._trap = TINY_VOCABULARY.characters.index(trap)
        self._spring = spring
        self.symbols, self.specs, self.zero_state = network.symbols, network.specs, network.zero_state

    def step(self, characters: Any, state: Sequence[Any]) -> tuple[Logits, State]:
        logits, following = self._network.step(characters, state)
        logits[:, self._trap] = -np.inf
        if rows := np.flatnonzero(characters == self._trap).tolist():
            self._spring(logits, rows)
        return logits, following


@dataclass(frozen=True, eq=False)
class Named(Model):
    """A model that Hypothesis can show in a line, without its five million weights."""

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: ARG002, FBT001 (Hypothesis calls it so)
        printer.text(f"<{self.version}>")


def load(folder: Path, version: str | None = None) -> Model:
    model = load_model(folder, version)
    return Named(model.weights, model.network, model.rules, model.initial_states)


class ByHand:
    """The same network stepped by the test itself, one text and one character at a time."""

    def __init__(self, model: Model, rows: StateRow) -> None:
        self.model = model
        self.vocabulary = model.weights.manifest.vocabulary
        self.state: State = [row[None] for row in rows]
        self.logits: Any = None
        self.fed: list[tuple[str, float]] = []
        """What it was fed, and the bits of each character."""
        self.topic: list[str] = []

    @property
    def rows(self) -> list[bytes]:
        return [array[0].tobytes() for array in self.state]

    def feed(self, text: str) -> ByHand:
        for character, index in zip(text, self.vocabulary.encode(text), strict=True):
            bits = 0.0
            if self.logits is not None:
                nats = self.logits[0].astype(np.float64)
                if character.isalpha() and not (self.fed and self.fed[-1][0].isalpha()):  # among letters of its case
                    of_case = [c.isalpha() and c.isupper() == character.isupper() for c in self.vocabulary.characters]
                    nats[~np.array(of_case)] = -np.inf
                bits = float(np.log2(np.exp(nats - nats.max()).sum()) - (nats[index] - nats.max()) / np.log(2))
            self.fed.append((character, bits))
            self.logits, self.state = self.model.network.step(np.array([index]), self.state)
        return self

    def draw(self, logits: Any, temperature: float, uniform: float, before: str) -> str:
        """The softmax at the temperature of a word's beginning or inside, inverted at `uniform`."""
        temperature = letter_temperature(temperature) if before[-1:].isalnum() else word_temperature(temperature)
        scaled = (logits - logits.max()) / temperature
        scaled[self.model.rules.stops] *= temperature  # full stops keep their odds
        weights = np.exp(scaled)
        ends = np.cumsum(np.where(weights < SamplingParams().min_p, 0.0, weights))
        return self.vocabulary.characters[int(np.searchsorted(ends, uniform * ends[-1], side="right"))]

    def check_draws(self, text: str, request: GenerationRequest, before: str) -> None:
        """Draws the text anew with the request's own random numbers and feeds it. `before` was fed before it."""
        random = np.random.default_rng(request.seed)
        random.integers(len(self.model.initial_states))
        earliest, _end = max(SHORTEST, request.length - MARGIN), len(before)
        is_opening = not request.prompt and request.continuation is None
        first = "lower case" if is_opening else "word" if request.prompt[-1:].isalnum() else ""
        before = request.continuation.tail if request.continuation else before
        topic = Topic(self.model.rules.places, letter_temperature(request.sampling.temperature))
        for word in self.topic:
            topic.add(word)
        constraints = Constraints(
            self.model.rules, before, open_until=len(before) + int(0.85 * earliest), forbidden=first, topic=topic
        )
        prompt = self.fed[-len(request.prompt) :] if request.prompt else []
        for character, bits in prompt:
            topic.read(character, bits)
        topic.end_word()
        self.topic = topic.words[-KEPT_WORDS:]
        for position, character in enumerate(text):
            uniform = random.random()
            logits = self.logits[0].astype(np.float64) + constraints.bias
            late = position - earliest
            in_word = constraints.text[-1].isalnum()
            best = self.vocabulary.characters[int(logits.argmax())]
            if not (in_word and (best.isalnum() or best in "'’")):
                mark, nats = constraints.closing_bonus(min(1.0, late / 60))
                logits[mark] += nats
                if in_word and late > 0:
                    logits[self.model.rules.stops] += late * 0.04 * min(max(1.0, 90 / request.length), 2.0)
            if position or request.continuation is None:  # a continuation's first was drawn by the text before
                drawn = self.draw(logits, request.sampling.temperature, uniform, constraints.text[-1])
                assert character == drawn
            self.feed(character)
            constraints.append(character)


def beginning_of(model: Model, request: GenerationRequest) -> SavedState:
    """The sentence end that a text begins after: the first number of its seed chooses it."""
    return model.initial_states[int(np.random.default_rng(request.seed).integers(len(model.initial_states)))]


def kept(model: Model, generation: Generation) -> SavedState:
    return SavedState.from_bytes(generation.state, model.id, model.network.specs)


def rows_of(state: SavedState) -> list[bytes]:
    return [array.tobytes() for array in state.arrays]


def with_network(model: Model, network: Any) -> Model:
    return replace(model, network=network)


@contextmanager
def working(model: Model, waiting: int = 64, threads: int = 1) -> Iterator[Scheduler]:
    worker = Scheduler(model, waiting, threads)
    try:
        yield worker
    finally:
        worker.close(0)


@contextmanager
def stepped(model: Model, waiting: int = 64) -> Iterator[tuple[Scheduler, Stepped]]:
    network = Stepped(model.network)
    worker = Scheduler(with_network(model, network), waiting)
    try:
        yield worker, network
    finally:
        network.release()
        worker.close(0)


def write(worker: Scheduler, *requests: GenerationRequest) -> list[Generation]:
    return [future.result(PATIENCE) for future in [worker.submit(request) for request in requests]]


def alone(model: Model, *requests: GenerationRequest) -> list[Generation]:
    """What each is when nothing else runs."""
    with working(model) as worker:
        return [write(worker, request)[0] for request in requests]


def continuing(generation: Generation, length: int, seed: int, **more: Any) -> GenerationRequest:
    return GenerationRequest(length, seed, continuation=Continuation(generation.state, generation.text[-200:]), **more)


def error_of(future: Future[Generation]) -> BaseException | None:
    return future.exception(PATIENCE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("weights")
    add_random_version(place, "tiny-1", seed=1, likelier={})  # without words: nothing here may count on them
    add_random_version(place, "tiny-2", seed=2, likelier={})
    activate(place, "tiny-1")
    return place


@pytest.fixture(scope="module")
def one(folder: Path) -> Model:
    return load(folder)


@pytest.fixture(scope="module")
def other(folder: Path) -> Model:
    """Other weights."""
    return load(folder, "tiny-2")


@pytest.fixture(scope="module")
def shipped(weights_folder: Path) -> Model:
    return load(weights_folder)


# ---- a text is the same in any company ------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    own=REQUESTS,
    is_continued=st.booleans(),
    joins=st.integers(0, 10),
    others=st.lists(
        st.tuples(REQUESTS, st.integers(0, 40), st.none() | st.integers(0, 40)), max_size=MAX_BATCH_SIZE - 2
    ),
)
def test_a_text_is_the_same_alone_and_while_others_join_and_leave_and_are_cancelled(
    *,
    one: Model,
    own: GenerationRequest,
    is_continued: bool,
    joins: int,
    others: list[tuple[GenerationRequest, int, int | None]],
) -> None:
    """`others`: (request, character at which it joins, characters later at which it is cancelled)."""
    expected = alone(one, own)[0]
    if is_continued:
        own = continuing(expected, own.length, own.seed // 2, sampling=own.sampling)
        expected = alone(one, own)[0]
    with stepped(one) as (worker, network):
        worker.submit(GenerationRequest(LONG, seed=0))  # so that there is a character to join at
        network.arrived()
        cancellations: list[tuple[int, Future[Generation]]] = []
        for turn in range(80):
            for request, joining, lasting in others:
                if joining == turn:
                    cancellations.append((turn + (LONG if lasting is None else lasting), worker.submit(request)))
            if turn == joins:
                future = worker.submit(own)
            for when, theirs in cancellations:
                if when == turn:
                    theirs.cancel()
            network.let_one_pass()
            network.arrived()
        network.release()
        assert future.result(PATIENCE) == expected


def crowd(seed: int, length: int, prompts: Sequence[str]) -> list[GenerationRequest]:
    random = np.random.default_rng(seed)
    return [
        GenerationRequest(
            length=int(random.integers(1, length)),
            seed=int(random.integers(MAX_SEED)),
            sampling=SamplingParams(
                float(random.uniform(0.1, 2.0)), float(random.choice([1.0, 0.9, 0.5])), float(random.choice([0.0, 0.1]))
            ),
            prompt=str(random.choice(prompts)),
        )
        for _ in range(MAX_BATCH_SIZE)
    ]


def test_each_of_many_more_texts_than_run_at_once_is_what_it_is_alone(one: Model) -> None:
    requests = [*crowd(1, 60, ["", "The ", "x\n"]), *crowd(2, 20, ["", "Why"])]
    expected = alone(one, *requests)
    for threads in (1, 2, 3):
        with working(one, threads=threads) as worker:
            assert write(worker, *requests) == expected


def test_with_the_shipped_weights_too_every_text_is_what_it_is_alone(shipped: Model) -> None:
    requests = crowd(4, 40, ["", "The philosopher ", "What is noble?\n\n"])
    expected = alone(shipped, *requests)
    for threads in (1, 2):
        with working(shipped, threads=threads) as worker:
            futures = [worker.submit(request) for request in requests[:20]]
            futures[0].result(PATIENCE)  # by now the others are under way
            cancelled = [worker.submit(GenerationRequest(LONG, seed)) for seed in range(4)]
            futures += [worker.submit(request) for request in requests[20:]]
            futures[1].result(PATIENCE)
            assert all(future.cancel() for future in cancelled)
            assert [future.result(PATIENCE) for future in futures] == expected


class Watched:
    """A network that notes which thread steps how many texts."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._changed = threading.Condition()
        self.rows: dict[str, int] = {}
        self.most = 0
        self.symbols, self.specs, self.zero_state = network.symbols, network.specs, network.zero_state

    def step(self, characters: Any, state: Sequence[Any]) -> tuple[Logits, State]:
        with self._changed:
            self.rows[threading.current_thread().name] = len(characters)
            self.most = max(self.most, len(characters))
            self._changed.notify_all()
        return self._network.step(characters, state)

    def until(self, *rows: int) -> None:
        """Waits until so many texts were in the last step of each thread that has stepped."""
        with self._changed:
            assert self._changed.wait_for(lambda: sorted(self.rows.values()) == sorted(rows), PATIENCE), self.rows


def test_a_second_thread_helps_when_the_first_has_enough(one: Model) -> None:
    network = Watched(one.network)
    with working(with_network(one, network), threads=2) as worker:
        for _ in range(FULL_ENOUGH):
            worker.submit(GenerationRequest(LONG, 1))
        network.until(FULL_ENOUGH)
        for _ in range(FULL_ENOUGH + 4):
            worker.submit(GenerationRequest(LONG, 1))
        network.until(FULL_ENOUGH + 2, FULL_ENOUGH + 2)


def test_no_thread_takes_more_than_its_share_however_many_wait(one: Model) -> None:
    network = Watched(one.network)
    with working(with_network(one, network), waiting=4 * MAX_BATCH_SIZE, threads=2) as worker:
        write(worker, *[GenerationRequest(length, length) for length in range(20, 20 + 4 * MAX_BATCH_SIZE)])
    assert network.most == MAX_BATCH_SIZE // 2


def test_the_same_request_twice_gives_the_same_text_and_another_seed_another(one: Model) -> None:
    request = GenerationRequest(200, seed=7)
    first, second, third = alone(one, request, request, replace(request, seed=8))
    assert first == second
    assert first.text != third.text
    assert (first.seed, third.seed, first.version) == (7, 8, "tiny-1")


def test_a_change_of_any_setting_changes_the_text(one: Model) -> None:
    request = GenerationRequest(200, seed=7)
    changed = [
        replace(request, sampling=SamplingParams(0.8)),
        replace(request, sampling=SamplingParams(top_p=0.5)),
        replace(request, sampling=SamplingParams(min_p=0.5)),
        replace(request, prompt="A"),
    ]
    assert len({generation.text for generation in alone(one, request, *changed)}) == 5


# ---- what is written is what the network says -----------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(
    prompt=OPENINGS | st.just(""),
    temperature=st.floats(0.3, 1.5),
    seeds=st.tuples(*[st.integers(0, MAX_SEED)] * 3),
    lengths=st.tuples(*[st.integers(1, 80)] * 3),
)
def test_a_text_continued_twice_is_what_one_network_writes_in_one_go(
    one: Model, prompt: str, temperature: float, seeds: tuple[int, ...], lengths: tuple[int, ...]
) -> None:
    """None is computed twice or left out: a network stepped by hand through the prompt and all three texts, never
    set back, draws each of their characters and passes through each state that was kept."""
    sampling = SamplingParams(temperature)
    request = GenerationRequest(lengths[0], seeds[0], sampling, prompt)
    requests, written = [request], []
    with working(one) as worker:
        for length, seed in zip(lengths[1:], seeds[1:], strict=True):
            written += write(worker, requests[-1])
            requests.append(continuing(written[-1], length, seed, sampling=sampling))
        written += write(worker, requests[-1])

    beginning = beginning_of(one, request)
    before = beginning.pending + prompt
    hand = ByHand(one, beginning.arrays).feed(before)
    pending = ""
    for request, generation in zip(requests, written, strict=True):
        assert generation.text.startswith(pending)
        hand.check_draws(generation.text, request, before)
        before += generation.text
        state = kept(one, generation)
        assert hand.rows == rows_of(state)
        pending = state.pending


def test_the_shipped_network_too_goes_on_exactly_where_it_stopped(shipped: Model) -> None:
    prompt = "The philosopher "
    first = alone(shipped, GenerationRequest(300, seed=1, prompt=prompt))[0]
    second = alone(shipped, continuing(first, 300, seed=2))[0]
    beginning = beginning_of(shipped, GenerationRequest(300, seed=1))
    hand = ByHand(shipped, beginning.arrays).feed(beginning.pending + prompt + first.text)
    assert hand.rows == rows_of(kept(shipped, first))
    assert hand.feed(second.text).rows == rows_of(kept(shipped, second))
    assert second.text[0].isspace()


def test_a_prompt_is_read_in_order_and_is_no_part_of_the_text(one: Model) -> None:
    """At the lowest temperature the text is the network's own answer to the prompt."""
    request = GenerationRequest(40, seed=3, sampling=SamplingParams(0.1), prompt="Zarathustra; 7")
    text = alone(one, request)[0].text
    backwards = alone(one, replace(request, prompt=request.prompt[::-1]))[0].text
    assert request.prompt not in text
    assert text != backwards


def test_characters_are_counted_with_those_of_the_prompt(one: Model) -> None:
    prompt = "a" * 100
    with working(one) as worker:
        text = write(worker, GenerationRequest(1, seed=1, prompt=prompt))[0].text
        statistics = worker.status()
    assert statistics.texts == 1
    assert statistics.characters >= len(prompt) + len(text)
    assert statistics.characters_per_second > 0


class Faltering:
    """A network that, as on a busy machine, takes long for few of its steps, which are most of the time."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._steps = 0
        self.symbols, self.specs, self.zero_state = network.symbols, network.specs, network.zero_state

    def step(self, characters: Any, state: Sequence[Any]) -> tuple[Logits, State]:
        self._steps += 1
        if self._steps % 10 == 0:
            time.sleep(0.02)
        return self._network.step(characters, state)


def test_the_speed_that_is_told_is_the_speed_at_which_texts_are_written(one: Model) -> None:
    with working(with_network(one, Faltering(one.network))) as worker:
        began = time.monotonic()
        write(worker, *(GenerationRequest(600, seed) for seed in range(FULL_ENOUGH)))
        elapsed, statistics = time.monotonic() - began, worker.status()
    assert statistics.characters_per_second < 2 * statistics.characters / elapsed


def test_the_speed_of_a_full_batch_is_not_that_of_one_text(one: Model) -> None:
    """A lone text takes a third of the time of a batch: if it counted, a crowd after it would be refused."""
    with working(one) as worker:
        assert not worker.status().speed_measured
        write(worker, *(GenerationRequest(100, seed) for seed in range(FULL_ENOUGH)))
        before = worker.status().characters_per_second
        assert worker.status().speed_measured
        write(worker, GenerationRequest(400, seed=1))
        assert worker.status().characters_per_second == before


def test_a_kept_state_goes_on_in_another_process(one: Model, folder: Path, tmp_path: Path) -> None:
    first = alone(one, GenerationRequest(100, seed=1, prompt="Why"))[0]
    here = alone(one, continuing(first, 100, seed=2))[0]
    (tmp_path / "state").write_bytes(first.state)
    (tmp_path / "text").write_text(first.text, newline="")
    program = """
import sys
from pathlib import Path
from generator import Continuation, GenerationRequest
from generator.serving.loading import load_model
from generator.serving.scheduler import Scheduler
folder, place = map(Path, sys.argv[1:])
worker = Scheduler(load_model(folder), 1)
first = Continuation((place / "state").read_bytes(), (place / "text").read_bytes().decode()[-200:])
generation = worker.submit(GenerationRequest(100, seed=2, continuation=first)).result()
worker.close(1)
(place / "text").write_text(generation.text, newline="")
(place / "state").write_bytes(generation.state)
"""
    subprocess.run([sys.executable, "-c", program, folder, tmp_path], check=True, timeout=4 * PATIENCE)
    assert (tmp_path / "text").read_bytes().decode() == here.text
    assert (tmp_path / "state").read_bytes() == here.state


def test_words_after_a_text_are_fed_from_its_state(one: Model) -> None:
    first = alone(one, GenerationRequest(100, seed=1))[0]
    second = alone(one, continuing(first, 60, 2, prompt="And so"))[0]
    start = kept(one, first)
    hand = ByHand(one, start.arrays).feed(f"{start.pending}And so{second.text}")
    assert hand.rows == rows_of(kept(one, second))


def test_words_after_a_text_of_other_weights_are_fed_after_its_tail(one: Model) -> None:
    request = GenerationRequest(60, seed=2, prompt="And so", continuation=Continuation(b"", "the end"))
    generation = alone(one, request)[0]
    hand = ByHand(one, tuple(array[0] for array in one.network.zero_state(1)))
    assert hand.feed(f"the end And so{generation.text}").rows == rows_of(kept(one, generation))


# ---- a state that cannot be used ------------------------------------------------------------------------------------


def assert_primed_with(model: Model, tail: str, request: GenerationRequest) -> None:
    generation = alone(model, request)[0]
    assert generation.text.strip()
    hand = ByHand(model, tuple(array[0] for array in model.network.zero_state(1))).feed(tail + generation.text)
    assert hand.rows == rows_of(kept(model, generation))


def test_after_new_weights_a_text_goes_on_from_its_tail(one: Model, other: Model) -> None:
    first = alone(one, GenerationRequest(100, seed=1))[0]
    request = GenerationRequest(60, seed=2, continuation=Continuation(first.state, first.text[-50:]))
    assert_primed_with(other, first.text[-50:], request)


def test_after_new_weights_a_text_does_not_go_on_inside_the_last_word(one: Model, other: Model) -> None:
    """Where there are words, a text ends at the end of one; what goes on from it begins with white space."""
    firsts = [alone(one, GenerationRequest(100, seed))[0] for seed in range(20)]
    spaced = [(seed, first) for seed, first in enumerate(firsts) if " " in first.text]
    assert spaced
    for seed, first in spaced:
        assert kept(one, first).pending.isspace()
        assert alone(one, continuing(first, 30, seed))[0].text[0].isspace()
        assert alone(other, continuing(first, 30, seed))[0].text[0].isspace()


@pytest.mark.parametrize("state", [b"", b"garbage", b"\0" * 300, b"{}\n", b"[" * 4000], ids=lambda s: repr(s)[:12])
def test_after_a_damaged_state_a_text_goes_on_from_its_tail(one: Model, state: bytes) -> None:
    request = GenerationRequest(60, seed=2, continuation=Continuation(state, "the end of it"))
    assert_primed_with(one, "the end of it", request)


def test_a_tail_with_characters_that_the_new_weights_do_not_know_is_fitted(one: Model) -> None:
    request = GenerationRequest(60, seed=2, continuation=Continuation(b"", "the “café” 尼采 end"))
    assert_primed_with(one, 'the "cafe"  end', request)


@pytest.mark.parametrize("tail", ["", "尼采"], ids=["empty", "nothing known"])
def test_without_a_state_and_without_a_tail_there_is_still_a_text(one: Model, tail: str) -> None:
    assert alone(one, GenerationRequest(60, seed=2, continuation=Continuation(b"", tail)))[0].text.strip()


def test_whatever_bit_of_a_kept_state_s_header_flips_there_is_still_a_text(one: Model) -> None:
    state = alone(one, GenerationRequest(30, seed=1))[0].state
    damaged = []
    for bit in range((state.index(b"\n") + 1) * 8):
        content = bytearray(state)
        content[bit // 8] ^= 1 << bit % 8
        damaged.append(bytes(content))
    with working(one, len(damaged)) as worker:
        futures = [worker.submit(GenerationRequest(1, 1, continuation=Continuation(s, "tail"))) for s in damaged]
        failed = [s[: s.index(b"}") + 1] for s, future in zip(damaged, futures, strict=True) if error_of(future)]
    assert failed == []


def test_a_state_that_holds_nan_is_not_used(one: Model) -> None:
    rows = tuple(np.full(spec.shape, np.nan, spec.dtype) for spec in one.network.specs)
    state = SavedState(rows, " ").to_bytes(one.id)
    assert_primed_with(one, "tail", GenerationRequest(30, seed=1, continuation=Continuation(state, "tail")))


# ---- how a text begins and ends -------------------------------------------------------------------------------------


def is_balanced(text: str) -> bool:
    """Whether every bracket, quotation mark and mark of emphasis is closed; else no text ends there."""
    return all(text.count(mark) % 2 == 0 for mark in '"=_') and all(
        text.count(a) == text.count(b) for a, b in ("()", "[]")
    )


def assert_reads_well(model: Model, request: GenerationRequest, generation: Generation) -> None:
    text, wanted = generation.text, request.length
    earliest = max(SHORTEST, wanted - MARGIN)
    assert 1 <= len(text) <= max(SHORTEST, wanted) + OVERRUN
    assert not re.search(r"\s{3}", text)
    assert not text[-1].isspace()
    if not request.prompt and request.continuation is None:
        assert text[0].isupper()
    pending = kept(model, generation).pending
    assert pending.isspace() or not re.search(r"\S\s", text[wanted // 2 :]), "it ends inside a word"
    ends = [match.start() for match in re.finditer(r"(?<=\S)\s+", text)]
    sentences = [end for end in ends if ends_sentence(text[:end]) and is_balanced(request.prompt + text[:end])]
    assert not [end for end in sentences if end >= earliest], "it went on after a sentence end near its length"
    if not ends_sentence(text):
        assert not [end for end in sentences if end >= wanted * 0.5], "it did not go back to its last sentence end"
        late = [end for end in ends if end >= wanted * 0.5]
        assert len(text) <= wanted or not late or late[0] == len(text) or not pending.isspace(), (
            "it did not go back to a word's end"
        )


@settings(max_examples=60, deadline=None)
@example(request=GenerationRequest(121, 3391, SamplingParams(0.69921875), prompt="C.zJQ"), seed=0)
@given(
    request=st.builds(
        GenerationRequest,
        length=st.integers(1, 300) | st.sampled_from([1, 2, 3]),
        seed=st.integers(0, MAX_SEED),
        sampling=SAMPLING,
        prompt=st.just("") | OPENINGS,
    ),
    seed=st.integers(0, MAX_SEED),
)
def test_a_text_begins_and_ends_well_and_so_does_its_continuation(
    one: Model, request: GenerationRequest, seed: int
) -> None:
    with working(one) as worker:
        first = write(worker, request)[0]
        assert_reads_well(one, request, first)
        going_on = continuing(first, request.length, seed, sampling=request.sampling)
        second = write(worker, going_on)[0]
        assert not re.search(r"\s{3}", first.text + second.text)
        assert not re.search(r"\s{3}", second.text)
        assert len(second.text) <= max(SHORTEST, request.length) + OVERRUN
        assert kept(one, second).pending.isspace() or not re.search(r"\S\s", second.text[request.length // 2 + 1 :])


@settings(max_examples=12, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 200), min_size=8, max_size=8),
    seed=st.integers(0, MAX_SEED - 8),
    sampling=SAMPLING,
    prompt=st.sampled_from(["", "", "The philosopher ", "What is noble", "\n\n", "1."]),
)
def test_a_text_of_the_shipped_network_begins_and_ends_well(
    shipped: Model, lengths: list[int], seed: int, sampling: SamplingParams, prompt: str
) -> None:
    requests = [GenerationRequest(length, seed + i, sampling, prompt) for i, length in enumerate(lengths)]
    with working(shipped) as worker:
        for request, generation in zip(requests, write(worker, *requests), strict=True):
            assert_reads_well(shipped, request, generation)
            assert len(generation.text) >= request.length / 2 - LONGEST_WORD


@pytest.mark.parametrize("length", [1, 2, LONG])
@pytest.mark.parametrize("which", ["one", "shipped"])
def test_the_shortest_and_the_longest_texts_begin_and_end_well(
    which: str, length: int, request: pytest.FixtureRequest
) -> None:
    model: Model = request.getfixturevalue(which)
    requests = [
        GenerationRequest(length, seed, SamplingParams(temperature)) for seed, temperature in enumerate((0.1, 0.7, 2.0))
    ]
    with working(model) as worker:
        for wanted, generation in zip(requests, write(worker, *requests), strict=True):
            assert_reads_well(model, wanted, generation)
            if length == LONG and which == "shipped":  # an untrained network need not end a word
                assert len(generation.text) >= LONG / 2


@pytest.mark.parametrize("prompt", ["vornehm", "abc", "The soul", "A", "in 1886"])
@pytest.mark.parametrize("temperature", [0.1, 0.7, 2.0])
def test_the_last_word_of_a_prompt_stands_as_typed(shipped: Model, prompt: str, temperature: float) -> None:
    requests = [GenerationRequest(20, seed, SamplingParams(temperature), prompt) for seed in range(8)]
    with working(shipped) as worker:
        for generation in write(worker, *requests):
            assert not re.match(r"[\w'’-]", generation.text)


def test_a_prompt_that_ends_inside_no_word_may_be_followed_by_one(shipped: Model) -> None:
    requests = [
        GenerationRequest(20, seed, prompt=prompt) for seed in range(4) for prompt in ("The ", "What is--", '"')
    ]
    assert all(generation.text[0].isalpha() for generation in alone(shipped, *requests))


@pytest.mark.parametrize("temperature", [0.1, 0.2, 0.3, 0.7])
def test_no_four_words_in_a_row_repeat(shipped: Model, temperature: float) -> None:
    requests = [
        GenerationRequest(900, seed, SamplingParams(temperature), prompt)
        for seed, prompt in enumerate(
            ["", "", "The sense of the senses and the sense of the senses ", "man's self-love"]
        )
    ]
    with working(shipped) as worker:
        for request, first in zip(requests, write(worker, *requests), strict=True):
            (second,) = write(worker, continuing(first, 300, request.seed, sampling=request.sampling))
            assert not repeats(first.text)
            assert not repeats(first.text[-200:] + second.text)


def repeats(text: str) -> list[tuple[str, ...]]:
    """Four words in a row that occur twice, by three notions of a word."""
    found = []
    for word in (r"[^\W\d_]+", r"[\w'-]+", r"\S+"):
        words = re.findall(word, text.lower())
        counts = Counter(zip(*(words[i:] for i in range(4)), strict=False))
        found += [ngram for ngram, count in counts.items() if count > 1]
    return found


def test_texts_without_a_prompt_begin_differently(one: Model) -> None:
    texts = [generation.text for generation in alone(one, *(GenerationRequest(20, seed) for seed in range(20)))]
    assert len({text[:5] for text in texts}) > 10


# ---- admission ------------------------------------------------------------------------------------------------------


def test_when_the_queue_is_full_the_next_is_refused_with_a_time_to_wait_before_any_work(one: Model) -> None:
    with stepped(one, waiting=2) as (worker, network):
        admitted = [worker.submit(GenerationRequest(10, seed)) for seed in range(MAX_BATCH_SIZE + 2)]
        network.arrived()
        for _ in range(3):
            with pytest.raises(Overloaded) as caught:
                worker.submit(GenerationRequest(10, seed=99))
            assert caught.value.retry_after > 0
        statistics = worker.status()
        assert statistics.refused == 3
        assert statistics.running + statistics.queued == MAX_BATCH_SIZE + 2
        network.release()
        assert not wait(admitted, PATIENCE).not_done
        assert worker.status().texts == MAX_BATCH_SIZE + 2
        assert write(worker, GenerationRequest(10, seed=99))


def test_the_time_to_wait_grows_with_what_waits(one: Model) -> None:
    waits = []
    for length in (10, LONG):
        with stepped(one, waiting=0) as (worker, _):
            for seed in range(MAX_BATCH_SIZE):
                worker.submit(GenerationRequest(length, seed))
            with pytest.raises(Overloaded) as caught:
                worker.submit(GenerationRequest(10, seed=99))
            waits.append(caught.value.retry_after)
    assert waits[0] < waits[1]


def test_without_a_queue_as_many_are_admitted_as_run_at_once(one: Model) -> None:
    with stepped(one, waiting=0) as (worker, network):
        worker.submit(GenerationRequest(LONG, seed=0))
        network.arrived()
        for seed in range(1, MAX_BATCH_SIZE):
            worker.submit(GenerationRequest(LONG, seed))
        with pytest.raises(Overloaded):
            worker.submit(GenerationRequest(LONG, seed=99))
        network.let_one_pass()
        assert network.arrived() == MAX_BATCH_SIZE


def test_cancelling_a_waiting_request_frees_its_place_at_once(one: Model) -> None:
    with stepped(one, waiting=1) as (worker, network):
        running = [worker.submit(GenerationRequest(10, seed)) for seed in range(MAX_BATCH_SIZE)]
        network.arrived()
        waiting = worker.submit(GenerationRequest(10, seed=50))
        with pytest.raises(Overloaded):
            worker.submit(GenerationRequest(10, seed=51))
        assert waiting.cancel()
        instead = worker.submit(GenerationRequest(10, seed=51))
        network.release()
        assert [future.result(PATIENCE).seed for future in (*running, instead)] == [*range(MAX_BATCH_SIZE), 51]
        assert waiting.cancelled()


def test_cancelling_a_running_request_frees_its_place_at_the_next_character(one: Model) -> None:
    with stepped(one, waiting=0) as (worker, network):
        futures = [worker.submit(GenerationRequest(LONG, seed)) for seed in range(MAX_BATCH_SIZE)]
        while network.arrived() < MAX_BATCH_SIZE:
            network.let_one_pass()
        assert futures[7].cancel()
        network.let_one_pass()
        assert network.arrived() == MAX_BATCH_SIZE - 1
        network.let_one_pass()
        network.arrived()
        instead = worker.submit(GenerationRequest(5, seed=99))
        network.let_one_pass()
        assert network.arrived() == MAX_BATCH_SIZE
        network.release()
        assert instead.result(PATIENCE).seed == 99


def test_cancelling_everything_leaves_a_worker_that_works(one: Model) -> None:
    with stepped(one) as (worker, network):
        futures = [worker.submit(GenerationRequest(LONG, seed)) for seed in range(MAX_BATCH_SIZE + 20)]
        network.arrived()
        assert all(future.cancel() for future in futures)
        network.release()
        assert write(worker, GenerationRequest(20, seed=1)) == alone(one, GenerationRequest(20, seed=1))
        statistics = worker.status()
        assert (statistics.running, statistics.queued) == (0, 0)


def test_a_prompt_with_a_character_that_the_network_does_not_know_is_refused_and_named(one: Model) -> None:
    with working(one) as worker:
        with pytest.raises(InvalidRequest, match=NOT_IN_TINY):
            worker.submit(GenerationRequest(10, seed=1, prompt=f"caf{NOT_IN_TINY}"))
        assert worker.status().characters == 0


# ---- when something goes wrong --------------------------------------------------------------------------------------

TRAP = "Q"


def raise_fault(_logits: Logits, _rows: list[int]) -> None:
    raise ModelError("it cannot read this")


def raise_defect(_logits: Logits, _rows: list[int]) -> None:
    raise ZeroDivisionError("a defect")


def raise_exit(_logits: Logits, _rows: list[int]) -> None:
    raise SystemExit


def set_nan(logits: Logits, rows: list[int]) -> None:
    logits[rows] = np.nan


def set_infinite(logits: Logits, rows: list[int]) -> None:
    logits[rows, 0] = np.inf


HEALTHY = [GenerationRequest(40 + seed, seed) for seed in range(6)]
DOOMED = [GenerationRequest(40, seed, prompt="a" * (10 * seed) + TRAP) for seed in range(1, 4)]


def flawed(model: Model, spring: Callable[[Logits, list[int]], None]) -> Model:
    return with_network(model, Flawed(model.network, TRAP, spring))


def mixed(worker: Scheduler) -> tuple[list[Future[Generation]], list[Future[Generation]]]:
    """The doomed among the healthy."""
    healthy, doomed = [], []
    for i, request in enumerate(HEALTHY):
        healthy.append(worker.submit(request))
        if i % 2:
            doomed.append(worker.submit(DOOMED[i // 2]))
    return healthy, doomed


@pytest.mark.parametrize("spring", [set_nan, set_infinite], ids=lambda spring: spring.__name__)
def test_a_text_that_the_network_cannot_write_fails_alone(
    one: Model, spring: Callable[[Logits, list[int]], None]
) -> None:
    model = flawed(one, spring)
    expected = alone(model, *HEALTHY)
    with working(model) as worker:
        healthy, doomed = mixed(worker)
        assert [future.result(PATIENCE) for future in healthy] == expected
        assert [type(error_of(future)) for future in doomed] == [ModelError] * len(doomed)
        assert write(worker, HEALTHY[0]) == expected[:1]
        statistics = worker.status()
    assert (statistics.failed, statistics.running, statistics.queued) == (len(DOOMED), 0, 0)


@pytest.mark.parametrize("spring", [raise_fault, raise_defect, raise_exit], ids=lambda spring: spring.__name__)
def test_a_defect_ends_texts_with_an_error_and_later_ones_are_written(
    one: Model, spring: Callable[[Logits, list[int]], None]
) -> None:
    model = flawed(one, spring)
    with working(model) as worker:
        healthy, doomed = mixed(worker)
        done = wait([*healthy, *doomed], PATIENCE / 6)
        assert not done.not_done, "a request was never answered"
        assert [type(error_of(future)) for future in doomed] == [ModelError] * len(doomed)
        assert {type(error_of(future)) for future in healthy} <= {ModelError, type(None)}
        assert write(worker, HEALTHY[0]) == alone(model, HEALTHY[0])
        statistics = worker.status()
    assert (statistics.running, statistics.queued) == (0, 0)


def test_a_step_that_does_not_return_stalls(one: Model) -> None:
    with stepped(one) as (worker, network):
        assert [worker.stalls(), worker.stalls()] == [False, False]
        worker.submit(GenerationRequest(LONG, 1))
        network.arrived()
        assert [worker.stalls(), worker.stalls()] == [False, True]
        network.let_one_pass()
        network.arrived()
        assert [worker.stalls(), worker.stalls()] == [False, True]


def test_what_is_logged_about_a_text_is_logged_in_the_context_that_it_was_asked_for_in(one: Model) -> None:
    """So that the identifier of a request stands on the worker's lines too."""
    asked_by: ContextVar[str] = ContextVar("asked_by", default="nobody")
    told: list[str] = []

    class Listener(logging.Handler):
        def emit(self, _: logging.LogRecord) -> None:
            told.append(asked_by.get())

    listener = Listener()
    logging.getLogger("generator.serving.batch").addHandler(listener)
    try:
        with working(flawed(one, set_nan)) as worker:
            for name in ("ada", "bob"):
                token = asked_by.set(name)
                future = worker.submit(DOOMED[0])
                asked_by.reset(token)
                assert isinstance(error_of(future), ModelError)
    finally:
        logging.getLogger("generator.serving.batch").removeHandler(listener)
    assert told == ["ada", "bob"]


def test_a_callback_that_raises_does_not_stop_the_worker(one: Model, caplog: pytest.LogCaptureFixture) -> None:
    def callback(_: Future[Generation]) -> None:
        raise RuntimeError("a callback's own mistake")

    with stepped(one) as (worker, network):
        future = worker.submit(GenerationRequest(10, seed=1))
        network.arrived()
        future.add_done_callback(callback)
        network.release()
        assert future.result(PATIENCE)
        assert write(worker, GenerationRequest(10, seed=2))
    assert "own mistake" in caplog.text


# ---- closing --------------------------------------------------------------------------------------------------------


def test_closing_finishes_what_was_admitted_and_takes_nothing_more(one: Model) -> None:
    requests = [GenerationRequest(30, seed) for seed in range(MAX_BATCH_SIZE + 20)]
    threads = threading.active_count()
    with stepped(one) as (worker, network):
        futures = [worker.submit(request) for request in requests]
        network.arrived()
        network.release()
        worker.close(PATIENCE)
        assert all(future.done() for future in futures)
        assert [future.result(0) for future in futures] == alone(one, *requests)
        with pytest.raises(ShuttingDown):
            worker.submit(GenerationRequest(10, seed=1))
        worker.close(PATIENCE)
    assert threading.active_count() == threads


def test_after_the_deadline_the_rest_ends_with_closing(one: Model) -> None:
    with stepped(one) as (worker, network):
        futures = [worker.submit(GenerationRequest(LONG, seed)) for seed in range(MAX_BATCH_SIZE + 20)]
        network.arrived()
        futures[3].cancel()
        closer = threading.Thread(target=worker.close, args=(0,))
        closer.start()
        while closer.is_alive():  # no text is so short that it ends while one character passes at a time
            network.let_one_pass()
            closer.join(0.01)
        assert all(future.done() for future in futures)
        assert futures[3].cancelled()
        errors = [type(error_of(future)) for future in futures if not future.cancelled()]
        assert errors == [ShuttingDown] * (MAX_BATCH_SIZE + 19)
        with pytest.raises(ShuttingDown):
            worker.submit(GenerationRequest(10, seed=1))


def test_closing_an_idle_worker_returns(one: Model) -> None:
    for deadline in (0, PATIENCE):
        worker = Scheduler(one, 1)
        worker.close(deadline)
        with pytest.raises(ShuttingDown):
            worker.submit(GenerationRequest(10, seed=1))


# ---- new weights ----------------------------------------------------------------------------------------------------


def test_a_text_in_progress_and_one_that_waits_end_on_the_weights_they_were_admitted_with(
    one: Model, other: Model
) -> None:
    old, new = GenerationRequest(80, seed=1), GenerationRequest(60, seed=2)
    with stepped(one) as (worker, network):
        running = worker.submit(old)
        network.arrived()
        waiting = worker.submit(new)
        worker.model = other
        following = [worker.submit(request) for request in (new, old)]
        assert worker.model is other
        network.release()
        assert [running.result(PATIENCE), waiting.result(PATIENCE)] == alone(one, old, new)
        assert [future.result(PATIENCE) for future in following] == alone(other, new, old)


def test_a_text_of_the_old_weights_goes_on_with_the_new_ones(one: Model, other: Model) -> None:
    with working(one) as worker:
        first = write(worker, GenerationRequest(50, seed=1))[0]
        worker.model = other
        second = write(worker, continuing(first, 50, seed=2))[0]
        third = write(worker, continuing(second, 50, seed=3))[0]
    assert [g.version for g in (first, second, third)] == ["tiny-1", "tiny-2", "tiny-2"]
    assert third.text.startswith(kept(other, second).pending)
