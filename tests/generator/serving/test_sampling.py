"""Logits in, one character out: held against a slow reading of the same rules, one row and one number at a time."""

from __future__ import annotations

import inspect
import itertools
import math
import pickle
from collections import Counter
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from generator import (
    MAX_LENGTH,
    MAX_PROMPT,
    MAX_SEED,
    MAX_TEMPERATURE,
    MIN_TEMPERATURE,
    Continuation,
    Generation,
    GenerationRequest,
    InvalidRequest,
    SamplingParams,
    ScoringRequest,
    Surprisal,
    Temperature,
    Timing,
)
from generator.sampling_params import SETTINGS, UNMODIFIED
from generator.serving import sampling as served
from generator.serving.sampling import NO_CHARACTER, column, cuts

LAST_UNIFORM = math.nextafter(1.0, 0.0)
EDGE = 1e-9
"""How near to a boundary between two characters the reference is trusted; far above what rounding moves it."""

LOGITS = st.floats(-30, 30, width=32)
ROWS = st.lists(LOGITS | st.just(-math.inf), min_size=1, max_size=12).filter(lambda row: max(row) > -math.inf)
TEMPERATURES = st.floats(MIN_TEMPERATURE, MAX_TEMPERATURE)
UNIFORMS = st.floats(0.0, LAST_UNIFORM) | st.sampled_from([0.0, LAST_UNIFORM])


TOP_PS = st.just(1.0) | st.floats(0.01, 0.999)
MIN_PS = st.just(0.0) | st.floats(0.001, 1.0)
TOP_KS = st.just(0) | st.integers(1, 14)


def draw(logits: Any, temperature: Any, uniform: Any, **cuts: Any) -> Any:
    """One character per row, as a worker draws it; of settings one number per row."""
    with np.errstate(invalid="ignore", over="ignore"):
        columns = {name: column(values) for name, values in cuts.items()}
        return served.draw(logits, column(temperature), column(uniform), **columns)


def draw_one(row: list[float], temperature: float, uniform: float, **cuts: float) -> int:
    """What one text that runs alone draws."""
    used = {name: [value] for name, value in cuts.items() if value != getattr(UNMODIFIED, name)}
    drawn = draw(np.array([row], np.float32), [temperature], [uniform], **used)
    assert drawn.shape == (1,)
    assert drawn.dtype == np.int64
    return int(drawn[0])


def probabilities(row: list[float], temperature: float) -> list[float]:
    """The softmax, written down as it is defined."""
    top = max(row)
    weights = [math.exp((logit - top) / temperature) for logit in row]
    total = math.fsum(weights)
    return [weight / total for weight in weights]


def survivors(row: list[float], temperature: float, *, top_p: float, min_p: float, top_k: int) -> set[int]:
    """Characters that the three cuts keep. Rejects the example where rounding would have to decide."""
    shares = dict(enumerate(probabilities(row, temperature)))
    threshold = min_p * max(shares.values())
    assume(all(abs(share - threshold) > EDGE * threshold for share in shares.values() if threshold > 0))
    kept = {i: share for i, share in shares.items() if share >= threshold and share > 0}
    if top_p == 1.0 and not top_k:
        return set(kept)
    ranking = sorted(kept, key=lambda i: (-row[i], i))
    for better, worse in itertools.pairwise(ranking):
        assume(row[better] == row[worse] or kept[better] - kept[worse] > EDGE * kept[better])
    if top_k:
        ranking = ranking[:top_k]
        kept = {i: kept[i] for i in ranking}
    if top_p == 1.0:
        return set(kept)
    wanted = top_p * math.fsum(kept.values())
    chosen: set[int] = set()
    reached = 0.0
    for character in ranking:
        if reached >= wanted:
            break
        chosen.add(character)
        reached = math.fsum(kept[i] for i in chosen)
        assume(abs(reached - wanted) > EDGE)
    return chosen


def intervals(shares: list[float], kept: set[int]) -> list[tuple[int, float, float]]:
    """(character, from, to): the uniforms for which each kept character is drawn, in the order of the vocabulary."""
    total = math.fsum(shares[i] for i in kept)
    ends = [math.fsum(shares[i] for i in kept if i <= character) / total for character in sorted(kept)]
    return list(zip(sorted(kept), [0.0, *ends], ends, strict=False))


