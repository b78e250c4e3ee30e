"""The commands: each takes its options and returns an exit code. Its docstring is its help text."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import secrets
import sys
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec

from bot import logs
from bot.cli.exit_codes import FAILURE, USAGE, fail
from bot.cli.reload_client import NoService, request_reload
from bot.config.loader import ConfigError, load
from bot.config.schema import Config, Secret, redact_url
from bot.core import messages
from bot.core.parsing import fit_prompt
from bot.platforms.base import CommandSyncError
from bot.service.generator_factory import open_generator
from bot.store.errors import StoreError
from generator import MAX_SEED, GenerationRequest, Unavailable, WeightsError
from generator.prose import presentable
from generator.sampling_params import SETTINGS, UNMODIFIED, SamplingParams

# Functions import what loads an optional or heavy library: SQLite's, those of the platforms, the web server.

DEFAULT_CONFIG: Final = Path("config.toml")
log = logging.getLogger(__name__)


def _source(options: argparse.Namespace) -> Path | None:
    """Returns the configuration file, or `None` when there is none."""
    named: Path | None = options.config
    return DEFAULT_CONFIG if named is None and DEFAULT_CONFIG.is_file() else named


def _config(options: argparse.Namespace, min_level: int = logging.DEBUG) -> Config:
    """Loads the configuration and sets the log level, to at least `min_level`. Raises `ConfigError`."""
    config = load(_source(options), os.environ)
    level = max(min_level, logging.getLevelNamesMapping()[config.log.level.upper()])
    logging.basicConfig(level=level, format="lstmega: %(levelname)s: %(message)s")
    return config


def chat(options: argparse.Namespace) -> int:
    """The bot in this terminal.

    Then type /nietzsche 0.7, or /help. Ctrl-C stops a text, Ctrl-D leaves. In a pipe it answers line by line:
      echo '/nietzsche 0.7 The philosopher' | {prog} chat
    """
    asyncio.run(_chat(_config(options)))
    return 0


async def _chat(config: Config) -> None:
    from bot.core.commands import Commands  # noqa: PLC0415
    from bot.platforms.terminal.chat import chat  # noqa: PLC0415
    from bot.store.store import Store  # noqa: PLC0415

    async with (
        Store.open(config.database, keep_days=config.store.keep_days) as store,
        open_generator(config.generator) as generator,
    ):
        await chat(Commands(generator, store, config.bot), config.folder)


def generate(options: argparse.Namespace) -> int:
    """Writes one text to standard output.

    examples:
      {prog} generate
      {prog} generate --temperature 0.5 --length 800 'The philosopher'
      {prog} generate --seed 7        (the same text each time)

    The configuration sets what is not given.
    """
    if options.text and options.prompt is not None:
        return fail(options.prog, USAGE, "give the prompt once, as TEXT or with --prompt")
    config = _config(options)
    given = {name: value for name in SETTINGS if (value := getattr(options, name)) is not None}
    request = GenerationRequest(
        length=config.bot.length if options.length is None else options.length,
        seed=secrets.randbelow(MAX_SEED + 1) if options.seed is None else options.seed,
        sampling=msgspec.structs.replace(config.bot.sampling, **given),
    )
    if options.weights is not None:
        section = msgspec.structs.replace(config.generator, weights=options.weights, address="")
        config = msgspec.structs.replace(config, generator=section)
    if options.verbose or (sys.stderr is not None and sys.stderr.isatty()):
        print(f"seed {request.seed}, {_used(request.sampling)}", file=sys.stderr)
    print(asyncio.run(_generate(config, request, options.prompt or " ".join(options.text))))
    return 0


def _used(sampling: SamplingParams) -> str:
    """Returns the temperature, and whatever else differs from what draws from all characters."""
    values = {name: getattr(sampling, name) for name in SETTINGS}
    used = [f"{name} {value:g}" for name, value in values.items() if value != getattr(UNMODIFIED, name)]
    return ", ".join(used) or f"temperature {sampling.temperature:g}"


async def _generate(config: Config, request: GenerationRequest, typed: str) -> str:
    async with open_generator(config.generator) as generator:
        manifest = generator.weights.manifest
        prompt = fit_prompt(typed, manifest)
        if notice := messages.fitted(prompt):
            print(notice, file=sys.stderr)
        generation = await generator.generate(replace(request, prompt=prompt.text))
        return presentable(prompt.text + generation.text, hard_wrapped=manifest.hard_wrapped)


def check(options: argparse.Namespace) -> int:
    """Says line by line what is right and wrong: configuration, tokens, weights, database. Changes nothing.

    Exit status: 0 all is right, 1 something is wrong, 2 the configuration cannot be read.
    """
    return asyncio.run(_check(_config(options, logging.WARNING), _source(options)))


async def _check(config: Config, source: Path | None) -> int:
    from bot.cli.doctor import findings  # noqa: PLC0415

    code = 0
    async for finding in findings(config, source):
        print(finding, flush=True)
        code = code if finding.right else FAILURE
    return code


def run(options: argparse.Namespace) -> int:
    """The bot on every platform whose token is set.

    SIGTERM or Ctrl-C stops it after the running texts; a second signal stops it at once. SIGHUP, or a change of
    CURRENT, reloads the weights.
    """
    config = load(_source(options), os.environ)
    if not config.discord.token and not config.telegram.token:
        variables = "LSTMEGA_DISCORD__TOKEN or LSTMEGA_TELEGRAM__TOKEN"
        return fail(options.prog, USAGE, f"no platform has a token: set {variables}; `chat` needs none")
    from bot.service import app  # noqa: PLC0415

    return _logged(options, config, app.run(config, end_within=app.DRAIN_SECONDS + app.CLOSE_SECONDS))


def sync(options: argparse.Namespace) -> int:
    """Registers the commands with Discord, even if they have not changed."""
    config = load(_source(options), os.environ)
    if not config.discord.token:
        return fail(options.prog, USAGE, "Discord has no token: set LSTMEGA_DISCORD__TOKEN")
    from bot.service import app  # noqa: PLC0415

    return _logged(options, config, app.sync(config))


def _logged(options: argparse.Namespace, config: Config, work: Coroutine[None, None, None]) -> int:
    """Runs the service, or a part of it, with its log. No secret is shown there or in errors."""
    redact = logs.Redaction.of(config)
    logs.set_up(config.log.level, options.log_format, redact)
    try:
        asyncio.run(work)
    except ConfigError as error:
        return fail(options.prog, USAGE, *map(redact, error.problems))
    except CommandSyncError as error:
        return fail(options.prog, FAILURE, redact(str(error)))
    except (Unavailable, WeightsError, StoreError, ModuleNotFoundError):
        raise  # `main` reports these
    except Exception:
        log.critical("service.failed command=%s", options.prog.rpartition(" ")[2], exc_info=True)
        return FAILURE
    return 0


def backup(options: argparse.Namespace) -> int:
    """Copies the database into a new file, while the service runs.

    To restore it: stop the service, put the copy in the database's place, delete the files beside it that end in -wal
    and -shm, start the service. Weights are copied as folders.

    The copy of a PostgreSQL ([store] url) is an SQLite file as well; `{prog} import` is its way back.
    """
    from bot.store.backup import back_up  # noqa: PLC0415

    source, target = _config(options, logging.INFO).database, options.file
    asyncio.run(back_up(source, target))
    place = redact_url(source) if isinstance(source, Secret) else source
    print(f"{target}: {target.stat().st_size:,} bytes, a copy of {place}")
    return 0


def import_database(options: argparse.Namespace) -> int:
    """Copies everything in a database's file into the PostgreSQL that [store] url names.

    For moving there from [store] path, and for restoring a backup. The PostgreSQL must not hold data yet, and no bot
    may have the file open; the file stays as it is. Says how many rows of each table there were.
    Exit status: 0 everything is copied; 1 nothing is, PostgreSQL is unavailable, so try again; 2 nothing is, and the
    line says what to change.
    """
    from bot.store.backup import import_file  # noqa: PLC0415

    target = _config(options).database
    if isinstance(target, Path):
        return fail(options.prog, USAGE, "no PostgreSQL is configured to copy into: set [store] url")
    rows = asyncio.run(import_file(options.file, target))
    counts = ", ".join(f"{table} {number:,}" for table, number in rows.items())
    print(f"{redact_url(target)} holds all of {options.file} now: {counts}")
    print("Start the bots with this [store] url. The file is as it was, but /forgetme does not reach it any more:")
    print("once the bots run, delete it, and what ends in -wal or -shm beside it.")
    return 0


def reload(options: argparse.Namespace) -> int:
    """Asks the running service to load the weights that CURRENT names.

    Finds it by the folder of [store] path and [http] port. Exit status: 0 they serve now, 1 they
    are refused, and the old ones continue to serve, 2 no service answers there.
    """
    try:
        answer = request_reload(_config(options))
    except NoService as error:
        return fail(options.prog, USAGE, str(error))
    if not answer.reloaded:
        return fail(options.prog, FAILURE, answer.message)
    print(answer.message)
    return 0
