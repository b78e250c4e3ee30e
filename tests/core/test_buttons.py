"""Buttons under a text: what they carry, and what they do when they come back."""

from __future__ import annotations

import pytest
from conftest import english, last_text
from hypothesis import given
from hypothesis import strategies as st

from bot.core import buttons
from bot.core.ask import Again, Continue, ForgetMe, Set, Surprise, Where
from bot.core.commands import Commands, parse
from bot.core.reply import Kind, Reply
from bot.store.store import KEPT_TEXTS, Conversation, Store
from generator import MAX_TEMPERATURE, MIN_TEMPERATURE

TELEGRAM_CALLBACK_DATA_BYTES = 64


async def a_text(commands: Commands, arguments: str = "0.7 The", person: str = "17") -> Reply:
    return await commands.handle(parse("nietzsche", arguments), Where("discord", "here", person))


async def press(commands: Commands, reply: Reply, label: str, person: str = "17") -> Reply:
    data = next(action.data for action in reply.actions if action.label.split()[0] == label)
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
        kept = await last_text(store, "discord", "here", "17")
        assert kept is not None
        assert kept.temperature == temperature


async def test_continue_goes_on_from_that_text_and_from_no_other(commands: Commands, store: Store) -> None:
    first = await a_text(commands)
    kept = await last_text(store, "discord", "here", "17")
    assert kept is not None
    second = await press(commands, first, "Continue")
    after = await last_text(store, "discord", "here", "17")
    assert after is not None
    assert after.tail.startswith(kept.tail)
    assert (await press(commands, second, "Continue")).kind is Kind.TEXT
    assert (await press(commands, first, "Continue")).kind is Kind.TEXT
    after = await last_text(store, "discord", "here", "17")
    assert after is not None
    assert after.tail.startswith(kept.tail), "the first text again, not the one that was continued last"


async def test_each_of_the_last_ten_texts_is_continued_and_the_one_before_loses_its_buttons(
    commands: Commands, store: Store
) -> None:
    texts = [await a_text(commands, f"0.7 Text number {number}") for number in range(KEPT_TEXTS + 1)]
    for label in ("Again", "Continue", "Hotter", "Surprise"):
        reply = await press(commands, texts[0], label)
        assert (reply.text, reply.private, reply.outdated) == (english("old-text"), True, True)
    for number in range(2, len(texts)):  # each of these texts takes the place of the oldest
        assert (await press(commands, texts[number], "Continue")).kind is Kind.TEXT
        newest, *_ = await store.conversations("discord", "here", "17")
        assert newest.prompt == f"Text number {number}"
    again = await press(commands, texts[-1], "Again")
    assert again.passages[0].prompt == f"Text number {KEPT_TEXTS}"
    assert (await press(commands, again, "Surprise")).picture is not None
    newest = await commands.handle(parse("again", ""), Where("discord", "here", "17"))
    assert newest.passages[0].prompt == f"Text number {KEPT_TEXTS}"


async def test_a_button_of_an_earlier_version_names_its_text_by_the_prompt(commands: Commands) -> None:
    await a_text(commands, "0.7 The")
    old = f"a:17:{buttons.fingerprint(b'The')}:0.8"
    assert (await commands.press(old, Where("discord", "here", "17"))).passages[0].prompt == "The"


async def test_a_text_that_is_edited_keeps_its_slot(commands: Commands, store: Store) -> None:
    """Whatever is done under one inline message, the other nine can be continued."""
    inline = Where("telegram", "inline", "17", in_place=True)
    first, *others = [await commands.handle(parse("nietzsche", f"0.7 {number}"), inline) for number in range(10)]
    for label in ("Continue", "Again", "Hotter", "Continue", "Again") * 3:
        data = next(action.data for action in first.actions if action.label.split()[0] == label)
        first = await commands.press(data, inline)
        assert first.kind is Kind.TEXT
        assert "Surprise" not in [action.label for action in first.actions]
    kept = await store.conversations("telegram", "inline", "17")
    assert [text.prompt for text in kept] == [str(number) for number in range(9, -1, -1)]
    for other in others:
        assert (await commands.press(other.actions[1].data, inline)).kind is Kind.TEXT


async def test_the_buttons_say_how_hot_the_text_is_and_a_tap_keeps_that(commands: Commands, store: Store) -> None:
    reply = await a_text(commands)
    assert [action.label for action in reply.actions] == [
        "Again", "Continue", "Hotter (0.8)", "Colder (0.6)", "Surprise",
    ]  # fmt: skip
    for _ in range(3):
        reply = await press(commands, reply, "Hotter")
    assert [action.label for action in reply.actions][2:] == ["Hotter (1.1)", "Colder (0.9)", "Surprise", "Always 1"]
    kept = await press(commands, reply, "Always")
    assert kept.private
    assert kept.text == english("temperature-own", own=1.0, default=0.7)
    assert (await store.preferences("discord", "17")).temperature == 1.0
    again = await press(commands, reply, "Again")
    assert "Always 1" not in [action.label for action in again.actions], "it is their own by now"


async def test_only_the_person_who_asked_may_press(commands: Commands) -> None:
    first = await a_text(commands)
    for action in first.actions:
        reply = await commands.press(action.data, Where("discord", "here", "18"))
        assert reply.text == english("not-your-text")
        assert reply.private


async def test_the_ends_of_the_range_have_no_button_that_leads_out_of_it(commands: Commands) -> None:
    hottest = await a_text(commands, f"{MAX_TEMPERATURE}")
    assert [action.label for action in hottest.actions] == ["Again", "Continue", "Colder (1.9)", "Surprise"]
    coldest = await a_text(commands, f"{MIN_TEMPERATURE}")
    assert [action.label for action in coldest.actions] == ["Again", "Continue", "Hotter (0.2)", "Surprise"]


async def test_a_forgotten_text_has_buttons_that_say_what_to_do(commands: Commands) -> None:
    first = await a_text(commands)
    await commands.handle(ForgetMe(confirmed=True), Where("discord", "here", "17"))
    assert "/nietzsche" in (await press(commands, first, "Again")).text
    assert "/nietzsche" in (await press(commands, first, "Continue")).text


@given(st.text(max_size=80))
def test_whatever_comes_back_is_a_button_or_is_not(data: str) -> None:
    button = buttons.decode(data)
    assert button is None or isinstance(button.ask, Again | Continue | ForgetMe | Set | Surprise)


@pytest.mark.parametrize("data", ["", "a", "a:1:2", "a:1:2:nan", "a:1:2:9", "a:1:2:x", "c:1", "c:1:2:3", "x:1:2"])
async def test_a_forged_button_does_nothing(commands: Commands, data: str) -> None:
    assert (await commands.press(data, Where("discord", "here", "1"))).text == english("no-such-button")


@given(st.integers(0, 2**63), st.floats(MIN_TEMPERATURE, MAX_TEMPERATURE), st.binary())
def test_the_data_fits_every_platform_and_is_read_back(person: int, temperature: float, state: bytes) -> None:
    text, where = Conversation("", temperature, "v", state, ""), Where("telegram", "5", str(person))
    for action in (*buttons.under(where, text), buttons.keeping(where, temperature)):
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
