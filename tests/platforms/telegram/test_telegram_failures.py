"""Chats that are gone, networks that fail, and what the log says about it."""

from __future__ import annotations

import pytest
from conftest import english, last_text
from telegram_support import (
    BUTTONS,
    FAST,
    QUICK,
    LogLines,
    ScriptedCommands,
    connected,
    first_text,
    section,
    serving,
)

from bot.platforms.telegram import bot_client, rate_limit
from bot.platforms.telegram.platform import Telegram
from bot.store.store import Store
from testing.telegram import Chat, TelegramServer, User

# ---- chats that are gone, networks that fail ----


async def test_a_person_who_blocks_the_bot_stops_nothing(
    scripted: ScriptedCommands, telegram: Telegram, chat: Chat, bob: User, log_lines: LogLines
) -> None:
    chat.block()
    await chat.send("/nietzsche")
    await log_lines.saying("bot was blocked by the user")
    other = chat.server.private(bob)
    await other.send("/start")
    await other.next_message()
    chat.barred = ""
    await chat.send("/start")
    await chat.next_message()
    assert connected(telegram)
    assert scripted.lost == [], "that is their right, and no failure of the platform's"
    assert log_lines.troubles == []


@pytest.mark.usefixtures("telegram")
async def test_a_group_that_becomes_a_supergroup_meanwhile_is_answered_there(
    server: TelegramServer, scripted: ScriptedCommands, bob: User
) -> None:
    group = server.group()
    await group.send("/nietzsche Slow", by=bob)
    await scripted.begun.next()
    new = await group.upgrade()
    scripted.resume.set()
    message = await new.next_message()
    assert (message.labels, message.reply_to) == (BUTTONS, None)


@pytest.mark.usefixtures("telegram")
@pytest.mark.parametrize("announced", ["in the old one", "in the new one", "by an error"])
async def test_a_group_that_became_a_supergroup_keeps_its_texts(
    server: TelegramServer, scripted: ScriptedCommands, bob: User, announced: str, log_lines: LogLines
) -> None:
    group = server.group()
    first = await first_text(group, bob)
    anonymous = User(server, 1087968824, "Group", is_bot=True)
    await group.send("/nietzsche 0.7 Of", by=anonymous, sender_chat=group.json())
    theirs = await group.next_message()
    if announced == "by an error":
        await group.send("/nietzsche 0.7 Slow The", by=bob)
        await scripted.begun.next()
    new = await group.upgrade(
        announced_here=announced == "in the old one", announced_there=announced == "in the new one"
    )
    if announced == "by an error":
        scripted.resume.set()
        first = await new.next_message()
        assert first.text.startswith("Slow The")
    await log_lines.saying("chat.migrated platform=telegram")

    await bob.press(first, "Again")  # it stands in the old chat for all that Telegram tells
    again = await new.next_message()
    assert again.labels == BUTTONS
    await new.send("/continue", by=bob)
    assert (await new.next_message()).labels == BUTTONS
    await bob.press(theirs, "Continue")
    assert (await new.next_message()).labels == BUTTONS
    await new.send("/continue", by=anonymous, sender_chat=new.json())
    assert (await new.next_message()).labels == BUTTONS


@pytest.mark.usefixtures("telegram")
async def test_every_user_may_press_under_a_text_that_a_group_asked_for(
    group: Chat, alice: User, bob: User, store: Store
) -> None:
    anonymous = User(group.server, 1087968824, "Group", is_bot=True)
    channel = {"id": -1009, "type": "channel", "title": "A channel"}
    for writer in (group.json(), channel):
        await group.send("/nietzsche 0.7 The", by=anonymous, sender_chat=writer)
        message = await group.next_message()
        for person, label in ((alice, "Continue"), (bob, "Hotter (0.8)")):
            press = await person.press(message, label)
            assert await press.answer() == ("", False)
            answer = await group.next_message()
            assert answer.labels[:2] == BUTTONS[:2]
        kept = await last_text(store, "telegram", str(group.id), str(writer["id"]))
        assert kept is not None
        assert kept.temperature == 0.8
    assert await last_text(store, "telegram", str(group.id), str(bob.id)) is None