# ---- what may be drawn ----------------------------------------------------------------------------------------------


@given(row=ROWS, temperature=TEMPERATURES, uniform=UNIFORMS)
def test_a_forbidden_character_is_never_drawn(row: list[float], temperature: float, uniform: float) -> None:
    assert row[draw_one(row, temperature, uniform)] > -math.inf


@given(row=ROWS, temperature=TEMPERATURES)
def test_each_character_is_drawn_as_often_as_the_softmax_says(row: list[float], temperature: float) -> None:
    """The uniforms that draw a character fill an interval as long as its probability, and no other."""
    shares = probabilities(row, temperature)
    for character, low, high in intervals(shares, {i for i, share in enumerate(shares) if share > 0}):
        if high - low > 4 * EDGE:
            for uniform in (low + EDGE, (low + high) / 2, high - EDGE):
                assert draw_one(row, temperature, uniform) == character


def test_frequencies_over_many_uniforms_are_the_probabilities() -> None:
    count = 20_000
    row = [2.0, -1.0, 0.5, -math.inf, 2.0, -7.0]
    logits = np.tile(np.array(row, np.float32), (count, 1))
    drawn = Counter(draw(logits, np.full(count, 0.7), (np.arange(count) + 0.5) / count).tolist())
    for character, share in enumerate(probabilities(row, 0.7)):
        assert abs(drawn[character] - share * count) <= 1


@given(
    row=ROWS,
    temperature=TEMPERATURES,
    cuts=st.fixed_dictionaries({"top_p": TOP_PS, "min_p": MIN_PS, "top_k": TOP_KS}),
)
def test_the_cuts_keep_exactly_the_right_characters(row: list[float], temperature: float, cuts: dict[str, Any]) -> None:
    """One character too many or too few would move the boundaries between the others."""
    kept = survivors(row, temperature, **cuts)
    for character, low, high in intervals(probabilities(row, temperature), kept):
        if high - low > 4 * EDGE:
            for uniform in (low + EDGE, (low + high) / 2, high - EDGE):
                assert draw_one(row, temperature, uniform, **cuts) == character


@pytest.mark.parametrize(
    ("top_p", "min_p", "top_k", "kept"),
    [
        (0.4, 0.0, 0, {3}),
        (0.41, 0.0, 0, {3, 1}),
        (0.75, 0.0, 0, {3, 1, 0}),
        (0.95, 0.0, 0, {3, 1, 0, 2}),
        (1.0, 0.0, 0, {0, 1, 2, 3}),
        (1.0, 0.2, 0, {0, 1, 2, 3}),
        (1.0, 0.3, 0, {0, 1, 3}),
        (1.0, 0.6, 0, {1, 3}),
        (1.0, 1.0, 0, {3}),
        (5e-324, 0.0, 0, {3}),
        (0.5, 0.3, 0, {3, 1}),
        (0.79, 0.6, 0, {3, 1}),
        (1.0, 0.0, 1, {3}),
        (1.0, 0.0, 2, {3, 1}),
        (1.0, 0.0, 3, {3, 1, 0}),
        (1.0, 0.0, 4, {3, 1, 0, 2}),
        (1.0, 0.0, 10_000, {3, 1, 0, 2}),
        (1.0, 0.6, 3, {3, 1}),
        (0.58, 0.0, 2, {3, 1}),
        (0.57, 0.0, 2, {3}),
        (0.57, 0.0, 3, {3, 1}),
    ],
)
def test_the_cuts_by_example(top_p: float, min_p: float, top_k: int, kept: set[int]) -> None:
    """At temperature 1 the four characters have 20, 30, 10 and 40 % (a hair more, so that no cut is on the edge)."""
    row = [math.log(share) for share in (0.2, 0.3, 0.1, 0.4000001)]
    drawn = {draw_one(row, 1.0, (i + 0.5) / 1000, top_p=top_p, min_p=min_p, top_k=top_k) for i in range(1000)}
    assert drawn == kept


