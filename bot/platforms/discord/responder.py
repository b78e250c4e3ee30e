"""From a `Reply` to messages on Discord: acknowledge in time, show, and be quiet once the token has run out."""

from __future__ import annotations

import asyncio
import io
import logging
import sys
from collections.abc import Awaitable, Callable, Coroutine
from enum import Enum, auto
from functools import partial
from typing import Any, Final, Protocol, TypeVar

import aiohttp
import discord

from bot.core import messages
from bot.core.reply import Action, Reply
from bot.platforms.discord.render import PLACEHOLDER, contents, escaped

DEFER_AFTER_SECONDS: Final = 1.0
"""A reply that is not there by then is announced. Discord waits 3 seconds for the first word, counted from its own
clock (https://discord.com/developers/docs/interactions/receiving-and-responding#interaction-callback)."""
TOKEN_SECONDS: Final = 15 * 60 - 15
"""An interaction's token is valid for 15 minutes (same page); the rest is for what the network is slow with."""
PREFIX: Final = "lstmega:"
"""What the custom IDs of this bot's buttons begin with. At most 100 characters in all, of which an action's data takes
up to 60 (https://discord.com/developers/docs/components/reference#anatomy-of-a-component)."""
MAX_FOLLOW_UPS: Final = 5
"""Of one interaction, where the app is installed by a user and not by the server: "limited to creating a maximum of 5
follow-ups" (https://discord.com/developers/docs/change-log, "User-Installed Apps General Availability", 2024-06-27)."""
MAX_DESCRIPTION: Final = 1024
"""Characters of a picture's alternative text
(https://discord.com/developers/docs/resources/message#attachment-object)."""
MAX_LABEL: Final = 80
"""Characters on a button (https://discord.com/developers/docs/components/reference#button)."""

# https://discord.com/developers/docs/topics/opcodes-and-status-codes#json-json-error-codes
_UNKNOWN_WEBHOOK: Final = 10015
_UNKNOWN_INTERACTION: Final = 10062
_ALREADY_ACKNOWLEDGED: Final = 40060
_INVALID_WEBHOOK_TOKEN: Final = 50027
_OVER: Final = frozenset({_UNKNOWN_WEBHOOK, _UNKNOWN_INTERACTION, _ALREADY_ACKNOWLEDGED, _INVALID_WEBHOOK_TOKEN})
"""Nothing can be said any more: the token has run out, or another process has answered."""
_TEXT_FILE: Final = "text.txt"
RETRY_PAUSES: Final = (0.3, 0.6, 1.2)
"""Seconds between attempts when the network fails; then the three seconds for the first word are nearly over. An
HTTP 5xx the library itself asks again after, up to four times."""
Ending = Callable[[], dict[str, Any]]
"""Makes what hangs below a message, anew for each attempt to send it: a file is read only once."""
T = TypeVar("T")
log = logging.getLogger(__name__)


class Asked(Protocol):
    """Where somebody asked for something, and how they are answered there."""

    async def keep_waiting(self) -> None:
        """Tells that the answer takes a moment."""

    async def show(self, reply: Reply) -> None:
        """Sends the reply, in as many messages as it takes."""


async def answer(asked: Asked, work: Coroutine[Any, Any, Reply], on_failure: Callable[[], None]) -> None:
    """Shows what `work` returns. Whatever goes wrong is logged without a word of any message, and the person told.

    `on_failure` is called each time that Discord does not take something. Only cancellation passes through, and it
    stops the work.
    """
    try:
        async with asyncio.timeout(TOKEN_SECONDS):
            try:
                await asked.show(await _patiently(asked, work))
            except Exception as error:
                if isinstance(error, discord.HTTPException) and error.code in _OVER:
                    raise
                _tell(error, on_failure)
                await asked.show(Reply.refusal(messages.UNEXPECTED))
    except Exception as error:  # noqa: BLE001 - `_tell` logs it
        _tell(error, on_failure)


