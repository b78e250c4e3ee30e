"""The bot on standard input and output: plain text, one reply for each line."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import os
import threading
import unicodedata
from collections.abc import AsyncIterator
from typing import Final, TextIO

from bot.core import messages
from bot.core.ask import Where
from bot.core.commands import Commands, parse
from bot.core.parsing import parse_line
from bot.core.reply import Reply

PLATFORM: Final = "console"
CHAT: Final = "local"
PERSON: Final = "local"
"""Whoever sits at the machine: "console:local" among the operators of the configuration."""
_CHUNK_BYTES: Final = 65536
_DIRECTIONS: Final = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Marks that turn the direction of what stands around them."""


async def talk(commands: Commands, lines: AsyncIterator[str], output: TextIO) -> None:
    """Answers every line in order, as plain text, a blank line between the replies."""
    separator = ""
    async for line in lines:
        if line.strip():
            reply = await respond(commands, line)
            output.write(f"{separator}{plain(reply)}\n")
            output.flush()
            separator = "\n"


async def respond(commands: Commands, line: str) -> Reply:
    """The reply to a line that is not blank."""
    parsed = parse_line(line)
    if parsed is None:
        return Reply.refusal(messages.no_command(line, commands.known_to(PLATFORM, PERSON)))
    return await commands.handle(parse(parsed.command, parsed.arguments), Where(PLATFORM, CHAT, PERSON))


def plain(reply: Reply) -> str:
    """A reply as lines of text."""
    lines = [reply.text]
    if reply.picture is not None and reply.picture.path is not None:
        lines.append(messages.picture(reply.picture.path))
    if reply.notice:
        lines.append(f"({reply.notice})")
    return printable("\n".join(lines))


def printable(text: str) -> str:
    """`text` without anything that a terminal would obey: control characters but the line end, surrogates."""
    return "".join(c for c in text if c == "\n" or not (unicodedata.category(c) in {"Cc", "Cs"} or c in _DIRECTIONS))


async def lines_of(descriptor: int) -> AsyncIterator[str]:
    """The lines of a file descriptor, UTF-8, without their ends. Raises `OSError` when it cannot be read.

    A thread does the reading, since a regular file cannot be waited for. It reads the descriptor itself: at exit,
    Python would wait for a thread that holds the lock of `sys.stdin`.
    """
    loop = asyncio.get_running_loop()
    chunks: asyncio.Queue[bytes | OSError] = asyncio.Queue()

    def read() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
            try:
                while chunk := os.read(descriptor, _CHUNK_BYTES):
                    loop.call_soon_threadsafe(chunks.put_nowait, chunk)
                loop.call_soon_threadsafe(chunks.put_nowait, b"")
            except OSError as error:
                loop.call_soon_threadsafe(chunks.put_nowait, error)

    threading.Thread(target=read, name="standard input", daemon=True).start()
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    rest = ""
    while chunk := await chunks.get():
        if isinstance(chunk, OSError):
            raise chunk
        *lines, rest = (rest + decoder.decode(chunk)).split("\n")
        for line in lines:
            yield line.removesuffix("\r")
    if last := rest + decoder.decode(b"", final=True):
        yield last