def test_min_p_one_keeps_every_character_that_is_as_probable_as_the_best() -> None:
    row = [1.0, 3.0, 3.0, 2.0, 3.0]
    assert {draw_one(row, 0.7, (i + 0.5) / 99, min_p=1.0) for i in range(99)} == {1, 2, 4}


def test_of_equally_probable_characters_top_k_keeps_the_first() -> None:
    row = [1.0, 3.0, 3.0, 2.0, 3.0]
    assert {draw_one(row, 0.7, (i + 0.5) / 99, top_k=2) for i in range(99)} == {1, 2}


# ---- the edges ------------------------------------------------------------------------------------------------------


@given(row=ROWS, uniform=UNIFORMS, temperature=st.sampled_from([1e-9, 1e-300, 5e-324]))
def test_a_temperature_next_to_zero_is_the_arg_max(row: list[float], uniform: float, temperature: float) -> None:
    # Below 1e-6 no two different float32 logits of this size weigh within a float64 of each other.
    assume(all(logit == max(row) or max(row) - logit > 1e-6 for logit in row))
    assert row[draw_one(row, temperature, uniform)] == max(row)


@given(
    survivor=st.integers(0, 83),
    logit=st.floats(-(2.0**127), 2.0**127, width=32),
    temperature=st.floats(1e-300, 1e300),
    uniform=UNIFORMS,
    top_p=st.floats(1e-300, 1.0),
    min_p=st.floats(0.0, 1.0),
    top_k=st.integers(0, 100),
)
def test_a_single_surviving_character_is_drawn_whatever_the_settings(
    *, survivor: int, logit: float, temperature: float, uniform: float, top_p: float, min_p: float, top_k: int
) -> None:
    row = [-math.inf] * 84
    row[survivor] = logit
    assert draw_one(row, temperature, uniform, top_p=top_p, min_p=min_p, top_k=top_k) == survivor


@given(row=ROWS, temperature=TEMPERATURES, top_p=st.floats(1e-300, 1.0), min_p=st.floats(0.0, 1.0))
def test_the_first_and_the_last_uniform_draw_a_character_that_has_weight(
    row: list[float], temperature: float, top_p: float, min_p: float
) -> None:
    for uniform in (0.0, LAST_UNIFORM):
        drawn = draw_one(row, temperature, uniform, top_p=top_p, min_p=min_p)
        assert 0 <= drawn < len(row)
        assert math.exp((row[drawn] - max(row)) / temperature) >= min_p * (1 - EDGE)
        assert row[drawn] > -math.inf


def test_the_last_uniform_draws_the_last_character_that_is_allowed_however_many_share_the_weight() -> None:
    for equal in range(1, 84):
        row = [0.0] * equal + [-math.inf] * (84 - equal)
        assert draw_one(row, 1.0, LAST_UNIFORM) == equal - 1
        assert draw_one(row[::-1], 1.0, 0.0) == 84 - equal


def test_the_largest_float32_logits_overflow_nothing() -> None:
    row = [3.4e38, -3.4e38, 3.3e38]
    assert draw_one(row, 0.1, 0.999) == 0
    assert draw_one(row, 1e-300, LAST_UNIFORM, top_p=0.5, min_p=0.5, top_k=2) == 0


# ---- rows -----------------------------------------------------------------------------------------------------------

