"""Signed callback data, which binds a button to the inline message that it stands under.

A modified client may send any data for any message that it sees: "the message originated the query can contain no
callback buttons with this data" (https://core.telegram.org/bots/api#callbackquery). In a chat that does no more than
the command which the data stands for. But an inline message is edited, so a user who has a text could put it in place
of another user's.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from bot.core.reply import Action

_DIGITS: Final = 12
"""Hexadecimal: 48 bits, each guess at which is a press. Data and signature fit into the 64 bytes that Telegram gives
callback data (https://core.telegram.org/bots/api#inlinekeyboardbutton), since user names are numbers there."""
_SEPARATOR: Final = ":"


class CallbackSigner:
    """Signs with the bot's token (HMAC-SHA256, shortened); a signature is valid as long as the token is."""

    def __init__(self, token: str) -> None:
        self._key = token.encode()

    def sign(self, message_id: str, actions: Sequence[Action]) -> tuple[Action, ...]:
        """Returns the actions for the buttons under the inline message of that identifier, and no other."""
        return tuple(
            replace(action, data=f"{action.data}{_SEPARATOR}{self._signature(message_id, action.data)}")
            for action in actions
        )

    def verify(self, message_id: str, signed: str) -> str | None:
        """Returns the data that `sign` signed for that message; `None` for anything else."""
        data, _, signature = signed.rpartition(_SEPARATOR)
        expected = self._signature(message_id, data)
        return data if hmac.compare_digest(signature.encode("utf-8", "surrogatepass"), expected.encode()) else None

    def _signature(self, message_id: str, data: str) -> str:
        content = f"{message_id}\n{data}".encode("utf-8", "surrogatepass")
        return hmac.digest(self._key, content, "sha256").hex()[:_DIGITS]
