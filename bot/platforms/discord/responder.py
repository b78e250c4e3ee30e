"""From a `Reply` to messages on Discord: defer in time, then send."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from functools import partial
from typing import Any, Final

import aiohttp
import discord

from bot.core import language
from bot.core.ask import Where
from bot.core.reply import Kind, Reply
from bot.platforms.discord.render import Mentions, Message, contents, messages_of
from bot.platforms.growing import GROW_AFTER_SECONDS, TextSoFar
from bot.platforms.text import EMPTY

DEFER_AFTER_SECONDS: Final = 1.0
"""A reply that takes longer is deferred. Discord waits 3 seconds, by its own clock, for the initial response
(https://discord.com/developers/docs/interactions/receiving-and-responding#interaction-callback)."""
RETRY_PAUSES: Final = (0.3, 0.6, 1.2)
"""Seconds between attempts when the network fails; then the 3 seconds for the initial response are nearly over.
discord.py itself retries after an HTTP 5xx, up to four times."""
_UNKNOWN_MESSAGE: Final = 10008
_ALREADY_ACKNOWLEDGED: Final = 40060
"""Error codes (https://discord.com/developers/docs/topics/opcodes-and-status-codes#json-json-error-codes)."""
_GONE: Final = frozenset({401, 404})
"""HTTP statuses after which nothing more can be sent: the token has expired, which it does after 15 minutes, or there
is no such channel."""
Work = Callable[[Where], Coroutine[Any, Any, Reply]]
log = logging.getLogger(__name__)


async def _retried(request: Callable[[], Awaitable[Any]]) -> None:
    for pause in (*RETRY_PAUSES, None):
        try:
            await request()
            return
        except aiohttp.ClientConnectionError as error:
            if pause is None:
                raise
            log.info("discord.request_retried error=%s", type(error).__name__)
            await asyncio.sleep(pause)
        except discord.HTTPException as error:
            if error.code != _ALREADY_ACKNOWLEDGED:  # by an attempt at an initial response that seemed lost
                raise
            return


class InteractionResponder:
    """Answers a slash command or a button. `private`: only the user sees the reply, so also that it is deferred."""

    def __init__(self, interaction: discord.Interaction[Any], mentions: Mentions, *, private: bool) -> None:
        self.mentions = mentions
        self._interaction = interaction
        self._private = private
        self._deferred = False
        self._answered = False
        self._has_grown = False

    async def defer(self) -> None:
        """Shows "thinking": to all unless the reply is known to be private."""
        await _retried(lambda: self._interaction.response.defer(thinking=True, ephemeral=self._private))
        self._deferred = True

    async def show(self, message: Message) -> None:
        """Shows the text so far, where "thinking" was."""
        await self._edit(message)
        self._has_grown = True

    async def send(self, reply: Reply) -> None:
        """Sends the reply, unless it has no words; the notice of a public one goes to the user alone."""
        if not reply.text:
            if self._deferred and not self._has_grown:
                await self._delete()
            return
        if reply.outdated and not self._deferred:
            await _retried(lambda: self._interaction.response.edit_message(view=None))
            self._answered = True
        pressed = self._interaction.type is discord.InteractionType.component
        for message in messages_of(reply, with_notice=reply.private, mentions=self.mentions):
            if reply.in_place and pressed and not self._deferred:
                edit = partial(self._interaction.response.edit_message, suppress_embeds=True, **message.arguments())
                await _retried(edit)
            else:
                await self._send(message, private=reply.private)
        if reply.notice and not reply.private:
            [notice] = contents(Reply(reply.notice), with_notice=False, mentions=self.mentions)
            await self._send(Message(notice), private=True)

    async def _send(self, message: Message, *, private: bool) -> None:
        if self._answered:
            await self._follow_up(message, private=private)
        elif not self._deferred:
            send = self._interaction.response.send_message
            await _retried(lambda: send(ephemeral=private, suppress_embeds=True, **message.arguments()))
        elif private and not self._private:
            await self._replace_privately(message)
        else:
            try:
                await self._edit(message)
            except discord.NotFound as error:
                if error.code != _UNKNOWN_MESSAGE:
                    raise
                await self._follow_up(message, private=private)  # it was deleted meanwhile
        self._answered = True

    async def _edit(self, message: Message) -> None:
        # An edit takes no flag against previews (in discord.py 2.7); no address survives the escaping anyway.
        edit = self._interaction.edit_original_response
        await _retried(lambda: edit(**message.arguments(files="attachments")))

    async def _replace_privately(self, message: Message) -> None:
        """Sends a private message where "thinking" was shown to all, which happens to refusals.

        The first follow-up takes the place of "thinking", and is as public; after a deletion Discord has answered
        "Unknown Message" (https://github.com/discord/discord-api-docs/issues/3087). So it is edited, and deleted last.
        """
        await _retried(lambda: self._interaction.edit_original_response(content=EMPTY))
        self._answered = True
        try:
            await self._follow_up(message, private=True)
        finally:
            await self._delete()

    async def _delete(self) -> None:
        """Deletes "thinking", or what took its place; if that fails, it stays."""
        with contextlib.suppress(discord.HTTPException, aiohttp.ClientError):
            await self._interaction.delete_original_response()

    async def _follow_up(self, message: Message, *, private: bool) -> None:
        """Sends another message, once: unlike the others, a follow-up that is sent again would be shown twice."""
        await self._interaction.followup.send(ephemeral=private, suppress_embeds=True, **message.arguments())


class MessageResponder:
    """Answers a message. Every reply is public here; a refusal is sent only if `may_refuse` allows it."""

    def __init__(self, message: discord.Message, mentions: Mentions, may_refuse: Callable[[], bool]) -> None:
        self.mentions = mentions
        self._message = message
        self._may_refuse = may_refuse
        self._shown: discord.Message | None = None
        guild = message.guild
        self._permissions = message.channel.permissions_for(guild.me) if guild else discord.Permissions.all()

    @property
    def may_write(self) -> bool:
        """Whether the bot may answer there."""
        in_thread = isinstance(self._message.channel, discord.Thread)
        return self._permissions.send_messages_in_threads if in_thread else self._permissions.send_messages

    async def defer(self) -> None:
        """Shows the bot typing, for ten seconds. A failure does not matter."""
        with contextlib.suppress(discord.HTTPException):
            await self._message.channel.typing()

    async def send(self, reply: Reply) -> None:
        """Replies to the message, or posts into the channel if the message is deleted."""
        if not reply.text or (reply.kind is Kind.REFUSAL and not self._may_refuse()):
            return
        for number, message in enumerate(messages_of(reply, with_notice=True, mentions=self.mentions), 1):
            try:
                await self.show(message, number)
            except discord.NotFound:
                if self._shown is None:
                    raise
                self._shown = None  # it was deleted meanwhile
                await self.show(message, number)
            self._shown = None

    async def show(self, message: Message, number: int = 0) -> None:
        """Shows the text so far, or the message of that number of the reply, in place of the text so far.

        Discord posts messages of one nonce once, within minutes; at most 25 characters
        (https://discord.com/developers/docs/resources/message#create-message)."""
        arguments = message.arguments() | {"nonce": f"{self._message.id}.{number}"}
        if number <= 1 and self._permissions.read_message_history:  # which a reference needs
            arguments["reference"] = self._message.to_reference(fail_if_not_exists=False)

        async def post() -> None:
            self._shown = await self._message.channel.send(suppress_embeds=True, **arguments)

        if self._shown is None:
            await _retried(post)
        else:
            edit = self._shown.edit
            await _retried(lambda: edit(**message.arguments(files="attachments")))


Responder = InteractionResponder | MessageResponder


async def respond(responder: Responder, work: Work, where: Where, on_failure: Callable[[], None]) -> None:
    """Sends what `work` returns, deferring while it runs. Logs every error, without any user's words.

    `on_failure` is called for each request that Discord did not take. Only cancellation is raised; it cancels `work`.
    """
    so_far, locale = TextSoFar(), where.locale
    working = asyncio.create_task(work(replace(where, show=so_far.take)))
    try:
        try:
            await asyncio.wait({working}, timeout=DEFER_AFTER_SECONDS)
            if not working.done():
                await responder.defer()
                await asyncio.wait({working}, timeout=GROW_AFTER_SECONDS - DEFER_AFTER_SECONDS)
                render = partial(messages_of, with_notice=False, mentions=responder.mentions)
                await so_far.grow(working, render, responder.show, (discord.HTTPException, aiohttp.ClientError))
            reply = await working
            locale = reply.locale or locale
            await responder.send(reply)
        except Exception as error:
            if isinstance(error, discord.HTTPException) and error.status in _GONE:
                raise
            _log_failure(error, on_failure)
            await responder.send(Reply.refusal(language.of(locale).say("unexpected")))
    except Exception as error:  # noqa: BLE001 - it is logged
        _log_failure(error, on_failure)
    finally:
        working.cancel()
        await asyncio.wait({working})


def _log_failure(error: Exception, on_failure: Callable[[], None]) -> None:
    if isinstance(error, (discord.HTTPException, aiohttp.ClientError)):
        on_failure()
    if isinstance(error, discord.HTTPException):  # its message may repeat parts of the request
        log.warning("discord.reply_refused status=%d code=%d", error.status, error.code)
    else:
        log.error("discord.reply_failed", exc_info=error)