BROKEN = {
    "NaN": [0.0, math.nan, 1.0, 2.0],
    "all NaN": [math.nan] * 4,
    "+inf": [0.0, math.inf, 1.0, 2.0],
    "two +inf": [math.inf, math.inf, 0.0, 1.0],
    "NaN and −inf": [-math.inf, math.nan, -math.inf, -math.inf],
    "all −inf": [-math.inf] * 4,
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN.keys())
@pytest.mark.parametrize(
    "cuts",
    [{}, {"top_p": 0.9}, {"min_p": 0.1}, {"top_k": 1}, {"top_k": 3}, {"top_p": 0.9, "min_p": 0.1, "top_k": 3}],
    ids=repr,
)
def test_a_row_that_is_no_distribution_says_so_and_disturbs_no_other(
    broken: list[float], cuts: dict[str, float]
) -> None:
    healthy = [0.3, -0.2, 1.5, 0.9]
    uniforms = [0.1, 0.4, 0.7, 0.95]
    alone = [draw_one(healthy, 0.7, uniform, **cuts) for uniform in uniforms]
    for place in range(5):
        rows, numbers = [healthy] * 4, list(uniforms)
        rows.insert(place, broken)
        numbers.insert(place, 0.5)
        drawn = draw(
            np.array(rows, np.float32), [0.7] * 5, numbers, **{name: [value] * 5 for name, value in cuts.items()}
        ).tolist()
        assert drawn.pop(place) == NO_CHARACTER
        assert drawn == alone


@given(
    logits=arrays.arrays(np.float32, (6, 9), elements=LOGITS | st.just(-math.inf)),
    settings=st.lists(
        st.tuples(UNIFORMS, st.builds(SamplingParams, TEMPERATURES, TOP_PS, MIN_PS, TOP_KS)), min_size=6, max_size=6
    ),
    order=st.permutations(range(6)),
)
def test_a_row_draws_the_same_alone_and_among_others_in_any_order(
    logits: Any, settings: list[tuple[float, SamplingParams]], order: list[int]
) -> None:
    def draw_rows(rows: list[int]) -> list[int]:
        used = {name: values[:, 0] for name, values in cuts([settings[row][1] for row in rows]).items()}
        temperature = [settings[row][1].temperature for row in rows]
        drawn: list[int] = draw(logits[rows], temperature, [settings[row][0] for row in rows], **used).tolist()
        return drawn

    alone = [draw_rows([row])[0] for row in range(6)]
    assert draw_rows(order) == [alone[row] for row in order]


def test_a_row_on_the_very_boundary_of_two_characters_is_decided_the_same_in_any_company() -> None:
    """Uniforms put exactly where one character's interval ends: a sum that differed in its last bit would show."""
    random = np.random.default_rng(7)
    count, symbols = 64, 84
    logits = random.normal(0, 4, (count, symbols)).astype(np.float32)
    temperature = random.uniform(MIN_TEMPERATURE, MAX_TEMPERATURE, count)
    weights = np.exp((logits - logits.max(axis=1, keepdims=True).astype(np.float64)) / temperature[:, None])
    ends = np.cumsum(weights, axis=1)
    uniform = np.minimum(ends[np.arange(count), random.integers(symbols, size=count)] / ends[:, -1], LAST_UNIFORM)
    alone = [draw_one(logits[row].tolist(), temperature[row], uniform[row]) for row in range(count)]
    for size in range(1, count + 1):
        rows = random.permutation(count)[:size]
        drawn = draw(logits[rows], temperature[rows], uniform[rows]).tolist()
        assert drawn == [alone[row] for row in rows]


def test_drawing_leaves_the_logits_as_they_were() -> None:
    logits = np.array([[1.0, 2.0, 3.0]], np.float32)
    half = np.array([0.5])
    draw(logits, np.array([0.7]), half, top_p=half, min_p=half, top_k=np.array([2]))
    assert logits.tolist() == [[1.0, 2.0, 3.0]]


# ---- settings -------------------------------------------------------------------------------------------------------

NO_NUMBERS = [math.nan, math.inf, -math.inf, True, False, None, "0.7", 10**400]


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("value", NO_NUMBERS, ids=lambda value: repr(value)[:8])
def test_a_setting_that_is_no_finite_number_is_refused_by_name(setting: str, value: Any) -> None:
    with pytest.raises(InvalidRequest, match=setting):
        SamplingParams(**{setting: value})


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("temperature", 0.0),
        ("temperature", -0.7),
        ("temperature", math.nextafter(MIN_TEMPERATURE, 0.0)),
        ("temperature", math.nextafter(MAX_TEMPERATURE, 3.0)),
        ("top_p", 0.0),
        ("top_p", -0.0),
        ("top_p", -0.1),
        ("top_p", 1.0000001),
        ("min_p", -1e-300),
        ("min_p", 1.0000001),
        ("top_k", -1),
        ("top_k", 10_001),
        ("top_k", 2.0),
    ],
)
def test_a_setting_out_of_range_is_refused_by_name(setting: str, value: float) -> None:
    with pytest.raises(InvalidRequest, match=setting):
        SamplingParams(**{setting: value})


