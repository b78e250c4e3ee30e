"""Buttons under texts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from conftest import english
from telegram_support import (
    BUTTONS,
    LENGTH,
    LogLines,
    ScriptedCommands,
    first_text,
    section,
    serving,
    timed,
)
from voice_support import voices_of

from bot.config.schema import BotSection
from bot.core.commands import Commands
from bot.core.reply import Reply
from bot.platforms.telegram.platform import Telegram
from bot.platforms.telegram.render import MAX_ALERT
from bot.store.store import KEPT_TEXTS, Store
from generator.serving.generator import ThreadedGenerator
from testing.clock import ManualClock
from testing.telegram import Chat, TelegramServer, User


@pytest.mark.usefixtures("telegram")
@pytest.mark.parametrize("label", BUTTONS[:4])
async def test_a_button_gives_the_person_another_text(group: Chat, bob: User, label: str) -> None:
    message = await first_text(group, bob)
    press = await bob.press(message, label)
    assert await press.answer() == ("", False)
    answer = await group.next_message()
    assert answer.reply_to == message.id
    assert answer.text.startswith("The") == (label != "Continue")
    assert [name.split()[0] for name in answer.labels][:5] == [name.split()[0] for name in BUTTONS]


@pytest.mark.usefixtures("telegram")
async def test_a_text_is_shaded_by_its_button(chat: Chat, alice: User) -> None:
    message = await first_text(chat, alice)
    press = await alice.press(message, "Surprise")
    assert await press.answer() == ("", False)
    assert (await chat.next_message()).photo


@pytest.mark.usefixtures("telegram")
async def test_what_cannot_be_continued_any_more_loses_its_buttons(chat: Chat, alice: User) -> None:
    message = await first_text(chat, alice)
    for _ in range(KEPT_TEXTS):
        await first_text(chat, alice)
    press = await alice.press(message, "Continue")
    assert await press.answer() == (english("old-text"), True)
    await message.next_edit()
    assert message.labels == []


@pytest.mark.usefixtures("telegram")
async def test_a_forged_press_removes_no_buttons(server: TelegramServer, group: Chat, alice: User, bob: User) -> None:
    message = await first_text(group, bob)
    for data in (f"c:{alice.id}:00000000", "x:y"):
        query = {"id": data, "from": alice.json(), "chat_instance": "1", "data": data}
        await server.add_update("callback_query", query | {"message": group.message_json(message)})
    press = await bob.press(message, "Again")
    assert await press.answer() == ("", False)
    assert message.labels == BUTTONS


@pytest.mark.usefixtures("telegram")
async def test_out_of_range_offers_the_nearest_temperature(chat: Chat, alice: User) -> None:
    await chat.send("/nietzsche 77 The sea: a song")
    refusal = await chat.next_message()
    assert "from 0.1 (careful) to 2.0 (wild), so the nearest is 2.0." in refusal.text
    await (await alice.press(refusal, "Write at 2")).answer()
    assert (await chat.next_message()).text.startswith("The sea: a song")
    await chat.send("/temperature 0,01")
    refusal = await chat.next_message()
    await (await alice.press(refusal, "Always 0.1")).answer()
    await chat.send("/temperature")
    assert (await chat.next_message()).text.startswith("Your temperature is 0.1")
    await chat.send("/nietzsche 77 " + "a" * 60)
    assert (await chat.next_message()).labels == []
    await chat.send("/temperature hot")
    assert (await chat.next_message()).labels == []


@pytest.mark.usefixtures("telegram")
async def test_settings_are_edited_in_place(chat: Chat, alice: User) -> None:
    await chat.send("/settings")
    message = await chat.next_message()
    for label, line in (("Hotter (0.8)", "Temperature: 0.8"), ("Hotter (0.9)", "Temperature: 0.9")):
        press = await alice.press(message, label)
        assert await press.answer() == ("", False)
        assert line in await message.next_edit()
    assert "Colder (0.8)" in message.labels
    assert chat.messages.unread == 0


@pytest.mark.usefixtures("telegram")
async def test_an_administrator_reserves_a_group(group: Chat, alice: User, bob: User) -> None:
    group.administrators.append(alice)
    await group.send("/settings", by=bob)
    assert "Defaults of this group" not in (await group.next_message()).labels
    await group.send("/settings", by=alice)
    message = await group.next_message()
    for label in ("Defaults of this group", "Administrators only"):
        await (await alice.press(message, label)).answer()
        await message.next_edit()
    await group.send("/nietzsche", by=bob)
    assert (await group.next_message()).text == english("administrators-write")
    await group.send("/nietzsche 0.7", by=alice)
    assert (await group.next_message()).labels == BUTTONS


@pytest.mark.usefixtures("telegram")
async def test_under_an_anonymous_administrators_settings_members_change_nothing(
    group: Chat, alice: User, bob: User, store: Store
) -> None:
    anonymous = User(group.server, 1087968824, "Group", is_bot=True)
    group.administrators.append(alice)
    await group.send("/settings", by=anonymous, sender_chat=group.json())
    message = await group.next_message()
    press = await bob.press(message, "Hotter (0.8)")
    assert await press.answer() == (english("administrators-only"), True)
    await (await alice.press(message, "Hotter (0.8)")).answer()
    await message.next_edit()
    assert (await store.preferences("telegram", str(group.id))).temperature == 0.8


@pytest.mark.usefixtures("telegram")
async def test_no_other_user_may_press(group: Chat, alice: User, bob: User) -> None:
    message = await first_text(group, bob)
    press = await alice.press(message, "Again")
    assert await press.answer() == (english("not-your-text"), True)
    assert group.messages.unread == 0


async def test_a_double_press_is_answered_by_a_toast(
    server: TelegramServer, generator: ThreadedGenerator, store: Store, chat: Chat, alice: User
) -> None:
    settings = BotSection(length=LENGTH, cooldown=1000.0)
    async with serving(Telegram(section(server), Commands(voices_of(generator), store, settings))):
        message = await first_text(chat, alice)
        text, alert = await (await alice.press(message, "Again")).answer()
        assert text.startswith("Give me a moment")
        assert not alert


async def test_old_buttons_work_after_a_restart(
    server: TelegramServer, generator: ThreadedGenerator, store: Store, chat: Chat, alice: User
) -> None:
    settings = BotSection(length=LENGTH, cooldown=0.0)
    async with serving(Telegram(section(server), Commands(voices_of(generator), store, settings))):
        message = await first_text(chat, alice)
    press = await alice.press(message, "Continue")
    async with serving(Telegram(section(server), Commands(voices_of(generator), store, settings))):
        assert await press.answer() == ("", False)
        assert (await chat.next_message()).labels == BUTTONS


async def test_a_press_that_takes_long_stops_the_spinner_first(scripted: ScriptedCommands) -> None:
    clock = ManualClock()
    async with timed(scripted, clock) as (server, _):
        alice = server.user("Alice")
        chat = server.private(alice)
        message = await first_text(chat, alice)
        scripted.said["slow press"] = Reply("")
        press = await alice.press(message, "Again")
        assert await clock.pass_until(press.answer()) == ("", False)
        assert chat.messages.unread == 0
        scripted.resume.set()
        assert (await chat.next_message()).labels == BUTTONS


@pytest.mark.usefixtures("telegram")
async def test_a_press_that_telegram_has_forgotten_is_no_error(
    server: TelegramServer, chat: Chat, alice: User, bob: User, log_lines: LogLines
) -> None:
    message = await first_text(chat, alice)
    with server.gathered():
        mine, theirs = await alice.press(message, "Again"), await bob.press(message, "Again")
        mine.expired = theirs.expired = True
    assert (await chat.next_message()).labels == BUTTONS
    await log_lines.saying("Query is too old")
    await log_lines.saying("Query is too old")
    assert log_lines.troubles == []


@pytest.mark.usefixtures("telegram")
async def test_an_alert_is_cut_to_its_length_and_a_long_answer_is_a_message(
    scripted: ScriptedCommands, chat: Chat, alice: User
) -> None:
    message = await first_text(chat, alice)
    scripted.said["press"] = Reply.refusal("word " * 100)
    text, alert = await (await alice.press(message, "Again")).answer()
    assert alert
    assert len(text) <= MAX_ALERT
    assert text.endswith("word…")
    scripted.said["press"] = replace(Reply("word " * 100), private=True)
    assert await (await alice.press(message, "Again")).answer() == ("", False)
    assert (await chat.next_message()).text == ("word " * 100).strip()


@pytest.mark.usefixtures("telegram")
async def test_a_button_on_a_message_that_is_too_old_to_be_render(
    server: TelegramServer, chat: Chat, alice: User
) -> None:
    message = await first_text(chat, alice)
    inaccessible = {"chat": chat.json(), "message_id": message.id, "date": 0}
    query = {"id": "old", "from": alice.json(), "chat_instance": "1", "data": message.data("Again")}
    await server.add_update("callback_query", query | {"message": inaccessible})
    assert (await chat.next_message()).labels == BUTTONS
