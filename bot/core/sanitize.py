"""Text that no chat client turns into something to tap, or into a ping: for words that strangers chose."""

from __future__ import annotations

import re
from typing import Final

_WORD_JOINER: Final = "\u2060"
"""Invisible, of no width, and no part of a name or an address."""
_LIVELY: Final = re.compile(
    r"(?<=[@#$])(?=\w)"  # mentions, hashtags, cashtags, electronic mail
    r"|(?<=\w\.)(?=[^\W\d_])"  # addresses, as bare as evil.com
    r"|(?<=:)(?=//)"  # and with a scheme, as tg://resolve
    r"|(?<![\w/<>]/)(?<=/)(?=\w)"  # bot commands
)
"""Where Telegram finds what it makes entities of, whatever the parse mode is
(https://core.telegram.org/bots/api#messageentity): the places at which nothing may be found any more."""


def inert(text: str) -> str:
    """`text` as it is to the eye, parted invisibly wherever a client would find a mention, a link or a command."""
    return _LIVELY.sub(_WORD_JOINER, text)
