"""The options of the command line, and how each is typed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from bot.cli import handlers
from bot.cli.exit_codes import UNUSABLE
from bot.core.parsing import TemperatureError, parse_temperature
from generator import MAX_LENGTH
from generator.types import MAX_TEMPERATURE, MIN_TEMPERATURE


class _Parser(argparse.ArgumentParser):
    """Tells of a mistake in one line, instead of the whole usage and a line."""

    def error(self, message: str) -> NoReturn:
        self.exit(UNUSABLE, f"{self.prog}: {message}; see {self.prog} --help\n")


def parser() -> argparse.ArgumentParser:
    """Reads the arguments; the `run` of what it gives does the work, `prog` is the name to fail under."""
    prog = "lstmega" if Path(sys.argv[0]).stem == "lstmega" else "python -m bot"
    whole = _Parser(
        prog=prog,
        description="LSTMega writes in the manner of a book, one character after another.",
        epilog=f"Begin with: {prog} chat",
    )
    commands = whole.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=_Parser)

    def command(
        name: str, run: Callable[[argparse.Namespace], int], summary: str, more: str = ""
    ) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name,
            help=summary[0].lower() + summary[1:].removesuffix("."),
            description=summary,
            epilog=more.format(prog=prog),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.set_defaults(run=run, prog=f"{prog} {name}")
        sub.add_argument(
            "--config", type=Path, metavar="FILE", help="configuration (default: config.toml, if there is one here)"
        )
        return sub

    command(
        "chat",
        handlers.chat,
        "The bot in this terminal.",
        "Then type /nietzsche 0.7, or /help. Ctrl-C stops a text, Ctrl-D leaves. In a pipe it answers line by line:\n"
        "  echo '/nietzsche 0.7 The philosopher' | {prog} chat",
    )
    logged = (
        command(
            "run",
            handlers.run,
            "The bot on every platform whose token is set.",
            "Stops at Ctrl-C or SIGTERM once everybody has their answer; a second one stops it at once. SIGHUP, or a\n"
            "change of CURRENT, takes up the weights that CURRENT names.",
        ),
        command("sync", handlers.sync, "Tells Discord about the commands, even if they have not changed."),
    )
    for sub in logged:
        sub.add_argument(
            "--log-format", choices=["human", "json"], default="human", help="of the lines on standard error"
        )
    generate = command(
        "generate",
        handlers.generate,
        "Writes one text to standard output.",
        "examples:\n"
        "  {prog} generate\n"
        "  {prog} generate --temperature 0.5 --length 800 --prompt 'The philosopher'\n"
        "  {prog} generate --seed 7        (the same text each time)\n\n"
        "What is not given is taken from the configuration.",
    )
    generate.add_argument(
        "--temperature", type=_temperature, metavar="T", help=f"{MIN_TEMPERATURE} (careful) to {MAX_TEMPERATURE} (wild)"
    )
    generate.add_argument(
        "--length", type=_whole, metavar="N", help=f"about so many characters, 1 to {MAX_LENGTH}; ends with a sentence"
    )
    generate.add_argument("--prompt", default="", metavar="TEXT", help="how the text begins")
    generate.add_argument(
        "--seed", type=_whole, metavar="N", help="the same seed and options give the same text (default: a random one)"
    )
    generate.add_argument(
        "--top-p", type=_real, metavar="P", help="draw from the likeliest characters that make up P; 1 is off"
    )
    generate.add_argument(
        "--min-p", type=_real, metavar="P", help="draw characters at least P as likely as the likeliest; 0 is off"
    )
    generate.add_argument(
        "--weights", type=Path, metavar="FOLDER", help="a weights folder, or the folder of one version in it"
    )
    generate.add_argument("--verbose", action="store_true", help="tell the seed on standard error")
    command(
        "check",
        handlers.check,
        "Says line by line what is right and wrong: configuration, tokens, weights, database.",
        "Exit status: 0 all is right, 1 something is wrong, 2 the configuration cannot be read.",
    )
    command(
        "backup",
        handlers.backup,
        "Copies the database into a new file, while the service runs.",
        "To restore it: stop the service, put the copy in the database's place, delete the files beside it that end\n"
        "in -wal and -shm, start the service. Weights are copied as folders.\n\n"
        "The copy of a PostgreSQL ([store] url) is an SQLite file as well; `{prog} import` is its way back.",
    ).add_argument("file", type=Path, metavar="FILE", help="the copy; must not be there yet")
    command(
        "import",
        handlers.bring,
        "Copies everything in a database's file into the PostgreSQL that [store] url names.",
        "For moving there from [store] path, and for restoring a backup. The PostgreSQL must hold nobody's data yet,\n"
        "and no bot may have the file open; the file stays as it is. Says how many rows of each table there were.\n"
        "Exit status: 0 all of it is there; 1 nothing is, PostgreSQL is away, so try again; 2 nothing is, and the\n"
        "line says what to mend.",
    ).add_argument("file", type=Path, metavar="FILE", help="an SQLite file of the bot, of this version or an older one")
    command(
        "reload",
        handlers.reload,
        "Asks the running service to take up the weights that CURRENT names.",
        "Finds it at [http] host and port. Exit status: 0 they serve now, 1 they cannot be served, and the old ones\n"
        "serve on, 2 no service answers there.",
    )
    return whole


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
