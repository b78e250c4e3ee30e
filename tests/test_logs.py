"""The log: one line an event, request IDs, redaction, and a reader that stalls."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import threading
import warnings
from pathlib import Path
from typing import get_args
from urllib.parse import quote

import msgspec
import pytest

from bot import logs
from bot.config.loader import load
from bot.config.schema import KEYS, Secret
from bot.logs import HIDDEN, REQUEST_ID, Format

TOKEN = "123456789:" + "AAhush-hush_hush" * 2
KEY = TOKEN.partition(":")[2]
DISCORD = ".".join(("MTIzNDU2Nzg5MDEyMzQ1Njc4", "GabcdE", "hush-hush_" * 4))
log = logging.getLogger("bot.test")


class LogLines:
    """The lines of a log that was set up so."""

    def __init__(self, form: Format = "human", level: str = "info", *hidden: str) -> None:
        self._stream = io.StringIO()
        self._handler = logs.set_up(level, form, logs.Redaction(hidden))
        self._handler.write = self._stream.write  # type: ignore[method-assign, assignment]

    @property
    def lines(self) -> list[str]:
        self._handler.flush()
        text = self._stream.getvalue()
        assert text == "" or text.endswith("\n")
        return text.splitlines()

    @property
    def line(self) -> str:
        (line,) = self.lines
        return line


def fail() -> None:
    raise ValueError(f"cannot reach https://example.org/bot{TOKEN}/getMe\nat all")


def test_an_event_is_one_line_in_the_human_format() -> None:
    log_lines = LogLines()
    log.info("two\nlines of %s", "words")
    time, level, request, name, message = log_lines.line.split(" ", 4)
    assert time.endswith("Z")
    assert (level, request, name, message) == ("info", "-", "bot.test:", "two lines of words")


def test_an_event_is_one_json_object() -> None:
    log_lines = LogLines("json")
    with logs.request() as identifier:
        log.warning("“%s”\n", "quoted")
    content = json.loads(log_lines.line)
    assert content.pop("time").endswith("Z")
    assert content == {"level": "warning", "logger": "bot.test", "message": "“quoted”", "request": identifier}


@pytest.mark.parametrize("form", ["human", "json"])
def test_an_exception_and_its_causes_are_on_the_same_line(form: Format) -> None:
    log_lines = LogLines(form, "info", TOKEN)
    try:
        try:
            fail()
        except ValueError as error:
            raise RuntimeError("no text") from error
    except RuntimeError:
        log.exception("it broke")
    line = log_lines.line
    assert "it broke" in line
    assert "RuntimeError: no text" in line
    assert "in fail raise ValueError" in line
    assert "ValueError: cannot reach" in line
    assert KEY not in line
    if form == "json":
        assert json.loads(line)["error"].endswith("RuntimeError: no text")


def test_every_exception_of_a_group_is_logged() -> None:
    log_lines = LogLines()
    log.error("broken", exc_info=ExceptionGroup("both", [ValueError("one"), KeyError("two")]))
    assert "ValueError: one" in log_lines.line
    assert "KeyError: 'two'" in log_lines.line


async def test_an_exception_raised_again_out_of_its_group_is_logged_once() -> None:
    """When a text of a /ladder fails, the exception's cause is the group, which holds the exception."""
    log_lines = LogLines()

    async def fail() -> None:
        raise ValueError("one")

    try:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(fail())
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from failures
    except ValueError:
        log.exception("broken")
    assert 0 < log_lines.line.count("ValueError: one") < 4


@pytest.mark.parametrize("form", ["human", "json"])
def test_no_line_holds_a_secret_however_it_got_there(form: Format) -> None:
    shared = "short!secret"
    log_lines = LogLines(form, "debug", shared, TOKEN, DISCORD)
    for secret in (TOKEN, KEY, DISCORD, shared, quote(TOKEN, safe=""), quote(shared)):
        log.info("plainly %s", secret)
        log.info("in an address: https://example.org/bot%s/getMe", secret)
        logging.getLogger("httpx").warning("%r", {"headers": secret})
        log.error("in an exception", exc_info=RuntimeError(secret))
    assert len(log_lines.lines) == 24
    for line in log_lines.lines:
        assert "hush" not in line
        assert "short" not in line
        assert HIDDEN in line


def test_the_shape_of_a_token_is_enough() -> None:
    redact = logs.Redaction()
    assert redact(f"POST /bot{TOKEN}/getMe") == f"POST /bot{HIDDEN}/getMe"
    assert redact(f"Bot {DISCORD}!") == f"Bot {HIDDEN}!"
    hook = "429 for https://discord.com/api/v10/webhooks/12345/aW50ZXJhY3Rpb24-x_y.z/messages/@original"
    assert redact(hook) == "429 for https://discord.com/api/v10/webhooks/12345/***/messages/@original"
    ordinary = "ready: weights nietzsche-lstm-tbptt · 1.72 bits, 12:30:45, http://127.0.0.1:8080, bot.service"
    assert redact(ordinary) == ordinary


def test_every_secret_of_the_configuration_is_redacted() -> None:
    secrets = [
        (section, key)
        for (section, key), kind in KEYS.items()
        if get_args(kind)[:1] == (Secret,) and key not in {"url", "proxy"}  # of these the password alone, below
    ]
    assert ("telegram", "token") in secrets
    assert ("discord", "token") in secrets
    environment = {f"LSTMEGA_{s}__{k}".upper(): f"hush/{s}/{k}" for s, k in secrets}
    redact = logs.Redaction.of(load(None, environment))
    for secret in environment.values():
        assert redact(f"<{secret}>") == f"<{HIDDEN}>"
    assert logs.Redaction.of(load(None, {}))("nothing to hide") == "nothing to hide"


