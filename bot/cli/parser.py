"""The options of every command."""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import NoReturn

from bot.cli import handlers
from bot.cli.exit_codes import USAGE
from bot.core.parsing import TemperatureError, parse_temperature
from generator.sampling_params import MAX_TEMPERATURE, MIN_TEMPERATURE, SETTINGS
from generator.types import MAX_LENGTH


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parses a command line. `run` of the result is the command's function, `prog` its name for error messages.

    Exits after `--help` and `--version`, and with `USAGE` and one line for a mistake.
    """
    parser = _parser()
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        options.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    options.prog = options.parser.prog
    return options


class _Parser(argparse.ArgumentParser):
    """Reports a mistake in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE, f"{self.prog}: {message}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    prog = "lstmega" if Path(sys.argv[0]).stem == "lstmega" else "python -m bot"
    parser = _Parser(
        prog=prog,
        description="LSTMega writes in the manner of a book, one character after another.",
        epilog=f"Begin with: {prog} chat",
    )
    parser.add_argument("--version", action="version", version=f"lstmega {_version()}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=_Parser)

    def command(name: str, run: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
        summary, _, details = (inspect.getdoc(run) or "").partition("\n\n")
        added = commands.add_parser(
            name,
            help=summary[:1].lower() + summary[1:].removesuffix("."),
            description=summary,
            epilog=details.replace("{prog}", prog),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        added.set_defaults(run=run, parser=added)
        added.add_argument(
            "--config", type=Path, metavar="FILE", help="configuration (default: config.toml, if there is one here)"
        )
        return added

    command("chat", handlers.chat)
    for service in (command("run", handlers.run), command("sync", handlers.sync)):
        service.add_argument(
            "--log-format", choices=["human", "json"], default="human", help="of the log on standard error"
        )
    _add_generate_options(command("generate", handlers.generate))
    command("check", handlers.check)
    backup = command("backup", handlers.backup)
    backup.add_argument("file", type=Path, metavar="FILE", help="the copy; must not exist yet")
    restore = command("import", handlers.import_database)
    restore.add_argument("file", type=Path, metavar="FILE", help="an SQLite file of this bot, or an older version's")
    command("reload", handlers.reload)
    return parser


def _add_generate_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("text", nargs="*", type=_text, metavar="TEXT", help="the prompt, as --prompt")
    parser.add_argument("--prompt", type=_text, metavar="TEXT", help="how the text begins")
    for name, setting in SETTINGS.items():
        kind = _temperature if name == "temperature" else _whole if setting.kind is int else _real
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, metavar="N", help=setting.range.title)
    parser.add_argument(
        "--length", type=_whole, metavar="N", help=f"about so many characters, 1 to {MAX_LENGTH}; ends with a sentence"
    )
    parser.add_argument("--seed", type=_whole, metavar="N", help="the same seed and options give the same text")
    parser.add_argument(
        "--weights", type=Path, metavar="FOLDER", help="a weights folder, or one version's folder in it"
    )
    parser.add_argument("--verbose", action="store_true", help="print the seed on standard error")


def _version() -> str:
    try:
        return metadata.version("lstmega")
    except metadata.PackageNotFoundError:
        return "(not installed)"


def _text(typed: str) -> str:
    """Refuses bytes that are not text in the terminal's encoding, which Python passes as lone surrogates."""
    for character in typed:
        if "\udc80" <= character <= "\udcff":
            encoding = sys.getfilesystemencoding()
            raise argparse.ArgumentTypeError(f"the byte 0x{ord(character) - 0xDC00:02x} is not {encoding} text")
    return typed


def _temperature(typed: str) -> float:
    try:
        return parse_temperature(typed)
    except TemperatureError as error:
        raise argparse.ArgumentTypeError(
            f"{typed[:40]!r} is not a number from {MIN_TEMPERATURE} to {MAX_TEMPERATURE}"
        ) from error


def _whole(typed: str) -> int:
    if not typed.removeprefix("-").isdecimal() or len(typed) > 40:
        raise argparse.ArgumentTypeError(f"{typed[:40]!r} is not a whole number")
    return int(typed)


def _real(typed: str) -> float:
    try:
        return float(typed.replace(",", "."))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{typed[:40]!r} is not a number") from error
