"""What binds a button to the inline message that it stands under.

A client of one's own may send any data for any message that it sees: "the message originated the query can contain no
callback buttons with this data" (https://core.telegram.org/bots/api#callbackquery). Elsewhere that does no more than
the command which the data stands for. But an inline message is written anew, so whoever has a text of their own
could put it in place of somebody else's.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from bot.core.reply import Action

_DIGITS: Final = 12
"""Hexadecimal: 48 bits, each guess at which is a press. Data and seal fit into the 64 bytes that Telegram gives
callback data (https://core.telegram.org/bots/api#inlinekeyboardbutton), since people's names are numbers there."""
_MARK: Final = ":"


class Seals:
    """Made with the bot's token, which nobody else has; they hold as long as that does."""

    def __init__(self, token: str) -> None:
        self._key = token.encode()

    def on(self, message: str, actions: Sequence[Action]) -> tuple[Action, ...]:
        """The actions for the buttons under the inline message of that identifier, and no other."""
        return tuple(
            replace(action, data=f"{action.data}{_MARK}{self._seal(message, action.data)}") for action in actions
        )

    def off(self, message: str, data: str) -> str | None:
        """The data of an action that `on` has sealed for that message; None for any other data."""
        sealed, _, seal = data.rpartition(_MARK)
        right = self._seal(message, sealed)
        return sealed if hmac.compare_digest(seal.encode("utf-8", "surrogatepass"), right.encode()) else None

    def _seal(self, message: str, data: str) -> str:
        content = f"{message}\n{data}".encode("utf-8", "surrogatepass")
        return hmac.digest(self._key, content, "sha256").hex()[:_DIGITS]
