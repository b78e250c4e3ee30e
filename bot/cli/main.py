"""The entry point of the command line: runs one command, and turns every error into one line and an exit code."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Sequence
from typing import Final

from bot.cli.exit_codes import BROKEN_PIPE, FAILURE, INTERRUPTED, USAGE, fail
from bot.cli.parser import parse_arguments
from bot.config.loader import ConfigError
from bot.store.errors import StoreError, StoreUnavailable
from generator import GeneratorError, InvalidRequest, WeightsError
from generator.dependencies import how_to_install

_PERMANENT: Final = (InvalidRequest, WeightsError, StoreError)
"""Errors that another attempt would meet again."""
_REPORTED: Final = (ConfigError, GeneratorError, StoreError, ModuleNotFoundError)
_OUTPUT_FAILED: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns the exit code. `arguments`: those after the program's name."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that has no “ gets a question mark, not a crash
    options = parse_arguments(arguments)
    try:
        code: int = options.run(options)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except _REPORTED as error:
        return _report(options.prog, error)
    except BrokenPipeError:
        _discard_output()
        return BROKEN_PIPE
    except OSError as error:
        if error.filename is not None or error.errno not in _OUTPUT_FAILED:
            raise
        _discard_output()
        return fail(options.prog, FAILURE, f"cannot write the output: {(error.strerror or '').lower()}")
    except KeyboardInterrupt:
        return INTERRUPTED


def _report(prog: str, error: Exception) -> int:
    """Prints why a command failed; returns the exit code."""
    if isinstance(error, ConfigError):
        return fail(prog, USAGE, *error.problems)
    if isinstance(error, ModuleNotFoundError):
        return fail(prog, FAILURE, f"{error.name} is not installed; {how_to_install()}")
    temporary = isinstance(error, StoreUnavailable) or not isinstance(error, _PERMANENT)
    return fail(prog, FAILURE if temporary else USAGE, str(error))


def _discard_output() -> None:
    """Redirects standard output to nowhere: Python flushes it again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
