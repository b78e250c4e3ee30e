"""What people type: commands, temperatures in every notation, prompts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.parsing import (
    Line,
    TemperatureError,
    parse_line,
    parse_temperature,
    split_temperature,
)
from generator.sampling_params import MAX_TEMPERATURE, MIN_TEMPERATURE

TEMPERATURES = st.floats(MIN_TEMPERATURE, MAX_TEMPERATURE)
ARABIC = str.maketrans("0123456789.", "٠١٢٣٤٥٦٧٨٩٫")
DEVANAGARI = str.maketrans("0123456789", "०१२३४५६७८९")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("/nietzsche", ("nietzsche", "")),
        ("/nietzsche 0.7", ("nietzsche", "0.7")),
        ("/nietzsche@bot 0,7 The philosopher", ("nietzsche", "0,7 The philosopher")),
        ("  /Nietzsche   0.7   The  philosopher \n", ("nietzsche", "0.7   The  philosopher")),
        ("/nietzsche\n0.7\nTwo\nlines", ("nietzsche", "0.7\nTwo\nlines")),
        ("/nietzsche\u00a00.7", ("nietzsche", "0.7")),
        ("/", ("", "")),
        ("/ nietzsche", ("", "nietzsche")),
        ("//", ("/", "")),
        ("/again@", ("again", "")),
    ],
)
def test_a_command_line(line: str, expected: Line) -> None:
    assert parse_line(line) == expected


@pytest.mark.parametrize("line", ["", "   ", "nietzsche 0.7", "What is /nietzsche?", "\\nietzsche"])
def test_a_line_without_a_slash_is_no_command(line: str) -> None:
    assert parse_line(line) is None


@pytest.mark.parametrize("typed", ["0.7", "0,7", ".7", ",7", "7e-1", "70E-2", "+0.7", "00.70", "٠٫٧", "٠.٧", "０．７"])
def test_every_way_to_write_seven_tenths(typed: str) -> None:
    assert parse_temperature(typed) == 0.7


@pytest.mark.parametrize(
    "typed", ["0", "-0", "0.0999", "2.01", "-0.7", "−0.7", "9.9,", "1e309", "1e-400", "1886", "9" * 5000]
)
def test_a_number_out_of_range(typed: str) -> None:
    with pytest.raises(TemperatureError) as caught:
        parse_temperature(typed)
    assert caught.value.typed == typed
    with pytest.raises(TemperatureError):
        split_temperature(f"{typed} was a good year")


@pytest.mark.parametrize(
    "typed", ["", "hot", "nan", "-inf", "0.7.1", "0,7,1", "1_0", "0x1", "1.", "½", "①", "0.7°", "--1", "e5"]
)
def test_what_is_no_number(typed: str) -> None:
    with pytest.raises(TemperatureError):
        parse_temperature(typed)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("", (None, "")),
        ("0.7", (0.7, "")),
        ("0,7 The philosopher", (0.7, "The philosopher")),
        ("0.7\nThe\nphilosopher ", (0.7, "The\nphilosopher")),
        ("The philosopher", (None, "The philosopher")),
        ("0.7 1886 was", (0.7, "1886 was")),
        ("1. Of prejudices", (None, "1. Of prejudices")),
        ("2nd thoughts", (None, "2nd thoughts")),
        ("Infinity is", (None, "Infinity is")),
    ],
)
def test_a_temperature_before_a_prompt(arguments: str, expected: tuple[float | None, str]) -> None:
    assert split_temperature(arguments) == expected


@given(
    st.decimals("0.1", "2.0", places=2).map(str),
    st.sampled_from(
        ["{},", "{}:", "{};", "{}.", '"{}"', "“{}”", "t={}", "T = {}", "temperature {}", "temp: {}", '"{}",', "«{}»"]
    ),
    st.sampled_from(["", " The philosopher", "\nTwo\nlines", "  1886 was"]),
)
def test_a_mistyped_temperature_is_understood_when_it_is_beyond_doubt(number: str, around: str, prompt: str) -> None:
    for typed in (around.format(number), around.format(number.replace(".", ","))):
        assert split_temperature(typed + prompt) == (float(number), prompt.strip())
        assert parse_temperature(typed) == float(number)


def test_a_temperature_that_runs_into_its_prompt() -> None:
    assert split_temperature("0.7The philosopher") == (0.7, "The philosopher")
    assert split_temperature("70%") == (0.7, "")
    assert parse_temperature("70 %".replace(" ", "")) == 0.7


@pytest.mark.parametrize(
    "prompt",
    [
        "1. Of prejudices",
        "1: Of",
        "70% of them",
        "0.7mm",
        '"0.7 is a number"',
        "t 1",
        "temperature",
        "0.7.1",
    ],
)
def test_what_may_be_a_prompt_is_one(prompt: str) -> None:
    assert split_temperature(prompt) == (None, prompt)


@given(TEMPERATURES)
def test_any_temperature_in_any_notation(value: float) -> None:
    for written in (repr(value), f"{value:.17e}", repr(value).replace(".", ",")):
        assert parse_temperature(written) == value
    assert parse_temperature(repr(value).translate(ARABIC)) == value
    assert parse_temperature(repr(value).translate(DEVANAGARI)) == value


@given(st.floats())
def test_any_number_is_in_range_or_refused(value: float) -> None:
    try:
        parsed = parse_temperature(repr(value))
    except TemperatureError:
        assert not MIN_TEMPERATURE <= value <= MAX_TEMPERATURE
    else:
        assert parsed == value


@given(st.text())
def test_anything_typed_is_read_without_a_crash(text: str) -> None:
    line = parse_line(text)
    assert (line is None) == (not text.lstrip().startswith("/"))
    try:
        temperature, prompt = split_temperature(text)
    except TemperatureError as error:
        temperature, prompt = None, error.typed
    assert temperature is None or MIN_TEMPERATURE <= temperature <= MAX_TEMPERATURE
    assert prompt in text
    assert prompt == prompt.strip()


@given(st.text(alphabet="abc", min_size=1), st.text())
def test_a_command_survives_the_way_it_is_addressed(command: str, arguments: str) -> None:
    plain = parse_line(f"/{command} {arguments}")
    assert plain == (command, arguments.strip())
    assert parse_line(f"/{command.upper()}@lstmega_bot {arguments}") == plain
