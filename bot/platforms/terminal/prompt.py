"""The bot at a terminal's prompt: history, completion, colours, a line that says what the bot is.

Ctrl-C stops the text that is being written, Ctrl-Z suspends, Ctrl-D and `quit` leave.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import signal
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

from prompt_toolkit import PromptSession, print_formatted_text
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import FormattedText, StyleAndTextTuples
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.styles import Style

from bot.core import messages
from bot.core.ask import ForgetMe
from bot.core.commands import Commands
from bot.core.reply import Kind, Reply
from bot.platforms.terminal import pipe
from generator.scoring.palette import DARKEST, INK, Cell, colour

_WIDEST_LINE: Final = 100
"""Columns. Longer lines of prose are hard to read."""
_STYLE: Final = Style.from_dict(
    {
        "prompt": "bold",
        "label": "bold ansicyan",
        "notice": "italic ansibrightblack",
        "refusal": "ansiyellow",
        "input": "bold ansicyan",
        "bottom-toolbar": "noreverse ansibrightblack",
    }
)
log = logging.getLogger(__name__)


async def talk(commands: Commands, history: Path) -> None:
    """Prompts and answers until the user leaves. `history`: the file that keeps what was typed."""
    session: PromptSession[str] = PromptSession(
        [("class:input", "› ")],
        history=_history(history),
        completer=_CommandCompleter(commands),
        bottom_toolbar=lambda: [("class:bottom-toolbar", pipe.printable(commands.summary()))],
        enable_suspend=True,  # Ctrl-Z
        style=_STYLE,
    )
    _show([("", f"LSTMega: {commands.summary()}\n"), ("class:notice", messages.HOW_TO_LEAVE)])
    answers = pipe.Session(commands)
    while True:
        try:
            line = await session.prompt_async()
        except KeyboardInterrupt:
            _show([("class:notice", messages.HOW_TO_LEAVE)])
            continue
        except EOFError:
            return
        if pipe.is_leave(line):
            return
        if line.strip() and await _answer(answers, line) and answers.asked == ForgetMe(confirmed=True):
            session.history = _history(history, empty=True)


async def _answer(answers: pipe.Session, line: str) -> bool:
    """Shows the reply to a line. Returns whether the command was done: neither refused nor stopped."""
    writing = asyncio.create_task(answers.respond(line))
    try:
        with _stopped_by_ctrl_c(writing):
            reply = await writing
    except asyncio.CancelledError:
        current = asyncio.current_task()
        if current is not None and current.cancelling():
            raise  # the program ends, not only this text
        _show([("class:notice", messages.CANCELLED)])
        return False
    _show(fragments(reply, min(shutil.get_terminal_size().columns, _WIDEST_LINE)))
    return reply.kind is not Kind.REFUSAL


@contextmanager
def _stopped_by_ctrl_c(task: asyncio.Task[Reply]) -> Iterator[None]:
    """Cancels the task, and nothing else, on SIGINT, which Ctrl-C sends between prompts."""
    loop = asyncio.get_running_loop()

    def stop(_number: int, _frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(task.cancel)

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def fragments(reply: Reply, width: int) -> StyleAndTextTuples:
    """Returns a reply as styled text, wrapped to `width` columns. Nothing in it is read as markup."""
    parts: StyleAndTextTuples = []
    if reply.kind is Kind.TEXT:
        for passage in reply.passages:
            if parts:
                parts.append(("", "\n\n"))
            if passage.label:
                parts.append(("class:label", f"{passage.label}\n"))
            # Both lose the same characters, so the text still begins with the prompt.
            prompt, text = pipe.printable(passage.prompt), wrapped(pipe.printable(passage.text), width)
            parts += [("class:prompt", text[: len(prompt)]), ("", text[len(prompt) :])]
    else:
        if reply.shaded:
            parts += [*_shaded(reply.shaded, width), ("", "\n\n"), *_scale(), ("", "\n\n")]
        style = "class:refusal" if reply.kind is Kind.REFUSAL else ""
        parts.append((style, wrapped(pipe.printable(reply.text), width)))
    if reply.picture is not None and reply.picture.path is not None:
        parts.append(("class:notice", "\n" + pipe.printable(messages.picture(reply.picture.path))))
    if reply.notice:
        parts.append(("class:notice", "\n" + wrapped(pipe.printable(reply.notice), width)))
    return parts


def _shaded(cells: Sequence[Cell], width: int) -> StyleAndTextTuples:
    """Returns a text on the backgrounds of its picture; what surprises least, and the prompt, on the terminal's own."""
    visible = [cell for cell in cells if pipe.printable(cell.character)]
    text = wrapped("".join(cell.character for cell in visible), width)
    parts: StyleAndTextTuples = []
    for cell, character in zip(visible, text, strict=True):
        plain = not cell.shade or character == "\n"
        style = "class:notice" if cell.given else "" if plain else _background(cell.shade)
        if parts and parts[-1][0] == style:
            parts[-1] = (style, parts[-1][1] + character)
        else:
            parts.append((style, character))
    return parts


def _scale() -> StyleAndTextTuples:
    """Returns the legend: each background with its bits."""
    parts: StyleAndTextTuples = [("class:notice", messages.SCALE)]
    for bits in range(int(DARKEST) + 1):
        shade = Cell("", bits).shade
        parts.append((_background(shade) if shade else "", f" {bits} "))
    return parts


def _background(shade: int) -> str:
    return f"noinherit bg:#{bytes(colour(shade)).hex()} fg:#{bytes(INK).hex()}"


def wrapped(text: str, width: int) -> str:
    """Turns spaces into line ends so that no line is longer than `width`, unless a word is. Moves no character."""
    lines: list[str] = []
    for line in text.split("\n"):
        rest = line
        while len(rest) > width:
            at = rest.rfind(" ", 0, width + 1)
            if at <= 0:
                at = rest.find(" ", width)
            if at <= 0:
                break
            lines.append(rest[:at])
            rest = rest[at + 1 :]
        lines.append(rest)
    return "\n".join(lines)


class _CommandCompleter(Completer):
    """Completes a command at the beginning of the line, and shows what it does."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:  # noqa: ARG002
        typed = document.text_before_cursor
        if not typed.startswith("/") or any(character.isspace() for character in typed):
            return
        for name, note in self._commands.known_to(pipe.PLATFORM, pipe.USER).items():
            if name.startswith(typed[1:].lower()):
                yield Completion(f"/{name}", start_position=-len(typed), display=note.usage, display_meta=note.purpose)


def _history(path: Path, *, empty: bool = False) -> History:
    """Returns the history in its file, readable by its owner only; in memory when the file cannot be written.

    `empty`: deletes the file first.
    """
    try:
        if empty:
            path.unlink(missing_ok=True)
        path.touch(mode=0o600)
    except OSError as error:
        log.warning("history.not_kept path=%s reason=%s", path, error)
        return InMemoryHistory()
    return FileHistory(str(path))


def _show(parts: StyleAndTextTuples) -> None:
    print_formatted_text(FormattedText(parts), style=_STYLE, flush=True)  # of a plain list it would show the repr
