"""Updates by webhook."""

from __future__ import annotations

import pytest
from aiohttp import ClientSession
from telegram_support import (
    BUTTONS,
    FAST,
    LogLines,
    ScriptedCommands,
    connected,
    connection,
    section,
    serving,
)

from bot.config.schema import Secret, TelegramSection
from bot.platforms.telegram.platform import Telegram
from testing.clock import ManualClock
from testing.telegram import SECRET_HEADER, Chat, TelegramServer

SECRET = "hook-secret"  # noqa: S105 - opens nothing but the test's own port


def hook(server: TelegramServer, port: int, secret: str = SECRET) -> TelegramSection:
    url = f"http://127.0.0.1:{port}/telegram/hook"
    return section(server, webhook_url=url, webhook_secret=Secret(secret), webhook_port=port)


async def test_updates_through_a_webhook(
    server: TelegramServer, scripted: ScriptedCommands, chat: Chat, unused_tcp_port: int
) -> None:
    telegram = Telegram(hook(server, unused_tcp_port), scripted, limits=FAST)
    calls = server.watch("setWebhook")
    async with serving(telegram):
        call = await calls.next()
        assert call.params.text("secret_token") == SECRET
        await chat.send("/nietzsche 0.7")
        assert (await chat.next_message()).labels == BUTTONS
        assert connected(telegram)
        server.redeliver(server.last_update_id)
        await chat.send("/start")
        assert (await chat.next_message()).text.startswith("I write")
        await telegram.drain()
        assert not connected(telegram)
        await chat.send("/start")
        assert await server.webhook_statuses.next() == 200
    assert server.calls_of("getUpdates") == []
    async with serving(Telegram(section(server), scripted, limits=FAST)):
        await chat.next_message()
    assert server.webhook.url == ""


async def test_a_webhook_rejects_requests_without_the_secret(
    server: TelegramServer, scripted: ScriptedCommands, chat: Chat, unused_tcp_port: int
) -> None:
    settings = hook(server, unused_tcp_port)
    update = {"update_id": 1, "message": chat.typed_message("/start", chat.owner, {})}
    calls = server.watch("setWebhook")
    async with serving(Telegram(settings, scripted, limits=FAST)), ClientSession() as session:
        await calls.next()
        for headers in ({}, {SECRET_HEADER: "wrong"}, {SECRET_HEADER: "ü"}, {SECRET_HEADER: ""}):
            async with session.post(settings.webhook_url, json=update, headers=headers) as response:
                assert response.status == 403
        right = {SECRET_HEADER: SECRET}
        for body in (b"{", b"[]", b'{"no": 1}', b'"x"'):
            async with session.post(settings.webhook_url, data=body, headers=right) as response:
                assert response.status == 400
        assert scripted.asked == []
        async with session.post(settings.webhook_url, json=update, headers=right) as response:
            assert response.status == 200
        await chat.next_message()


async def test_a_webhook_without_a_secret_makes_one_up(
    server: TelegramServer, scripted: ScriptedCommands, chat: Chat, unused_tcp_port: int
) -> None:
    async with serving(Telegram(hook(server, unused_tcp_port, ""), scripted, limits=FAST)):
        await chat.send("/start")
        await chat.next_message()
    assert len(server.webhook.secret) >= 32


async def test_a_port_that_is_taken(server: TelegramServer, scripted: ScriptedCommands) -> None:
    port = int(server.url.rpartition(":")[2])
    with pytest.raises(OSError, match="address already in use"):
        await Telegram(hook(server, port), scripted).serve()


async def test_a_webhook_that_another_process_removes_is_noticed_and_registered_again(
    scripted: ScriptedCommands, unused_tcp_port: int, log_lines: LogLines
) -> None:
    clock = ManualClock()
    async with TelegramServer(clock=clock) as server:
        chat = server.private(server.user("Alice"))
        telegram = Telegram(hook(server, unused_tcp_port), scripted, limits=FAST, clock=clock)
        hooks = server.watch("setWebhook")
        async with serving(telegram):
            await hooks.next()
            async with ClientSession() as session:
                await session.get(f"{server.url}/bot{server.token}/deleteWebhook")
            await clock.pass_until(hooks.next(), 10)
            line = await log_lines.saying("webhook.failed")
            assert "another process" in line
            assert not connected(telegram)
            await chat.send("/start")
            await chat.next_message()
            await clock.pass_until(connection(telegram), 10)
            assert connected(telegram)


async def test_a_webhook_that_telegram_cannot_reach_is_not_connected(
    scripted: ScriptedCommands, unused_tcp_port: int, log_lines: LogLines
) -> None:
    clock = ManualClock()
    async with TelegramServer(clock=clock) as server:
        chat = server.private(server.user("Alice"))
        telegram = Telegram(hook(server, unused_tcp_port), scripted, limits=FAST, clock=clock)
        hooks = server.watch("setWebhook")
        async with serving(telegram):
            await hooks.next()
            server.webhook_blocked = True  # by a firewall, say
            await chat.send("/start")
            assert await server.webhook_statuses.next() == 0
            line = await clock.pass_until(log_lines.saying("webhook.failed"), 10)
            assert "Telegram cannot deliver updates: Connection refused" in line
            assert not connected(telegram)
            server.webhook_blocked = False
            await chat.next_message()
            await clock.pass_until(connection(telegram), 10)
            assert connected(telegram)


async def test_an_unexpected_answer_about_the_webhook_is_survived(
    scripted: ScriptedCommands, unused_tcp_port: int, log_lines: LogLines
) -> None:
    clock = ManualClock()
    async with TelegramServer(clock=clock) as server:
        chat = server.private(server.user("Alice"))
        telegram = Telegram(hook(server, unused_tcp_port), scripted, limits=FAST, clock=clock)
        hooks = server.watch("setWebhook")
        async with serving(telegram):
            await hooks.next()
            server.answer_with(5, method="getWebhookInfo")
            await clock.pass_until(log_lines.saying("webhook.failed"), 10)
            await chat.send("/start")
            await chat.next_message()
            await clock.pass_until(connection(telegram), 10)
            assert connected(telegram)
