"""The bot in a terminal and in a pipe: real processes, a real pseudo-terminal."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import pytest

ROOT = Path(__file__).resolve().parent.parent
CHAT = [sys.executable, "-m", "bot", "chat"]
ESCAPE = "\x1b"


@pytest.fixture
def chat_environment(tiny_folder: Path, tmp_path: Path) -> dict[str, str]:
    """The environment of a chat with a small network, short texts, and a state folder that does not exist yet."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "LSTMEGA_GENERATOR__WEIGHTS": str(tiny_folder),
        "LSTMEGA_BOT__LENGTH": "60",
    }


def pipe(environment: dict[str, str], typed: bytes) -> str:
    """Returns what a chat prints for an input."""
    done = subprocess.run(CHAT, cwd=ROOT, env=environment, input=typed, capture_output=True, timeout=60, check=False)
    assert done.stderr == b""
    assert done.returncode == 0
    return done.stdout.decode()


class Terminal:
    """A process on a pseudo-terminal, with a user before it."""

    def __init__(self, command: list[str], environment: dict[str, str], columns: int) -> None:
        self.process = pexpect.spawn(
            command[0],
            command[1:],
            cwd=str(ROOT),
            env={"TERM": "xterm-256color"} | environment,
            encoding="utf-8",
            timeout=30,
            dimensions=(30, columns),
        )

    def close(self) -> None:
        """Ends the process, whatever it is doing."""
        self.process.close(force=True)

    def sees(self, *words: str) -> None:
        """Waits until the words come, in this order; answers, as a terminal does, where the cursor is."""
        for word in words:
            while self.process.expect([re.escape(word), re.escape("\x1b[6n")]) == 1:
                self.process.send("\x1b[5;1R")

    def types(self, text: str) -> None:
        self.process.send(text)

    def leaves(self) -> int | None:
        self.process.send("\x04")
        return self.ends()

    def ends(self) -> int | None:
        """Waits until the process ends; returns its exit status."""
        while self.process.expect([pexpect.EOF, re.escape("\x1b[6n")]) == 1:
            self.process.send("\x1b[5;1R")
        self.process.close()
        status: int | None = self.process.exitstatus
        return status


@pytest.fixture
def open_terminal(chat_environment: dict[str, str]) -> Iterator[Callable[..., Terminal]]:
    """Starts a command (default: the chat) in a terminal; named arguments are variables of its environment."""
    terminals: list[Terminal] = []

    def start(command: list[str] = CHAT, columns: int = 100, **variables: str) -> Terminal:
        terminals.append(Terminal(command, chat_environment | variables, columns))
        return terminals[-1]

    yield start
    for terminal in terminals:
        terminal.close()
