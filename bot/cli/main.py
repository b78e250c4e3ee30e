"""The command line. Exit status: 0 done, 1 something went wrong, or `check` found it, or a database's server is away, 2
wrong usage, configuration, weights or database, 130 Ctrl-C, 141 nobody reads the output any more."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable, Sequence
from typing import Final

from bot.cli.exit_codes import INTERRUPTED, UNREAD, UNUSABLE, WRONG, fail
from bot.cli.parser import parser
from bot.config.loader import ConfigError
from bot.core.parsing import PromptTooLong
from bot.store.errors import StoreError, StoreUnavailable
from generator import GeneratorError, InvalidRequest, WeightsError
from generator.dependencies import how_to_install

_TO_BE_MENDED: Final = (InvalidRequest, WeightsError, StoreError, PromptTooLong)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns the exit status. `arguments`: those after the program's name."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that knows no “ gets a question mark, not a crash
    options = parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        status = run(options)
        if sys.stdout is not None:
            sys.stdout.flush()
        return status
    except ConfigError as error:
        return fail(options.prog, UNUSABLE, *error.problems)
    except (GeneratorError, StoreError, PromptTooLong) as error:
        # After 1 systemd starts the service again; 2 is for what somebody has to mend.
        passing = isinstance(error, StoreUnavailable) or not isinstance(error, _TO_BE_MENDED)
        return fail(options.prog, WRONG if passing else UNUSABLE, str(error))
    except ModuleNotFoundError as error:
        return fail(options.prog, WRONG, f"{error.name} is not installed; {how_to_install()}")
    except BrokenPipeError:
        # Python flushes standard output once more at exit; let that go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNREAD
    except KeyboardInterrupt:
        return INTERRUPTED
