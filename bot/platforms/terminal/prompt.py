"""The bot at a terminal's prompt: history, completion, colours, a line that says what the bot is.

Ctrl-C stops the text that is being written, Ctrl-Z suspends, Ctrl-D and `quit` leave.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import signal
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from prompt_toolkit import PromptSession, print_formatted_text
from prompt_toolkit.completion import CompleteEvent, Completion, DummyCompleter
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import FormattedText, StyleAndTextTuples
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.output import ColorDepth
from prompt_toolkit.styles import Style

from bot.core import language
from bot.core.ask import ForgetMe
from bot.core.commands import Commands
from bot.core.reply import Kind, Reply
from bot.platforms.terminal.pipe import LEAVE, Session
from bot.platforms.text import shorten
from generator.prose import printable, wrapped
from generator.scoring.palette import DARKEST, INK, Cell, colour

_WIDEST_LINE: Final = 100
"""Columns. Longer lines of prose are hard to read."""
NOTICE: Final = "italic ansibrightblack"
PROMPT: Final = "bold"
_ACCENT: Final = "bold ansicyan"
_REFUSAL: Final = "ansiyellow"
_MARKS: Final = ((2.0, "underline", "surprise-underlined"), (3.0, "bold underline", "surprise-bold"))
"""Bits per character from which a word is marked so where there are no colours, and the message that explains it."""
log = logging.getLogger(__name__)


async def talk(commands: Commands, history: Path) -> None:
    """Prompts and answers until the user leaves. `history`: the file that keeps what was typed."""
    session = Session(commands)
    session.locale = (await commands.localized(session.where())).spoken.tag
    prompt: PromptSession[str] = PromptSession(
        [(_ACCENT, "› ")],
        history=_history(history),
        completer=_Completer(commands, session),
        bottom_toolbar=lambda: shorten(printable(commands.summary(session.locale, session.voice)), _columns()),
        enable_suspend=True,  # Ctrl-Z
        style=Style([("bottom-toolbar", "noreverse ansibrightblack")]),
    )
    banner, say = printable(f"LSTMega: {commands.summary(session.locale)}"), language.of(session.locale).say
    _show([("", wrapped(banner, _columns()) + "\n"), (NOTICE, wrapped(say("how-to-leave"), _columns()))])
    while True:
        try:
            line = await prompt.prompt_async()
        except KeyboardInterrupt:
            _show([(NOTICE, language.of(session.locale).say("how-to-leave"))])
            continue
        except EOFError:
            return
        if line.strip().lower() in LEAVE:
            return
        if line.strip() and await _answer(session, line) and session.asked == ForgetMe(confirmed=True):
            prompt.default_buffer.history = _history(history, empty=True)


class _Completer(DummyCompleter):
    """Completes commands and the values of those that set something, explained in the user's language."""

    def __init__(self, commands: Commands, session: Session) -> None:
        self._commands = commands
        self._session = session

    async def get_completions_async(self, document: Document, _: CompleteEvent) -> AsyncGenerator[Completion, None]:
        """See `Completer`."""
        command, space, typed = document.text_before_cursor.lower().partition(" ")
        where = replace(self._session.where(), locale=self._session.locale)
        if not space:
            for name, spec in self._commands.known_to(where).items():
                if f"/{name}".startswith(command):
                    usage, purpose = spec.usage(where.say), spec.purpose(where.say)
                    yield Completion(f"/{name}", -len(command), display=usage, display_meta=purpose)
        for value, label in (await self._commands.values(command, where)).items() if space else ():
            if value.startswith(typed):
                yield Completion(value, -len(typed), display=label)


