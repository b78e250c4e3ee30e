"""Requests of one user in order, of many users side by side, and refusals of those that are too many."""

from __future__ import annotations

import asyncio

import pytest
from conftest import english
from telegram_support import (
    BUTTONS,
    LogLines,
    ScriptedCommands,
    first_text,
    timed,
)

from bot.core import admission, messages
from bot.core.admission import MAX_USER_REQUESTS
from bot.platforms.telegram import dispatcher
from bot.platforms.telegram.dispatcher import Dispatcher, Request
from bot.platforms.telegram.rate_limit import ALLOWED, Limits, Rate, RateLimiter
from bot.platforms.telegram.render import MAX_ALERT
from bot.platforms.text import utf16_length
from generator import Overloaded
from testing.clock import ManualClock, settle
from testing.telegram import Chat, TelegramServer, User


@pytest.mark.usefixtures("telegram")
async def test_a_slow_chat_delays_no_other(
    server: TelegramServer, scripted: ScriptedCommands, chat: Chat, bob: User
) -> None:
    group = server.group()
    await chat.send("/nietzsche Slow")
    await scripted.begun.next()
    await group.send("/nietzsche 0.7", by=bob)
    await group.next_message()
    assert chat.owner is not None
    await group.send("/temperature", by=chat.owner)  # the same person, elsewhere
    await group.next_message()
    assert chat.messages.unread == 0
    scripted.resume.set()
    await chat.next_message()


@pytest.mark.usefixtures("telegram")
async def test_commands_of_one_person_in_one_chat_keep_their_order(
    scripted: ScriptedCommands, group: Chat, alice: User, bob: User
) -> None:
    slow = await group.send("/nietzsche Slow", by=bob)
    await scripted.begun.next()
    second = await group.send("/temperature", by=bob)
    third = await group.send("/continue", by=bob)
    theirs = await group.send("/temperature", by=alice)
    assert (await group.next_message()).reply_to == theirs
    assert group.messages.unread == 0
    scripted.resume.set()
    assert [(await group.next_message()).reply_to for _ in range(3)] == [slow, second, third]


async def fill_the_queue(scripted: ScriptedCommands, chat: Chat, alice: User) -> None:
    """The first is being answered, and as many wait behind it as may."""
    scripted.resume.clear()
    await chat.send("/nietzsche Slow", by=alice)
    await scripted.begun.next()
    for _ in range(MAX_USER_REQUESTS - 1):
        await chat.send("/temperature", by=alice)


@pytest.mark.usefixtures("telegram")
async def test_a_full_queue_is_refused_once_until_it_is_empty(
    scripted: ScriptedCommands, group: Chat, alice: User, bob: User
) -> None:
    for _ in range(2):
        await fill_the_queue(scripted, group, alice)
        surplus = [await group.send("/temperature", by=alice) for _ in range(5)]
        theirs = await group.send("/temperature", by=bob)
        refusal, answer = await group.next_message(), await group.next_message()
        assert (refusal.text, refusal.reply_to, refusal.silent) == (english("queue-full"), surplus[0], True)
        assert answer.reply_to == theirs
        scripted.resume.set()
        answers = [await group.next_message() for _ in range(MAX_USER_REQUESTS)]
        assert not {message.reply_to for message in answers} & set(surplus)
        assert group.messages.unread == 0


@pytest.mark.usefixtures("telegram")
async def test_the_queue_of_a_user_is_one_in_all_chats(
    scripted: ScriptedCommands, chat: Chat, group: Chat, alice: User, bob: User
) -> None:
    await fill_the_queue(scripted, chat, alice)
    typed = await group.send("/temperature", by=alice)
    refusal = await group.next_message()
    assert (refusal.text, refusal.reply_to) == (english("queue-full"), typed)
    await group.send("/temperature", by=bob)
    assert (await group.next_message()).text.startswith("You have no temperature")


