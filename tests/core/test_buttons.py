"""Buttons under a text: what they carry, and what they do when they come back."""

from __future__ import annotations

import pytest
from conftest import english
from hypothesis import given
from hypothesis import strategies as st

from bot.core import buttons
from bot.core.ask import Again, Continue, ForgetMe, Where
from bot.core.commands import Commands, parse
from bot.core.reply import Kind, Reply
from bot.store.store import Store
from generator import MAX_TEMPERATURE, MIN_TEMPERATURE

TELEGRAM_CALLBACK_DATA_BYTES = 64


async def a_text(commands: Commands, arguments: str = "0.7 The", person: str = "17") -> Reply:
    return await commands.handle(parse("nietzsche", arguments), Where("discord", "here", person))


async def press(commands: Commands, reply: Reply, label: str, person: str = "17") -> Reply:
    data = next(action.data for action in reply.actions if action.label == label)
    return await commands.press(data, Where("discord", "here", person))


async def test_again_draws_another_text_from_the_same_prompt(commands: Commands) -> None:
    first = await a_text(commands)
    for _ in range(3):  # under the same text, as often as they like
        other = await press(commands, first, "Again")
        assert other.kind is Kind.TEXT
        assert other.text != first.text
        assert other.passages[0].prompt == "The"


async def test_hotter_and_colder_change_the_temperature_by_a_step(commands: Commands, store: Store) -> None:
    first = await a_text(commands)
    for label, temperature in (("Hotter", 0.8), ("Colder", 0.6)):
        assert (await press(commands, first, label)).kind is Kind.TEXT
        kept = await store.conversation("discord", "here", "17")
        assert kept is not None
        assert kept.temperature == temperature


async def test_continue_goes_on_from_that_text_and_from_no_other(commands: Commands, store: Store) -> None:
    first = await a_text(commands)
    kept = await store.conversation("discord", "here", "17")
    assert kept is not None
    second = await press(commands, first, "Continue")
    after = await store.conversation("discord", "here", "17")
    assert after is not None
    assert after.tail.startswith(kept.tail)
    assert (await press(commands, second, "Continue")).kind is Kind.TEXT
    assert (await press(commands, first, "Continue")).text == english("old-text")


async def test_a_text_of_another_prompt_in_between_makes_old_buttons_say_so(commands: Commands) -> None:
    first = await a_text(commands)
    await a_text(commands, "0.7 Woman")
    for label in ("Again", "Continue", "Hotter"):
        reply = await press(commands, first, label)
        assert reply.text == english("old-text")
        assert reply.private


async def test_only_the_person_who_asked_may_press(commands: Commands) -> None:
    first = await a_text(commands)
    for action in first.actions:
        reply = await commands.press(action.data, Where("discord", "here", "18"))
        assert reply.text == english("not-your-text")
        assert reply.private


async def test_the_ends_of_the_range_have_no_button_that_leads_out_of_it(commands: Commands) -> None:
    hottest = await a_text(commands, f"{MAX_TEMPERATURE}")
    assert [action.label for action in hottest.actions] == ["Again", "Continue", "Colder"]
    coldest = await a_text(commands, f"{MIN_TEMPERATURE}")
    assert [action.label for action in coldest.actions] == ["Again", "Continue", "Hotter"]


async def test_a_forgotten_text_has_buttons_that_say_what_to_do(commands: Commands) -> None:
    first = await a_text(commands)
    await commands.handle(ForgetMe(confirmed=True), Where("discord", "here", "17"))
    assert "/nietzsche" in (await press(commands, first, "Again")).text
    assert "/nietzsche" in (await press(commands, first, "Continue")).text


@given(st.text(max_size=80))
def test_whatever_comes_back_is_a_button_or_is_not(data: str) -> None:
    button = buttons.decode(data)
    assert button is None or isinstance(button.ask, Again | Continue | ForgetMe)


@pytest.mark.parametrize("data", ["", "a", "a:1:2", "a:1:2:nan", "a:1:2:9", "a:1:2:x", "c:1", "c:1:2:3", "x:1:2"])
async def test_a_forged_button_does_nothing(commands: Commands, data: str) -> None:
    assert (await commands.press(data, Where("discord", "here", "1"))).text == english("no-such-button")


@given(st.integers(0, 2**63), st.text(), st.floats(MIN_TEMPERATURE, MAX_TEMPERATURE), st.binary())
def test_the_data_fits_every_platform_and_is_read_back(
    person: int, prompt: str, temperature: float, state: bytes
) -> None:
    prompt = prompt.encode("utf-8", "ignore").decode()
    for action in buttons.under(Where("telegram", "5", str(person)), prompt, temperature, state):
        assert len(action.data.encode("ascii")) <= TELEGRAM_CALLBACK_DATA_BYTES
        button = buttons.decode(action.data)
        assert button is not None
        assert button.owner == str(person)


async def test_suggestions_begin_with_the_persons_own_temperature(commands: Commands) -> None:
    before = await commands.suggest(Where("discord", "here", "17"))
    assert next(iter(before)) == 0.7
    await commands.handle(parse("temperature", "1.1"), Where("discord", "here", "17"))
    after = await commands.suggest(Where("discord", "here", "17"))
    assert list(after)[:2] == [1.1, 0.7]


async def test_after_close_everything_is_answered_with_the_restart(commands: Commands) -> None:
    first = await a_text(commands)
    commands.closing = True
    assert (await a_text(commands)).text == english("restarting")
    assert (await press(commands, first, "Again")).text == english("restarting")
