"""Telegram in bad weather, and the bot as it is run: floods, errors, hangs, cut connections, nonsense, updates that
come twice and in the wrong order. Every request has one answer in the end."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import Callable
from typing import Final

import pytest
from conftest import english
from service_process import PATIENCE, TYPED, Installation, ServiceProcess

from testing.telegram import Chat, User

SEEDS: Final = [int(seed) for seed in os.environ.get("STORM_SEEDS", "1").split(",")]
SECONDS: Final = float(os.environ.get("STORM_SECONDS", "8"))
"""How long the weather is bad; a longer storm over more seeds is a matter of these two."""
IMPATIENT = """
import sys
from bot.cli.main import main
from bot.platforms.telegram import bot_client
bot_client.READ_SECONDS = 1.0
sys.exit(main(["run", *sys.argv[1:]]))
"""
"""`python -m bot run`, which waits for an answer of Telegram's for a second instead of twenty."""


class Asked:
    """What was asked: in each chat, by each person, the prompts in order."""

    def __init__(self) -> None:
        self.prompts: dict[tuple[Chat, User], list[str]] = {}

    async def ask(self, chat: Chat, person: User) -> None:
        line = self.prompts.setdefault((chat, person), [])
        number = sum(map(len, self.prompts.values()))
        line.append(f"{TYPED} {number:03d}")
        await chat.send(f"/nietzsche 0.7 {line[-1]}", by=person)

    def answered(self) -> Counter[str]:
        """How many texts there are for each prompt."""
        texts = [sent.text for chat in {chat for chat, _ in self.prompts} for sent in chat.sent.values()]
        return Counter(text[: len(TYPED) + 4] for text in texts)

    async def wait(self, service: ServiceProcess) -> None:
        """Until there is an answer to everything."""
        asked = {prompt for line in self.prompts.values() for prompt in line}
        try:
            async with asyncio.timeout(PATIENCE):
                while not asked <= set(self.answered()):  # noqa: ASYNC110 - of another process, which has no event for it
                    await asyncio.sleep(0.1)
        except TimeoutError:
            missing = sorted(asked - set(self.answered()))
            raise AssertionError(f"no answer to {missing}; log:\n" + "\n".join(service.log.lines[-60:])) from None

    def check(self) -> None:
        """Each has one answer, in the order in which its person asked."""
        assert self.answered() == Counter(prompt for line in self.prompts.values() for prompt in line)
        for (chat, _), line in self.prompts.items():
            texts = [sent.text[: len(TYPED) + 4] for sent in chat.sent.values()]
            assert [text for text in texts if text in line] == line


@pytest.mark.parametrize("seed", SEEDS)
async def test_after_a_storm_every_request_has_one_answer(bot: Installation, seed: int) -> None:
    weather, server, asked = random.Random(seed), bot.server, Asked()
    alice, bob, carol = (server.user(name) for name in ("Alice", "Bob", "Carol"))
    group = server.supergroup()
    places = [(server.private(alice), alice), (server.private(bob), bob), (group, alice), (group, carol)]

    async def trouble() -> None:
        loop = asyncio.get_running_loop()
        over = loop.time() + SECONDS
        while loop.time() < over:
            method = weather.choice(["getUpdates", "sendMessage", "sendMessage", "sendChatAction"])
            chat = None if method == "getUpdates" else weather.choice([*(chat for chat, _ in places), None])
            kinds: list[Callable[[], object]] = [
                lambda: server.flood(chat, retry_after=1, method=method),  # noqa: B023 - called at once, like those below
                lambda: server.fail(weather.choice([500, 502, 503]), chat=chat, method=method),  # noqa: B023
                lambda: server.drop(chat=chat, method=method),  # noqa: B023
                lambda: server.drop(method="getUpdates", after=True),
                lambda: server.garble(method="getUpdates"),
                lambda: server.garble(chat=chat, method="sendChatAction"),  # noqa: B023
                lambda: server.redeliver(server.last_update_id),
            ]
            weather.choice(kinds)()
            if weather.random() < 0.15:
                held = server.hold(chat=chat, method=method, times=1)
                # A message that is held for longer than the bot waits comes after those that were sent meanwhile.
                await asyncio.sleep(weather.uniform(0.2, 0.7 if method == "sendMessage" else 1.5))
                held.release()
            if weather.random() < 0.05:
                await server.down()
                await asyncio.sleep(weather.uniform(0, 1))
                await server.up()
            await asyncio.sleep(weather.uniform(0, 0.3))

    async with bot.service() as service:
        reading = asyncio.create_task(service.log.rest())
        await asked.ask(*places[0])
        storm = asyncio.create_task(trouble())
        while not storm.done():
            with server.gathered(reverse=weather.random() < 0.3):
                for place in weather.sample(places, weather.randint(1, 2)):
                    await asked.ask(*place)  # in each place one of a batch, which may come in the wrong order
            await asyncio.sleep(weather.uniform(0.8, 1.6))
        await storm
        server.end_faults()
        for place in places:
            await asked.ask(*place)
        await asked.wait(service)
        assert (await service.ready())[0] == 200
        reading.cancel()
        await asyncio.wait({reading})
        await service.stop()
    asked.check()
    assert server.pending == 0


async def test_an_answer_that_may_have_arrived_is_followed_by_a_note(
    bot: Installation,
) -> None:
    alice = bot.server.private(bot.server.user("Alice"))
    async with bot.service(program=("-c", IMPATIENT)) as service:
        held = bot.server.hold(chat=alice, method="sendMessage", times=1)
        await alice.send(f"/nietzsche {TYPED}")
        await held.met()
        assert (await alice.next_message(PATIENCE)).text == english("unconfirmed")
        await service.log.next("reply.undelivered reason=TimedOut: Timed out")
        assert 'lstmega_platform_errors_total{platform="telegram"} 1.0' in await service.get("/metrics")
        held.release()
        await alice.send(f"/nietzsche {TYPED}")
        assert (await alice.next_message(PATIENCE)).text.startswith(TYPED)
        await service.stop()


async def test_half_an_answer_from_telegram_says_nothing_twice(bot: Installation) -> None:
    alice = bot.server.private(bot.server.user("Alice"))
    async with bot.service() as service:
        for method in ("getUpdates", "sendMessage"):
            fault = bot.server.garble(method=method)
            await alice.send("/start")
            await fault.met()
            assert (await alice.next_message(PATIENCE)).text.startswith("I write")
        await alice.send("/temperature")
        assert (await alice.next_message(PATIENCE)).text.startswith("You have no temperature")
        await service.stop()


async def test_after_a_kill_only_unconfirmed_updates_come_again(bot: Installation) -> None:
    """The next poll confirms what was received, at once. What is lost is being written at that moment."""
    alice, bob = (bot.server.private(bot.server.user(name)) for name in ("Alice", "Bob"))
    async with bot.service() as service:
        await alice.send("/start")
        await alice.next_message(PATIENCE)
        held = bot.server.hold(chat=bob, method="sendMessage")
        await bob.send("/start")
        await held.met()
        await service.kill()
        held.release()
        await bob.send("/temperature")  # while the bot is down
    async with bot.service() as service:
        assert (await bob.next_message(PATIENCE)).text.startswith("You have no temperature")
        await alice.send("/temperature")
        assert (await alice.next_message(PATIENCE)).text.startswith("You have no temperature")
        await service.stop()
    assert len(alice.sent) == 2
