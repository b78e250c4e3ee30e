"""Commands in private chats, groups and forums, against a loopback Bot API."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import telegram
from conftest import english, last_text, with_echoes
from hypothesis import given
from hypothesis import strategies as st
from telegram_support import (
    BUTTONS,
    FAST,
    PNG,
    LogLines,
    ScriptedCommands,
    connected,
    section,
    serving,
)
from voice_support import voices_of

from bot.config.schema import BotSection
from bot.core import messages
from bot.core.commands import Commands
from bot.core.reply import Passage, Picture, Reply
from bot.platforms.telegram import sender
from bot.platforms.telegram.platform import Telegram
from bot.platforms.telegram.render import CODE, MAX_CAPTION, MAX_ENTITIES, MAX_TEXT, messages_of
from bot.platforms.text import utf16_length
from bot.store.store import Store
from generator.serving.generator import ThreadedGenerator
from testing.telegram import Chat, TelegramServer, User

# ---- private chats ----


@pytest.mark.usefixtures("telegram")
async def test_someone_asks_for_a_text(server: TelegramServer, chat: Chat) -> None:
    await chat.send("/nietzsche 0.7 The philosopher")
    message = await chat.next_message()
    assert message.text.startswith("The philosopher")
    assert len(message.text) > len("The philosopher")
    assert message.labels == BUTTONS
    assert (message.reply_to, message.thread, message.silent, message.preview) == (None, None, False, False)
    [call] = server.calls_of("sendMessage")
    assert "parse_mode" not in call.params.raw
    assert message.marked("bold") == ["The philosopher"]


@pytest.mark.usefixtures("telegram")
async def test_what_the_person_should_know_stands_below_the_text(chat: Chat) -> None:
    await chat.send("/nietzsche 0,7 The café")
    message = await chat.next_message()
    assert message.text.startswith("The cafe")
    assert message.text.endswith("(I wrote e for é: my network never saw it.)")


@pytest.mark.usefixtures("telegram")
async def test_every_command_is_answered(chat: Chat) -> None:
    answers = {}
    for command in ("start", "help", "about", "temperature 0.9", "nietzsche", "continue", "again", "ladder", "stats"):
        await chat.send(f"/{command}")
        answers[command] = (await chat.next_message()).text
    assert answers["start"].startswith("I write in the manner of")
    assert "/forgetme" in answers["help"]
    assert "weights: tiny-1" in answers["stats"]
    assert answers["temperature 0.9"] == english("temperature-own", own=0.9, default=0.7)
    await chat.send("/forgetme")
    question = await chat.next_message()
    assert question.text == english("forget-confirm")
    assert await (await chat.owner.press(question, "Delete everything")).answer() == (
        english("forget-done", rows=6),
        True,
    )


@pytest.mark.usefixtures("telegram")
async def test_in_private_every_line_gets_an_answer(chat: Chat) -> None:
    await chat.send("/nietsche 0.7")
    assert (await chat.next_message()).text == with_echoes(
        english("unknown-command-nearest", command=messages.echo("nietsche"), nearest="nietzsche")
    )
    await chat.send("The philosopher")
    assert (await chat.next_message()).text.startswith("The philosopher")


@pytest.mark.usefixtures("telegram")
async def test_bots_are_left_alone(chat: Chat) -> None:
    another: dict[str, Any] = {"id": 1, "is_bot": True, "first_name": "B"}
    await chat.send("/help", by=User(chat.server, 1, "B", is_bot=True))
    await chat.send("/help", via_bot=another)
    await chat.send("/start")
    assert (await chat.next_message()).text.startswith("I write")


async def test_a_message_that_was_answered_may_be_edited(chat: Chat, telegram: Telegram) -> None:
    typed = await chat.send("/start")
    await chat.next_message()
    await chat.edit(typed, "/help", by=chat.owner)
    await chat.send("/temperature")
    assert (await chat.next_message()).text.startswith("You have no temperature")
    assert connected(telegram)


@pytest.mark.usefixtures("telegram")
@pytest.mark.parametrize("refused", ["/nietzsche 77 The", "/nietsche 0.7 The", "77 The"])
async def test_a_command_that_was_refused_may_be_corrected_by_editing_it(chat: Chat, refused: str) -> None:
    typed = await chat.send(refused)
    assert (await chat.next_message()).labels != BUTTONS
    await chat.edit(typed, "/nietzsche 78 The", by=chat.owner)
    assert (await chat.next_message()).labels == ["Write at 2"]
    await chat.edit(typed, "/nietzsche 0.7 The", by=chat.owner)
    assert (await chat.next_message()).labels == BUTTONS
    await chat.edit(typed, "/nietzsche 0.8 The", by=chat.owner)  # by now it is answered
    await chat.send("/temperature")
    assert (await chat.next_message()).text.startswith("You have no temperature")


@pytest.mark.usefixtures("telegram")
@pytest.mark.parametrize("key", ["message_id", "chat"])
async def test_a_malformed_message_is_skipped(
    server: TelegramServer, chat: Chat, key: str, log_lines: LogLines
) -> None:
    message = chat.typed_message("/nietzsche 77", None, {})
    nonsense = {"id": [5], "type": "private"} if key == "chat" else [5]
    await server.add_update("message", message | {key: nonsense})
    await chat.send("/start")
    await chat.next_message()
    assert log_lines.count("update.malformed") == 1


@pytest.mark.usefixtures("telegram")
async def test_in_a_group_a_corrected_command_is_answered_with_a_reply(group: Chat, bob: User) -> None:
    typed = await group.send("/nietzsche 77", by=bob)
    await group.next_message()
    await group.edit(typed, "/nietzsche 0.7", by=bob)
    message = await group.next_message()
    assert (message.labels, message.reply_to) == (BUTTONS, typed)


# ---- groups ----


@pytest.mark.usefixtures("telegram")
async def test_in_a_group_an_answer_is_a_reply(group: Chat, bob: User) -> None:
    typed = await group.send("/nietzsche@lstmega_bot 0,7 The", by=bob)
    message = await group.next_message()
    assert (message.reply_to, message.silent, message.thread) == (typed, False, None)
    assert message.labels == BUTTONS


@pytest.mark.usefixtures("telegram")
async def test_in_a_group_what_is_meant_for_others_is_ignored(group: Chat, bob: User) -> None:
    for text in ("/nietzsche@another_bot", "/ban", "/stats", "/usr/bin", "hello", "I asked @lstmega_bot", "/"):
        await group.send(text, by=bob)
    typed = await group.send("/HELP@LSTMega_Bot", by=bob)
    assert (await group.next_message()).reply_to == typed
    typed = await group.send("/ban@lstmega_bot", by=bob)
    message = await group.next_message()
    assert (message.reply_to, message.text) == (
        typed,
        with_echoes(english("unknown-command", command=messages.echo("ban"))),
    )


@pytest.mark.usefixtures("telegram")
async def test_operators_are_asked_to_use_their_commands_in_private(group: Chat, chat: Chat, alice: User) -> None:
    """In a group all would read the answer, and a refused reload names a path of the server."""
    await group.send("/stats", by=alice)
    message = await group.next_message()
    assert message.text == english("only-in-private", command="stats")
    assert message.silent
    await chat.send("/stats")
    assert (await chat.next_message()).text.startswith("weights: tiny-1")


async def test_cancel_overtakes_what_it_stops(
    server: TelegramServer, generator: ThreadedGenerator, store: Store, chat: Chat, alice: User
) -> None:
    """Also what waits for its turn: requests of a user in a chat are done one after the other."""
    commands = Commands(voices_of(generator), store, BotSection(length=4000, cooldown=0.0))
    async with serving(Telegram(section(server), commands, limits=FAST)):
        with server.gathered():
            for _ in range(3):
                await chat.send("/nietzsche")
            await chat.send("/cancel")
            await chat.send("/help")
        said = [(await chat.next_message()).text for _ in range(2)]
    assert said[0] in {english("cancel-nothing"), *(english("cancel-done", texts=number) for number in (1, 2, 3))}
    assert said[1].startswith("/nietzsche")
    assert chat.messages.unread == 0, "one line for all"
    assert await last_text(store, "telegram", str(chat.id), str(alice.id)) is None


@pytest.mark.usefixtures("telegram")
async def test_a_refusal_in_a_group_rings_no_telephone(group: Chat, bob: User) -> None:
    typed = await group.send("/nietzsche 77", by=bob)
    message = await group.next_message()
    assert message.text.startswith("77 is out of range")
    assert (message.reply_to, message.silent, message.labels) == (typed, True, ["Write at 2"])


@pytest.mark.usefixtures("telegram")
async def test_each_topic_of_a_forum_is_a_chat_of_its_own(server: TelegramServer, bob: User) -> None:
    forum = server.supergroup(forum=True)
    await forum.send("/nietzsche 0.7", by=bob, topic=7)
    assert (await forum.next_message()).thread == 7
    await forum.send("/continue", by=bob, topic=8)
    message = await forum.next_message()
    assert (message.thread, message.text) == (8, english("no-text"))
    await forum.send("/continue", by=bob)
    message = await forum.next_message()
    assert (message.thread, message.text) == (None, english("no-text"))
    await forum.send("/continue", by=bob, topic=7)
    message = await forum.next_message()
    assert (message.thread, message.labels) == (7, BUTTONS)
    press = await bob.press(message, "Continue")
    await press.answer()
    assert (await forum.next_message()).thread == 7


@pytest.mark.usefixtures("telegram")
async def test_a_reply_thread_is_kept_to_by_replying(server: TelegramServer, group: Chat, bob: User) -> None:
    typed = await group.send("/help", by=bob, thread=99)
    assert (await group.next_message()).reply_to == typed
    assert "message_thread_id" not in server.calls_of("sendMessage")[0].params.raw


@pytest.mark.usefixtures("telegram")
async def test_an_anonymous_administrator_is_the_group(group: Chat, store: Store) -> None:
    anonymous = User(group.server, 1087968824, "Group", is_bot=True)
    await group.send("/temperature 0.9", by=anonymous, sender_chat=group.json())
    await group.next_message()
    assert (await store.preferences("telegram", str(group.id))).temperature == 0.9


# ---- long texts and pictures ----


async def test_a_long_text_is_split_over_messages(
    server: TelegramServer, generator: ThreadedGenerator, store: Store, group: Chat, bob: User
) -> None:
    commands = Commands(voices_of(generator), store, BotSection(length=3000, cooldown=0.0))
    async with serving(Telegram(section(server), commands, limits=FAST)):
        typed = await group.send("/ladder The", by=bob)
        while "Continue" not in (await group.next_message()).labels:
            pass
    first, *others = group.messages.all
    assert [message.labels for message in group.messages.all] == [[]] * len(others) + [["Continue", "Surprise"]]
    assert (first.reply_to, others[-1].reply_to) == (typed, None)
    assert all(utf16_length(message.text) <= MAX_TEXT for message in group.messages.all)
    together = " ".join(message.text for message in group.messages.all)
    assert all(f"Temperature {rung}" in together for rung in ("0.5", "0.6", "0.7", "0.8", "0.9"))


def code_in(reply: Reply) -> list[str]:
    [(text, entities)] = messages_of(reply)
    parsed = telegram.Message(1, datetime.now(UTC), telegram.Chat(1, "private"), text=text, entities=entities)
    return list(parsed.parse_entities([CODE]).values())


def test_what_would_be_a_mention_or_a_link_is_code_and_copied_as_it_is_seen() -> None:
    text = "ask @someone, a@b.de, @ c: evil.example, i.e. 😀 http://x and/or /ban."
    reply = Reply.of_passages(Passage(text, "ask @someone"))
    assert messages_of(reply)[0].text == text
    assert code_in(reply) == ["@someone, a@b.de,", "evil.example,", "http://x", "/ban."]
    assert code_in(Reply("ask @BotFather or look at core.telegram.org")) == []
    assert code_in(Reply(english("unknown-command", command=messages.echo("evil.example")))) == ["/evil.example."]
    assert code_in(Reply("Set one: /temperature 0.8, or /about")) == ["/temperature 0.8"]


def test_more_entities_than_telegram_takes_become_one() -> None:
    text = "@a " * MAX_ENTITIES + "@b"
    [(_, [entity])] = messages_of(Reply.of_passages(Passage(text)))
    assert (entity.type, entity.offset, entity.length) == (CODE, 0, len(text))


LETTERS = st.text(st.sampled_from("ab 😀é中\n𝟎"), min_size=1, max_size=30)


@given(st.lists(st.tuples(LETTERS, LETTERS, LETTERS), min_size=1, max_size=4), st.integers(1, 200))
def test_bold_is_counted_in_utf_16_units(passages: list[tuple[str, str, str]], times: int) -> None:
    """Whatever the messages are, their bold parts together are the labels and the prompts."""
    written = [Passage(f"{prompt}. {text * times}", prompt, label) for label, prompt, text in passages]
    bold = []
    for text, entities in messages_of(Reply.of_passages(*written)):
        units = text.encode("utf-16-le")
        spans = [(entity.offset, entity.offset + entity.length) for entity in entities]
        bold += [units[2 * start : 2 * end].decode("utf-16-le") for start, end in spans]
    expected = "".join(label + prompt for label, prompt, _ in passages)
    assert "".join("".join(bold).split()) == "".join(expected.split())


@pytest.mark.usefixtures("telegram")
async def test_labels_and_prompts_are_bold(chat: Chat, scripted: ScriptedCommands) -> None:
    scripted.said["ladder"] = Reply.of_passages(
        Passage("The sea is wide.", "The sea", "Temperature 0.5"),
        Passage("The sea.is deep.", "The sea", "Temperature 1.0"),
    )
    await chat.send("/ladder The sea")
    message = await chat.next_message()
    assert message.marked("bold") == ["Temperature 0.5\nThe sea", "Temperature 1.0\nThe"]
    assert message.marked("code") == ["sea.is"]


async def test_about_comes_with_a_card_and_the_curve_for_those_who_ask(
    chat: Chat, generator: ThreadedGenerator, server: TelegramServer, telegram: Telegram
) -> None:
    (generator.weights.folder / "curve.png").write_bytes(PNG)
    await chat.send("/about")
    message = await chat.next_message()
    assert message.text.startswith("I write in the manner ")
    assert message.photo
    assert message.photo != PNG
    await chat.owner.press(message, "Training curve")
    message = await chat.next_message()
    assert (message.photo, message.text[:14]) == (PNG, "Training curve")
    (generator.weights.folder / "curve.png").write_bytes(b"not a picture")
    await chat.send("/about curve")
    message = await chat.next_message()
    assert (message.photo, message.text[:14]) == (None, "Training curve")
    assert len(server.calls_of("sendPhoto")) == 3
    assert connected(telegram)


@pytest.mark.usefixtures("telegram")
async def test_a_text_that_is_too_long_for_a_caption_follows_the_picture(
    scripted: ScriptedCommands, group: Chat, bob: User
) -> None:
    scripted.said["about"] = Reply("x" * (MAX_CAPTION + 1), picture=Picture(PNG, "curve.png", "a curve"))
    typed = await group.send("/about", by=bob)
    picture, text = await group.next_message(), await group.next_message()
    assert (picture.photo, picture.text, picture.reply_to) == (PNG, "", typed)
    assert (text.photo, len(text.text), text.reply_to) == (None, MAX_CAPTION + 1, None)


# ---- typing ----


@pytest.mark.usefixtures("telegram")
async def test_typing_is_shown_again_and_again_while_a_text_is_written(
    server: TelegramServer, scripted: ScriptedCommands, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "BUSY_AFTER_SECONDS", 0.01)
    monkeypatch.setattr(sender, "TYPING_EVERY_SECONDS", 0.02)
    forum = server.supergroup(forum=True)
    await forum.send("/nietzsche Slow", by=bob, topic=3)
    for _ in range(3):
        params = await forum.actions.next()
        assert (params.text("action"), params.integer("message_thread_id")) == ("typing", 3)
    scripted.resume.set()
    await forum.next_message()


@pytest.mark.usefixtures("telegram")
async def test_a_quick_answer_needs_no_typing(server: TelegramServer, chat: Chat) -> None:
    await chat.send("/temperature")
    await chat.next_message()
    assert server.calls_of("sendChatAction") == []
    assert sender.TYPING_EVERY_SECONDS < 5