@pytest.mark.usefixtures("telegram")
async def test_every_press_and_every_inline_message_is_answered_even_if_too_many_wait(
    scripted: ScriptedCommands, chat: Chat, alice: User
) -> None:
    message = await first_text(chat, alice)
    await fill_the_queue(scripted, chat, alice)
    for press in [await alice.press(message, "Again") for _ in range(3)]:
        assert await press.answer() == (english("queue-full"), True)
    await chat.send("/temperature")  # no refusal was a message yet
    assert (await chat.next_message()).text == english("queue-full")
    assert utf16_length(english("queue-full")) <= MAX_ALERT
    assert utf16_length(english("chat-full")) <= MAX_ALERT
    assert utf16_length(english("overloaded")) <= MAX_ALERT
    scripted.resume.set()
    for _ in range(MAX_USER_REQUESTS):
        await chat.next_message()

    scripted.resume.clear()
    chosen = []
    for number in range(1 + MAX_USER_REQUESTS):
        query = await alice.inline(f"Slow {number}")
        await query.answer()
        chosen.append(await query.choose())
        if not number:
            await scripted.begun.next()
    assert await chosen[-1].next_edit() == english("queue-full")
    assert chosen[-1].labels == []


@pytest.mark.usefixtures("telegram")
async def test_the_last_inline_query_is_answered_however_many_wait(server: TelegramServer, alice: User) -> None:
    held = server.hold(method="answerInlineQuery")
    first = await alice.inline("T")
    await held.met()
    for end in range(2 * MAX_USER_REQUESTS):
        last = await alice.inline(f"The philosopher {end}")
    await server.watch("getUpdates").next()  # the bot has taken them
    held.release()
    assert await first.answer()
    assert (await last.answer())[0]["description"] == f"The philosopher {end}"


