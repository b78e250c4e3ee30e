"""Platforms that fail, recover, or reject the token: each independently, and logged once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from scripted_platform import ScriptedPlatform, refused

from bot.platforms.base import BadToken
from bot.service import supervisor as supervision
from bot.service.supervisor import Supervised, drain, serve
from generator.backoff import Backoff

PATIENCE = 10.0
AT_ONCE = Backoff(first=0.001, longest=0.001)


@pytest.fixture(autouse=True)
def _logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.INFO, "bot.service.supervisor"):
        yield


@asynccontextmanager
async def serving(*platforms: Supervised) -> AsyncIterator[asyncio.Task[None]]:
    async with asyncio.timeout(PATIENCE):
        task = asyncio.create_task(serve(platforms))
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.wait({task})


@asynccontextmanager
async def supervised(*platforms: ScriptedPlatform) -> AsyncIterator[list[Supervised]]:
    all_of_them = [Supervised(platform, AT_ONCE) for platform in platforms]
    async with serving(*all_of_them):
        yield all_of_them


async def test_a_platform_that_is_down_is_logged_once_and_recovers(caplog: pytest.LogCaptureFixture) -> None:
    telegram = ScriptedPlatform("telegram", *[ConnectionError("no route") for _ in range(50)])
    failures: list[str] = []
    supervised = Supervised(telegram, AT_ONCE, failures.append)
    async with serving(supervised):
        await telegram.up.wait()
        supervised.poll()
        supervised.poll()
        assert supervised.state == "connected"
    assert failures == ["telegram"] * 50
    down, up = caplog.messages
    assert down == "platform.down platform=telegram max_retry_s=0.001 error=ConnectionError: no route"
    assert up == "platform.connected platform=telegram"
    assert telegram.cancelled


async def test_a_failing_platform_does_not_stop_the_other() -> None:
    discord = ScriptedPlatform("discord")
    telegram = ScriptedPlatform("telegram", *[RuntimeError("defect") for _ in range(20)])
    async with supervised(discord, telegram):
        await discord.up.wait()
        await telegram.up.wait()
        assert discord.connected
    assert discord.attempts.qsize() == 1


async def test_a_defect_is_logged_with_its_stack_and_a_network_error_without(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with supervised(ScriptedPlatform("a", TypeError("a defect")), ScriptedPlatform("b", TimeoutError())) as both:
        for platform in both:
            await platform.platform.up.wait()  # type: ignore[attr-defined]
    stacks = {record.getMessage().split("platform=")[1][0]: bool(record.exc_info) for record in caplog.records}
    assert stacks == {"a": True, "b": False}


async def test_a_refused_token_is_final_for_that_platform_alone(caplog: pytest.LogCaptureFixture) -> None:
    discord, telegram = ScriptedPlatform("discord"), refused("telegram")
    async with supervised(discord, telegram) as both:
        await discord.up.wait()
        await telegram.attempts.get()
        for platform in both:
            platform.poll()
        refusal = "telegram refuses the token; copy it again"
        assert [platform.state for platform in both] == ["connected", f"refused: {refusal}"]
    assert telegram.attempts.empty()
    assert [message for message in caplog.messages if "telegram" in message] == [
        f"platform.token_rejected platform=telegram retry=never error={refusal}"
    ]


async def test_when_every_platform_rejects_its_token_serving_ends(caplog: pytest.LogCaptureFixture) -> None:
    both = [Supervised(refused(name), AT_ONCE) for name in ("discord", "telegram")]
    async with serving(*both) as task:
        await task
    assert [platform.state.split(":")[0] for platform in both] == ["refused", "refused"]
    assert [message.split()[1] for message in caplog.messages] == ["platform=discord"]  # the caller tells of the last


async def test_a_token_that_is_revoked_later_ends_serving_as_well(caplog: pytest.LogCaptureFixture) -> None:
    telegram = ScriptedPlatform("telegram")
    supervised = Supervised(telegram, AT_ONCE)
    async with serving(supervised) as task:
        await telegram.up.wait()
        supervised.poll()
        telegram.break_down(BadToken("revoked"))
        await task
        supervised.poll()
    assert supervised.state == "refused: revoked"
    assert [message.split()[0] for message in caplog.messages] == ["platform.connected"]


async def test_a_platform_that_is_down_is_retried_though_the_other_rejects_its_token() -> None:
    telegram = ScriptedPlatform("telegram", *[OSError("down")] * 5)
    async with supervised(refused("discord"), telegram):
        await telegram.up.wait()


async def test_a_lost_and_a_restored_connection_are_logged_once_each(caplog: pytest.LogCaptureFixture) -> None:
    discord = ScriptedPlatform("discord")
    async with supervised(discord) as [platform]:
        await discord.up.wait()
        for change in (discord.connect, discord.lose, discord.lose, discord.connect):
            change()
            platform.poll()
    events = [message.split()[0] for message in caplog.messages]
    assert events == ["platform.connected", "platform.down", "platform.connected"]
    assert caplog.messages[1].endswith("error=connection lost")


@pytest.mark.parametrize(("steady", "second_pause"), [(0.0, 1.0), (1000.0, 2.0)])
async def test_backoff_starts_again_after_a_steady_connection(
    monkeypatch: pytest.MonkeyPatch, steady: float, second_pause: float
) -> None:
    monkeypatch.setattr(supervision, "STEADY_SECONDS", steady)
    paused: asyncio.Queue[float] = asyncio.Queue()

    class Noted(Backoff):
        def pause(self, failures: int) -> float:
            paused.put_nowait(super().pause(failures))
            return 0.0

    platform = ScriptedPlatform("telegram", OSError("first"))
    async with serving(Supervised(platform, Noted(draw=lambda: 1.0))):
        await platform.up.wait()
        platform.lose()
        platform.break_down(OSError("second"))
        assert [await paused.get(), await paused.get()] == [1.0, second_pause]


async def test_draining_waits_for_every_platform_even_one_that_is_down(caplog: pytest.LogCaptureFixture) -> None:
    slow, broken = ScriptedPlatform("slow"), ScriptedPlatform("broken")
    down = ScriptedPlatform("down", *[OSError("down")] * 10_000)
    broken.drain_error = ValueError("cannot")
    slow.answers_due.clear()
    async with supervised(slow, broken, down) as platforms:
        await slow.up.wait()
        await broken.up.wait()
        draining = asyncio.ensure_future(drain(platforms))
        await asyncio.sleep(0)
        assert not draining.done()
        slow.answers_due.set()
        await draining
    assert slow.drained
    assert down.drained
    assert "platform.drain_failed platform=broken" in caplog.messages


async def test_a_platform_that_returns_is_served_again(caplog: pytest.LogCaptureFixture) -> None:
    class Ending(ScriptedPlatform):
        async def serve(self) -> None:
            if not self.attempts.qsize():
                self.attempts.put_nowait(1)
                return
            await super().serve()

    platform = Ending("telegram")
    async with supervised(platform):
        await platform.up.wait()
    assert caplog.messages[0].endswith("error=ConnectionError: the platform returned")
