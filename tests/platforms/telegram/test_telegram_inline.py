"""Inline mode."""

from __future__ import annotations

from dataclasses import replace

import pytest
from conftest import english
from telegram_support import (
    BUTTONS,
    LogLines,
    ScriptedCommands,
    section,
    serving,
)

from bot.core.ask import Write
from bot.core.reply import Action, Kind, Passage, Reply
from bot.core.voice import Voice
from bot.platforms.telegram.platform import Telegram
from bot.store.store import Store
from generator import Temperature
from testing.telegram import TelegramServer, User


@pytest.mark.usefixtures("telegram")
async def test_a_text_in_any_chat(server: TelegramServer, scripted: ScriptedCommands, alice: User) -> None:
    query = await alice.inline("The philosopher")
    results = await query.answer()
    assert [result["title"] for result in results] == ["0.5 — calm", "0.7 — balanced", "0.9 — lively"]
    assert {result["description"] for result in results} == {"The philosopher"}
    assert scripted.asked == []
    assert 0 < server.calls_of("answerInlineQuery")[0].params.integer("cache_time") <= 300
    message = await query.choose(1)
    assert message.text == english("inline-placeholder")
    text = await message.next_edit()
    assert text.startswith("The philosopher")
    assert (message.labels, message.preview) == (BUTTONS[:4], False)
    assert scripted.asked == [Write(Temperature(0.7), "The philosopher")]
    assert server.calls_of("sendChatAction") == []


@pytest.mark.usefixtures("telegram")
async def test_the_typed_temperature_comes_first_and_then_the_user_s_own(
    scripted: ScriptedCommands, store: Store, alice: User
) -> None:
    await store.set_preference("telegram", str(alice.id), "temperature", 0.8)
    query = await alice.inline("1,1 The sea")
    titles = [result["title"] for result in await query.answer()]
    assert titles == ["1.1 — as you typed", "0.8 — your own", "0.5 — calm", "0.7 — balanced", "0.9 — lively"]
    await (await query.choose(1)).next_edit()
    await (await query.choose(0)).next_edit()
    assert scripted.asked == [Write(Temperature(0.8), "The sea"), Write(Temperature(1.1), "The sea")]
    query = await alice.inline("0.9")
    results = await query.answer()
    assert [result["title"][:3] for result in results] == ["0.9", "0.8", "0.5", "0.7"]
    assert {result["description"] for result in results} == {english("inline-hint")}


@pytest.mark.usefixtures("telegram")
async def test_every_other_voice_is_offered_at_the_user_s_temperature(
    scripted: ScriptedCommands, store: Store, alice: User
) -> None:
    scripted.voices["melville"] = Voice("melville", "moby", "Moby-Dick", scripted.voice.generator)  # type: ignore[index]
    query = await alice.inline("The sea")
    titles = [result["title"] for result in await query.answer()]
    assert titles == ["0.5 — calm", "0.7 — balanced", "0.9 — lively", "Moby-Dick, at 0.7"]
    await (await query.choose(3)).next_edit()
    assert scripted.asked[-1] == Write(Temperature(0.7), "The sea", voice="melville")
    await store.set_preference("telegram", str(alice.id), "voice", "melville")
    await store.set_preference("telegram", str(alice.id), "language", "pt-BR")
    query = await alice.inline("1,1 The sea")
    assert [result["title"] for result in await query.answer()][-1] == "none, a 1,1"
    await (await query.choose(0)).next_edit()
    assert scripted.asked[-1] == Write(Temperature(1.1), "The sea"), "of the user's own voice"
    query = await alice.inline("moby The sea")
    assert len(await query.answer()) == 3, "it names one"
    for number in range(60):
        scripted.voices[f"v{number}"] = replace(scripted.voice, name=f"v{number}")  # type: ignore[index]
    assert len(await (await alice.inline("The")).answer()) == 50


@pytest.mark.usefixtures("telegram")
async def test_a_temperature_out_of_range_is_refused_while_it_is_typed(alice: User) -> None:
    """Otherwise the error would be posted into another user's chat."""
    query = await alice.inline("77 The sea")
    assert await query.answer() == []
    assert query.button["text"] == "Temperatures go from 0.1 to 2.0"
    assert query.button["start_parameter"]


