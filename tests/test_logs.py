"""What the log says, on how many lines, and what it never says."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import warnings
from collections.abc import Iterator
from urllib.parse import quote

import msgspec
import pytest

from bot import logs
from bot.config.loader import load
from bot.config.schema import SECTIONS, Secret, keys

TOKEN = "123456789:" + "AAhush-hush_hush" * 2
KEY = TOKEN.partition(":")[2]
DISCORD = ".".join(("MTIzNDU2Nzg5MDEyMzQ1Njc4", "GabcdE", "hush-hush_" * 4))
log = logging.getLogger("bot.test")


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root, ours = logging.getLogger(), [logging.getLogger(name) for name in logs.OURS]
    handlers, levels = root.handlers[:], [(logger, logger.level) for logger in (root, *ours)]
    yield
    root.handlers[:] = handlers
    for logger, level in levels:
        logger.setLevel(level)
    logging.captureWarnings(capture=False)


class ScoringRequest:
    """The lines of a log that was set up so."""

    def __init__(self, form: logs.Format = "human", level: str = "info", *hidden: str) -> None:
        self._stream = io.StringIO()
        logs.set_up(level, form, logs.Redaction(hidden), self._stream)

    @property
    def lines(self) -> list[str]:
        text = self._stream.getvalue()
        assert text == "" or text.endswith("\n")
        return text.splitlines()

    @property
    def line(self) -> str:
        (line,) = self.lines
        return line


def fail() -> None:
    raise ValueError(f"cannot reach https://example.org/bot{TOKEN}/getMe\nat all")


def test_an_event_is_one_line_for_people() -> None:
    written = ScoringRequest()
    log.info("two\nlines of %s", "words")
    time, level, request, name, message = written.line.split(" ", 4)
    assert time.endswith("Z")
    assert (level, request, name, message) == ("info", "-", "bot.test:", "two lines of words")


def test_an_event_is_one_json_object() -> None:
    written = ScoringRequest("json")
    with logs.request() as identifier:
        log.warning("“%s”\n", "quoted")
    content = json.loads(written.line)
    assert content.pop("time").endswith("Z")
    assert content == {"level": "warning", "logger": "bot.test", "message": "“quoted”", "request": identifier}


@pytest.mark.parametrize("form", logs.FORMATS)
def test_an_exception_is_told_whole_on_the_same_line(form: logs.Format) -> None:
    written = ScoringRequest(form, "info", TOKEN)
    try:
        try:
            fail()
        except ValueError as error:
            raise RuntimeError("no text") from error
    except RuntimeError:
        log.exception("it broke")
    line = written.line
    assert "it broke" in line
    assert "RuntimeError: no text [test_logs.py:" in line
    assert "<- ValueError: cannot reach" in line
    assert " fail]" in line
    assert KEY not in line
    if form == "json":
        assert json.loads(line)["error"].startswith("RuntimeError: no text")


def test_all_of_a_group_of_exceptions_is_told() -> None:
    written = ScoringRequest()
    log.error("broken", exc_info=ExceptionGroup("both", [ValueError("one"), KeyError("two")]))
    assert "ValueError: one" in written.line
    assert "KeyError: 'two'" in written.line


async def test_an_exception_that_was_raised_again_out_of_its_group_is_told_once() -> None:
    """As of a /ladder one of whose texts fails: the exception has the group behind it, and the group has it in it."""
    written = ScoringRequest()

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
    assert 0 < written.line.count("ValueError: one") < 4


@pytest.mark.parametrize("form", logs.FORMATS)
def test_no_line_holds_a_secret_however_it_got_there(form: logs.Format) -> None:
    shared = "short!secret"
    written = ScoringRequest(form, "debug", shared, TOKEN, DISCORD)
    for secret in (TOKEN, KEY, DISCORD, shared, quote(TOKEN, safe=""), quote(shared)):
        log.info("plainly %s", secret)
        log.info("in an address: https://example.org/bot%s/getMe", secret)
        logging.getLogger("httpx").warning("%r", {"headers": secret})
        log.error("in an exception", exc_info=RuntimeError(secret))
    assert len(written.lines) == 24
    for line in written.lines:
        assert "hush" not in line
        assert "short" not in line
        assert logs.HIDDEN in line


def test_the_shape_of_a_token_is_enough() -> None:
    redact = logs.Redaction()
    assert redact(f"POST /bot{TOKEN}/getMe") == f"POST /bot{logs.HIDDEN}/getMe"
    assert redact(f"Bot {DISCORD}!") == f"Bot {logs.HIDDEN}!"
    hook = "429 for https://discord.com/api/v10/webhooks/12345/aW50ZXJhY3Rpb24-x_y.z/messages/@original"
    assert redact(hook) == "429 for https://discord.com/api/v10/webhooks/12345/***/messages/@original"
    ordinary = "ready: weights nietzsche-lstm-tbptt · 1.72 bits, 12:30:45, http://127.0.0.1:8080, bot.service"
    assert redact(ordinary) == ordinary


def test_every_secret_of_the_configuration_is_known() -> None:
    secrets = [
        (section, key)
        for section in SECTIONS
        for key, field in keys(section).items()
        if isinstance(field.default, Secret) and key != "url"
    ]
    assert ("telegram", "token") in secrets
    assert ("discord", "token") in secrets
    environment = {f"LSTMEGA_{s}__{k}".upper(): f"hush/{s}/{k}" for s, k in secrets}
    redact = logs.Redaction.of(load(None, environment))
    for secret in environment.values():
        assert redact(f"<{secret}>") == f"<{logs.HIDDEN}>"
    assert logs.Redaction.of(load(None, {}))("nothing to hide") == "nothing to hide"


def test_of_the_address_of_a_database_the_password_is_hidden() -> None:
    url = "postgresql://ada:hush%2Fhush@db.a-rather-long-name.example:5433/bot"
    redact = logs.Redaction.of(load(None, {"LSTMEGA_STORE__URL": url}))
    assert redact(url) == f"postgresql://ada{logs.HIDDEN}db.a-rather-long-name.example:5433/bot"
    assert redact("refused: hush/hush") == f"refused: {logs.HIDDEN}"
    short = logs.Redaction.of(load(None, {"LSTMEGA_STORE__URL": "postgresql://bot:bot@db.example/bot"}))
    assert short("postgresql://bot:bot@db.example/bot: bot") == f"postgresql://bot{logs.HIDDEN}db.example/bot: bot"


def test_the_level_is_for_this_program_and_libraries_are_heard_when_they_warn() -> None:
    written = ScoringRequest(level="debug")
    log.debug("ours")
    for library in ("httpx", "telegram.ext", "discord.gateway", "aiohttp.access"):
        logging.getLogger(library).info("a person's words")
        logging.getLogger(library).debug("a person's words")
    logging.getLogger("discord.gateway").warning("theirs")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("a python warning", UserWarning, stacklevel=1)
    assert [line.split(": ", 1)[1].split()[0] for line in written.lines][:2] == ["ours", "theirs"]
    assert "a python warning" in written.lines[2]
    assert len(written.lines) == 3
    quiet = ScoringRequest(level="error")
    logging.getLogger("discord.gateway").warning("not now")
    log.warning("not now")
    assert quiet.lines == []


async def test_a_request_keeps_its_identifier_through_every_task() -> None:
    written = ScoringRequest("json")

    async def person(name: str) -> str:
        with logs.request() as identifier:
            log.info("%s asks", name)
            async with asyncio.TaskGroup() as group:
                group.create_task(work(name))
            with logs.request() as inner:  # the platform began it, the commands go on with it
                assert inner == identifier
            assert logs.current_request() == identifier
        return identifier

    async def work(name: str) -> None:
        await asyncio.sleep(0)
        log.info("%s is served", name)

    alice, bob = await asyncio.gather(person("alice"), person("bob"))
    assert alice != bob
    assert logs.current_request() == logs.NO_REQUEST
    told = [json.loads(line) for line in written.lines]
    assert {(line["message"].split()[0], line["request"]) for line in told} == {("alice", alice), ("bob", bob)}
    assert len(told) == 4


def test_a_thread_may_say_for_whom_it_works() -> None:
    written = ScoringRequest()
    log.info("written", extra={"request": "0a1b2c3d"})
    assert " 0a1b2c3d bot.test: written" in written.line


def test_a_reason_is_short_and_on_one_line() -> None:
    assert logs.reason(ValueError("a\nb")) == "ValueError: a b"
    assert logs.reason(TimeoutError()) == "TimeoutError"
    assert len(logs.reason(ValueError("x" * 10_000))) < 400


def test_the_configuration_itself_shows_no_secret() -> None:
    config = load(None, {"LSTMEGA_TELEGRAM__TOKEN": TOKEN})
    written = ScoringRequest()
    log.info("%s %r", config, msgspec.structs.asdict(config))
    assert "hush" not in written.line
