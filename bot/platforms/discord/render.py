"""A `Reply` as Discord messages: texts in which nothing is read as markup, buttons, files. Pure functions.

Discord reads a kind of Markdown in every message, and a backslash before any ASCII punctuation shows that character
as it is (https://support.discord.com/hc/en-us/articles/210298617). What is escaped here, and against what:

    \\ * _ ~ ` |       emphasis, underline, strike-through, code, spoilers, the backslash itself
    < > @             mentions, custom emoji, timestamps (<t:…>), block quotes, @everyone
    [ :  /            masked links, bare addresses and invitations, :emoji: names
    # - and 1.        headings, small print (-#) and lists, where a word begins with them

Discord has no other way to send a text as it is. People copy what they see, without the backslashes.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, Final

import discord

from bot.core.reply import Action, Kind, Picture, Reply, echoed
from bot.platforms.text import packed, split

MAX_MESSAGE: Final = 2000
"""Characters in a message (https://discord.com/developers/docs/resources/message#create-message), counted here in
UTF-16 units, which are never fewer."""
MAX_MESSAGES: Final = 5
"""Of one reply. Where the app is installed by a user and not by the server, an interaction is "limited to creating a
maximum of 5 follow-ups" (https://discord.com/developers/docs/change-log, "User-Installed Apps General Availability",
2024-06-27), and a notice may be one of them."""
PREFIX: Final = "lstmega:"
"""What the custom IDs of this bot's buttons begin with. At most 100 characters in all, of which an action's data takes
up to 60 (https://discord.com/developers/docs/components/reference#anatomy-of-a-component)."""
_SMALL: Final = "-# "
"""Small print, where a line begins with it."""
_LINK: Final = "\ue000"
"""Stands for the slash of a command to click, until the text is escaped. Private use, so no echo or prompt has it."""
_COMMAND: Final = re.compile(r"(?<![\w/])/(?=[a-z0-9_]+\b)")
_MARKUP: Final = re.compile(_LINK + r"[a-z0-9_]+|[\\*_~`|<>@\[:/]|(?<!\S)[#-]|(?<=\d)\.(?!\S)")
Mentions = Mapping[str, str]
"""For the name of each command what Discord shows as a command to click, `</name:id>`
(https://discord.com/developers/docs/reference#message-formatting)."""
NONE: Final[Mentions] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Message:
    """A message to send. `file`: the picture, or the whole text."""

    content: str
    actions: tuple[Action, ...] = ()
    file: Picture | None = None

    def arguments(self, files: str = "files") -> dict[str, Any]:
        """Returns discord.py's arguments, new ones for each attempt to send the message: a file is read only once."""
        arguments: dict[str, Any] = {"content": self.content}
        if self.actions:
            arguments["view"] = view = discord.ui.View(timeout=None)
            for action in self.actions:
                view.add_item(discord.ui.Button(label=action.label, custom_id=PREFIX + action.data))
            view.stop()  # one that listens would be kept until the process ends; the custom IDs say everything
        if self.file is not None:
            content = io.BytesIO(self.file.content)
            arguments[files] = [discord.File(content, self.file.name, description=self.file.description)]
        return arguments


def messages_of(reply: Reply, *, with_notice: bool, mentions: Mentions = NONE) -> list[Message]:
    """Returns the messages in order. The last has the buttons, and the picture or what `MAX_MESSAGES` cannot hold."""
    texts = contents(reply, with_notice=with_notice, mentions=mentions)
    file = reply.picture
    if len(texts) > MAX_MESSAGES:
        texts[MAX_MESSAGES - 1 :] = [reply.say("whole-text-in-file")]
        file = Picture(reply.text.encode(), "text.txt", "")
    *before, last = texts
    return [*map(Message, before), Message(last, reply.actions, file)]


def contents(reply: Reply, *, with_notice: bool, mentions: Mentions = NONE) -> list[str]:
    """Returns the messages in order: at least one, each of at most `MAX_MESSAGE` characters.

    A new message begins between two texts where possible. `with_notice`: the notice follows in small print. Commands
    that the bot names are there to click, if they have `mentions`.
    """
    pieces = partial(_pieces, mentions=mentions)
    if reply.kind is Kind.TEXT:
        blocks = [
            ("\n\n", pieces(text.text, text.prompt, f"{_SMALL}{escaped(text.label)}\n" if text.label else ""))
            for text in reply.passages
        ]
    else:
        parts = (part if is_typed else _COMMAND.sub(_LINK, part) for part, is_typed in echoed(reply.text))
        blocks = [("", pieces("".join(parts)))]
    if with_notice and reply.notice:
        blocks.append(("\n", pieces(_COMMAND.sub(_LINK, reply.notice), prefix=_SMALL)))
    return packed(blocks, MAX_MESSAGE)


def escaped(text: str, mentions: Mentions = NONE) -> str:
    """Returns `text` such that Discord shows it as it is, wherever a line may begin or end in it."""

    def escape(match: re.Match[str]) -> str:
        found = match[0]
        return mentions.get(found[1:], f"\\/{found[1:]}") if found.startswith(_LINK) else f"\\{found}"

    return _MARKUP.sub(escape, text)


def _pieces(text: str, prompt: str = "", prefix: str = "", *, mentions: Mentions) -> list[str]:
    """Returns a text in pieces that fit into a message. The first begins with `prefix`, and has the prompt in bold."""
    plain = partial(escaped, mentions=mentions)
    return split(text, MAX_MESSAGE, partial(_marked, bold=len(prompt), prefix=prefix, plain=plain), plain)


def _marked(piece: str, bold: int, prefix: str, plain: Callable[[str], str]) -> str:
    """Returns the escaped piece with its first `bold` characters in bold. The marks stand close to words."""
    prompt = piece[:bold].rstrip()
    mark = "**" if prompt else ""
    return f"{prefix}{mark}{plain(prompt)}{mark}{plain(piece[len(prompt) :])}"