@pytest.mark.usefixtures("telegram")
async def test_buttons_of_an_inline_message_change_it(alice: User, bob: User) -> None:
    query = await alice.inline("The")
    await query.answer()
    message = await query.choose()
    await message.next_edit()
    press = await bob.press(message, "Again")
    assert await press.answer() == (english("not-your-text"), True)
    press = await alice.press(message, "Again")
    assert await press.answer() == ("", False)
    assert (await message.next_edit()).startswith("The")


@pytest.mark.usefixtures("telegram")
async def test_no_user_can_write_into_an_inline_message_of_another(alice: User, bob: User) -> None:
    """A modified client sends any data for any message that it sees, such as that of the user's own button."""
    messages_of = {}
    for person in (alice, bob):
        query = await person.inline("The")
        await query.answer()
        messages_of[person] = await query.choose()
        await messages_of[person].next_edit()
    theirs = messages_of[alice]
    for label in ("Again", "Continue"):
        own = messages_of[bob].data(label)
        for data in (own, own.rpartition(":")[0], f"{own.rpartition(':')[0]}:{theirs.data(label).rpartition(':')[2]}"):
            press = await bob.press_data(theirs, data)
            assert await press.answer() == (english("no-such-button"), True)
    assert await (await bob.press(messages_of[bob], "Again")).answer() == ("", False)
    await messages_of[bob].next_edit()
    assert theirs.edits.unread == 0


@pytest.mark.usefixtures("telegram")
async def test_the_button_of_a_placeholder_says_that_the_text_is_coming(
    server: TelegramServer, scripted: ScriptedCommands, alice: User, bob: User
) -> None:
    query = await alice.inline("Slow The")
    await query.answer()
    message = await query.choose()
    await scripted.begun.next()
    press = await bob.press(message, "…")
    assert await press.answer() == (english("inline-wait"), False)
    scripted.resume.set()
    await message.next_edit()
    assert len(server.calls_of("editMessageText")) == 1


@pytest.mark.usefixtures("telegram")
async def test_only_the_last_of_quick_inline_queries_is_answered(server: TelegramServer, alice: User) -> None:
    with server.gathered():
        early = [await alice.inline("The philosopher"[:end]) for end in range(5, 15)]
        last = await alice.inline("The philosopher")
    await last.answer()
    assert not any(query.answers.all for query in early)


async def test_an_inline_query_from_before_the_start_is_no_error(
    server: TelegramServer, scripted: ScriptedCommands, alice: User, log_lines: LogLines
) -> None:
    query = await alice.inline("0.7")
    del server.queries[query.id]
    async with serving(Telegram(section(server), scripted)):
        await log_lines.saying("Query is too old")
    assert log_lines.troubles == []


@pytest.mark.usefixtures("telegram")
async def test_an_inline_refusal_takes_the_placeholder_s_place(
    scripted: ScriptedCommands, alice: User, log_lines: LogLines
) -> None:
    scripted.said["nietzsche"] = Reply.refusal("Not now")
    query = await alice.inline("The")
    await query.answer()
    message = await query.choose()
    assert await message.next_edit() == "Not now"
    assert message.labels == []
    query.results[0].pop("reply_markup")
    await query.choose()
    await log_lines.saying("inline.no_identifier")


@pytest.mark.usefixtures("telegram")
async def test_an_unchanged_inline_message_is_no_error(
    scripted: ScriptedCommands, alice: User, log_lines: LogLines
) -> None:
    same = Reply("the same", Kind.TEXT, (Passage("the same"),), actions=(Action("Again", "again"),))
    scripted.said["nietzsche"] = scripted.said["press"] = same
    query = await alice.inline("0.7")
    await query.answer()
    message = await query.choose()
    await message.next_edit()
    assert await (await alice.press(message, "Again")).answer() == ("", False)
    scripted.said["press"] = Reply.refusal("enough")
    assert await (await alice.press(message, "Again")).answer() == ("enough", True)
    assert message.edits.unread == 0
    assert log_lines.troubles == []


@pytest.mark.usefixtures("telegram")
async def test_users_of_inline_mode_share_no_queue(scripted: ScriptedCommands, alice: User, bob: User) -> None:
    """Each waits for a turn of their own, as if in a chat of their own."""
    for user in (alice, bob, alice):
        query = await user.inline("The")
        await query.answer()
        await (await query.choose()).next_edit()
    alices, bobs, again = scripted.where
    assert alices.queue_key == again.queue_key != bobs.queue_key
    assert {where.chat for where in scripted.where} == {"inline"}
