"""The exit codes of every command, and what leads to them."""

from __future__ import annotations

from typing import Final

from bot.config.loader import ConfigError
from bot.platforms.base import CommandSyncError
from bot.store.errors import StoreError, StoreUnavailable
from generator import GeneratorError, InvalidRequest, WeightsError

FAILURE: Final = 1
"""The command failed, or `check` found a problem. systemd restarts the service."""
USAGE: Final = 2
"""Wrong usage, configuration, weights or database: the operator has to change something first."""
INTERRUPTED: Final = 128 + 2
"""Ctrl-C, as a shell reports a process that SIGINT ended."""
BROKEN_PIPE: Final = 128 + 13
"""The reader of the output is gone, as a shell reports a process that SIGPIPE ended."""


class CommandFailed(Exception):
    """A command could not do what was asked; another attempt may succeed. One line that says why."""


class UsageError(Exception):
    """Another attempt would fail as well. One line: what to change first."""


REPORTED: Final = (CommandFailed, UsageError, ConfigError, CommandSyncError, GeneratorError, StoreError)
"""Errors whose message is for the operator."""


def exit_code(error: Exception) -> int:
    """Returns the exit code of a command that failed with one of `REPORTED`."""
    permanent = isinstance(error, UsageError | ConfigError | InvalidRequest | WeightsError | StoreError)
    return USAGE if permanent and not isinstance(error, StoreUnavailable) else FAILURE
