"""A `Reply` as Telegram shows it: plain text in which nothing is a mention, a link or a command, and buttons.

Buttons under inline messages are signed. A modified client may send any data for any message that it sees: "the message
originated the query can contain no callback buttons with this data"
(https://core.telegram.org/bots/api#callbackquery). In a chat that does no more than the command which the data stands
for. But an inline message is edited, so a user who has a text could put it in place of another user's.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import telegram
from telegram.constants import CallbackQueryLimit, MessageLimit

from bot.core import messages
from bot.core.reply import Action, Kind, Reply, with_echoes
from bot.platforms.text import packed, shorten, split

MAX_TEXT: Final = int(MessageLimit.MAX_TEXT_LENGTH)
"""4096 "characters after entities parsing" (https://core.telegram.org/bots/api#sendmessage). TDLib counts code points,
entities and clients count UTF-16 units; the bot counts the latter, which are never fewer."""
MAX_CAPTION: Final = int(MessageLimit.CAPTION_LENGTH)
"""1024, of https://core.telegram.org/bots/api#sendphoto."""
MAX_ALERT: Final = int(CallbackQueryLimit.ANSWER_CALLBACK_QUERY_TEXT_LENGTH)
"""200, of https://core.telegram.org/bots/api#answercallbackquery."""
NO_PREVIEW: Final = telegram.LinkPreviewOptions(is_disabled=True)
WAIT: Final = "…"
"""A placeholder's button and its data; an `Action.data` is ASCII. Without a keyboard the chosen message has no
identifier and cannot be edited (https://core.telegram.org/bots/api#choseninlineresult)."""
_BUTTONS_PER_ROW: Final = 2
"""Two labels of one word are readable on a narrow screen; four are not."""
_SIGNATURE_DIGITS: Final = 12
"""Hexadecimal: 48 bits, each guess at which is a press. Data and signature fit into the 64 bytes that Telegram gives
callback data (https://core.telegram.org/bots/api#inlinekeyboardbutton), since user names are numbers there."""
_WORD_JOINER: Final = "\u2060"
"""Invisible, of no width, and no part of a name or an address."""
_ENTITY: Final = re.compile(
    r"(?<=[@#$])(?=\w)"  # mentions, hashtags, cashtags, electronic mail
    r"|(?<=\w\.)(?=[^\W\d_])"  # addresses, as bare as evil.com
    r"|(?<=:)(?=//)"  # and with a scheme, as tg://resolve
    r"|(?<![\w/<>]/)(?<=/)(?=\w)"  # bot commands
)
"""The places inside of what Telegram makes entities of, whatever the parse mode is
(https://core.telegram.org/bots/api#messageentity). A client finds these itself, so no option of the API prevents it."""


def render(reply: Reply) -> str:
    """Returns the reply as one text, its notice below it."""
    text = neutralize(reply.text) if reply.kind is Kind.TEXT else with_echoes(reply.text, neutralize)
    return f"{text}\n\n({reply.notice})" if reply.notice else text


def contents(reply: Reply) -> list[str]:
    """Returns the reply in messages of at most `MAX_TEXT`; a new one begins between two texts where possible."""
    if reply.kind is not Kind.TEXT:
        return split(render(reply), MAX_TEXT)
    blocks = [
        ("\n\n", split(text.text, MAX_TEXT, partial(_labelled, label=text.label), neutralize))
        for text in reply.passages
    ]
    if reply.notice:
        blocks.append(("\n\n", split(f"({reply.notice})", MAX_TEXT)))
    return packed(blocks, MAX_TEXT)


def _labelled(piece: str, label: str) -> str:
    return f"{label}\n{neutralize(piece)}" if label else neutralize(piece)


def neutralize(text: str) -> str:
    """Returns `text`, to the eye the same, with a word joiner in every mention, link, hashtag or command."""
    return _ENTITY.sub(_WORD_JOINER, text)


def keyboard(actions: Sequence[Action], encode: Callable[[str], str] = str) -> telegram.InlineKeyboardMarkup | None:
    """Returns the buttons below a message; `None` without any. `encode` makes the callback data of an action's."""
    buttons = [telegram.InlineKeyboardButton(action.label, callback_data=encode(action.data)) for action in actions]
    rows = [buttons[at : at + _BUTTONS_PER_ROW] for at in range(0, len(buttons), _BUTTONS_PER_ROW)]
    return telegram.InlineKeyboardMarkup(rows) if rows else None


def sign(token: str, message_id: str, data: str) -> str:
    """Returns the data of a button under the inline message of that identifier, and no other, with its signature.

    The key is the bot's token (HMAC-SHA256, shortened); a signature is valid as long as the token is.
    """
    content = f"{message_id}\n{data}".encode("utf-8", "surrogatepass")
    return f"{data}:{hmac.digest(token.encode(), content, 'sha256').hex()[:_SIGNATURE_DIGITS]}"


def verify(token: str, message_id: str, signed: str) -> str:
    """Returns the data that `sign` signed for that message; nothing for anything else."""
    data = signed.rpartition(":")[0]
    expected = sign(token, message_id, data)
    is_valid = hmac.compare_digest(signed.encode("utf-8", "surrogatepass"), expected.encode("utf-8", "surrogatepass"))
    return data if is_valid else ""


def offer(typed: str, say: messages.Say) -> telegram.InlineQueryResultArticle:
    """Returns the placeholder for a text, as the result of what a user typed inline."""
    shown = messages.printable(typed.strip()).strip()
    placeholder = telegram.InputTextMessageContent(say("inline-placeholder"), link_preview_options=NO_PREVIEW)
    return telegram.InlineQueryResultArticle(
        id="text",
        title=say("inline-title"),
        description=shorten(shown, MAX_ALERT) or say("inline-hint"),
        input_message_content=placeholder,
        reply_markup=keyboard([Action(WAIT, WAIT)]),
    )
