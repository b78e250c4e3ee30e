"""Telegram's limits on what a bot sends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from telegram.error import RetryAfter
from telegram_support import (
    BUTTONS,
    LogLines,
    ScriptedCommands,
    first_text,
    timed,
)

from bot.core.reply import Reply
from bot.platforms.telegram import rate_limit
from bot.platforms.telegram.rate_limit import ALLOWED, GIVE_UP_SECONDS, Limits, Rate, RateLimiter
from testing.clock import ManualClock, settle


async def test_a_429_keeps_one_chat_waiting_and_no_other(scripted: ScriptedCommands) -> None:
    clock = ManualClock()
    async with timed(scripted, clock) as (server, _):
        chat, other = server.private(server.user("Alice")), server.private(server.user("Bob"))
        flood = server.flood(chat, retry_after=2, method="sendMessage")
        with server.gathered():
            await chat.send("/temperature")
            await chat.send("/help")
            for _ in range(3):
                await other.send("/start")
        assert [(await other.next_message()).at for _ in range(3)] == [clock.time()] * 3
        began = clock.time()
        first = await clock.pass_until(chat.next_message())
        assert first.text.startswith("You have no temperature")
        assert first.at >= began + 2
        assert "/forgetme" in (await chat.next_message()).text
        assert flood.hits == 1  # nothing was sent there before its time


async def test_a_429_for_an_answer_to_a_press_is_waited_for(scripted: ScriptedCommands) -> None:
    clock = ManualClock()
    async with timed(scripted, clock) as (server, _):
        alice = server.user("Alice")
        chat = server.private(alice)
        message = await first_text(chat, alice)
        flood = server.flood(retry_after=1, method="answerCallbackQuery")
        press = await alice.press(message, "Again")
        assert await clock.pass_until(press.answer()) == ("", False)
        assert flood.hits == 1
        await chat.next_message()


async def test_a_press_is_answered_when_its_reply_comes_while_a_429_holds_the_answer_up(
    scripted: ScriptedCommands,
) -> None:
    clock = ManualClock()
    async with timed(scripted, clock) as (server, _):
        alice = server.user("Alice")
        chat = server.private(alice)
        message = await first_text(chat, alice)
        scripted.said["slow press"] = Reply("")
        flood = server.flood(retry_after=5, method="answerCallbackQuery")
        press = await alice.press(message, "Again")
        await clock.pass_until(flood.met())
        scripted.resume.set()
        assert await clock.pass_until(press.answer()) == ("", False)
        assert flood.hits == 1
        await chat.next_message()


async def test_typing_is_left_out_where_telegram_wants_nothing(scripted: ScriptedCommands, log_lines: LogLines) -> None:
    clock = ManualClock()
    async with timed(scripted, clock) as (server, _):
        chat = server.private(server.user("Alice"))
        server.flood(chat, retry_after=5, method="sendChatAction")
        await chat.send("/nietzsche Slow")
        await scripted.begun.next()
        await clock.pass_until(log_lines.saying("typing.failed error=RetryAfter"))
        scripted.resume.set()
        assert (await clock.pass_until(chat.next_message())).labels == BUTTONS
        assert len(server.calls_of("sendChatAction")) == 1


class Sends:
    """A rate limiter, and when it let each message through."""

    def __init__(self, limits: Limits = ALLOWED) -> None:
        self.clock = ManualClock()
        self.limiter = RateLimiter(limits, self.clock)
        self.times: dict[Any, list[float]] = {}
        self.fail: dict[int | None, list[RetryAfter]] = {}

    async def send(self, chat: int | None) -> None:
        async def request() -> None:
            if self.fail.get(chat):
                raise self.fail[chat].pop()
            self.times.setdefault(chat, []).append(self.clock.time() - START)

        await self.limiter.send(chat, request)

    async def together(self, *chats: int | None) -> None:
        async with asyncio.TaskGroup() as tasks:
            for chat in chats:
                tasks.create_task(self.send(chat))


START = ManualClock().time()


async def test_a_chat_gets_a_burst_and_then_its_share() -> None:
    sends = Sends(Limits(chat=Rate(2, 10.0), group=Rate(3, 25.0), overall=Rate(100, 1.0)))
    await sends.clock.run(sends.together(*[1] * 6, *[2] * 2, *[-3] * 6))
    assert sends.times[1] == [0, 0, 10, 10, 20, 20]
    assert sends.times[2] == [0, 0]  # the first chat's wait is its own
    assert sends.times[-3] == [0, 0, 10, 25, 25, 35]  # 2 within any 10 s, and 3 within any 25


async def test_all_chats_together_keep_to_the_whole() -> None:
    sends = Sends(Limits(overall=Rate(5, 3.0)))
    await sends.clock.run(sends.together(*range(1, 13)))
    assert sorted(time for times in sends.times.values() for time in times) == [0] * 5 + [3] * 5 + [6] * 2
    await sends.clock.run(sends.together(None, None))
    assert sends.times[None] == [6, 6]  # about no chat, so not a message


async def test_the_whole_is_kept_to_in_any_period() -> None:
    sends = Sends(Limits(overall=Rate(2, 10.0)))
    await sends.send(1)
    await sends.clock.advance(9)
    await sends.clock.run(sends.together(2, 3, 4))
    assert [sends.times[chat] for chat in (2, 3, 4)] == [[9], [10], [19]]


async def test_how_long_a_chat_would_have_to_wait_is_known_beforehand() -> None:
    limiter = RateLimiter(Limits(chat=Rate(2, 10.0), group=Rate(3, 60.0)), ManualClock())
    assert [limiter.delay(1, ahead) for ahead in range(5)] == [0, 0, 10, 10, 20]
    assert [limiter.delay(-1, ahead) for ahead in (0, 2, 3, 5, 6)] == [0, 0, 60, 60, 120]
    assert [limiter.overall_delay(ahead) for ahead in (0, 29, 32, 44, 59)] == [0, 0, 0.1, 0.5, 1]


async def test_messages_that_wait_because_of_all_chats_count_for_the_next() -> None:
    sends = Sends(Limits(overall=Rate(2, 10.0)))
    sending = asyncio.create_task(sends.together(1, 2, 3, 4))
    await settle()
    assert sends.limiter.overall_delay(0) == 15  # two were sent just now, and two wait
    await sends.clock.run(sending)
    assert sends.limiter.overall_delay(0) == 5
    await sends.clock.advance(10)
    assert sends.limiter.overall_delay(0) == 0


async def test_messages_that_were_next_wait_for_a_429_too() -> None:
    sends = Sends(Limits(chat=Rate(1, 0.1)))
    sends.fail[1] = [RetryAfter(1)]
    await sends.clock.run(sends.together(1, 1, 2))
    assert min(sends.times[1]) >= 1
    assert sends.times[2] == [0]


async def test_a_429_for_the_whole_bot_stops_every_chat() -> None:
    """Telegram does not say which limit was exceeded: two chats in a row mean that it was the bot's."""
    sends = Sends()
    sends.fail = {1: [RetryAfter(30)], 2: [RetryAfter(30)]}
    sending = asyncio.gather(sends.send(1), sends.send(2))
    await settle()
    await sends.clock.run(asyncio.gather(sending, sends.send(3)))
    assert min(time for times in sends.times.values() for time in times) >= 30


