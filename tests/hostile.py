"""What a stranger may type or send, drawn at random; and what the bot must not do about it, whatever it was.

Every person has a mark, a word that stands in what they type, and a name; so whoever reads an answer or a log can tell
whose words are in it.
"""

from __future__ import annotations

import io
import itertools
import json
import random
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from bot import logs
from bot.core.commands import OPERATOR_COMMANDS, USER_COMMANDS

NOTATIONS: Final = (
    "0.7", "0,7", ".7", "7e-1", "1e309", "-1e309", "nan", "inf", "-inf", "٠٫٧", "-0", "0", "+0.7", "０．７", "𝟎.𝟕",
    "1e-400", "0x1p-1", "1_0", "²", "½", "Ⅷ", "0.1", "2", "2.0000001", "1" * 400, "0." + "7" * 300, "7e99999999",
    "१.०", "1.", "default", "DEFAULT", "0;7", "-", "+", "e", "٫", "−0.7", "1e1e1",
)  # fmt: skip
FRAGMENTS: Final = (
    "**bold** __u__ ~~s~~ ||spoiler|| `code` ```py\nprint()\n```",
    "[click](https://evil.example/?q=1)",
    "# head\n- a\n1. b",
    "-# small",
    "> quote",
    ">>> quote",
    "<b>bold</b><a href='tg://user?id=1'>x</a><script>alert(1)</script>",
    "</code></pre>",
    "@everyone @here",
    "<@123456789012345678> <@&1> <#2> <:a:1> <t:0:R> </nietzsche:1>",
    "@durov @bob_the_builder",
    "t.me/joinchat/x",
    "https://evil.example/path?x=1#y",
    "evil.com",
    "www.evil.com",
    "a@evil.com",
    "tg://resolve?domain=x",
    "discord.gg/abcdef",
    "mailto:a@b.cd",
    "#hashtag $CASH +4915112345678 4242424242424242",
    "/ban /start@other_bot",
    "'; DROP TABLE people; --",
    '" OR 1=1 --',
    "%s%n%x%d %(x)s {0} {__class__.__mro__} ${jndi:ldap://x} {{7*7}}",
    "\\",
    "\\\\*",
    "*" * 50,
    "_" * 51,
    "[" * 40,
    "\x00",
    "\x01\x02\x07\x08\x1b[31mred\x1b]0;t\x07",
    "\x1c\x1d\x1e\x1f",
    "\x7f\x80\x85\x9f",
    "\r\n\r\nX-Header: 1",
    "\u2028\u2029",
    "\u200b\u200c\u200d\u2060\ufeff",
    "\u202e\u202d\u2066\u2067\u2069\u200f\u061c",
    "\u00ad",
    "\ud800",
    "\udfff\ud83d",
    "\ud83d\ude00",
    "\U000e0001\U000e0041",
    "\ufff9\ufffb\ufffe\uffff",
    "\U0010ffff",
    "😀",
    "👩‍👩‍👧‍👦🏴󠁧󠁢󠁥󠁮󠁧󠁿🇩🇪",
    "Z̷̢̛͖̗͓̤͈͑̏̆͆a̸l̵g̶o̴" + "\u0301" * 60,
    "ﷺ" * 5,
    "مرحبا بالعالم",
    "שלום עולם",
    "Привет, мир",
    "你好，世界",
    "สวัสดี",
    "नमस्ते",
    "ΑΒΓ Ωmega",
    "ﬁﬂ Ĳ ß ẞ İı Dž",
    "１２３",
    "\t\v\f tab",
    " " * 30,
    "",
    "../../etc/passwd",
    "CON NUL",
    "file:///etc/passwd",
    "null undefined true",
    "-1 2147483648 9223372036854775808 1e400",
    "None",
    '{"update_id": 1}',
    "=cmd|' /C calc'!A0",
    "The philosopher",
    "What is noble",
    "a" * 300,
    "x " * 200,
)
MAX_MESSAGE: Final = 4096
"""UTF-16 units of a message, as Telegram lets people write them; 4,096 emojis are what some client might send."""
_RARE: Final = (
    "😀" * 4096,
    "😀" * 1000,
    "﷽" * 1000,
    "\u200b" * 4096,
    "\u0301" * 1000,
    "@a " * 1300,
    "*_`[" * 1000,
    "\ud800" * 999,
)
_COMMANDS: Final = (*USER_COMMANDS, *OPERATOR_COMMANDS)
_WRITING: Final = ("nietzsche", "again", "continue", "temperature", "ladder")
_LIVELY: Final = (
    ("mention", re.compile(r"@\w")),
    ("hashtag", re.compile(r"(?<!\w)[#$][^\W\d_]")),
    ("address", re.compile(r"\w\.[^\W\d_]{2}|://", re.ASCII)),
)
"""What Telegram's clients turn into something to tap, or into a ping (https://core.telegram.org/bots/api#messageentity).
Written from that list, not from what the bot does about it."""
_TOLD: Final = ("not delivered", "was refused", "did not reach", "failed", "cannot get", "never retrieved")
"""Words of log lines that tell of an answer nobody got."""
_SYLLABLES: Final = tuple(a + b for a, b in itertools.product("bdfgklmnprstvz", "aeiou"))