async def _answer(session: Session, line: str) -> bool:
    """Shows the reply to a line. Returns whether the command was done: neither refused nor stopped by Ctrl-C."""
    loop = asyncio.get_running_loop()
    writing = asyncio.create_task(session.respond(line))
    before = signal.signal(signal.SIGINT, lambda *_: loop.call_soon_threadsafe(writing.cancel))
    try:
        await asyncio.wait({writing})
    finally:
        signal.signal(signal.SIGINT, before)
        writing.cancel()
    if writing.cancelled():
        _show([(NOTICE, language.of(session.locale).say("cancelled"))])
        return False
    reply = writing.result()
    _show(fragments(reply, _columns(), coloured=ColorDepth.from_env() is not ColorDepth.DEPTH_1_BIT))
    return reply.kind is not Kind.REFUSAL


def _columns() -> int:
    return min(shutil.get_terminal_size().columns, _WIDEST_LINE)


def fragments(reply: Reply, width: int, *, coloured: bool = True) -> StyleAndTextTuples:
    """Returns a reply as styled text, wrapped to `width` columns. Nothing in it is read as markup."""
    parts: StyleAndTextTuples = []
    if reply.kind is Kind.TEXT:
        for passage in reply.passages:
            if parts:
                parts.append(("", "\n\n"))
            if passage.label:
                parts.append((_ACCENT, f"{passage.label}\n"))
            # Both lose the same characters, so the text still begins with the prompt.
            prompt, text = printable(passage.prompt), wrapped(printable(passage.text), width)
            parts += [(PROMPT, text[: len(prompt)]), ("", text[len(prompt) :])]
    else:
        if reply.shaded:
            shade, scale = (_background, _scale(reply)) if coloured else (_mark, _marks(reply))
            parts += [*_shaded(reply.shaded, width, shade), ("", "\n\n"), *scale, ("", "\n\n")]
        style = _REFUSAL if reply.kind is Kind.REFUSAL else ""
        parts.append((style, wrapped(printable(reply.text), width)))
    if reply.picture is not None and reply.picture.path is not None:
        parts.append((NOTICE, "\n" + printable(reply.say("picture-file", path=str(reply.picture.path)))))
    if reply.notice:
        parts.append((NOTICE, "\n" + wrapped(printable(reply.notice), width)))
    return parts


def _shaded(cells: Sequence[Cell], width: int, style: Callable[[float], str]) -> StyleAndTextTuples:
    visible = [cell for cell in cells if printable(cell.character)]
    text = wrapped("".join(cell.character for cell in visible), width)
    return [
        (NOTICE if cell.given else style(0.0 if character == "\n" else cell.bits), character)
        for cell, character in zip(visible, text, strict=True)
    ]


def _scale(reply: Reply) -> StyleAndTextTuples:
    shades = ((_background(bits), f" {bits} ") for bits in range(int(DARKEST) + 1))
    return [(NOTICE, reply.say("surprise-scale") + " "), *shades]


def _marks(reply: Reply) -> StyleAndTextTuples:
    """Explains the marks where there are no colours."""
    marks: StyleAndTextTuples = [(NOTICE, reply.say("surprise-scale"))]
    for bits, style, message in _MARKS:
        marks += [("", "  "), (style, reply.say(message, bits=bits))]
    return marks


def _mark(bits: float) -> str:
    """Returns the style of so many bits without a colour."""
    return next((style for least, style, _ in reversed(_MARKS) if bits >= least), "")


def _background(bits: float) -> str:
    """Returns the style of so many bits; what surprises least stands on the terminal's own background."""
    shade = Cell("", bits).shade
    return f"noinherit bg:#{bytes(colour(shade)).hex()} fg:#{bytes(INK).hex()}" if shade else ""


def _history(path: Path, *, empty: bool = False) -> History:
    """Returns the history in its file, readable by its owner only; in memory when the file cannot be written."""
    try:
        if empty:
            path.unlink(missing_ok=True)
        path.touch(mode=0o600)
    except OSError as error:
        log.warning("history.not_kept path=%s reason=%s", path, error)
        return InMemoryHistory()
    return FileHistory(str(path))


def _show(parts: StyleAndTextTuples) -> None:
    print_formatted_text(FormattedText(parts), flush=True)  # of a plain list it would show the repr
