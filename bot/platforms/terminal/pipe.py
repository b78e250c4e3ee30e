"""The bot on standard input and output: plain text, one reply for each line."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import os
import threading
import unicodedata
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Final, TextIO

from bot.core import messages
from bot.core.ask import Ask, ForgetMe, Where
from bot.core.commands import Commands, parse
from bot.core.parsing import parse_line
from bot.core.reply import Reply

PLATFORM: Final = "console"
CHAT: Final = "local"
USER: Final = "local"
"""The user at this machine: "console:local" among the operators of the configuration."""
LEAVE: Final = frozenset({"quit", "exit", "q", "/quit", "/exit"})
"""Lines that end the chat."""
_CHUNK_BYTES: Final = 65536
_READ_AHEAD: Final = 2
"""Chunks."""
_MAX_LINE: Final = 1 << 20
"""Characters of a line; what follows is dropped, so that a line without end cannot fill the memory."""
_DIRECTIONS: Final = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Marks that change the direction of the text around them."""


async def talk(commands: Commands, lines: AsyncIterator[str], output: TextIO) -> None:
    """Answers each line in order, as plain text, a blank line between the replies, until one says to leave."""
    session, separator = Session(commands), ""
    async for line in lines:
        if is_leave(line):
            return
        if line.strip():
            reply = await session.respond(line)
            output.write(f"{separator}{plain(reply)}\n")
            output.flush()
            separator = "\n"


def is_leave(line: str) -> bool:
    """Returns whether a line asks to end the chat."""
    return line.strip().lower() in LEAVE


class Session:
    """What one user types, line after line. There are no buttons here, so /forgetme is confirmed by typing it again.

    `asked`: what the last line asked for.
    """

    def __init__(self, commands: Commands) -> None:
        self._commands = commands
        self.asked: Ask | None = None

    async def respond(self, line: str) -> Reply:
        """Returns the reply to a line that is not blank."""
        before, self.asked, parsed = self.asked, None, parse_line(line)
        if parsed is None:
            return Reply.refusal(messages.no_command(line, self._commands.known_to(PLATFORM, USER)))
        ask = parse(parsed.command, parsed.arguments)
        if ask == before == ForgetMe() and not parsed.arguments:
            ask = ForgetMe(confirmed=True)
        self.asked = ask
        reply = await self._commands.handle(ask, Where(PLATFORM, CHAT, USER))
        if ask == ForgetMe() and reply.actions:
            return replace(reply, text=f"{reply.text} {messages.REPEAT_FORGET}")
        return reply


def plain(reply: Reply) -> str:
    """Returns a reply as lines of text."""
    lines = [reply.text]
    if reply.picture is not None and reply.picture.path is not None:
        lines.append(messages.picture(reply.picture.path))
    if reply.notice:
        lines.append(f"({reply.notice})")
    return printable("\n".join(lines))


def printable(text: str) -> str:
    """Returns `text` without what a terminal would obey: control characters but the line end, surrogates."""
    return "".join(c for c in text if c == "\n" or not (unicodedata.category(c) in {"Cc", "Cs"} or c in _DIRECTIONS))


async def lines_of(descriptor: int) -> AsyncIterator[str]:
    """Yields the lines of a file descriptor without their ends; UTF-8, or UTF-16 after a byte-order mark.

    At most `_READ_AHEAD` chunks are read before they are needed. Raises `OSError` when the descriptor cannot be read.

    A thread reads, since nothing can wait for a regular file. It reads the descriptor itself: at exit, Python would
    wait for a thread that holds the lock of `sys.stdin`.
    """
    loop = asyncio.get_running_loop()
    chunks: asyncio.Queue[bytes | OSError] = asyncio.Queue()
    free = threading.Semaphore(_READ_AHEAD)

    def read() -> None:
        chunk: bytes | OSError = b"more"
        with contextlib.suppress(RuntimeError):  # the loop is closed: the chat has ended
            while chunk and not isinstance(chunk, OSError):
                free.acquire()
                try:
                    chunk = os.read(descriptor, _CHUNK_BYTES)
                except OSError as error:
                    chunk = error
                loop.call_soon_threadsafe(chunks.put_nowait, chunk)

    threading.Thread(target=read, name="standard input", daemon=True).start()
    decoder: codecs.IncrementalDecoder | None = None
    rest = ""
    while chunk := await chunks.get():
        if isinstance(chunk, OSError):
            raise chunk
        if decoder is None:
            encoding = "utf-16" if chunk.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
            decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
        *lines, rest = (rest + decoder.decode(chunk)).split("\n")
        rest = rest[:_MAX_LINE]
        for line in lines:
            yield line.removesuffix("\r")
        free.release()
    if decoder is not None and (last := rest + decoder.decode(b"", final=True)):
        yield last.removesuffix("\r")