@pytest.mark.usefixtures("telegram")
async def test_a_request_that_waited_too_long_is_refused(
    scripted: ScriptedCommands, chat: Chat, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = await first_text(chat, alice)
    await chat.send("/nietzsche Slow")
    await scripted.begun.next()
    await chat.send("/nietzsche 0.7")
    await alice.press(message, "Again")
    await chat.send("/temperature")
    monkeypatch.setattr(admission, "MAX_WAIT_SECONDS", 0.0)
    scripted.resume.set()
    late = messages.explain(Overloaded(0.0), english)
    assert [(await chat.next_message()).text for _ in range(2)] == [late, late]
    assert (await chat.next_message()).text.startswith("You have no temperature"), "that takes no time"
    monkeypatch.undo()
    await chat.send("/nietzsche 0.7")
    assert (await chat.next_message()).labels == BUTTONS


async def test_a_group_that_exceeds_its_message_limit_is_refused(
    scripted: ScriptedCommands,
) -> None:
    clock, limits = ManualClock(), Limits(Rate(10_000, 1.0), Rate(10_000, 1.0), group=Rate(3, 90.0))
    async with timed(scripted, clock, limits) as (server, _):
        group, users = server.group(), [server.user(f"User {number}") for number in range(8)]
        message = await first_text(group, users[0])
        with server.gathered():
            for user in users:
                await group.send("/temperature", by=user)
            press = await users[0].press(message, "Again")
        assert await press.answer() == (english("chat-full"), True)
        texts = [(await clock.pass_until(group.next_message(), 10)).text for _ in range(4)]
        assert sum(text.startswith("You have no temperature") for text in texts) == 3
        assert english("chat-full") in texts
        await clock.advance(90)
        await group.send("/help", by=users[7])
        assert "/forgetme" in (await group.next_message()).text
        assert group.messages.unread == 0


async def test_an_overload_of_all_chats_together_is_refused_and_no_one_waits_long(
    scripted: ScriptedCommands, log_lines: LogLines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "MAX_REFUSALS", 2)
    clock, limits = ManualClock(), Limits(overall=Rate(4, 4.0))
    async with timed(scripted, clock, limits) as (server, _):
        chats = [server.private(server.user(f"User {number}")) for number in range(8)]
        with server.gathered():
            for chat in chats:
                await chat.send("/temperature")
        await log_lines.saying("requests.overloaded")
        for chat in chats[:4]:
            assert (await clock.pass_until(chat.next_message())).text.startswith("You have no temperature")
        refused = [await clock.pass_until(chat.next_message()) for chat in chats[4:6]]
        assert [sent.text for sent in refused] == [english("overloaded")] * 2
        await clock.advance(5)
        await chats[6].send("/temperature")
        assert (await chats[6].next_message()).text.startswith("You have no temperature")
        assert not chats[7].messages.all
        assert log_lines.count("requests.overloaded") == 1


async def test_after_an_outage_everyone_who_asked_meanwhile_hears_something(scripted: ScriptedCommands) -> None:
    clock = ManualClock()
    async with timed(scripted, clock, ALLOWED) as (server, _):
        chats = [server.private(server.user(f"User {number}")) for number in range(100)]
        with server.gathered():
            for chat in chats:
                await chat.send("/temperature")
        texts = [(await clock.pass_until(chat.next_message(), 0.1)).text for chat in chats]
        refused = texts.count(english("overloaded"))
        assert 0 < refused < 60
        assert sum(text.startswith("You have no temperature") for text in texts) == 100 - refused
        newest = server.private(server.user("Late"))
        await newest.send("/temperature")
        assert (await clock.pass_until(newest.next_message(), 0.1)).text


async def test_one_account_that_floods_four_groups_silences_no_other_user(scripted: ScriptedCommands) -> None:
    clock = ManualClock()
    async with timed(scripted, clock, ALLOWED) as (server, _):
        flooder, groups = server.user("Flooder"), [server.group() for _ in range(4)]
        others = [server.private(server.user(f"User {number}")) for number in range(30)]
        began, sent = clock.time(), server.watch("sendMessage")
        with server.gathered():
            for _ in range(20):
                for group in groups:
                    await group.send("/temperature", by=flooder)
            for chat in others:
                await chat.send("/temperature")
        for _ in range(ALLOWED.overall.count):
            await sent.next()
        await clock.advance(ALLOWED.overall.seconds)
        for chat in others:
            answer = await chat.next_message()
            assert answer.text.startswith("You have no temperature")
            assert answer.at - began <= 1


@pytest.mark.usefixtures("telegram")
async def test_an_update_that_comes_twice_is_answered_once(server: TelegramServer, chat: Chat) -> None:
    await chat.send("/start")
    await chat.next_message()
    server.redeliver(server.last_update_id)
    await chat.send("/temperature")
    assert (await chat.next_message()).text.startswith("You have no temperature")


@pytest.mark.usefixtures("telegram")
async def test_updates_in_the_wrong_order_are_all_answered_in_the_right_one_and_confirmed(
    server: TelegramServer, chat: Chat
) -> None:
    polls = server.watch("getUpdates")
    with server.gathered(reverse=True):
        await chat.send("/start")
        await chat.send("/temperature")
    assert (await chat.next_message()).text.startswith("I write")
    assert (await chat.next_message()).text.startswith("You have no temperature")
    assert (await polls.next()).params.integer("offset") == server.last_update_id + 1
    assert server.pending == 0


async def test_requests_that_are_done_leave_nothing_behind() -> None:
    resume, done, refused = asyncio.Event(), [], []

    async def work() -> None:
        await resume.wait()
        done.append(1)

    async def refuse(message: str) -> None:
        refused.append(english(message))

    async with asyncio.TaskGroup() as group:
        requests = Dispatcher(group, RateLimiter(), on_failure=lambda: None)
        for _ in range(MAX_USER_REQUESTS + 1):
            requests.submit(Request("alice", "chat", work, 1, refuse, as_message=True))
        requests.submit(Request("bob", "chat", work, 1, refuse, as_message=True))
        await settle()
        assert refused == [english("queue-full")]
        resume.set()
        await requests.join()
        assert (len(done), len(requests._last)) == (MAX_USER_REQUESTS + 1, 0)
        assert not requests._pending
        assert not requests._asked_at
        assert not requests._refused._times
        await requests.join()


async def test_a_user_who_never_stops_asking_does_not_delay_the_end() -> None:
    started, count = asyncio.Event(), 0

    async with asyncio.TaskGroup() as group:
        requests = Dispatcher(group, RateLimiter(), on_failure=lambda: None)

        async def work() -> None:
            nonlocal count
            count += 1
            await started.wait()
            await asyncio.sleep(0)
            if count < 1000:
                requests.submit(Request("alice", "chat", work))

        requests.submit(Request("alice", "chat", work))
        joining = asyncio.create_task(requests.join())
        await settle()
        assert not joining.done()
        started.set()
        await joining
        assert count < 100