async def _patiently(asked: Asked, work: Coroutine[Any, Any, Reply]) -> Reply:
    """The reply; while it takes its time, the person is told so. The work never outlives this call."""
    working = asyncio.create_task(work)
    try:
        done, _ = await asyncio.wait({working}, timeout=DEFER_AFTER_SECONDS)
        if not done:
            await asked.keep_waiting()
        return await working
    finally:
        if not working.done():
            working.cancel()
            await asyncio.wait({working})


def _tell(error: Exception, on_failure: Callable[[], None]) -> None:
    """Logs an error. What Discord says about a request may repeat parts of it, so of that only the codes are told."""
    if isinstance(error, (discord.HTTPException, aiohttp.ClientError)):
        on_failure()
    if isinstance(error, discord.HTTPException):
        log.warning("an answer did not reach Discord: status %d, code %d", error.status, error.code)
    elif isinstance(error, TimeoutError):
        log.warning("an answer took longer than Discord waits for one, and was dropped")
    else:
        log.error("an answer failed", exc_info=error)


async def _again(request: Callable[[], Awaitable[T]]) -> T:
    """Makes a request until the network lets it through: one that does no more when it arrives twice."""
    for pause in RETRY_PAUSES:
        try:
            return await request()
        except aiohttp.ClientConnectionError as error:
            log.info("a request did not reach Discord, trying again: %s", type(error).__name__)
        await asyncio.sleep(pause)
    return await request()


class _Stage(Enum):
    """How far an interaction is."""

    SILENT = auto()
    THINKING = auto()
    """Deferred, for everybody to see."""
    ANSWERED = auto()


class Interaction:
    """A slash command or a button that somebody used."""

    def __init__(self, interaction: discord.Interaction) -> None:
        self._interaction = interaction
        self._stage = _Stage.SILENT
        self._follow_ups = 0

    async def keep_waiting(self) -> None:
        """Defers. Whether the reply is a private one is not known yet: most that take time are not."""
        try:
            await _again(lambda: self._interaction.response.defer(thinking=True))
        except discord.HTTPException as error:
            if error.code != _ALREADY_ACKNOWLEDGED or not await self._is_thinking():
                raise
        self._stage = _Stage.THINKING

    async def _is_thinking(self) -> bool:
        """Whether what Discord has acknowledged was a deferral: one of ours that looked lost, and was sent twice."""
        return (await self._interaction.original_response()).flags.loading

    async def show(self, reply: Reply) -> None:
        """Sends the reply; the notice beside a public one goes to the person alone.

        Where Discord wants no more messages than the reply takes, the last one has all of it as a file.
        """
        left = self._messages_left(private=reply.private)
        if not left:
            log.warning("Discord wants to hear nothing more")
            return
        whisper = bool(reply.notice) and not reply.private and left > 1
        texts, ending = contents(reply, with_notice=reply.private), partial(_ending, reply)
        most = left - whisper
        if len(texts) > most:
            texts[most - 1 :] = [messages.WHOLE_TEXT_IN_FILE]
            ending = partial(_ending, reply, as_file=True)
        for number, text in enumerate(texts, 1):
            await self._send(text, ending if number == len(texts) else dict, private=reply.private)
        if whisper:
            await self._send(escaped(reply.notice), dict, private=True)

    def _messages_left(self, *, private: bool) -> int:
        """How many more messages the interaction may have: the first one of all is no follow-up."""
        if self._interaction.is_guild_integration():
            return sys.maxsize
        in_place = self._stage is _Stage.SILENT or (self._stage is _Stage.THINKING and not private)
        return MAX_FOLLOW_UPS - self._follow_ups + in_place

    async def _send(self, text: str, ending: Ending, *, private: bool) -> None:
        if self._stage is _Stage.SILENT:
            await self._say_first(text, ending, private=private)
        elif self._stage is _Stage.THINKING and not private:
            await _again(lambda: self._fill(text, ending()))
        elif self._stage is _Stage.THINKING:
            await self._whisper_late(text, ending)
        else:
            await self._follow_up(text, ending, private=private)
        self._stage = _Stage.ANSWERED

    async def _say_first(self, text: str, ending: Ending, *, private: bool) -> None:
        """Discord takes one first word; what looked lost, and was said again, may have arrived after all."""
        respond = self._interaction.response.send_message
        try:
            await _again(lambda: respond(text, ephemeral=private, suppress_embeds=True, **ending()))
        except discord.HTTPException as error:
            if error.code != _ALREADY_ACKNOWLEDGED or not await self._says(text):
                raise  # in the second case, another process has answered

    async def _says(self, text: str) -> bool:
        """Whether what Discord has acknowledged is this answer."""
        try:
            return (await self._interaction.original_response()).content == text
        except discord.HTTPException:
            return False  # it is not for us to see, or gone

    async def _fill(self, text: str, ending: dict[str, Any]) -> None:
        """Puts a text in place of the announcement."""
        # An edit takes no flag against previews (in discord.py 2.7); no address survives the escaping anyway.
        attachments = [ending.pop("file")] if "file" in ending else []
        await self._interaction.edit_original_response(content=text, attachments=attachments, **ending)

    async def _whisper_late(self, text: str, ending: Ending) -> None:
        """A private message where a public one was announced.

        The first follow-up takes the place of the announcement, and is as public as that; after the announcement was
        deleted, Discord has answered "Unknown Message" to it (https://github.com/discord/discord-api-docs/issues/3087).
        So the announcement is filled first, and deleted last.
        """
        interaction = self._interaction
        await _again(lambda: interaction.edit_original_response(content=PLACEHOLDER))
        self._stage = _Stage.ANSWERED
        try:
            await self._follow_up(text, ending, private=True)
        finally:
            await interaction.delete_original_response()

    async def _follow_up(self, text: str, ending: Ending, *, private: bool) -> None:
        """Not sent again when the network fails: unlike the others, a follow-up would stand there twice."""
        self._follow_ups += 1  # also when it fails: it may have arrived
        await self._interaction.followup.send(text, ephemeral=private, suppress_embeds=True, **ending())