@pytest.mark.parametrize("setting", ["length", "seed"])
@pytest.mark.parametrize("value", [*NO_NUMBERS, -1, MAX_SEED + 1, 0.5], ids=lambda value: repr(value)[:8])
def test_a_length_or_seed_that_is_no_whole_number_in_range_is_refused_by_name(setting: str, value: Any) -> None:
    with pytest.raises(InvalidRequest, match=setting):
        GenerationRequest(**{"length": 100, "seed": 1, setting: value})


def test_a_length_beyond_the_limits_is_refused() -> None:
    for length in (0, MAX_LENGTH + 1):
        with pytest.raises(InvalidRequest, match="length"):
            GenerationRequest(length=length, seed=1)


def test_a_prompt_has_its_limit() -> None:
    with pytest.raises(InvalidRequest, match="prompt"):
        GenerationRequest(length=1, seed=1, prompt="a" * (MAX_PROMPT + 1))


def test_the_limits_themselves_are_allowed() -> None:
    for sampling in (
        SamplingParams(MIN_TEMPERATURE, 5e-324, 0.0),
        SamplingParams(MAX_TEMPERATURE, 1.0, 1.0),
        SamplingParams(1, 1, 0, 10_000),
    ):
        GenerationRequest(length=1, seed=0, sampling=sampling)
        GenerationRequest(length=MAX_LENGTH, seed=MAX_SEED, sampling=sampling, prompt="a" * MAX_PROMPT)


def test_a_request_cannot_be_changed_after_it_was_checked() -> None:
    request: Any = GenerationRequest(length=1, seed=0)
    with pytest.raises(AttributeError):
        request.length = 10**9
    with pytest.raises(AttributeError):
        request.sampling.temperature = math.nan


# ---- one declaration ------------------------------------------------------------------------------------------------


def test_a_temperature_is_valid_once_it_is_made() -> None:
    assert Temperature(0.7) == 0.7
    assert SamplingParams(Temperature(0.7)) == SamplingParams(0.7)
    for value in (0.05, 2.1, math.nan, "0.7", True):
        with pytest.raises(InvalidRequest, match=r"temperature must be a number from 0\.1 to 2\.0"):
            Temperature(value)


def test_every_setting_reaches_the_draw_and_says_what_it_does() -> None:
    assert set(SETTINGS) <= set(inspect.signature(served.draw).parameters)
    for setting in SETTINGS.values():
        assert setting.range.title
        assert setting.range.description


def test_no_setting_costs_anything_where_no_row_uses_it() -> None:
    assert not cuts([UNMODIFIED, SamplingParams(0.7, min_p=0.0)])
    assert set(cuts([UNMODIFIED, SamplingParams(min_p=0.0, top_k=3)])) == {"top_k"}


@pytest.mark.parametrize(
    "value",
    [
        GenerationRequest(100, 5, SamplingParams(Temperature(0.9), 0.5, 0.25, 7), "Abc"),
        GenerationRequest(100, 5, continuation=Continuation(b"state\xff", "tail")),
        ScoringRequest("before", "text", 7),
        Surprisal("abc", (1.0, 2.0, 0.25), "version", "given"),
        Generation("text", b"\x00\xff", "version", 3, Timing(0.0, 1.0, 2.0)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_requests_and_results_survive_the_way_to_another_process(value: Any) -> None:
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(value), type=type(value)) == value
    assert pickle.loads(pickle.dumps(value)) == value  # noqa: S301 - of our own making


def test_a_request_out_of_range_does_not_arrive() -> None:
    content = msgspec.msgpack.encode({"length": 100, "seed": 5, "sampling": {"temperature": 5.0}})
    with pytest.raises(msgspec.ValidationError, match="temperature"):
        msgspec.msgpack.decode(content, type=GenerationRequest)
