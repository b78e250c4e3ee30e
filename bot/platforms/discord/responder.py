"""From a `Reply` to messages on Discord: defer in time, send, and stop once the interaction's token has expired."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections.abc import Awaitable, Callable, Coroutine
from enum import Enum, auto
from functools import partial
from typing import Any, Final

import aiohttp
import discord

from bot.core import messages
from bot.core.reply import Reply
from bot.platforms.discord.render import Extras, escaped, messages_of
from bot.platforms.text import EMPTY

DEFER_AFTER_SECONDS: Final = 1.0
"""A reply that takes longer is deferred. Discord waits 3 seconds, by its own clock, for the initial response
(https://discord.com/developers/docs/interactions/receiving-and-responding#interaction-callback)."""
TOKEN_SECONDS: Final = 15 * 60 - 15
"""An interaction's token is valid for 15 minutes (same page), less a margin for a slow network."""
MAX_FOLLOW_UPS: Final = 5
"""Of one interaction, where the app is installed by a user and not by the server: "limited to creating a maximum of 5
follow-ups" (https://discord.com/developers/docs/change-log, "User-Installed Apps General Availability", 2024-06-27)."""

# https://discord.com/developers/docs/topics/opcodes-and-status-codes#json-json-error-codes
_UNKNOWN_WEBHOOK: Final = 10015
_UNKNOWN_INTERACTION: Final = 10062
_ALREADY_ACKNOWLEDGED: Final = 40060
_INVALID_WEBHOOK_TOKEN: Final = 50027
_CLOSED: Final = frozenset({_UNKNOWN_WEBHOOK, _UNKNOWN_INTERACTION, _ALREADY_ACKNOWLEDGED, _INVALID_WEBHOOK_TOKEN})
"""Nothing more can be sent: the token has expired, or another process has answered."""
RETRY_PAUSES: Final = (0.3, 0.6, 1.2)
"""Seconds between attempts when the network fails; then the 3 seconds for the initial response are nearly over.
discord.py itself retries after an HTTP 5xx, up to four times."""
log = logging.getLogger(__name__)


async def _retried(request: Callable[[], Awaitable[Any]]) -> None:
    """Makes a request, again when the network fails. The request must be idempotent."""
    for pause in RETRY_PAUSES:
        try:
            await request()
            return
        except aiohttp.ClientConnectionError as error:
            log.info("discord.request_retried error=%s", type(error).__name__)
        await asyncio.sleep(pause)
    await request()


class _State(Enum):
    """How far an interaction is answered."""

    NEW = auto()
    DEFERRED = auto()
    DEFERRED_PRIVATELY = auto()
    ANSWERED = auto()


class InteractionResponder:
    """Answers a slash command or a button. `private`: only the user sees the reply, so also that it is deferred."""

    def __init__(self, interaction: discord.Interaction, *, private: bool = False) -> None:
        self._interaction = interaction
        self._private = private
        self._state = _State.NEW
        self._follow_ups = 0

    async def defer(self) -> None:
        """Shows "thinking": to all unless the reply is known to be private."""
        await self._acknowledge(
            lambda: self._interaction.response.defer(thinking=True, ephemeral=self._private),
            lambda original: original.flags.loading,
        )
        self._state = _State.DEFERRED_PRIVATELY if self._private else _State.DEFERRED

    async def send(self, reply: Reply) -> None:
        """Sends the reply; the notice of a public one goes to the user alone."""
        left = self._messages_left(private=reply.private)
        if not left:
            log.warning("discord.follow_ups_exhausted")
            return
        separate_notice = bool(reply.notice) and not reply.private and left > 1
        for text, extras in messages_of(reply, with_notice=reply.private, most=left - separate_notice):
            await self._send(text, extras, private=reply.private)
        if separate_notice:
            await self._send(escaped(reply.notice), dict, private=True)

    def _messages_left(self, *, private: bool) -> int:
        """Returns how many more messages the interaction may have: the initial response is no follow-up."""
        if self._interaction.is_guild_integration():
            return sys.maxsize
        in_place = self._state is not _State.ANSWERED and not (self._state is _State.DEFERRED and private)
        return MAX_FOLLOW_UPS - self._follow_ups + in_place

    async def _send(self, text: str, extras: Extras, *, private: bool) -> None:
        if self._state is _State.NEW:
            await self._initial_response(text, extras, private=private)
        elif self._state is _State.DEFERRED and private:
            await self._private_after_public_deferral(text, extras)
        elif self._state is _State.ANSWERED:
            await self._follow_up(text, extras, private=private)
        else:
            await _retried(lambda: self._edit_original(text, extras()))
        self._state = _State.ANSWERED

    async def _initial_response(self, text: str, extras: Extras, *, private: bool) -> None:
        send = self._interaction.response.send_message
        await self._acknowledge(
            lambda: send(text, ephemeral=private, suppress_embeds=True, **extras()),
            lambda original: original.content == text,
        )

    async def _acknowledge(
        self, request: Callable[[], Awaitable[Any]], is_ours: Callable[[discord.InteractionMessage], bool]
    ) -> None:
        """Makes the initial response. One that seemed lost, and was sent again, may have arrived after all.

        `is_ours`: whether the response that Discord has is this one; if not, another process has answered.
        """
        try:
            await _retried(request)
        except discord.HTTPException as error:
            if error.code != _ALREADY_ACKNOWLEDGED:
                raise
            try:
                original = await self._interaction.original_response()
            except discord.HTTPException:  # not ours to see, or deleted
                raise error from None
            if not is_ours(original):
                raise

    async def _edit_original(self, text: str, extras: dict[str, Any]) -> None:
        """Replaces "thinking" by a text."""
        # An edit takes no flag against previews (in discord.py 2.7); no address survives the escaping anyway.
        attachments = [extras.pop("file")] if "file" in extras else []
        await self._interaction.edit_original_response(content=text, attachments=attachments, **extras)

    async def _private_after_public_deferral(self, text: str, extras: Extras) -> None:
        """Sends a private message where "thinking" was shown to all, which happens to refusals.

        The first follow-up takes the place of "thinking", and is as public as that; after that was deleted, Discord has
        answered "Unknown Message" (https://github.com/discord/discord-api-docs/issues/3087). So the original response
        is edited first and deleted last.
        """
        interaction = self._interaction
        await _retried(lambda: interaction.edit_original_response(content=EMPTY))
        self._state = _State.ANSWERED
        try:
            await self._follow_up(text, extras, private=True)
        finally:
            with contextlib.suppress(discord.HTTPException, aiohttp.ClientError):  # else it stays, beside the reply
                await interaction.delete_original_response()

    async def _follow_up(self, text: str, extras: Extras, *, private: bool) -> None:
        """Sends another message, once: unlike the others, a follow-up that is sent again would be shown twice."""
        self._follow_ups += 1  # also when it fails: it may have arrived
        await self._interaction.followup.send(text, ephemeral=private, suppress_embeds=True, **extras())


class MentionResponder:
    """Answers a message that mentions the bot, whose user ID is `me`. Every reply is public here."""

    def __init__(self, message: discord.Message, me: int) -> None:
        self._message = message
        self._permissions = _permissions(message, me)

    @property
    def may_write(self) -> bool:
        """Whether the bot may answer there, as far as it can know."""
        if isinstance(self._message.channel, discord.Thread):
            return self._permissions.send_messages_in_threads
        return self._permissions.send_messages

    async def defer(self) -> None:
        """Shows the bot typing, for ten seconds. A failure does not matter."""
        try:
            await self._message.channel.typing()
        except discord.HTTPException as error:
            log.info("discord.typing_failed status=%d code=%d", error.status, error.code)

    async def send(self, reply: Reply) -> None:
        """Replies to the message, or posts into the channel if the message is deleted."""
        for number, (text, extras) in enumerate(messages_of(reply, with_notice=True), 1):
            await _retried(partial(self._post, text, number, extras))

    async def _post(self, text: str, number: int, extras: Extras) -> None:
        """Discord posts messages of one nonce once, within minutes; at most 25 characters
        (https://discord.com/developers/docs/resources/message#create-message)."""
        details = extras()
        if number == 1 and self._permissions.read_message_history:  # which a reference needs
            details["reference"] = self._message.to_reference(fail_if_not_exists=False)
        nonce = f"{self._message.id}.{number}"
        await self._message.channel.send(text, suppress_embeds=True, nonce=nonce, **details)


def _permissions(message: discord.Message, me: int) -> discord.Permissions:
    """Returns the permissions of the user `me` where a message stands; all of them where that is not known."""
    member = None if message.guild is None else message.guild.get_member(me)
    if member is None or isinstance(message.channel, discord.PartialMessageable):
        return discord.Permissions.all()
    try:
        return message.channel.permissions_for(member)
    except discord.ClientException:  # a thread in an unknown channel
        return discord.Permissions.all()


Responder = InteractionResponder | MentionResponder


async def respond(responder: Responder, work: Coroutine[Any, Any, Reply], on_failure: Callable[[], None]) -> None:
    """Sends what `work` returns, deferring while it runs. Every error is logged, without any user's words.

    `on_failure` is called for each request that Discord did not take. Only cancellation is raised; it cancels `work`.
    """
    try:
        async with asyncio.timeout(TOKEN_SECONDS):
            try:
                await responder.send(await _with_deferral(responder, work))
            except Exception as error:
                if isinstance(error, discord.HTTPException) and error.code in _CLOSED:
                    raise
                _log_failure(error, on_failure)
                await responder.send(Reply.refusal(messages.UNEXPECTED))
    except Exception as error:  # noqa: BLE001 - it is logged
        _log_failure(error, on_failure)


async def _with_deferral(responder: Responder, work: Coroutine[Any, Any, Reply]) -> Reply:
    working = asyncio.create_task(work)
    try:
        done, _ = await asyncio.wait({working}, timeout=DEFER_AFTER_SECONDS)
        if not done:
            await responder.defer()
        return await working
    finally:
        if not working.done():
            working.cancel()
            await asyncio.wait({working})


def _log_failure(error: Exception, on_failure: Callable[[], None]) -> None:
    """Logs an error. Discord may repeat parts of a request in its message, so only the codes of that are logged."""
    if isinstance(error, (discord.HTTPException, aiohttp.ClientError)):
        on_failure()
    if isinstance(error, discord.HTTPException):
        log.warning("discord.reply_refused status=%d code=%d", error.status, error.code)
    elif isinstance(error, TimeoutError):
        log.warning("discord.reply_expired seconds=%d", TOKEN_SECONDS)
    else:
        log.error("discord.reply_failed", exc_info=error)