def word(draw: random.Random) -> str:
    """A word that nothing else says, of letters that every network knows."""
    return "Q" + "".join(draw.choices(_SYLLABLES, k=5))


def text(draw: random.Random, mark: str = "") -> str:
    """Anything: nasty fragments, notations, characters from anywhere in Unicode, the mark."""
    if draw.random() < 0.03:
        return draw.choice(_RARE)
    parts = [draw.choice((_notation, _fragment, _characters))(draw) for _ in range(draw.randrange(4))]
    if mark and draw.random() < 0.8:
        parts.insert(draw.randrange(len(parts) + 1), mark)
    return draw.choice((" ", " ", "", "\n")).join(parts)


def line(draw: random.Random, mark: str = "", bot: str = "lstmega_bot") -> str:
    """Something typed into a chat: mostly a command with something behind it."""
    typed = text(draw, mark)
    if draw.random() < 0.15:
        return typed
    name = (
        draw.choice(_WRITING) if draw.random() < 0.6 else draw.choice((*_COMMANDS, mark or "x", _characters(draw), ""))
    )
    if draw.random() < 0.1:
        name = name.upper()
    at = draw.choice(("", "", "", f"@{bot}", "@other_bot", "@", f"@{bot.upper()}"))
    first = draw.choice(("", "", _notation(draw)))
    return f"{draw.choice(('', '', ' ', chr(0x200B)))}/{name}{at} {first} {typed}"


def button(draw: random.Random, person: str, real: Iterable[str] = ()) -> str:
    """The data of a button: one that was there, or one that was never made."""
    known = list(real)
    if known and draw.random() < 0.5:
        return draw.choice(known)
    key = draw.choice(("", "00000000", "deadbeef", "٠٠٠٠٠٠٠٠", text(draw)[:20]))
    who = draw.choice((person, "1", "-1", "-100", "-\ud800", "", "local", text(draw)[:20]))
    number = draw.choice(NOTATIONS)[:20]
    return draw.choice(
        (f"a:{who}:{key}:{number}", f"c:{who}:{key}", f"c:{who}", "…", "", text(draw)[:60], f"a:{who}:{key}:{number}:1")
    )


def cut(typed: str, units: int) -> str:
    """As much from the front as fits into so many UTF-16 units."""
    used = 0
    for at, character in enumerate(typed):
        used += 1 + (character > "\uffff")
        if used > units:
            return typed[:at]
    return typed


def lively(shown: str) -> str | None:
    """What in a text Telegram would turn into a mention, a hashtag or a link; `None` when it is nothing but text."""
    return next((f"{kind}: {match[0]!r}" for kind, pattern in _LIVELY if (match := pattern.search(shown))), None)


def outside_code(shown: str, entities: Iterable[Mapping[str, Any]]) -> str:
    """A message with spaces in place of what is code, in which Telegram finds nothing to tap."""
    units = bytearray(shown.encode("utf-16-le", "surrogatepass"))
    for entity in entities:
        if entity["type"] == "code":
            start, end = 2 * entity["offset"], 2 * (entity["offset"] + entity["length"])
            units[start:end] = b" \0" * entity["length"]
    return units.decode("utf-16-le", "surrogatepass")


def _notation(draw: random.Random) -> str:
    return draw.choice(NOTATIONS)


def _fragment(draw: random.Random) -> str:
    return draw.choice(FRAGMENTS)


def _characters(draw: random.Random) -> str:
    top = draw.choice((0x80, 0x500, 0x3000, 0x10000, 0x110000))
    return "".join(chr(draw.randrange(top)) for _ in range(draw.randrange(1, 12)))


@dataclass
class Journal:
    """What the service logs while strangers are at it, set up as `run` does at level "debug".

    `secret`: words that no line may hold.
    """

    stream: io.StringIO = field(default_factory=io.StringIO)
    secret: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._handler = logs.set_up("debug", "json", logs.Redaction())
        self._handler.write = self.stream.write  # type: ignore[method-assign, assignment]

    def troubles(self) -> list[str]:
        """What is wrong with the lines since the last call: an exception, an answer lost, somebody's words."""
        self._handler.flush()
        lines = self.stream.getvalue().splitlines()
        self.stream.seek(0)
        self.stream.truncate()
        found = []
        for logged in lines:
            record = json.loads(logged)
            bad = record["level"] in {"warning", "error", "critical"}
            if bad and ("error" in record or any(words in record["message"] for words in _TOLD)):
                found.append(f"logged: {logged}")
            found += [f"somebody's words in the log: {logged}" for words in self.secret if words in logged]
        return found


def printable(value: object) -> str:
    """For a report: ASCII alone."""
    return "".join(c if c.isascii() and unicodedata.category(c) != "Cc" else f"\\u{{{ord(c):x}}}" for c in str(value))
