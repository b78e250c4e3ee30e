"""The life cycle of the Telegram adapter: connect, receive updates by polling or by webhook, answer them, drain."""

from __future__ import annotations

import asyncio
import hmac
import itertools
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

from aiohttp import web
from telegram import Bot, BotCommand, BotCommandScopeAllGroupChats, BotCommandScopeAllPrivateChats
from telegram.constants import BotDescriptionLimit
from telegram.error import Conflict, InvalidToken, TelegramError

from bot.config.schema import TelegramSection
from bot.core import language
from bot.core.clock import MONOTONIC, Clock
from bot.core.commands import Commands
from bot.core.messages import title
from bot.core.voice import Voice
from bot.http_server import listening
from bot.logs import format_error
from bot.platforms.base import BadToken
from bot.platforms.telegram.bot_client import POLL_SECONDS, WANTED, BotClient
from bot.platforms.telegram.dispatcher import Dispatcher
from bot.platforms.telegram.rate_limit import ALLOWED, Limits, RateLimiter, retry_pause
from bot.platforms.telegram.sender import PLATFORM, Sender
from bot.platforms.telegram.updates import UpdateHandler
from bot.platforms.text import shorten
from generator.backoff import Backoff

REJECTED: Final = "Telegram refuses the token: copy it again from @BotFather into [telegram] token"
SCOPES: Final = (BotCommandScopeAllPrivateChats(), BotCommandScopeAllGroupChats())
CONFLICT_BACKOFF: Final = Backoff(first=20.0, longest=40.0)
"""While another process polls with the same token: each poll ends the other's, so both must poll rarely."""
CONFLICT_OVER_SECONDS: Final = 120.0
"""Without another conflict, which is more than both pauses together: then the other process is gone."""
CONFLICT: Final = "another process uses this token (409 Conflict); stop it, or give this one the token of another bot"
SECRET_HEADER: Final = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - the header's name
"""https://core.telegram.org/bots/api#setwebhook"""
CHECK_SECONDS: Final = 60.0
"""Between two health checks of the webhook."""
Handler = Callable[[dict[str, Any]], None]
log = logging.getLogger(__name__)


class Telegram:
    """The adapter; see `bot.platforms.base.Platform`. `limits` says how fast it may send."""

    name = PLATFORM

    def __init__(
        self,
        settings: TelegramSection,
        commands: Commands,
        *,
        proxy: str = "",
        limits: Limits = ALLOWED,
        clock: Clock = MONOTONIC,
    ) -> None:
        self._settings = settings
        self._proxy = proxy
        self._commands = commands
        self._limiter = RateLimiter(limits, clock)
        self._dispatcher: Dispatcher | None = None
        self._receiving: asyncio.Task[None] | None = None
        self._bot: BotClient | None = None
        self.connected = False
        self.problem = ""

    async def serve(self) -> None:
        """Connects and serves until cancelled, also after `drain` has ended the receiving.

        Raises `BadToken`, `CannotListen`, or `ConnectionError` if another attempt makes sense.
        """
        try:
            async with BotClient(self._settings, self._proxy) as bot:
                log.info("telegram.logged_in user=@%s", bot.username)
                self._bot = bot
                await self.update_commands()
                await self._serve(bot)
        except InvalidToken:
            raise BadToken(REJECTED) from None  # the library's own words have the token in them
        except TelegramError as error:
            raise ConnectionError(format_error(error)) from None
        finally:
            self._bot = None

    async def update_commands(self) -> None:
        """See `Platform`."""
        if self._bot is not None:
            await asyncio.gather(set_menu(self._bot, self._commands), set_profile(self._bot, self._commands.voice))

    async def _serve(self, bot: BotClient) -> None:
        sender, clock = Sender(bot, self._limiter, self._commands), self._limiter.clock
        try:
            async with asyncio.TaskGroup() as group:
                on_failure = partial(self._commands.observer.platform_failed, PLATFORM)
                self._dispatcher = Dispatcher(group, self._limiter, on_failure)
                handle = UpdateHandler(sender, self._dispatcher).handle
                if self._settings.webhook_url:
                    problems = Webhook(bot, handle, clock, self._settings).receive()
                else:
                    problems = poll(bot, handle, clock)
                self._receiving = group.create_task(self._receive(problems))
                await asyncio.Event().wait()
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        finally:
            self._receiving = self._dispatcher = None

    async def _receive(self, problems: AsyncIterator[str]) -> None:
        try:
            async for self.problem in problems:
                self.connected = not self.problem
        finally:
            self.connected, self.problem = False, ""

    async def drain(self) -> None:
        """Returns when every update that was received has been answered, those that arrive meanwhile included.

        Later ones stay at Telegram for the next start.
        """
        dispatcher, receiving = self._dispatcher, self._receiving
        if dispatcher is not None and receiving is not None:
            await dispatcher.join()
            receiving.cancel()
            await asyncio.wait({receiving})
            await dispatcher.join()


