"""Inline queries, a hundred a second, from one user or from very many, delay no other user."""

from __future__ import annotations

import asyncio
import gc
import logging
import time

import pytest
import telegram
from conftest import english
from hostile_telegram import connected

from bot.core.commands import Commands
from bot.platforms.telegram.rate_limit import ALLOWED
from testing.telegram import Chat, InlineQuery, TelegramServer, User

A_SECOND, SECONDS = 100, 2


async def flood(people: list[User]) -> list[InlineQuery]:
    """The users in turn type something else each time, so that Telegram has nothing in its cache."""
    began, queries = time.monotonic(), []
    for number in range(A_SECOND * SECONDS):
        queries.append(await people[number % len(people)].inline(f"0.7 {number}"))
        await asyncio.sleep(began + (number + 1) / A_SECOND - time.monotonic())
    return queries


@pytest.mark.parametrize("crowd", [1, 100], ids=["one person", "a hundred people"])
@pytest.mark.parametrize("held", [False, True], ids=["", "Telegram hangs"])
async def test_others_are_answered_meanwhile(
    server: TelegramServer, commands: Commands, chat: Chat, *, crowd: int, held: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    people = [server.user(f"User {number}") for number in range(crowd)]
    async with connected(server, commands, ALLOWED) as bot:
        assert bot._dispatcher is not None
        before, most, said = len(asyncio.all_tasks()), 0, []
        caplog.clear()  # of what is logged at the start
        hanging = server.hold(method="answerInlineQuery") if held else None
        flooding = asyncio.create_task(flood(people))
        while not flooding.done():
            for line in ("/start", "/temperature 0.8"):
                await chat.send(line)
                said.append((await chat.next_message()).text)
            most = max(most, len(asyncio.all_tasks()) - before)
            await asyncio.wait({flooding}, timeout=0.7)  # a chat may get one message a second
        queries = await flooding
        kept = sum(isinstance(thing, telegram.InlineQuery) for thing in gc.get_objects())
        if hanging is not None:
            hanging.release()
        for last in queries[-crowd:]:
            await last.answer()
        while server.pending:  # noqa: ASYNC110 - the server has no event for it
            await asyncio.sleep(0.001)
        await bot._dispatcher.join()
        assert not bot._dispatcher._last
    assert set(said) == {english("temperature-own", own=0.8, default=0.7), said[0]}
    assert said[0].startswith("I write in the manner of")
    assert all(len(query.answers.all) <= 1 for query in queries)
    # Of each person the query that is being answered and the last one; a task for the former, and some of the server's.
    assert kept <= 2 * crowd + 5
    assert most <= 4 * crowd + 20
    assert not caplog.records, caplog.text
