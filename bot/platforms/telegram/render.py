"""A `Reply` as Telegram shows it: text in which nothing that others wrote is a mention, a link or a command; buttons.

Buttons under inline messages are signed. A modified client may send any data for any message that it sees: "the message
originated the query can contain no callback buttons with this data"
(https://core.telegram.org/bots/api#callbackquery). In a chat that does no more than the command which the data stands
for. But an inline message is edited, so a user who has a text could put it in place of another user's.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final, NamedTuple

import telegram
from telegram.constants import CallbackQueryLimit, MessageEntityType, MessageLimit

from bot.core.reply import Action, Kind, Reply, echoed
from bot.platforms.text import EMPTY, packed, shorten, split, utf16_length

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
MAX_ENTITIES: Final = int(MessageLimit.MESSAGE_ENTITIES)
"""100; Telegram ignores the others."""
_LIVE: Final = re.compile(
    r"(?<=[@#$])(?=\w)"  # mentions, hashtags, cashtags, electronic mail
    r"|(?<=\w\.)(?=[^\W\d_]{2})"  # addresses, as bare as evil.com: no top-level domain has one letter, as i.e. has
    r"|(?<=:)(?=//)"  # and with a scheme, as tg://resolve
    r"|(?<![\w/<>]/)(?<=/)(?=\w)"  # bot commands
)
"""The places inside of what Telegram makes entities of, whatever the parse mode is
(https://core.telegram.org/bots/api#messageentity). "pre and code entities can't contain any other entities"
(#formatting-options), so a word that has one is sent as code. It stays inert, and what people copy is what they see."""
_EXAMPLE: Final = re.compile(r"/[a-z0-9_]+ (?:\d+[.,]\d+|default)\b")
"""A command to type with something behind it: a tap copies code, and would send a mere command without the rest."""
_WORD: Final = re.compile(r"\S+")
BOLD, CODE = MessageEntityType.BOLD, MessageEntityType.CODE
_MARKS: Final = {BOLD: "b", CODE: "c", "": "-"}
_STYLES: Final = {mark: style for style, mark in _MARKS.items()}
_STYLED: Final = re.compile(r"([bc])(?:(?: |\1)*\1)?")
"""A run of one style among `_MARKS`."""


class Message(NamedTuple):
    """A text to send, and how its parts are shown."""

    text: str
    entities: list[telegram.MessageEntity]


def whole(reply: Reply) -> str:
    """Returns the reply as one text, its notice below it."""
    return "".join(part for part, _, _ in _parts(reply))


def messages_of(reply: Reply) -> list[Message]:
    """Returns the messages of a reply in order, each of at most `MAX_TEXT`; a new one begins between two texts where
    possible. Prompts and labels are bold."""
    blocks = [("", split(whole(reply), MAX_TEXT))]
    if reply.kind is Kind.TEXT:
        blocks = [
            ("\n\n", split(each.text, MAX_TEXT, partial("{}\n{}".format, each.label) if each.label else str))
            for each in reply.passages
        ]
        if reply.notice:
            blocks.append(("\n\n", split(f"({reply.notice})", MAX_TEXT)))
    styles = _styles(reply)
    return [Message(piece, _entities(piece, styles)) for piece in packed(blocks, MAX_TEXT)]


def only_message_of(reply: Reply) -> Message:
    """Returns the reply as one message, shortened to fit."""
    text = shorten(whole(reply), MAX_TEXT).strip() or EMPTY
    return Message(text, _entities(text, _styles(reply)))


def _parts(reply: Reply) -> Iterator[tuple[str, str, bool]]:
    """Yields the parts of a reply: a text, its style, and whether it may hold what a user or the network wrote."""
    for number, passage in enumerate(reply.passages):
        yield "\n\n" if number else "", "", False
        yield f"{passage.label}\n" if passage.label else "", BOLD, False
        yield passage.prompt, BOLD, True
        yield passage.text[len(passage.prompt) :], "", True
    if not reply.passages:
        yield from ((part, "", is_typed or reply.kind is Kind.TEXT) for part, is_typed in echoed(reply.text))
    if reply.notice:
        yield f"\n\n({reply.notice})", "", False


def _styles(reply: Reply) -> Iterator[str]:
    """Yields for each character of a reply that is no white space whether it is bold, code, or neither ("")."""
    parts = list(_parts(reply))
    text = "".join(part for part, _, _ in parts)
    styles = [style for part, style, _ in parts for _ in part]
    foreign = [is_foreign for part, _, is_foreign in parts for _ in part]
    spans = [
        word.span() for word in _WORD.finditer(text) if any(foreign[slice(*word.span())]) and _LIVE.search(word[0])
    ]
    if not reply.passages:
        spans += [match.span() for match in _EXAMPLE.finditer(text)]
    for start, end in spans:
        styles[start:end] = [CODE] * (end - start)
    return (styles[match.start()] for match in re.finditer(r"\S", text))


def _entities(text: str, styles: Iterator[str]) -> list[telegram.MessageEntity]:
    """Returns the entities of a text, in UTF-16 units. Takes a style for each character that is no white space; between
    two of the same style, that has it too."""
    marks = "".join(" " if character.isspace() else _MARKS[next(styles, "")] for character in text)
    found = [
        telegram.MessageEntity(
            _STYLES[run[1]], utf16_length(text[: run.start()]), utf16_length(text[run.start() : run.end()])
        )
        for run in _STYLED.finditer(marks)
    ]
    return found if len(found) <= MAX_ENTITIES else [telegram.MessageEntity(CODE, 0, utf16_length(text))]


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
