"""What Telegram says about the token and the bot's settings at @BotFather. Disturbs no bot that runs with the token."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import urlsplit

from telegram.error import InvalidToken, TelegramError

from bot.config.schema import TelegramSection
from bot.logs import format_error
from bot.platforms.base import BadToken, Finding
from bot.platforms.telegram.bot_client import BotClient
from bot.platforms.telegram.platform import REJECTED


async def inspect(settings: TelegramSection, proxy: str) -> AsyncIterator[Finding]:
    """Asks Telegram. Raises `BadToken`, or `ConnectionError` when it gives no answer."""
    try:
        async with BotClient(settings, proxy) as bot:
            me, webhook = bot.bot, await bot.get_webhook_info()
    except InvalidToken:
        raise BadToken(REJECTED) from None
    except TelegramError as error:
        raise ConnectionError(format_error(error)) from None
    yield Finding("telegram", f"accepts the token of @{me.username} ({me.full_name}), number {me.id}")
    inline = bool(me.supports_inline_queries)
    detail = "on; /setinlinefeedback at @BotFather must be at 100 %, which cannot be seen from here"
    yield Finding("inline mode", detail if inline else "off; /setinline at @BotFather turns it on", inline or None)
    if not me.can_join_groups:
        yield Finding("groups", "the bot cannot be added to any; /setjoingroups at @BotFather allows it", None)
    sees_all = bool(me.can_read_all_group_messages)
    detail = "on, so the bot may not get mentions in groups; /setprivacy at @BotFather turns it off"
    yield Finding("group privacy", "off, so the bot gets mentions in groups" if sees_all else detail, sees_all or None)
    waiting = f"{webhook.pending_update_count} updates wait"
    host = urlsplit(webhook.url).hostname  # the path may be a secret
    failure = f"; Telegram could not deliver: {webhook.last_error_message}" if webhook.last_error_message else ""
    if webhook.url and webhook.url == settings.webhook_url:
        yield Finding("updates", f"the webhook at {host} is set, {waiting}{failure}", not failure or None)
    elif webhook.url:
        detail = f"a webhook at {host} is set, by an earlier run or by another process with this token; `run` ends it"
        yield Finding("updates", f"{detail}, {waiting}", None)
    else:
        untested = "whether another process polls is not tested, as that would end its poll; a running bot says it"
        yield Finding("updates", f"no webhook is set, {waiting}; {untested}")