class Mention:
    """A message that begins with the bot's name. What is private elsewhere is answered for all to see here."""

    def __init__(self, message: discord.Message) -> None:
        self._message = message

    async def keep_waiting(self) -> None:
        """Shows the bot typing, for ten seconds. An answer is no worse for want of it."""
        try:
            await self._message.channel.typing()
        except discord.HTTPException as error:
            log.info("that an answer is under way could not be shown: status %d, code %d", error.status, error.code)

    async def show(self, reply: Reply) -> None:
        """Replies to the message, or into the channel if it is gone by now."""
        texts = contents(reply, with_notice=True)
        for number, text in enumerate(texts, 1):
            ending: Ending = partial(_ending, reply) if number == len(texts) else dict
            await _again(partial(self._post, text, number, ending))

    async def _post(self, text: str, number: int, ending: Ending) -> None:
        """Discord posts messages of one nonce once, within minutes; at most 25 characters
        (https://discord.com/developers/docs/resources/message#create-message)."""
        details = ending()
        if number == 1:
            details["reference"] = self._message.to_reference(fail_if_not_exists=False)
        nonce = f"{self._message.id}.{number}"
        await self._message.channel.send(text, suppress_embeds=True, nonce=nonce, **details)


def _ending(reply: Reply, *, as_file: bool = False) -> dict[str, Any]:
    """What hangs below the last message: buttons, a picture, or the text itself as a file."""
    ending: dict[str, Any] = {}
    if as_file:
        ending["file"] = discord.File(io.BytesIO(reply.text.encode()), filename=_TEXT_FILE)
    if reply.actions:
        ending["view"] = _buttons(reply.actions)
    if (picture := reply.picture) is not None:
        ending["file"] = discord.File(
            io.BytesIO(picture.content), picture.name, description=picture.description[:MAX_DESCRIPTION]
        )
    return ending


def _buttons(actions: tuple[Action, ...]) -> discord.ui.View:
    """The buttons of a reply. All that they mean is in their custom IDs, so nothing here remembers them."""
    view = discord.ui.View(timeout=None)
    for action in actions:
        view.add_item(discord.ui.Button(label=action.label[:MAX_LABEL], custom_id=PREFIX + action.data))
    view.stop()  # a view that listens would be kept, one for every text, until the process ends
    return view
