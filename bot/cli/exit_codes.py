"""The exit codes of every command."""

from __future__ import annotations

import sys
from typing import Final

FAILURE: Final = 1
"""The command failed, or `check` found a problem. systemd restarts the service."""
USAGE: Final = 2
"""Wrong usage, configuration, weights or database: the operator has to change something first."""
INTERRUPTED: Final = 128 + 2
"""Ctrl-C, as a shell reports a process that SIGINT ended."""
BROKEN_PIPE: Final = 128 + 13
"""The reader of the output is gone, as a shell reports a process that SIGPIPE ended."""


def fail(program: str, code: int, *lines: str) -> int:
    """Prints each line on standard error, after the program's name; returns the exit code."""
    for line in lines:
        print(f"{program}: {line}", file=sys.stderr)
    return code