@pytest.mark.usefixtures("telegram")
@pytest.mark.parametrize("trouble", ["page", "cut", "down"])
async def test_an_answer_is_sent_again_when_the_network_fails(
    server: TelegramServer, scripted: ScriptedCommands, chat: Chat, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limit, "BACKOFF", QUICK)
    if trouble == "page":
        server.fail(503, method="sendMessage", times=2)
    elif trouble == "cut":
        server.drop(method="sendMessage", times=2)
    await chat.send("/nietzsche Slow")
    await scripted.begun.next()
    if trouble == "down":
        await server.down()
    scripted.resume.set()
    if trouble == "down":
        await server.up()
    assert (await chat.next_message()).labels == BUTTONS
    await chat.send("/start")
    assert (await chat.next_message()).text.startswith("I write")


async def test_an_answer_that_may_have_arrived_is_not_said_twice(
    server: TelegramServer, scripted: ScriptedCommands, chat: Chat, log_lines: LogLines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bot_client, "READ_SECONDS", 1.0)
    monkeypatch.setattr(rate_limit, "BACKOFF", QUICK)
    async with serving(Telegram(section(server), scripted)):
        fault = server.hold(method="sendMessage", times=1)
        await chat.send("/start")
        assert (await chat.next_message()).text == english("unconfirmed")  # for only the person can see
        await log_lines.saying("reply.undelivered reason=TimedOut: Timed out")
        fault.release()
        await chat.send("/temperature")
        while not (await chat.next_message()).text.startswith("You have no temperature"):
            pass  # it arrived after all
    assert len(server.calls_of("sendMessage")) == 3


@pytest.mark.usefixtures("telegram")
async def test_an_answer_that_telegram_refuses_is_counted_and_logged_without_its_text(
    server: TelegramServer, scripted: ScriptedCommands, chat: Chat, log_lines: LogLines
) -> None:
    del server.chats[chat.id]
    await chat.send("/nietzsche 0.7 The philosopher")
    line = await log_lines.saying("reply.undelivered")
    assert "Chat not found" in line
    assert scripted.lost == ["telegram"]
    server.chats[chat.id] = chat
    await chat.send("/start")
    await chat.next_message()


@pytest.mark.usefixtures("telegram")
async def test_a_defect_is_logged_and_stops_nothing_else(
    scripted: ScriptedCommands, chat: Chat, log_lines: LogLines
) -> None:
    scripted.said["about"] = None  # type: ignore[assignment]
    scripted.said["help"] = "no reply"  # type: ignore[assignment]
    await chat.send("/help")
    await log_lines.saying("update.failed")
    await chat.send("/start")
    await chat.next_message()


# ---- secrets ----


async def test_neither_the_token_nor_any_text_is_ever_logged(
    server: TelegramServer,
    scripted: ScriptedCommands,
    alice: User,
    log_lines: LogLines,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rate_limit, "GIVE_UP_SECONDS", 0.0)
    monkeypatch.setattr(rate_limit, "BACKOFF", QUICK)
    chat = server.private(alice)
    async with serving(Telegram(section(server), scripted, limits=FAST)):
        await chat.send("/nietzsche 0.7 Zarathustra")
        message = await chat.next_message()
        await (await alice.press(message, "Again")).answer()
        await chat.next_message()
        query = await alice.inline("Zarathustra")
        await query.answer()
        await (await query.choose()).next_edit()
        server.fail(404, method="getUpdates", times=1)  # the page repeats the address, the token in it
        server.fail(500, method="sendMessage", times=3)
        await chat.send("/nietzsche 0.7 Zarathustra")
        await log_lines.saying("reply.undelivered")
    server.fail(500, method="getMe")
    with pytest.raises(ConnectionError) as away:
        await Telegram(section(server), scripted).serve()
    said = "\n".join([*log_lines.inbox.all, str(away.value)])
    assert server.token.split(":")[1] not in said
    assert "Zarathustra" not in said