async def test_a_429_for_one_chat_after_another_stops_no_third() -> None:
    sends = Sends()
    sends.fail = {1: [RetryAfter(30)], 3: [RetryAfter(30)]}
    sending = asyncio.gather(sends.send(1), sends.send(2), sends.send(3))  # the second message was accepted between
    await settle()
    await sends.send(4)
    await sends.clock.run(sending)
    assert (sends.times[2], sends.times[4]) == ([0], [0])


async def test_a_wait_that_is_too_long_is_an_error_at_once() -> None:
    sends = Sends(Limits(chat=Rate(1, 2 * GIVE_UP_SECONDS)))
    await sends.send(1)
    with pytest.raises(RetryAfter):
        await sends.send(1)
    sends = Sends()
    sends.fail[1] = [RetryAfter(3600)]
    with pytest.raises(RetryAfter):
        await sends.send(1)
    with pytest.raises(RetryAfter):  # and nothing is sent before the hour is over
        await sends.send(1)
    assert sends.times == {}


async def test_chats_are_forgotten_when_others_came_after_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limit, "MAX_CHATS", 2)
    sends = Sends(Limits(chat=Rate(1, 1.0)))
    await sends.clock.run(sends.together(1, 2, 2))
    assert sends.times == {1: [0], 2: [0, 1]}
    await sends.together(3, 4)
    assert sends.limiter._chat.cache_info().currsize == 2


def test_the_limits_are_those_that_telegram_documents() -> None:
    assert (ALLOWED.overall, ALLOWED.group) == (Rate(30, 1.0), Rate(20, 60.0))
    assert ALLOWED.chat.count / ALLOWED.chat.seconds == 1
