"""The library's bot, made so that it neither logs the token nor what people write, and waits chat by chat."""

from __future__ import annotations

import json
import logging
import os
from http import HTTPStatus
from typing import Any, Final

from telegram import Update
from telegram.error import InvalidToken, TelegramError
from telegram.ext import ExtBot

from bot.config.schema import TelegramSection
from bot.platforms.telegram.rate_limit import ChatRateLimiter
from bot.platforms.telegram.transport import Transport, proxy_for

OFFICIAL: Final = "https://api.telegram.org"
POLL_SECONDS: Final = 30
"""How long the server may keep a request for updates open; the server's own limit is 50 (`LONG_POLL_MAX_TIMEOUT`)."""
_READ_SECONDS: Final = 20.0
"""For the answer to a request; the library's 5 are too few for a slow hour of Telegram's."""
_CONNECTIONS: Final = 256
"""At once; requests beyond that wait for one."""
_MAX_REASON: Final = 160
"""Characters of an error that a log line shows. A page of a proxy between here and Telegram may be long."""
UNREADABLE: Final = (TypeError, ValueError, KeyError, AttributeError, OverflowError, RecursionError)
"""What the library raises when it reads content that is not as the Bot API says."""
log = logging.getLogger(__name__)

# The library is on its way to `timedelta`s; without this opt-in each RetryAfter comes with a DeprecationWarning.
os.environ.setdefault("PTB_TIMEDELTA", "1")


class Request(Transport):
    """Requests whose unreadable answers are an error only: the library would log them, and they may hold anything."""

    @staticmethod
    def parse_json_payload(payload: bytes) -> dict[str, Any]:
        """See `BaseRequest`. Raises `TelegramError`."""
        try:
            return Transport.parse_json_payload(payload)
        except TelegramError:
            raise TelegramError("the answer is no JSON") from None


class UpdateRequest(Request):
    """Requests for updates. `careful`: an update that the library cannot read is emptied."""

    careful = False

    async def do_request(self, *args: Any, **named: Any) -> tuple[int, bytes]:
        """See `BaseRequest`. Raises `TelegramError`."""
        status, payload = await super().do_request(*args, **named)
        if self.careful and status == HTTPStatus.OK:
            answer = self.parse_json_payload(payload)
            answer["result"] = [readable(update) for update in answer["result"]]
            payload = json.dumps(answer).encode()
        return status, payload


class CarefulBot(ExtBot[None]):
    """The library's bot, which an update that it cannot read does not stop: that one comes without its content.

    Each is looked at by itself only after they could not be read together: it takes as long as reading them.
    """

    def __init__(self, token: str, *, updates: UpdateRequest, **named: Any) -> None:
        super().__init__(token, get_updates_request=updates, **named)
        self._updates = updates

    async def get_updates(self, *args: Any, **named: Any) -> tuple[Update, ...]:
        """See `Bot.get_updates`."""
        try:
            return await super().get_updates(*args, **named)
        except UNREADABLE:
            self._updates.careful = True
        try:
            return await super().get_updates(*args, **named)
        finally:
            self._updates.careful = False


def readable(update: dict[str, Any]) -> dict[str, Any]:
    """The update, without its content when the library cannot read that (a newer Bot API, say)."""
    try:
        Update.de_json(update, None)
    except UNREADABLE as error:
        log.warning("update %s cannot be read and is left out: %s", update["update_id"], type(error).__name__)
        return {"update_id": update["update_id"]}
    return update


def new_bot(settings: TelegramSection, limiter: ChatRateLimiter) -> ExtBot[None]:
    """A bot that is not connected yet: `async with` it. Raises `InvalidToken` when the token is no token at all."""
    logging.getLogger("telegram").setLevel(logging.CRITICAL + 1)  # it logs texts, at DEBUG and above
    url = (settings.api_url or OFFICIAL).rstrip("/")
    proxy = proxy_for(url)
    return CarefulBot(
        settings.token.reveal(),
        base_url=f"{url}/bot",
        request=Request(read_timeout=_READ_SECONDS, connections=_CONNECTIONS, proxy=proxy),
        updates=UpdateRequest(read_timeout=_READ_SECONDS, connections=2, proxy=proxy),
        rate_limiter=limiter,
    )


def is_refusal(error: InvalidToken) -> bool:
    """Whether Telegram itself said it. The library takes any 404 for that, a page of another server's too."""
    cause: BaseException | None = error
    while isinstance(cause, InvalidToken):
        cause = cause.__cause__
    return cause is None


def told(error: BaseException, token: str) -> str:
    """An error for the log: short, on one line, without the token, which a proxy's page may repeat."""
    text = " ".join(str(error).replace(token, "<token>").split()) or type(error).__name__
    return text if len(text) <= _MAX_REASON else f"{text[:_MAX_REASON]}…"
