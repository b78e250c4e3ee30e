"""The entry point of the command line: runs one command, and turns every error into one line and an exit code."""

from __future__ import annotations

import asyncio
import errno
import io
import logging
import os
import sys
from collections.abc import Sequence
from typing import Final

from bot.cli.errors import BROKEN_PIPE, FAILURE, INTERRUPTED, PERMANENT, TEMPORARY, USAGE
from bot.cli.parser import parse_arguments
from bot.config.loader import load
from generator.dependencies import how_to_install

_OUTPUT_FAILED: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns the exit code. `arguments`: those after the program's name."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that has no “ gets a question mark, not a crash
    options = parse_arguments(arguments)
    try:
        config = load(options.config, os.environ)
        level = logging.getLevelNamesMapping()[config.log.level.upper()]
        level = max(level, logging.INFO)  # debug lines of libraries hold what users type
        logging.basicConfig(level=level, format="lstmega: %(levelname)s: %(message)s")
        code = asyncio.run(options.run(options, config)) or 0
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except TEMPORARY as error:
        code, message = FAILURE, options.redact(str(error))
    except PERMANENT as error:
        code, message = USAGE, options.redact(str(error))
    except ModuleNotFoundError as error:
        code, message = FAILURE, f"{error.name} is not installed; {how_to_install()}"
    except BrokenPipeError:
        _discard_output()
        return BROKEN_PIPE
    except OSError as error:
        if error.filename is not None or error.errno not in _OUTPUT_FAILED:
            raise
        _discard_output()
        code, message = FAILURE, f"cannot write the output: {(error.strerror or '').lower()}"
    except KeyboardInterrupt:
        return INTERRUPTED
    for line in message.splitlines():
        print(f"{options.parser.prog}: {line}", file=sys.stderr)
    return code


def _discard_output() -> None:
    """Redirects standard output to nowhere: Python flushes it again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
