"""Text in which no Telegram client finds something to tap, or a name to notify: for words that users chose."""

from __future__ import annotations

import re
from typing import Final

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


def neutralize(text: str) -> str:
    """Returns `text`, to the eye the same, with a word joiner in every mention, link, hashtag or command."""
    return _ENTITY.sub(_WORD_JOINER, text)