def test_the_password_in_the_address_of_a_database_is_redacted() -> None:
    url = "postgresql://ada:hush%2Fhush@db.a-rather-long-name.example:5433/bot"
    redact = logs.Redaction.of(load(None, {"LSTMEGA_STORE__URL": url}))
    assert redact(url) == f"postgresql://ada{HIDDEN}db.a-rather-long-name.example:5433/bot"
    assert redact("refused: hush/hush") == f"refused: {HIDDEN}"
    proxy = logs.Redaction.of(load(None, {"LSTMEGA_NETWORK__PROXY": "ada:hush@proxy:3128"}))
    assert proxy("ada:hush@proxy:3128 and http://proxy:3128") == f"ada{HIDDEN}proxy:3128 and http://proxy:3128"
    short = logs.Redaction.of(load(None, {"LSTMEGA_STORE__URL": "postgresql://bot:bot@db.example/bot"}))
    assert short("postgresql://bot:bot@db.example/bot: bot") == f"postgresql://bot{HIDDEN}db.example/bot: bot"


def test_the_level_is_for_this_program_and_libraries_log_warnings_only() -> None:
    log_lines = LogLines(level="debug")
    log.debug("ours")
    for library in ("httpx", "telegram.ext", "discord.gateway", "aiohttp.access"):
        logging.getLogger(library).info("a user's words")
        logging.getLogger(library).debug("a user's words")
    logging.getLogger("discord.gateway").warning("theirs")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("a python warning", UserWarning, stacklevel=1)
    assert [line.split(": ", 1)[1].split()[0] for line in log_lines.lines][:2] == ["ours", "theirs"]
    assert "a python warning" in log_lines.lines[2]
    assert len(log_lines.lines) == 3
    quiet = LogLines(level="error")
    logging.getLogger("discord.gateway").warning("not now")
    log.warning("not now")
    assert quiet.lines == []


async def test_a_request_keeps_its_id_in_every_task() -> None:
    log_lines = LogLines("json")

    async def user(name: str) -> str:
        with logs.request() as identifier:
            log.info("%s asks", name)
            async with asyncio.TaskGroup() as group:
                group.create_task(work(name))
            with logs.request() as inner:  # the platform starts it, the commands continue it
                assert inner == identifier
            assert REQUEST_ID.get() == identifier
        return identifier

    async def work(name: str) -> None:
        await asyncio.sleep(0)
        log.info("%s is served", name)

    alice, bob = await asyncio.gather(user("alice"), user("bob"))
    assert alice != bob
    assert REQUEST_ID.get() == ""
    logged = [json.loads(line) for line in log_lines.lines]
    assert {(line["message"].split()[0], line["request"]) for line in logged} == {("alice", alice), ("bob", bob)}
    assert len(logged) == 4


def test_a_formatted_error_is_short_and_on_one_line() -> None:
    assert logs.format_error(ValueError("a\nb")) == "ValueError: a b"
    assert logs.format_error(TimeoutError()) == "TimeoutError"
    assert len(logs.format_error(ValueError("x" * 10_000))) < 400


def test_logging_the_configuration_shows_no_secret() -> None:
    config = load(None, {"LSTMEGA_TELEGRAM__TOKEN": TOKEN})
    log_lines = LogLines()
    log.info("%s %r", config, msgspec.structs.asdict(config))
    assert "hush" not in log_lines.line


def test_a_secret_shorter_than_a_word_is_not_redacted() -> None:
    """A one-letter secret would hide that letter in every word: "pl***tform h***s"."""
    line = "a platform has failed"
    for secret in ("a", "form", "has fai"):
        redact = logs.Redaction.of(load(None, {"LSTMEGA_TELEGRAM__WEBHOOK_SECRET": secret.replace(" ", "-")}))
        assert redact(line) == line


def test_a_stalled_reader_blocks_nothing_and_dropped_lines_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.logs.MAX_QUEUED_LINES", 100)
    reading, writing = os.pipe()
    lines: list[str] = []
    with os.fdopen(reading) as reader, os.fdopen(writing, "w") as stream:
        monkeypatch.setattr("sys.stderr", stream)
        handler = logs.set_up("info", "human", logs.Redaction())
        for number in range(3000):  # a pipe holds 64 KiB
            log.info("stalled.line number=%d padding=%s", number, "x" * 100)
        handler.flush(timeout=0.01)
        assert logs.dropped_lines() >= 2000
        reading_again = threading.Thread(target=lambda: lines.extend(reader))
        reading_again.start()
        handler.flush()
        stream.close()
        reading_again.join()
    assert len(lines) == 3000 - logs.dropped_lines()


def test_a_standard_error_that_is_closed_or_full_raises_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr("sys.stderr", full)
        handler = logs.set_up("info", "human", logs.Redaction())
        log.info("lost")
        handler.flush()
        assert logs.dropped_lines() == 1
    monkeypatch.setattr("sys.stderr", None)
    handler = logs.set_up("info", "human", logs.Redaction())
    log.info("lost")
    handler.flush()
