"""How the process ends: the exit status of every command, and what stands on standard error beside it."""

from __future__ import annotations

import sys
from typing import Final

WRONG: Final = 1
"""Something went wrong, or `check` found it."""
UNUSABLE: Final = 2
"""Wrong usage, configuration, weights or database."""
INTERRUPTED: Final = 128 + 2
"""Ctrl-C. As a shell reports a process that SIGINT ended."""
UNREAD: Final = 128 + 13
"""Nobody reads the output any more. As a shell reports a process that SIGPIPE ended."""


def fail(program: str, status: int, *lines: str) -> int:
    """Says why on standard error, in the name of the program and its command; returns the status."""
    for line in lines:
        print(f"{program}: {line}", file=sys.stderr)
    return status
