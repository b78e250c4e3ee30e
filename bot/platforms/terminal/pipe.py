"""The bot on standard input and output: plain text, one reply for each line."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import io
import itertools
import os
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Final, TextIO

from bot.core.ask import Ask, ForgetMe, Where
from bot.core.commands import Commands, parse_message
from bot.core.reply import Reply
from generator.prose import printable, wrapped

PLATFORM: Final = "console"
CHAT: Final = "local"
USER: Final = "local"
"""The user at this machine: "console:local" among the operators of the configuration."""
LEAVE: Final = frozenset({"quit", "exit", "q", "/quit", "/exit"})
"""Lines that end the chat."""
_READ_AHEAD: Final = 16
"""Lines."""
_MAX_LINE: Final = 1 << 20
"""Characters of a line; the rest counts as further lines, so that a line without end cannot fill the memory."""


async def talk(commands: Commands, lines: AsyncIterator[str], output: TextIO, *, width: int = 0) -> None:
    """Answers each line in order, as plain text, a blank line between the replies, until one says to leave.

    `width`: columns of a terminal that knows no escape sequences, for which lines are wrapped; 0 in a pipe.
    """
    session, separator, prompt = Session(commands), "", "› " if width else ""
    print(prompt, end="", file=output, flush=True)
    async for line in lines:
        if line.strip().lower() in LEAVE:
            return
        if line.strip():
            reply = await session.respond(line)
            said = plain(reply)
            output.write(f"{separator}{wrapped(said, width) if width else said}\n")
            separator = "" if width else "\n"
        print(prompt, end="", file=output, flush=True)


class Session:
    """What one user types, line after line. There are no buttons here, so /forgetme is confirmed by typing it again."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands
        self.locale = terminal_locale()
        """Of the last reply."""
        self.voice = ""
        """The name of the one that wrote the last text."""
        self.asked: Ask | None = None
        """By the last line."""

    def where(self) -> Where:
        """Returns where a line comes from that is typed now."""
        return Where(PLATFORM, CHAT, USER, terminal_locale())

    async def respond(self, line: str) -> Reply:
        """Returns the reply to a line that is not blank."""
        before, ask = self.asked, parse_message(line)
        if ask == before == ForgetMe():
            ask = ForgetMe(confirmed=True)
        self.asked = ask
        reply = await self._commands.handle(ask, self.where())
        self.locale, self.voice = reply.locale, reply.voice or self.voice
        if ask == ForgetMe() and reply.actions:
            return replace(reply, text=f"{reply.text} {reply.say('forget-repeat')}")
        return reply


def plain(reply: Reply) -> str:
    """Returns a reply as lines of text."""
    lines = [reply.text]
    if reply.picture is not None and reply.picture.path is not None:
        lines.append(reply.say("picture-file", path=str(reply.picture.path)))
    if reply.notice:
        lines.append(f"({reply.notice})")
    return printable("\n".join(lines))


def terminal_locale() -> str:
    """Returns the locale of messages that the environment names (POSIX: LC_ALL, then LC_MESSAGES, then LANG)."""
    return next(filter(None, map(os.environ.get, ("LC_ALL", "LC_MESSAGES", "LANG"))), "")


async def lines_of(descriptor: int) -> AsyncIterator[str]:
    """Yields the lines of a file descriptor without their ends, until it ends or cannot be read.

    A thread reads, at most `_READ_AHEAD` lines before they are needed, since nothing can wait for a regular file. It
    does not use `sys.stdin`: at exit, Python would wait for a thread that holds the lock of that.
    """
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[str | None] = asyncio.Queue()
    free = threading.Semaphore(_READ_AHEAD)

    def read() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the chat has ended
            for line in itertools.chain(_decoded(descriptor), [None]):
                free.acquire()
                loop.call_soon_threadsafe(lines.put_nowait, line)

    threading.Thread(target=read, name="standard input", daemon=True).start()
    while (line := await lines.get()) is not None:
        yield line.removesuffix("\n")
        free.release()


def _decoded(descriptor: int) -> Iterator[str]:
    """Yields the lines of a file descriptor: UTF-8, or UTF-16 after a byte-order mark."""
    with contextlib.suppress(OSError), open(descriptor, "rb", closefd=False) as binary:
        is_utf16 = binary.peek().startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        text = io.TextIOWrapper(binary, "utf-16" if is_utf16 else "utf-8-sig", errors="replace")
        while line := text.readline(_MAX_LINE):
            yield line
