"""The commands: each takes its options and the configuration. Its docstring is its help.

Functions import what loads an optional or heavy library: SQLite's, those of the platforms, the web server.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import secrets
import shutil
import sys
from contextlib import closing
from dataclasses import replace

import msgspec

from bot import logs
from bot.cli.errors import FAILURE, UsageError
from bot.config.loader import default_file, load
from bot.config.schema import Config, GeneratorSection, Secret, VoiceSection, redact_url
from bot.core import language, messages
from bot.core.parsing import fit_prompt
from bot.service.reload import COMMAND, REQUEST, Answer, socket_path
from bot.service.voices import VoiceManager, open_generator
from generator import MAX_SEED, GenerationRequest
from generator.prose import presentable, printable, wrapped
from generator.sampling_params import SETTINGS
from generator.weights.versions import NIETZSCHE


async def chat(options: argparse.Namespace, config: Config) -> None:
    """The bot in this terminal.

    With the folder of a run of train.py as --weights, it talks from the best epoch so far.
    Then type /nietzsche 0.7, or /help. Ctrl-C stops a text, Ctrl-D leaves. In a pipe it answers line by line:
      echo '/nietzsche 0.7 The philosopher' | {prog} chat
    """
    from bot.core.commands import Commands  # noqa: PLC0415
    from bot.store.store import Store  # noqa: PLC0415

    config = _with_weights(options, config)
    async with (
        Store.open(config.database, keep_days=config.store.keep_days) as store,
        VoiceManager.open(config, lambda: _with_weights(options, _read(options))) as voices,
    ):
        commands = Commands(voices.by_name, store, config.bot, reload=lambda: voices.reload(COMMAND))
        voices.configure = lambda now: commands.configure(now.bot, now.access)
        at_terminal = sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()
        if at_terminal and os.environ.get("TERM") not in ("dumb", "unknown"):  # which know no escape sequences
            from bot.platforms.terminal import prompt  # noqa: PLC0415

            await prompt.talk(commands, config.folder / "history")
        elif sys.stdin is not None:  # which is None if the process was started with it closed
            from bot.platforms.terminal import pipe  # noqa: PLC0415

            width = shutil.get_terminal_size().columns if at_terminal else 0
            await pipe.talk(commands, pipe.lines_of(sys.stdin.fileno()), sys.stdout, width=width)


async def generate(options: argparse.Namespace, config: Config) -> None:
    """Writes one text to standard output.

    examples:
      {prog} generate
      {prog} generate --temperature 0.5 --length 800 'The philosopher'
      {prog} generate --seed 7        (the same text each time)

    The configuration sets what is not given.
    """
    if options.text and options.prompt is not None:
        raise UsageError("give the prompt once, as TEXT or with --prompt")
    given = {name: value for name in SETTINGS if (value := getattr(options, name)) is not None}
    request = GenerationRequest(
        length=config.bot.length if options.length is None else options.length,
        seed=secrets.randbelow(MAX_SEED + 1) if options.seed is None else options.seed,
        sampling=msgspec.structs.replace(config.bot.sampling, **given),
    )
    config = _with_weights(options, config)
    name = next(iter(config.voices))
    if options.verbose or (sys.stderr is not None and sys.stderr.isatty()):
        print(f"seed {request.seed}, temperature {request.sampling.temperature:g}", file=sys.stderr)
    async with open_generator(config, name) as generator:
        manifest = generator.weights.manifest
        prompt = fit_prompt(options.prompt or " ".join(options.text), manifest)
        if notice := messages.fitted(prompt, language.of("").say):
            print(notice, file=sys.stderr)
        generation = await generator.generate(replace(request, prompt=prompt.text))
    shown = presentable(prompt.text + generation.text, hard_wrapped=manifest.hard_wrapped)
    if sys.stdout is not None and sys.stdout.isatty():
        print(wrapped(printable(shown), shutil.get_terminal_size().columns))
    else:  # for a program, but none of them obeys a control character that the network learnt
        print(printable(shown, dropped=("Cc",), kept="\n\t"))


def _with_weights(options: argparse.Namespace, config: Config) -> Config:
    """Returns the configuration with one voice, on the weights that --weights names, if it names any."""
    if options.weights is None:
        return config
    voices = {NIETZSCHE: VoiceSection(weights=options.weights, command=NIETZSCHE)}
    return msgspec.structs.replace(config, voices=voices, generator=GeneratorSection(threads=config.generator.threads))


async def check(options: argparse.Namespace, config: Config) -> int:
    """Says line by line what is right and wrong: configuration, tokens, weights, database. Changes nothing.

    With --online it asks the platforms too: whether they accept the tokens, who the bot is, what to change in its
    settings there, and the link that adds it to a Discord server. A running bot is not disturbed.
    Exit status: 0 all is right, 1 something is wrong, 2 the configuration cannot be read.
    """
    from bot.cli.doctor import findings  # noqa: PLC0415

    logging.getLogger().setLevel(logging.WARNING)
    code, verdicts = 0, {True: "ok", None: "note", False: "wrong"}
    async for name, detail, right in findings(config, options.config, online=options.online):
        print(f"{verdicts[right]:<5}  {name:<15}  {detail}", flush=True)
        code = FAILURE if right is False else code
    return code


async def run(options: argparse.Namespace, config: Config) -> None:
    """The bot on every platform whose token is set.

    SIGTERM or Ctrl-C stops it after the running texts; a second signal stops it at once. SIGHUP reads [voices], [bot]
    and [access] of the configuration again and reloads the weights; a change of CURRENT reloads the weights.
    """
    if not config.discord.token and not config.telegram.token:
        variables = "LSTMEGA_DISCORD__TOKEN or LSTMEGA_TELEGRAM__TOKEN"
        raise UsageError(f"no platform has a token: set {variables}; `chat` needs none")
    from bot.service import app  # noqa: PLC0415

    _set_up_log(options, config)
    await app.run(config, read=lambda: _read(options), end_within=app.DRAIN_SECONDS + app.CLOSE_SECONDS)


def _read(options: argparse.Namespace) -> Config:
    """Reads the configuration again; its file may be new."""
    return load(options.config or default_file(), os.environ)


async def sync(options: argparse.Namespace, config: Config) -> None:
    """Registers the commands with Discord, even if they have not changed."""
    if not config.discord.token:
        raise UsageError("Discord has no token: set LSTMEGA_DISCORD__TOKEN")
    from bot.service import app  # noqa: PLC0415

    _set_up_log(options, config)
    await app.sync(config)


def _set_up_log(options: argparse.Namespace, config: Config) -> None:
    """Logs as a service does. No secret is shown there or in errors."""
    options.redact = logs.Redaction.of(config)
    logs.set_up(config.log.level, options.log_format, options.redact)


async def backup(options: argparse.Namespace, config: Config) -> None:
    """Copies the database into a new file, while the service runs.

    In a folder the file is named by date and time; --keep 7 then deletes all backups there but the newest 7.
    `{prog} restore FILE` puts a backup in the database's place. Weights are copied as folders.

    The copy of a PostgreSQL ([store] url) is an SQLite file as well; `{prog} import` is its way back.
    """
    from bot.store.backup import back_up, dated, keep_newest  # noqa: PLC0415

    source, target = config.database, options.file
    if folder := target if target.is_dir() else None:
        target = dated(folder)
    elif options.keep:
        raise UsageError(f"--keep is for a folder of backups, and {target} is none")
    await back_up(source, target)
    if folder and options.keep:
        keep_newest(folder, options.keep)
    place = redact_url(source) if isinstance(source, Secret) else source
    print(f"{target}: {target.stat().st_size:,} bytes, a copy of {place}")


async def restore(options: argparse.Namespace, config: Config) -> None:
    """Puts a backup in the place of the database. Stop the service first.

    The database that was there is kept beside it for 30 days, or until the next /forgetme. For a PostgreSQL
    ([store] url) use `{prog} import`.
    """
    from bot.store.backup import restore as restored  # noqa: PLC0415

    target = config.database
    if isinstance(target, Secret):
        raise UsageError("[store] url names a PostgreSQL; `import` copies a backup there")
    kept = restored(options.file, target)
    print(f"{target}: restored from {options.file}" + (f"; what was there is in {kept}" if kept else ""))


async def import_(options: argparse.Namespace, config: Config) -> None:
    """Copies everything in a database's file into the PostgreSQL that [store] url names.

    For moving there from [store] path, and for restoring a backup. The PostgreSQL must not hold data yet, and no bot
    may have the file open; the file stays as it is. Says how many rows of each table there were.
    Exit status: 0 everything is copied; 1 nothing is, PostgreSQL is unavailable, so try again; 2 nothing is, and the
    line says what to change.
    """
    from bot.store.backup import import_file  # noqa: PLC0415

    target = config.database
    if not isinstance(target, Secret):
        raise UsageError("no PostgreSQL is configured to copy into: set [store] url")
    rows = await import_file(options.file, target)
    counts = ", ".join(f"{table} {number:,}" for table, number in rows.items())
    print(f"{redact_url(target)} holds all of {options.file} now: {counts}")
    print("Start the bots with this [store] url. The file is as it was, but /forgetme does not reach it any more:")
    print("once the bots run, delete it, and what ends in -wal or -shm beside it.")


async def reload(options: argparse.Namespace, config: Config) -> int:
    """Asks the running service to load the weights that CURRENT names, and [voices], [bot] and [access] as they are.

    Finds it by the folder of [store] path and [http] port. Exit status: 0 they serve now, 1 they
    are refused, and the old ones continue to serve, 2 no service answers there.
    """
    answer = await request_reload(config)
    if not answer.reloaded:
        print(f"{options.parser.prog}: {answer.message}", file=sys.stderr)
        return FAILURE
    print(answer.message)
    return 0


async def request_reload(config: Config, within: float = 120.0) -> Answer:
    """Requests the weights that CURRENT names, and waits at most `within` seconds until they serve or are refused.

    Large ones on a small, busy machine take long. Raises `UsageError` when no service answers.
    """
    path = socket_path(config)
    try:
        async with asyncio.timeout(within):
            reader, writer = await asyncio.open_unix_connection(path)
            with closing(writer):
                writer.write(REQUEST)
                content = await reader.read()
        return msgspec.json.decode(content, type=Answer)
    except TimeoutError:
        raise UsageError(f"the service has not answered for {within:g} s; its log says why") from None
    except PermissionError:
        raise UsageError(f"{path} is another user's; run `reload` as the service's user, or send SIGHUP") from None
    except OSError:
        place = f"with its state in {path.parent} and [http] port {config.http.port}"
        raise UsageError(f"no service is running {place}; in a running `chat`, type /reload") from None
    except msgspec.DecodeError:
        raise UsageError("the service failed; its log says why") from None
