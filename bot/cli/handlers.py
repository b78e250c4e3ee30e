"""What each command of the command line does: from its options to an exit status."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import secrets
import sys
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Final

import msgspec

from bot.cli.exit_codes import UNUSABLE, WRONG, fail
from bot.config.loader import ConfigError, load
from bot.config.schema import Config, Secret, redact_url
from bot.core import messages
from bot.core.parsing import fit_prompt
from bot.platforms.base import CommandSyncError
from bot.service.generator_factory import open_generator
from bot.store.errors import StoreError
from generator import MAX_SEED, GenerationRequest, Unavailable, WeightsError
from generator.prose import presentable
from generator.types import SETTINGS

DEFAULT_CONFIG: Final = Path("config.toml")
log = logging.getLogger(__name__)


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


def chat(options: argparse.Namespace) -> int:
    """Talks in this terminal."""
    asyncio.run(_talk(_config(options)))
    return 0


async def _talk(config: Config) -> None:
    # Only the commands that need the database load its library.
    from bot.core.commands import Commands  # noqa: PLC0415
    from bot.platforms.terminal.chat import chat  # noqa: PLC0415
    from bot.store.store import Store  # noqa: PLC0415

    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(Store.open(config.database, keep_days=config.store.keep_days))
        generator = await stack.enter_async_context(open_generator(config.generator))
        await chat(Commands(generator, store, config.bot), config.folder)


def generate(options: argparse.Namespace) -> int:
    """Writes one text to standard output."""
    config = _config(options)
    settings = config.bot
    given = {name: value for name in SETTINGS if (value := getattr(options, name, None)) is not None}
    sampling = msgspec.structs.replace(settings.sampling, **given)
    request = GenerationRequest(
        length=settings.length if options.length is None else options.length,
        seed=secrets.randbelow(MAX_SEED + 1) if options.seed is None else options.seed,
        sampling=sampling,
    )
    if options.weights is not None:
        section = msgspec.structs.replace(config.generator, weights=options.weights, address="")
        config = msgspec.structs.replace(config, generator=section)
    if options.verbose or (sys.stderr is not None and sys.stderr.isatty()):
        print(f"seed {request.seed}", file=sys.stderr)
    print(asyncio.run(_write(config, request, options.prompt)))
    return 0


async def _write(config: Config, request: GenerationRequest, typed: str) -> str:
    async with open_generator(config.generator) as generator:
        manifest = generator.weights.manifest
        prompt = fit_prompt(typed, manifest)
        if notice := messages.fitted(prompt):
            print(notice, file=sys.stderr)
        generation = await generator.generate(replace(request, prompt=prompt.text))
        return presentable(prompt.text + generation.text, hard_wrapped=manifest.hard_wrapped)


def check(options: argparse.Namespace) -> int:
    """Tells line by line what is right and wrong."""
    return asyncio.run(_look(_config(options), _source(options)))


async def _look(config: Config, source: Path | None) -> int:
    from bot.cli.doctor import findings  # noqa: PLC0415 - loads the database library, as in `_talk`

    right = True
    async for finding in findings(config, source):
        print(finding, flush=True)
        right = right and finding.right
    return 0 if right else WRONG


def run(options: argparse.Namespace) -> int:
    """Serves until it is told to stop."""
    config = load(_source(options), os.environ)
    if not config.discord.token and not config.telegram.token:
        variables = "LSTMEGA_DISCORD__TOKEN or LSTMEGA_TELEGRAM__TOKEN"
        return fail(options.prog, UNUSABLE, f"no platform has a token: set {variables}; `chat` needs none")
    return _logged(
        options,
        config,
        lambda service: service.run(config, end_within=service.DRAIN_SECONDS + service.CLOSE_SECONDS),
    )


def sync(options: argparse.Namespace) -> int:
    """Tells Discord about the commands."""
    config = load(_source(options), os.environ)
    if not config.discord.token:
        return fail(options.prog, UNUSABLE, "Discord has no token: set LSTMEGA_DISCORD__TOKEN")
    return _logged(options, config, lambda service: service.sync(config))


def _logged(
    options: argparse.Namespace, config: Config, work: Callable[[ModuleType], Coroutine[None, None, None]]
) -> int:
    """Runs what the module `bot.service.app` is to do. Nothing that it logs, or fails with, shows a token."""
    # Only `run` and `sync` need the platforms, the web server and what they bring.
    from bot import logs  # noqa: PLC0415
    from bot.service import app as service  # noqa: PLC0415

    redact = logs.Redaction.of(config)
    logs.set_up(config.log.level, options.log_format, redact)
    try:
        asyncio.run(work(service))
    except ConfigError as error:
        return fail(options.prog, UNUSABLE, *map(redact, error.problems))
    except CommandSyncError as error:
        return fail(options.prog, WRONG, redact(str(error)))
    except (Unavailable, WeightsError, StoreError):
        raise  # `main` tells these in one line
    except Exception:  # a defect, or the machine's trouble: one line, as for every event, with no token in it
        log.critical("%s failed", options.prog, exc_info=True)
        return WRONG
    return 0


def backup(options: argparse.Namespace) -> int:
    """Copies the database into a file."""
    from bot.store.backup import back_up_file, back_up_postgres  # noqa: PLC0415 - loads the database library, as in `_talk`

    source, target = _config(options).database, options.file
    if isinstance(source, Secret):
        asyncio.run(back_up_postgres(source, target))
    else:
        back_up_file(source, target)
    place = redact_url(source) if isinstance(source, Secret) else source
    print(f"{target}: {target.stat().st_size:,} bytes, a copy of {place}")
    return 0


def bring(options: argparse.Namespace) -> int:
    """Copies a file into the PostgreSQL."""
    from bot.store.importing import import_file  # noqa: PLC0415 - loads the database library, as in `_talk`

    target = _config(options).database
    if isinstance(target, Path):
        return fail(options.prog, UNUSABLE, "no PostgreSQL is configured to copy into: set [store] url")
    rows = asyncio.run(import_file(options.file, target))
    place = redact_url(target)
    print(f"{place} holds all of {options.file} now: {', '.join(f'{table} {rows[table]:,}' for table in rows)}")
    print("Start the bots with this [store] url. The file is as it was, but /forgetme does not reach it any more:")
    print("once the bots run, delete it, and what ends in -wal or -shm beside it.")
    return 0


def reload(options: argparse.Namespace) -> int:
    """Asks the running service to take up other weights."""
    from bot.cli.reload_client import NoService, request_reload  # noqa: PLC0415 - an HTTP client, for nothing else

    try:
        answer = request_reload(_config(options))
    except NoService as error:
        return fail(options.prog, UNUSABLE, str(error))
    if not answer.reloaded:
        return fail(options.prog, WRONG, answer.message)
    print(answer.message)
    return 0
