"""The command `chat`: a prompt when a terminal is at both ends, plain text otherwise."""

from __future__ import annotations

import sys
from pathlib import Path

from bot.core.commands import Commands
from bot.platforms.terminal import pipe


async def chat(commands: Commands, state: Path) -> None:
    """Answers lines until the end of the input. `state`: the folder for the prompt's history."""
    if sys.stdin is None:  # started with a closed standard input
        return
    if sys.stdin.isatty() and sys.stdout.isatty():
        from bot.platforms.terminal import prompt  # noqa: PLC0415 - prompt_toolkit is heavy, and a pipe does not need it

        await prompt.talk(commands, state / "history")
    else:
        await pipe.talk(commands, pipe.lines_of(sys.stdin.fileno()), sys.stdout)
