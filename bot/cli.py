"""The command line. Exit status: 0 done, 1 something went wrong or `check` found it, 2 wrong usage, configuration,
weights or database, 130 Ctrl-C, 141 nobody reads the output any more."""

from __future__ import annotations

import argparse
import asyncio
import io
import logging
import os
import secrets
import sys
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Final, NoReturn

import msgspec

from bot import messages
from bot.config import ConfigError, load
from bot.errors import StoreError
from bot.opening import OpeningTooLong, fit_opening
from bot.parsing import TemperatureError, parse_temperature
from bot.serving import open_generator
from bot.settings import Config
from generator import MAX_LENGTH, MAX_SEED, GenerationRequest, GeneratorError, InvalidRequest, Sampling, WeightsError
from generator.prose import presentable
from generator.request import MAX_TEMPERATURE, MIN_TEMPERATURE

WRONG: Final = 1
UNUSABLE: Final = 2
INTERRUPTED: Final = 128 + 2
"""As a shell reports a process that SIGINT ended."""
UNREAD: Final = 128 + 13
"""As a shell reports a process that SIGPIPE ended."""
DEFAULT_CONFIG: Final = Path("config.toml")
log = logging.getLogger(__name__)


class _Parser(argparse.ArgumentParser):
    """Tells of a mistake in one line, instead of the whole usage and a line."""

    def error(self, message: str) -> NoReturn:
        self.exit(UNUSABLE, f"{self.prog}: {message}; see {self.prog} --help\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns the exit status. `arguments`: those after the program's name."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that knows no “ gets a question mark, not a crash
    parser = _parser()
    options = parser.parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        status = run(options)
        if sys.stdout is not None:
            sys.stdout.flush()
        return status
    except ConfigError as error:
        return _fail(options, UNUSABLE, *error.problems)
    except (InvalidRequest, WeightsError, StoreError, OpeningTooLong) as error:
        return _fail(options, UNUSABLE, str(error))
    except GeneratorError as error:
        return _fail(options, WRONG, str(error))
    except BrokenPipeError:
        # Python flushes standard output once more at exit; let that go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNREAD
    except KeyboardInterrupt:
        return INTERRUPTED


def _fail(options: argparse.Namespace, status: int, *lines: str) -> int:
    for line in lines:
        print(f"{options.prog}: {line}", file=sys.stderr)
    return status


def _source(options: argparse.Namespace) -> Path | None:
    named: Path | None = options.config
    if named is None and DEFAULT_CONFIG.is_file():
        return DEFAULT_CONFIG
    return named


def _config(options: argparse.Namespace) -> Config:
    """The configuration, with logging set as it says. Raises `ConfigError`."""
    config = load(_source(options), os.environ)
    logging.basicConfig(level=config.log.level.upper(), format="lstmega: %(levelname)s: %(message)s")
    return config


def _chat(options: argparse.Namespace) -> int:
    asyncio.run(_talk(_config(options)))
    return 0


async def _talk(config: Config) -> None:
    # Only the commands that need the database load its library.
    from bot.commands import Commands  # noqa: PLC0415
    from bot.platforms import console  # noqa: PLC0415
    from bot.store import Store  # noqa: PLC0415

    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(Store.open(config.database))
        generator = await stack.enter_async_context(open_generator(config.generator))
        await console.chat(Commands(generator, store, config.bot), config.database.parent)


def _generate(options: argparse.Namespace) -> int:
    config = _config(options)
    settings = config.bot
    request = GenerationRequest(
        length=settings.length if options.length is None else options.length,
        seed=secrets.randbelow(MAX_SEED + 1) if options.seed is None else options.seed,
        sampling=Sampling(
            temperature=settings.temperature if options.temperature is None else options.temperature,
            top_p=settings.top_p if options.top_p is None else options.top_p,
            min_p=settings.min_p if options.min_p is None else options.min_p,
        ),
    )
    if options.weights is not None:
        section = msgspec.structs.replace(config.generator, weights=options.weights)
        config = msgspec.structs.replace(config, generator=section)
    if options.verbose or (sys.stderr is not None and sys.stderr.isatty()):
        print(f"seed {request.seed}", file=sys.stderr)
    print(asyncio.run(_write(config, request, options.prompt)))
    return 0


async def _write(config: Config, request: GenerationRequest, prompt: str) -> str:
    async with open_generator(config.generator) as generator:
        manifest = generator.weights.manifest
        opening = fit_opening(prompt, manifest)
        if notice := messages.fitted(opening):
            print(notice, file=sys.stderr)
        generation = await generator.generate(replace(request, opening=opening.text))
        return presentable(opening.text + generation.text, hard_wrapped=manifest.hard_wrapped)


def _check(options: argparse.Namespace) -> int:
    return asyncio.run(_look(_config(options), _source(options)))


async def _look(config: Config, source: Path | None) -> int:
    from bot.check import findings  # noqa: PLC0415 - loads the database library, as in `_talk`

    right = True
    async for finding in findings(config, source):
        print(finding, flush=True)
        right = right and finding.right
    return 0 if right else WRONG


def _run(options: argparse.Namespace) -> int:
    config = load(_source(options), os.environ)
    if not config.discord.token and not config.telegram.token:
        variables = "LSTMEGA_DISCORD__TOKEN or LSTMEGA_TELEGRAM__TOKEN"
        return _fail(options, UNUSABLE, f"no platform has a token: set {variables}; `chat` needs none")
    return _logged(options, config, lambda service: service.run(config))


def _sync(options: argparse.Namespace) -> int:
    config = load(_source(options), os.environ)
    if not config.discord.token:
        return _fail(options, UNUSABLE, "Discord has no token: set LSTMEGA_DISCORD__TOKEN")
    return _logged(options, config, lambda service: service.sync(config))


def _logged(
    options: argparse.Namespace, config: Config, work: Callable[[ModuleType], Coroutine[None, None, None]]
) -> int:
    """Runs what the module `bot.service` is to do. Nothing that it logs, or fails with, shows a token."""
    # Only `run` and `sync` need the platforms, the web server and what they bring.
    from bot import logs, service  # noqa: PLC0415

    redact = logs.Redaction.of(config)
    logs.set_up(config.log.level, options.log_format, redact)
    try:
        asyncio.run(work(service))
    except ConfigError as error:
        return _fail(options, UNUSABLE, *map(redact, error.problems))
    except service.SyncFailed as error:
        return _fail(options, WRONG, redact(str(error)))
    except (WeightsError, StoreError):
        raise  # `main` tells these in one line
    except Exception:  # a defect, or the machine's trouble: one line, as for every event, with no token in it
        log.critical("%s failed", options.prog, exc_info=True)
        return WRONG
    return 0


def _reload(options: argparse.Namespace) -> int:
    from bot.asking import NoService, ask_to_reload  # noqa: PLC0415 - an HTTP client, for nothing else

    try:
        answer = ask_to_reload(_config(options).http)
    except NoService as error:
        return _fail(options, UNUSABLE, str(error))
    if not answer.reloaded:
        return _fail(options, WRONG, answer.message)
    print(answer.message)
    return 0


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


def _parser() -> argparse.ArgumentParser:
    prog = "lstmega" if Path(sys.argv[0]).stem == "lstmega" else "python -m bot"
    parser = _Parser(
        prog=prog,
        description="LSTMega writes in the manner of a book, one character after another.",
        epilog=f"Begin with: {prog} chat",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=_Parser)

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
        _chat,
        "The bot in this terminal.",
        "Then type /nietzsche 0.7, or /help. Ctrl-C stops a text, Ctrl-D leaves. In a pipe it answers line by line:\n"
        "  echo '/nietzsche 0.7 The philosopher' | {prog} chat",
    )
    logged = (
        command(
            "run",
            _run,
            "The bot on every platform whose token is set.",
            "Stops at Ctrl-C or SIGTERM once everybody has their answer; a second one stops it at once. SIGHUP, or a\n"
            "change of CURRENT, takes up the weights that CURRENT names.",
        ),
        command("sync", _sync, "Tells Discord about the commands, even if they have not changed."),
    )
    for sub in logged:
        sub.add_argument(
            "--log-format", choices=["human", "json"], default="human", help="of the lines on standard error"
        )
    generate = command(
        "generate",
        _generate,
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
        _check,
        "Says line by line what is right and wrong: configuration, tokens, weights, database.",
        "Exit status: 0 all is right, 1 something is wrong, 2 the configuration cannot be read.",
    )
    command(
        "reload",
        _reload,
        "Asks the running service to take up the weights that CURRENT names.",
        "Finds it at [http] host and port. Exit status: 0 they serve now, 1 they cannot be served, and the old ones\n"
        "serve on, 2 no service answers there.",
    )
    return parser