async def poll(bot: BotClient, handle: Handler, clock: Clock) -> AsyncIterator[str]:
    """Requests updates; yields why none arrive, or nothing. Raises `InvalidToken`; the library's own loop does not."""
    await bot.delete_webhook()  # a webhook of an earlier run would make every poll fail with 409
    problem, offset, failures, pause, conflict_until = "", 0, 0, 0.0, 0.0
    while True:
        yield problem
        await clock.sleep(pause)
        # After another failure the first poll returns at once, to learn that all is well again.
        wait = 0 if failures and problem != CONFLICT else POLL_SECONDS
        try:
            for update in await bot.updates(offset=offset, wait=wait):
                handle(update)
                offset = max(offset, update["update_id"] + 1)
        except InvalidToken:
            raise
        except Exception as error:  # noqa: BLE001 - the next answer may be one that the library can read
            failures += 1
            pause = retry_pause(error, failures)
            if isinstance(error, Conflict):
                pause = CONFLICT_BACKOFF.pause(failures)
                conflict_until = clock.time() + CONFLICT_OVER_SECONDS
                if problem != CONFLICT:
                    log.error("polling.conflict reason=%s", CONFLICT)
            problem = CONFLICT if clock.time() < conflict_until else format_error(error)
        else:
            failures, pause = 0, 0.0
            if clock.time() >= conflict_until:  # polls succeed between two conflicts
                problem = ""


class Webhook:
    """An HTTP server that is registered with setWebhook; getWebhookInfo tells whether it still is. It has no TLS."""

    def __init__(self, bot: BotClient, handle: Handler, clock: Clock, settings: TelegramSection) -> None:
        self._bot = bot
        self._handle = handle
        self._clock = clock
        self._settings = settings
        # Without a secret, anyone who finds the port could send updates in any user's name.
        self._secret = settings.webhook_secret.reveal() or secrets.token_urlsafe(32)
        self._last_update_at = 0.0

    async def receive(self) -> AsyncIterator[str]:
        """Serves, and yields why no updates arrive, or nothing. Raises `CannotListen`, and what setWebhook raises."""
        app = web.Application()  # takes at most 1 MiB; Telegram's updates are a few kilobytes
        app.router.add_post(urlsplit(self._settings.webhook_url).path or "/", self._accept)
        async with listening(app, self._settings.webhook_host, self._settings.webhook_port):
            await self._register()
            problem = ""
            while True:
                yield problem
                await self._clock.sleep(CHECK_SECONDS)
                before, problem = problem, await self._check()
                if problem and problem != before:
                    log.error("webhook.failed reason=%s", problem)

    async def _register(self) -> None:
        await self._bot.set_webhook(self._settings.webhook_url, secret_token=self._secret, allowed_updates=WANTED)

    async def _check(self) -> str:
        """Returns why updates do not arrive, or nothing. A webhook that was replaced is registered again."""
        try:
            info = await self._bot.get_webhook_info()
            if info.url != self._settings.webhook_url:
                await self._register()
                return "another process removed or replaced the webhook; it is registered again"
        except InvalidToken:
            raise
        except Exception as error:  # noqa: BLE001 - the next answer may be one that the library can read
            return format_error(error)
        failed_at = info.last_error_date.timestamp() if info.last_error_date is not None else 0.0
        if info.pending_update_count and failed_at > self._last_update_at:
            return f"Telegram cannot deliver updates: {info.last_error_message}"
        return ""

    async def _accept(self, request: web.Request) -> web.Response:
        """Handles an update. The response comes at once; Telegram would take a text's time for a failure."""
        secret = request.headers.get(SECRET_HEADER, "")
        # Bytes, because `compare_digest` accepts only ASCII text, and a header may hold any.
        if not hmac.compare_digest(secret.encode("utf-8", "surrogateescape"), self._secret.encode()):
            return web.Response(status=403)
        try:
            self._handle(await request.json())
        except web.HTTPException:
            raise
        except Exception:  # noqa: BLE001 - it ends too soon, say, or it is no update
            return web.Response(status=400)
        self._last_update_at = time.time()
        return web.Response()


async def set_menu(bot: Bot, commands: Commands) -> None:
    """Registers the commands for each kind of chat and each language, where Telegram does not have them yet.

    Operators' commands are in no menu. The commands work without one, so this raises nothing.
    """
    try:
        for scope, (code, tongue) in itertools.product(SCOPES, _languages()):
            wanted = tuple(
                BotCommand(name, spec.purpose(tongue.say))
                for name, spec in commands.user_commands().items()
                if name != "start" or scope is SCOPES[0]  # Telegram's own button in a new private chat
            )
            if await bot.get_my_commands(scope, code) != wanted:
                await bot.set_my_commands(wanted, scope, code)
                log.info("menu.set scope=%s language=%s", scope.type, tongue.tag)
    except Exception as error:  # noqa: BLE001 - an answer that the library cannot read raises anything
        log.warning("menu.failed reason=%s", format_error(error))


async def set_profile(bot: Bot, voice: Voice) -> None:
    """Registers what the bot is, where Telegram does not have it yet; raises nothing, as `set_menu`."""
    try:
        for code, tongue in _languages():
            book = title(voice, tongue.say)
            said = tongue.say("profile", book=book, voice=voice.command)
            long = shorten(said, BotDescriptionLimit.MAX_DESCRIPTION_LENGTH)
            short = shorten(tongue.say("profile-short", book=book), BotDescriptionLimit.MAX_SHORT_DESCRIPTION_LENGTH)
            if (await bot.get_my_description(code)).description != long:
                await bot.set_my_description(long, code)
            if (await bot.get_my_short_description(code)).short_description != short:
                await bot.set_my_short_description(short, code)
    except Exception as error:  # noqa: BLE001 - as above
        log.warning("profile.failed reason=%s", format_error(error))


def _languages() -> list[tuple[str, language.Language]]:
    """Returns each language with its code of two letters (ISO 639-1, https://core.telegram.org/bots/api#setmycommands).
    English is for everyone else."""
    return [("" if tag == language.ENGLISH else tag[:2], each) for tag, each in language.languages().items()]
