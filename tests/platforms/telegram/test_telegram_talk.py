"""People who just talk: plain words, replies, mentions, pictures, and the bot's arrival in a group."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import english
from telegram_support import ScriptedCommands, first_text

from bot.core.ask import Again, Continue, Plain, Write
from bot.core.buttons import decode
from generator import Temperature
from testing.telegram import Chat, Sent, User

STICKER: dict[str, Any] = {
    "sticker": {
        "file_id": "s",
        "file_unique_id": "s",
        "type": "regular",
        "width": 1,
        "height": 1,
        "is_animated": False,
        "is_video": False,
    }
}
VOICE: dict[str, Any] = {"voice": {"file_id": "v", "file_unique_id": "v", "duration": 1}}
PHOTO: dict[str, Any] = {"photo": [{"file_id": "p", "file_unique_id": "p", "width": 1, "height": 1}]}
PINNED: dict[str, Any] = {"new_chat_title": "A title"}


def slot_of(sent: Sent) -> str:
    button = decode(sent.data("Continue"))
    assert button is not None
    assert isinstance(button.ask, Continue)
    return button.ask.slot


@pytest.mark.usefixtures("telegram")
async def test_in_private_plain_words_are_a_prompt(scripted: ScriptedCommands, chat: Chat) -> None:
    for typed, asked in (
        ("hello", Write(None, "hello")),
        ("0,9 The philosopher", Write(Temperature(0.9), "The philosopher")),
        ("@lstmega_bot The philosopher", Write(None, "The philosopher")),
        ("Help", Plain("help")),
        ("again", Again()),
        ("help me, O soul", Write(None, "help me, O soul")),
    ):
        await chat.send(typed)
        await chat.next_message()
        assert scripted.asked[-1] == asked


@pytest.mark.usefixtures("telegram")
async def test_in_private_the_caption_of_a_picture_is_a_prompt(scripted: ScriptedCommands, chat: Chat) -> None:
    await chat.send("", caption="The sea", **PHOTO)
    assert (await chat.next_message()).text.startswith("The sea")
    assert scripted.asked == [Write(None, "The sea")]


@pytest.mark.usefixtures("telegram")
async def test_what_has_no_words_gets_one_line_in_private_and_none_in_a_group(
    group: Chat, chat: Chat, bob: User, scripted: ScriptedCommands
) -> None:
    for odd in (STICKER, VOICE, PHOTO, PHOTO, PINNED):
        await group.send("", by=bob, **odd)
        await chat.send("", **odd)
    assert (await chat.next_message()).text == english("words-only")
    await chat.send("/start")
    assert (await chat.next_message()).text.startswith("I write")
    assert group.messages.unread == 0
    assert scripted.asked == [Plain("start")]


@pytest.mark.usefixtures("telegram")
async def test_a_reply_to_a_text_continues_it(scripted: ScriptedCommands, group: Chat, bob: User) -> None:
    text = await first_text(group, bob)
    typed = await group.reply(text, "0.9 and the sea", by=bob)
    answer = await group.next_message()
    assert scripted.asked[-1] == Continue(slot_of(text), "and the sea", Temperature(0.9))
    assert answer.text.startswith("and the sea")
    assert (answer.labels, answer.reply_to) == (["Again", "Continue", "Hotter (1)", "Colder (0.8)", "Surprise"], typed)
    await group.reply(answer, "/continue", by=bob)
    assert (await group.next_message()).labels == answer.labels
    assert scripted.asked[-1] == Continue(slot_of(answer))


@pytest.mark.usefixtures("telegram")
async def test_where_a_text_is_not_kept_any_more_the_words_of_a_reply_are_a_prompt(chat: Chat, alice: User) -> None:
    text = await first_text(chat, alice)
    await chat.send("/forgetme")
    await (await alice.press(await chat.next_message(), "Delete everything")).answer()
    await chat.reply(text, "The sea")
    assert (await chat.next_message()).text.startswith("The sea")


@pytest.mark.usefixtures("telegram")
async def test_a_reply_to_the_text_of_another_user_is_a_prompt(
    scripted: ScriptedCommands, group: Chat, alice: User, bob: User
) -> None:
    text = await first_text(group, bob)
    await group.reply(text, "The sea", by=alice)
    assert (await group.next_message()).text.startswith("The sea")
    assert scripted.asked[-1] == Write(None, "The sea")


@pytest.mark.usefixtures("telegram")
async def test_a_mention_in_a_group_writes(scripted: ScriptedCommands, group: Chat, bob: User) -> None:
    for typed, asked in (
        ("@LSTMega_bot, 0.7 The philosopher", Write(Temperature(0.7), "The philosopher")),
        ("@lstmega_bot", Write()),
        ("@lstmega_bot help", Plain("help")),
        ("@lstmega_bot /temperature", Plain("temperature")),
    ):
        number = await group.send(typed, by=bob)
        assert (await group.next_message()).reply_to == number
        assert scripted.asked[-1] == asked


@pytest.mark.usefixtures("telegram")
async def test_what_people_say_to_each_other_is_not_answered(
    scripted: ScriptedCommands, group: Chat, alice: User, bob: User
) -> None:
    await group.send("/help", by=bob)
    helped = await group.next_message()
    await group.reply(helped, "thanks", by=bob)
    theirs = group.typed_message("/nietzsche@another_bot", alice, {})
    await group.send("really?", by=bob, reply_to_message=theirs)
    await group.send("@lstmega_bottom is another", by=bob)
    await group.send("I asked @lstmega_bot", by=bob, **PHOTO)
    await group.send("", by=bob, caption="/continued", **PHOTO)
    await group.send("/start", by=bob)
    assert (await group.next_message()).text.startswith("I write")
    assert scripted.asked == [Plain("help"), Plain("start")]


@pytest.mark.usefixtures("telegram")
async def test_talk_in_a_group_is_refused_once_a_minute_and_a_command_each_time(group: Chat, bob: User) -> None:
    for _ in range(3):
        await group.send("@lstmega_bot 77 lives", by=bob)
    for _ in range(2):
        await group.send("/nietzsche 78", by=bob)
    refusals = [await group.next_message() for _ in range(3)]
    assert [sent.text[:2] for sent in refusals] == ["77", "78", "78"]
    assert all(sent.silent for sent in refusals)
    assert group.messages.unread == 0


@pytest.mark.usefixtures("telegram")
async def test_being_added_to_a_group_says_how_it_works(group: Chat, chat: Chat, alice: User) -> None:
    await chat.add_bot(by=alice)  # a private chat is started
    await group.add_bot(by=alice, was="member", now="administrator")
    await group.add_bot(by=alice, was="member", now="kicked")
    await group.add_bot(by=alice)
    welcome = await group.next_message()
    assert "/nietzsche" in welcome.text
    assert "\n" not in welcome.text
    assert (welcome.reply_to, group.messages.unread, chat.messages.unread) == (None, 0, 0)
