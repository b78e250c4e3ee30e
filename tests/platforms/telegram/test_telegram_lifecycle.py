"""Connecting, polling, draining."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from conftest import english
from telegram_support import (
    FAST,
    QUICK,
    LogLines,
    ScriptedCommands,
    connected,
    connection,
    section,
    serving,
)

from bot.platforms.base import BadToken
from bot.platforms.telegram import rate_limit
from bot.platforms.telegram.platform import CONFLICT, REJECTED, Telegram
from bot.service.supervisor import Backoff, Supervised
from testing.clock import ManualClock
from testing.telegram import Chat, TelegramServer, User


async def test_a_token_that_telegram_refuses_is_final(server: TelegramServer, scripted: ScriptedCommands) -> None:
    telegram = Telegram(section(server), scripted)
    server.revoke()
    with pytest.raises(BadToken, match=r"^Telegram refuses the token") as refused:
        await telegram.serve()
    assert str(refused.value) == REJECTED
    assert refused.value.__suppress_context__
    assert not connected(telegram)


async def test_a_token_that_is_revoked_while_the_bot_polls_is_final(
    server: TelegramServer, scripted: ScriptedCommands
) -> None:
    telegram = Telegram(section(server), scripted)
    polls = server.watch("getUpdates")
    async with serving(telegram) as task:
        await polls.next()
        server.revoke()
        await server.down()
        await server.up()
        with pytest.raises(BadToken):
            await task


@pytest.mark.parametrize("trouble", ["down", "page", "no Telegram"])
async def test_when_telegram_is_away_at_the_start_trying_again_makes_sense(
    server: TelegramServer, scripted: ScriptedCommands, chat: Chat, trouble: str
) -> None:
    telegram = Telegram(section(server), scripted)
    if trouble == "down":
        await server.down()
    else:
        server.fail(502 if trouble == "page" else 404, method="getMe")
    with pytest.raises(ConnectionError) as away:
        await telegram.serve()
    assert server.token not in str(away.value)
    assert not connected(telegram)
    if trouble == "down":
        await server.up()
    await chat.send("/start")
    async with serving(telegram):
        await chat.next_message()


async def test_a_network_failure_while_polling_is_known_and_retried(
    server: TelegramServer, telegram: Telegram, chat: Chat, log_lines: LogLines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limit, "BACKOFF", QUICK)
    polls = server.watch("getUpdates")
    server.fail(502, method="getUpdates", times=4)
    await chat.send("/start")
    await chat.next_message()
    for _ in range(4):
        await polls.next()
    await chat.send("/start")
    await chat.next_message()
    await connection(telegram)
    await server.down()
    await connection(telegram, lost=True)
    assert telegram.problem
    await server.up()
    await chat.send("/start")
    await chat.next_message()
    await connection(telegram)
    assert server.token not in "\n".join(log_lines.inbox.all)


async def test_a_429_for_polling_is_waited_for(scripted: ScriptedCommands) -> None:
    clock = ManualClock()
    async with TelegramServer(clock=clock) as server:
        chat = server.private(server.user("Alice"))
        flood = server.flood(retry_after=20, method="getUpdates")
        telegram = Telegram(section(server), scripted, clock=clock)
        async with serving(telegram):
            await chat.send("/start")
            await flood.met()
            await clock.pass_until(chat.next_message())
            assert connected(telegram)
        assert flood.hits == 1


async def test_two_processes_with_one_token_are_reported_once_and_poll_rarely(
    scripted: ScriptedCommands, log_lines: LogLines
) -> None:
    clock = ManualClock()
    async with TelegramServer(clock=clock) as server:
        chat = server.private(server.user("Alice"))
        first_bot = Telegram(section(server), scripted, limits=FAST, clock=clock)
        supervised = Supervised(first_bot, Backoff())
        polls = server.watch("getUpdates")
        first = asyncio.create_task(supervised.serve())
        await polls.next()
        supervised.poll()
        assert supervised.state == "connected"
        async with serving(Telegram(section(server), scripted, limits=FAST, clock=clock)):
            line = await log_lines.saying("polling.conflict")
            assert line.startswith("ERROR")
            supervised.poll()
            assert supervised.state == f"down: {CONFLICT}"
            began, before = clock.time(), len(server.calls_of("getUpdates"))
            await chat.send("/start")
            await clock.pass_until(chat.next_message())
            while clock.time() < began + 600:
                await clock.pass_until(asyncio.sleep(0.01), 2)
            assert len(server.calls_of("getUpdates")) - before < 100
            assert log_lines.count("polling.conflict") <= 2  # each of the two says it once
            assert not supervised.platform.connected
        await clock.pass_until(connection(first_bot), 5)
        supervised.poll()
        assert supervised.state == "connected"
        await chat.send("/temperature")
        assert (await chat.next_message()).text.startswith("You have no temperature")
        first.cancel()
        await asyncio.wait({first})


@pytest.mark.parametrize("result", [None, 5, "updates", {"update_id": 1}, [5], [{}], [{"update_id": "x"}]])
async def test_an_unexpected_answer_to_a_poll_is_survived(
    server: TelegramServer, telegram: Telegram, chat: Chat, result: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limit, "BACKOFF", QUICK)
    fault = server.answer_with(result, method="getUpdates")
    await chat.send("/start")
    await chat.next_message()
    await fault.met()
    await chat.send("/temperature")
    await chat.next_message()
    assert connected(telegram)


async def test_an_update_that_cannot_be_read_is_stepped_over(
    server: TelegramServer, telegram: Telegram, chat: Chat, log_lines: LogLines
) -> None:
    await server.add_update("message", {"message_id": "?", "surprise": 1})
    await chat.send("/start")
    await chat.next_message()
    await log_lines.saying("update.malformed")
    assert log_lines.count("update.malformed") == 1
    assert connected(telegram)


async def test_draining_answers_what_was_taken_and_those_who_come_meanwhile(
    server: TelegramServer, scripted: ScriptedCommands, chat: Chat, bob: User
) -> None:
    telegram = Telegram(section(server), scripted, limits=FAST)
    await telegram.drain()  # before there is anything to drain
    other = server.private(bob)
    async with serving(telegram) as task:
        await chat.send("/nietzsche Slow")
        await scripted.begun.next()
        draining = asyncio.create_task(telegram.drain())
        scripted.closing = True
        hold = server.hold(chat=other, method="sendMessage")
        await other.send("/nietzsche 0.7")
        await hold.met()
        assert not draining.done()
        scripted.resume.set()
        await chat.next_message()
        await asyncio.wait({draining}, timeout=0.2)
        assert not draining.done()  # who came late is owed an answer too
        hold.release()
        async with asyncio.timeout(5):
            await draining
        assert [message.text for message in other.messages.all] == [english("restarting")]
        assert not connected(telegram)
        assert not task.done()
        await other.send("/start")
    assert task.cancelled()
    assert server.pending == 1  # it waits for the next start
    assert len(other.messages.all) == 1


async def test_leaving_in_the_middle_of_a_text_leaves_no_task_behind(
    server: TelegramServer, scripted: ScriptedCommands, chat: Chat
) -> None:
    async with serving(Telegram(section(server), scripted)):
        await chat.send("/nietzsche Slow")
        await scripted.begun.next()
        await chat.send("/start")
    assert chat.messages.unread == 0
