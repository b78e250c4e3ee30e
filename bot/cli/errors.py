"""The exit codes of every command, and what leads to them."""

from __future__ import annotations

from typing import Final

from bot.config.loader import ConfigError
from bot.platforms.base import BadToken, CommandSyncError
from bot.store.errors import StoreError, StoreUnavailable
from generator import InvalidRequest, ModelError, Overloaded, ShuttingDown, Unavailable, WeightsError

FAILURE: Final = 1
"""The command failed, or `check` found a problem. systemd restarts the service."""
USAGE: Final = 2
"""Wrong usage, configuration, weights or database: the operator has to change something first."""
INTERRUPTED: Final = 128 + 2
"""Ctrl-C, as a shell reports a process that SIGINT ended."""
BROKEN_PIPE: Final = 128 + 13
"""The reader of the output is gone, as a shell reports a process that SIGPIPE ended."""


class UsageError(Exception):
    """The operator has to change something first; one line that says what."""


TEMPORARY: Final = (CommandSyncError, StoreUnavailable, Unavailable, Overloaded, ShuttingDown, ModelError)
"""Errors that another attempt may not meet, so that the exit code is `FAILURE`. Their message is for the operator."""
PERMANENT: Final = (UsageError, ConfigError, BadToken, InvalidRequest, WeightsError, StoreError)
"""Errors that another attempt would meet again, so that it is `USAGE`."""
