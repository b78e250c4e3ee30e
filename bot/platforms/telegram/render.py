"""Text as Telegram takes it: in pieces that are short enough, with nothing in it that would ping anybody."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from telegram import InlineKeyboardButton, InlineKeyboardMarkup
from telegram.constants import CallbackQueryLimit, MessageLimit

from bot.core.reply import Action, Kind, Reply
from bot.core.sanitize import inert

MAX_TEXT: Final = int(MessageLimit.MAX_TEXT_LENGTH)
"""4096 "characters after entities parsing" (https://core.telegram.org/bots/api#sendmessage). TDLib counts code points,
entities and clients count UTF-16 units; `length` counts the latter, which are never fewer."""
MAX_CAPTION: Final = int(MessageLimit.CAPTION_LENGTH)
"""1024, of https://core.telegram.org/bots/api#sendphoto."""
MAX_ALERT: Final = int(CallbackQueryLimit.ANSWER_CALLBACK_QUERY_TEXT_LENGTH)
"""200, of https://core.telegram.org/bots/api#answercallbackquery."""
_BUTTONS_IN_A_ROW: Final = 2
"""Two labels of one word are readable on a narrow telephone; four are not."""
_NOTHING: Final = "…"
"""In place of a text that is nothing but white space, which Telegram refuses."""


def shown(reply: Reply) -> str:
    """The reply as one text, its notice below it."""
    text = inert(reply.text) if reply.kind is Kind.TEXT else reply.text
    return f"{text}\n\n({reply.notice})" if reply.notice else text


def length(text: str) -> int:
    """UTF-16 units."""
    return len(text) + sum(character > "\uffff" for character in text)


def pieces(text: str, limit: int = MAX_TEXT) -> list[str]:
    """Parts `text` so that no piece is longer than `limit` UTF-16 units; at least one piece, none empty.

    It is cut at the last line end in the second half of a piece, else at the last white space, which goes. A word is
    cut only when it alone is longer than `limit`, and then between characters.
    """
    found: list[str] = []
    rest = text.strip()
    while length(rest) > limit:
        head = _head(rest, limit)
        cut = max(head.rfind("\n", len(head) // 2), 0) or _last_space(rest, len(head)) or len(head)
        found.append(rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
    return [*found, rest] if rest else found or [_NOTHING]


def shortened(text: str, limit: int) -> str:
    """The beginning of `text`, whole words and an ellipsis, when it is longer than `limit` UTF-16 units."""
    return text if length(text) <= limit else f"{pieces(text, limit - 1)[0]}…"


def keyboard(actions: Sequence[Action]) -> InlineKeyboardMarkup | None:
    """The buttons below a message; `None` without any."""
    buttons = [InlineKeyboardButton(action.label, callback_data=action.data) for action in actions]
    rows = [buttons[at : at + _BUTTONS_IN_A_ROW] for at in range(0, len(buttons), _BUTTONS_IN_A_ROW)]
    return InlineKeyboardMarkup(rows) if rows else None


def _head(text: str, limit: int) -> str:
    """As many characters from the front as fit into `limit` UTF-16 units."""
    head = text[:limit]
    while length(head) > limit:
        head = head[: len(head) - max(1, (length(head) - limit) // 2)]
    return head


def _last_space(text: str, end: int) -> int:
    """Where the last white space up to and with `end` stands; 0 when there is none."""
    return next((at for at in range(end, 0, -1) if text[at].isspace()), 0)
