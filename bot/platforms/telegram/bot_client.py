"""The library's bot, set up so that it logs neither the token nor what users write."""

from __future__ import annotations

import logging
import os
from typing import Any, Final

from telegram import Bot, Update
from telegram.error import InvalidToken, TelegramError

from bot.config.schema import TelegramSection
from bot.platforms.telegram.transport import READ_SECONDS, Transport, proxy_for

OFFICIAL_API: Final = "https://api.telegram.org"
_CONNECTIONS: Final = 256
"""At most; further requests wait for one."""
_MAX_REASON: Final = 160
"""Characters of an error that a log line shows. A page of a proxy on the way may be long."""
UNREADABLE: Final = (TypeError, ValueError, KeyError, AttributeError, OverflowError, RecursionError)
"""What the library raises for content that is not as the Bot API documents it."""
log = logging.getLogger(__name__)

# The library is moving to `timedelta`s; without this opt-in each RetryAfter comes with a DeprecationWarning.
os.environ.setdefault("PTB_TIMEDELTA", "1")


class BotClient(Bot):
    """The library's bot, in which an update that the library cannot read does not stop the others."""

    async def updates(self, *, offset: int, wait: int, allowed: tuple[str, ...], limit: int = 100) -> list[Update]:
        """Returns the next updates by their number; the server holds the request open for up to `wait` seconds."""
        data = {"offset": offset, "timeout": wait, "limit": limit, "allowed_updates": list(allowed)}
        try:
            result: Any = await self._post("getUpdates", data, read_timeout=wait + READ_SECONDS)
            return sorted((self.parse_update(content) for content in result), key=lambda update: update.update_id)
        except UNREADABLE:
            raise TelegramError("unexpected answer to getUpdates") from None

    def parse_update(self, content: dict[str, Any]) -> Update:
        """Returns the update, without its content if the library cannot read that (a newer Bot API, say).

        Raises one of `UNREADABLE` if it has not even a number.
        """
        update_id = content["update_id"]
        if not isinstance(update_id, int):
            raise TypeError("update_id is not a number")
        try:
            return Update.de_json(content, self)
        except UNREADABLE as error:
            log.warning("update.unreadable id=%d error=%s", update_id, type(error).__name__)
            return Update(update_id)


def new_bot(settings: TelegramSection) -> BotClient:
    """Returns a bot that is not connected yet: `async with` it. Raises `InvalidToken` for what cannot be a token."""
    logging.getLogger("telegram").setLevel(logging.CRITICAL + 1)  # it logs texts, at DEBUG and above
    url = (settings.api_url or OFFICIAL_API).rstrip("/")
    proxy = proxy_for(url)
    return BotClient(
        settings.token.reveal(),
        base_url=f"{url}/bot",
        request=Transport(connections=_CONNECTIONS, proxy=proxy),
        get_updates_request=Transport(connections=2, proxy=proxy),
    )


def is_token_rejected(error: BaseException) -> bool:
    """Returns whether Telegram rejected the token. The library raises `InvalidToken` for any 404, a proxy's too."""
    cause: BaseException | None = error
    while isinstance(cause, InvalidToken):
        cause = cause.__cause__
    return isinstance(error, InvalidToken) and cause is None


def format_error(error: BaseException, token: str) -> str:
    """Returns an error for the log: short, on one line, without the token, which a proxy's page may repeat."""
    text = " ".join(str(error).replace(token, "<token>").split()) or type(error).__name__
    return text if len(text) <= _MAX_REASON else f"{text[:_MAX_REASON]}…"
