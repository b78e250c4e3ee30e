"""The entry point of the command line: parses it, runs one command, and turns every error into one line and an exit
code. A command's help is the docstring of its function."""

from __future__ import annotations

import argparse
import asyncio
import errno
import inspect
import io
import logging
import os
import sys
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Final, NoReturn

from bot.cli import commands
from bot.cli.errors import BROKEN_PIPE, FAILURE, INTERRUPTED, PERMANENT, TEMPORARY, USAGE
from bot.config.loader import default_file, load
from bot.config.schema import Config
from generator.dependencies import how_to_install
from generator.sampling_params import SETTINGS
from generator.types import MAX_LENGTH

_OUTPUT_FAILED: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EPIPE}
log = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns the exit code. `arguments`: those after the program's name."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that has no “ gets a question mark, not a crash
    options = _parse(arguments)
    try:
        config = load(options.config, os.environ)
        level = "info" if config.log.level == "debug" else config.log.level  # libraries' debug lines hold users' texts
        logging.basicConfig(level=level.upper(), format="lstmega: %(levelname)s: %(message)s")
        code = asyncio.run(options.run(options, config)) or 0
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return INTERRUPTED
    except TEMPORARY as error:
        code, message = FAILURE, str(error)
    except PERMANENT as error:
        code, message = USAGE, str(error)
    except ModuleNotFoundError as error:
        code, message = FAILURE, f"{error.name} is not installed; {how_to_install()}"
    except Exception as error:
        if not isinstance(error, OSError) or error.filename is not None or error.errno not in _OUTPUT_FAILED:
            log.critical("command.failed command=%s", options.run.__name__, exc_info=True)
            return FAILURE
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes it again at exit
        if isinstance(error, BrokenPipeError):
            return BROKEN_PIPE
        code, message = FAILURE, f"cannot write the output: {(error.strerror or '').lower()}"
    for line in options.redact(message).splitlines():
        print(f"{options.parser.prog}: {line}", file=sys.stderr)
    return code


class _Parser(argparse.ArgumentParser):
    """Reports a mistake in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE, f"{self.prog}: {message}; see {self.prog} --help\n")


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parses a command line. Of the result, `run` is the command's function and `parser` its parser.

    Exits after `--help` and `--version`, and with `USAGE` and one line for a mistake.
    """
    prog = "lstmega" if Path(sys.argv[0]).stem == "lstmega" else "python -m bot"
    parser = _Parser(
        prog=prog,
        description="LSTMega writes in the manner of a book, one character after another.",
        epilog=f"Begin with: {prog} chat",
    )
    parser.add_argument("--version", action="version", version=f"lstmega {_version()}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=_Parser)

    def command(run: Callable[[argparse.Namespace, Config], object]) -> Callable[..., argparse.Action]:
        summary, _, details = (inspect.getdoc(run) or "").partition("\n\n")
        added = subparsers.add_parser(
            run.__name__.rstrip("_"),
            help=summary[:1].lower() + summary[1:].removesuffix("."),
            description=summary,
            epilog=details.replace("{prog}", prog),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        added.set_defaults(run=run, parser=added, redact=str)
        help_text = "configuration (default: config.toml, if there is one here)"
        added.add_argument("--config", type=Path, default=default_file(), metavar="FILE", help=help_text)
        return added.add_argument

    weights = "a weights folder, or one version's folder in it"
    command(commands.chat)("--weights", type=Path, metavar="FOLDER", help=f"{weights}, or a training run's")
    for add in (command(commands.run), command(commands.sync)):
        add("--log-format", choices=["human", "json"], default="human", help="of the log on standard error")
    add = command(commands.generate)
    add("text", nargs="*", type=text, metavar="TEXT", help="the prompt, as --prompt")
    add("--prompt", type=text, metavar="TEXT", help="how the text begins")
    for name, setting in SETTINGS.items():
        kind = int if setting.kind is int else number
        add(f"--{name.replace('_', '-')}", type=kind, metavar="N", help=setting.range.title)
    add("--length", type=int, metavar="N", help=f"about so many characters, 1 to {MAX_LENGTH}; ends with a sentence")
    add("--seed", type=int, metavar="N", help="the same seed and options give the same text")
    add("--weights", type=Path, metavar="FOLDER", help=weights)
    add("--verbose", action="store_true", help="print the seed on standard error")
    command(commands.check)("--online", action="store_true", help="ask the platforms too")
    add = command(commands.backup)
    add("file", type=Path, metavar="FILE", help="the copy, which must not exist yet; or a folder")
    add("--keep", type=positive, metavar="N", help="in a folder, keep only the newest N backups")
    command(commands.restore)("file", type=Path, metavar="FILE", help="a backup")
    imported = "an SQLite file of this bot, or an older version's"
    command(commands.import_)("file", type=Path, metavar="FILE", help=imported)
    command(commands.reload)
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        options.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    return options


def _version() -> str:
    try:
        return metadata.version("lstmega")
    except metadata.PackageNotFoundError:
        return "(not installed)"


# The names of these stand in argparse's errors: "invalid number value: 'hot'".


def text(typed: str) -> str:
    """Refuses bytes that are not text in the terminal's encoding, which Python passes as lone surrogates."""
    try:
        typed.encode()
    except UnicodeEncodeError as error:
        byte = ord(typed[error.start]) - 0xDC00
        message = f"the byte 0x{byte:02x} is not {sys.getfilesystemencoding()} text"
        raise argparse.ArgumentTypeError(message) from None
    return typed


def positive(typed: str) -> int:
    """Reads a whole number from 1."""
    if int(typed) < 1:
        raise ValueError
    return int(typed)


def number(typed: str) -> float:
    """Reads a number with a decimal point or comma."""
    return float(typed.replace(",", "."))
