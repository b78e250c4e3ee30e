"""The options of every command. A command's help is the docstring of its function."""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import NoReturn

from bot.cli import commands
from bot.cli.errors import USAGE
from bot.config.schema import Config
from generator.sampling_params import SETTINGS
from generator.types import MAX_LENGTH


class _Parser(argparse.ArgumentParser):
    """Reports a mistake in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE, f"{self.prog}: {message}; see {self.prog} --help\n")


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
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
    parser.set_defaults(redact=str)
    default = Path("config.toml") if Path("config.toml").is_file() else None
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
        added.set_defaults(run=run, parser=added)
        help_text = "configuration (default: config.toml, if there is one here)"
        added.add_argument("--config", type=Path, default=default, metavar="FILE", help=help_text)
        return added.add_argument

    command(commands.chat)
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
    add("--weights", type=Path, metavar="FOLDER", help="a weights folder, or one version's folder in it")
    add("--verbose", action="store_true", help="print the seed on standard error")
    command(commands.check)
    command(commands.backup)("file", type=Path, metavar="FILE", help="the copy; must not exist yet")
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


def number(typed: str) -> float:
    """Reads a number with a decimal point or comma."""
    return float(typed.replace(",", "."))
