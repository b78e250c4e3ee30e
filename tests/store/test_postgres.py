"""The store in a real PostgreSQL that several bots share: concurrent changes, and a server that fails."""

# ruff: noqa: ASYNC110 - the tests wait for another process

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from conftest import english, keep, last_text
from postgres_server import PASSWORD, PostgresServer, certificate
from service_process import PATIENCE, ROOT, Installation, asked, forget_me, unused_port
from voice_support import voices_of

from bot.cli.main import main
from bot.config.schema import BotSection, Secret
from bot.core import messages
from bot.core.ask import ForgetMe, Where
from bot.core.commands import Commands, parse
from bot.core.parsing import parse_line
from bot.core.reply import Kind, Reply
from bot.store import postgres as postgres_module
from bot.store.errors import StoreError
from bot.store.migrations import MIGRATIONS, statements
from bot.store.store import Conversation, Preferences, Store
from generator import Generation, GenerationRequest
from generator.dependencies import how_to_install
from generator.serving.generator import ThreadedGenerator
from generator.types import MAX_SEED, OnSentence, ScoringRequest
from testing.telegram import TelegramServer, User


def saved_text(tail: str = "and so on.") -> Conversation:
    return Conversation(
        "The philosopher", 0.6, "v1", bytes(range(256)), tail, ScoringRequest("\n", "The text.", MAX_SEED)
    )


def hides_the_password(text: str) -> bool:
    return not any(part in text for part in (PASSWORD, "hush", "%2F"))


@pytest.fixture
def address(postgres: PostgresServer) -> Secret:
    """Of an empty database."""
    return postgres.new_database()


def name(address: Secret) -> str:
    return address.reveal().rpartition("/")[2]


async def refusal(address: Secret, patience: float = 5.0) -> str:
    with pytest.raises(StoreError) as caught:
        async with Store.open(address, busy_timeout=patience):
            pass
    message = str(caught.value)
    assert message.startswith("postgresql://127.0.0.1:")
    assert "\n" not in message
    assert hides_the_password(message)
    return message


async def test_a_saved_text_is_read_unchanged(address: Secret) -> None:
    async with Store.open(address) as store:
        await keep(store, "telegram", "c", "ada", saved_text())
        await store.set_preference("telegram", "ada", "temperature", 0.1 + 0.2)
        await store.set_setting("discord.commands", "registered")
    async with Store.open(address) as store:
        assert await last_text(store, "telegram", "c", "ada") == saved_text()
        assert (await store.preferences("telegram", "ada")).temperature == 0.1 + 0.2
        assert await store.setting("discord.commands") == "registered"


async def test_a_wrong_password(postgres: PostgresServer, address: Secret) -> None:
    wrong = postgres.address(name(address), password="hush-another")  # noqa: S106
    assert "refuses the user or the password of [store] url" in await refusal(wrong)


async def test_a_database_that_does_not_exist(postgres: PostgresServer) -> None:
    assert "there is no such database" in await refusal(postgres.address("nowhere"))


async def test_unknown_options_of_the_address(postgres: PostgresServer, address: Secret) -> None:
    unclear = postgres.address(name(address), options="?sslmode=hush")
    assert "[store] url cannot be understood" in await refusal(unclear)


async def test_no_server_at_the_address() -> None:
    address = Secret(f"postgresql://lstmega:hush@127.0.0.1:{unused_port()}/lstmega")
    assert "does not answer; see that PostgreSQL runs there" in await refusal(address)


async def test_a_server_that_does_not_answer(postgres: PostgresServer, address: Secret) -> None:
    with postgres.silent():
        assert "gives no answer in time" in await refusal(address, patience=0.2)


async def test_only_a_server_with_the_right_certificate_is_trusted(
    postgres: PostgresServer, address: Secret, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """For any other server the exit status is 2, and systemd does not start the bot again."""
    monkeypatch.chdir(tmp_path)
    async with postgres.encrypted(tmp_path) as port:
        right, other = tmp_path / "server.pem", certificate(tmp_path / "other.pem")
        there = address.reveal().replace(str(postgres.port), str(port))
        async with Store.open(Secret(f"{there}?sslmode=verify-full&sslrootcert={right}")) as store:
            await store.set_preference("telegram", "ada", "temperature", 0.4)
        async with Store.open(Secret(f"{there}?sslmode=require")) as store:
            assert (await store.preferences("telegram", "ada")).temperature == 0.4

        elsewhere = there.replace("127.0.0.1", "localhost")
        for wrong, said, status in (
            (
                f"{there}?sslmode=verify-full&sslrootcert={other}",
                "its certificate is for another server, or not signed by sslrootcert",
                2,
            ),
            (
                f"{there}?sslmode=verify-ca&sslrootcert={other}",
                "its certificate is for another server, or not signed by sslrootcert",
                2,
            ),
            (
                f"{elsewhere}?sslmode=verify-full&sslrootcert={right}",
                "its certificate is for another server, or not signed by sslrootcert",
                2,
            ),
            (f"{there}?sslmode=verify-full&sslrootcert=/nowhere", "or the file that sslrootcert", 1),
            (f"{there}?sslmode=verify-full&sslrootcert={tmp_path / 'no.pem'}", "the files of certificates", 1),
            (f"{address.reveal()}?sslmode=require", "does not encrypt although sslmode", 1),
        ):
            (tmp_path / "no.pem").write_text("Dear diary")
            monkeypatch.setenv("LSTMEGA_STORE__URL", wrong)
            assert await asyncio.to_thread(main, ["backup", "copy"]) == status
            err = capsys.readouterr().err
            assert said in err
            assert len(err.splitlines()) == 1
            assert hides_the_password(err)


async def test_a_database_user_without_rights(postgres: PostgresServer, address: Secret) -> None:
    postgres.run("CREATE ROLE stranger LOGIN PASSWORD 'hush'", "postgres")
    stranger = Secret(f"postgresql://stranger:hush@127.0.0.1:{postgres.port}/{name(address)}")
    assert "make them the owner of the database" in await refusal(stranger)


async def test_a_read_only_database(postgres: PostgresServer, address: Secret) -> None:
    async with Store.open(address):
        pass
    postgres.run(f"ALTER DATABASE {name(address)} SET default_transaction_read_only = on", "postgres")
    assert "can only be read" in await refusal(address)
    with pytest.raises(StoreError, match="can only be read"):  # `check` says what a start would say
        await Store.inspect(address)


async def test_a_database_from_a_newer_version(postgres: PostgresServer, address: Secret) -> None:
    async with Store.open(address):
        pass
    postgres.run("UPDATE lstmega.schema_version SET number = 99", name(address))
    assert "newer version of LSTMega (schema 99" in await refusal(address)
    with pytest.raises(StoreError, match="newer version"):
        await Store.inspect(address)


@pytest.mark.parametrize("schema", range(1, len(MIGRATIONS)))
async def test_a_database_from_an_older_version(
    postgres: PostgresServer, address: Secret, monkeypatch: pytest.MonkeyPatch, schema: int
) -> None:
    with monkeypatch.context() as older:
        older.setattr(postgres_module, "MIGRATIONS", MIGRATIONS[:schema])
        older.setattr(postgres_module, "statements", partial(statements, wanted=schema))
        async with postgres_module.Database.open(address, 5.0):
            pass
    postgres.run("INSERT INTO lstmega.people (platform, person) VALUES ('telegram', 'ada')", name(address))
    postgres.run("INSERT INTO lstmega.preferences VALUES (1, 0.4)", name(address))
    assert f"will be migrated from {schema} to {len(MIGRATIONS)}" in await Store.inspect(address)
    async with Store.open(address) as store:
        assert (await store.preferences("telegram", "ada")).temperature == 0.4
        await keep(store, "telegram", "c", "ada", saved_text())
        assert await last_text(store, "telegram", "c", "ada") == saved_text()


async def test_other_programs_in_the_same_database_are_left_alone(postgres: PostgresServer, address: Secret) -> None:
    postgres.run("CREATE TABLE public.people (name TEXT)", name(address))
    postgres.run("INSERT INTO public.people VALUES ('hers')", name(address))
    async with Store.open(address) as store:
        await store.set_preference("telegram", "ada", "temperature", 0.4)
        assert await store.forget("telegram", "ada") == 2
    assert postgres.run("SELECT * FROM public.people", name(address)) == "hers"


async def test_inspecting_changes_nothing(postgres: PostgresServer, address: Secret) -> None:
    assert "nothing of the bot's is there yet" in await Store.inspect(address)
    assert postgres.run("SELECT count(*) FROM pg_namespace WHERE nspname = 'lstmega'", name(address)) == "0"
    async with Store.open(address):
        pass
    assert (await Store.inspect(address)).endswith(" answers")


async def test_a_table_locked_by_another_program_times_out(postgres: PostgresServer, address: Secret) -> None:
    async with Store.open(address, busy_timeout=0.3) as store:
        await store.set_preference("telegram", "ada", "temperature", 0.5)
        holding = asyncio.create_task(
            asyncio.to_thread(
                postgres.run, "BEGIN; LOCK lstmega.preferences IN EXCLUSIVE MODE; SELECT pg_sleep(2)", name(address)
            )
        )
        held = "SELECT count(*) FROM pg_locks WHERE mode = 'ExclusiveLock' AND relation IS NOT NULL"
        while postgres.run(held, name(address)) == "0":
            await asyncio.sleep(0.02)
        with pytest.raises(StoreError, match="is held by another program"):
            await store.set_preference("telegram", "ada", "temperature", 0.6)
        assert (await store.preferences("telegram", "ada")).temperature == 0.5, "reading still works"
        await holding
        await store.set_preference("telegram", "ada", "temperature", 0.7)
        assert (await store.preferences("telegram", "ada")).temperature == 0.7


async def test_the_store_reconnects_to_a_server_that_crashed(postgres: PostgresServer, address: Secret) -> None:
    async with Store.open(address) as store:
        await asyncio.gather(*(store.set_preference("telegram", str(i), "temperature", 0.5) for i in range(20)))
        with postgres.away():
            for _ in range(2):
                with pytest.raises(StoreError, match="does not answer"):
                    await store.preferences("telegram", "7")
                with pytest.raises(StoreError, match="does not answer"):
                    await store.forget("telegram", "7")
                with pytest.raises(StoreError, match="does not answer"):
                    await store.check_writable()
        found = await asyncio.gather(*(store.preferences("telegram", str(i)) for i in range(20)))
        assert found == [Preferences(0.5)] * 20
        await store.set_preference("telegram", "7", "temperature", 0.6)
        await store.check_writable()


async def test_a_server_that_stops_answering_times_out(postgres: PostgresServer, address: Secret) -> None:
    async with Store.open(address, busy_timeout=0.2) as store:
        await store.set_preference("telegram", "ada", "temperature", 0.5)
        with postgres.silent():
            async with asyncio.timeout(PATIENCE):
                with pytest.raises(StoreError, match="gives no answer"):
                    await store.set_preference("telegram", "ada", "temperature", 0.9)
                with pytest.raises(StoreError, match="gives no answer"):
                    await store.preferences("telegram", "ada")
                with pytest.raises(StoreError, match="gives no answer"):
                    await store.check_writable()
        async with Store.open(address) as other:  # it may take a moment until it has seen what was cut off
            assert (await other.preferences("telegram", "ada")).temperature == 0.5
            await other.set_preference("telegram", "ada", "temperature", 0.6)
        assert (await store.preferences("telegram", "ada")).temperature == 0.6


async def test_concurrent_changes_for_one_user_are_all_made(address: Secret) -> None:
    """Three processes' worth of connections; a group that moves, people who write, set, and want to be forgotten."""
    draw = random.Random(3)
    async with AsyncExitStack() as stack:
        stores = [await stack.enter_async_context(Store.open(address)) for _ in range(3)]

        async def live(store: Store) -> None:
            for _ in range(60):
                chat, person = draw.choice(("-1", "-100")), draw.choice(("-1", "-100", "ada", "bob"))
                doing = draw.randrange(10)
                if doing < 4:
                    number = await store.ensure_user("telegram", person)
                    await store.save_conversation("telegram", chat, person, number, saved_text())
                elif doing < 7:
                    await store.set_preference("telegram", person, "temperature", draw.choice((0.5, None)))
                elif doing < 9:
                    await store.forget("telegram", person)
                else:
                    await store.move_chat("telegram", "-1", "-100")

        async with asyncio.TaskGroup() as group:
            for store in stores * 4:
                group.create_task(live(store))
        for person in ("ada", "bob"):
            await stores[0].set_preference("telegram", person, "temperature", 0.8)
            assert [(await store.preferences("telegram", person)).temperature for store in stores] == [0.8] * 3
        await stores[0].move_chat("telegram", "-1", "-100")
        for person in ("ada", "bob", "-100"):
            await stores[1].forget("telegram", person)
        tables = ("people", "preferences", "conversations", "moved_chats")
        left = [await stores[2]._database.read(f"SELECT * FROM {table}") for table in tables]  # noqa: S608
        assert left == [[], [], [], []]


async def test_two_bots_do_not_overwrite_each_other(address: Secret) -> None:
    """One sets temperatures and saves texts, the other saves texts, of the same users."""
    people = [str(number) for number in range(30)]
    async with Store.open(address) as one, Store.open(address) as other, asyncio.TaskGroup() as group:
        for person in people:
            group.create_task(one.set_preference("discord", person, "temperature", 0.9))
            group.create_task(keep(one, "discord", "here", person, saved_text("here")))
            group.create_task(keep(other, "discord", "there", person, saved_text("there")))
    async with Store.open(address) as store:
        for person in people:
            assert (await store.preferences("discord", person)).temperature == 0.9
            assert await last_text(store, "discord", "here", person) == saved_text("here")
            assert await last_text(store, "discord", "there", person) == saved_text("there")


class SlowGenerator:
    """The generator, whose texts are finished only when the test allows it."""

    def __init__(self, generator: ThreadedGenerator) -> None:
        self._generator = generator
        self.wanted = asyncio.Event()
        self.done = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._generator, name)

    async def generate(self, request: GenerationRequest, on_sentence: OnSentence | None = None) -> Generation:
        self.wanted.set()
        await self.done.wait()
        return await self._generator.generate(request, on_sentence)


async def say(commands: Commands, line: str) -> Reply:
    parsed = parse_line(line)
    assert parsed is not None
    return await commands.handle(parse(parsed.command, parsed.arguments), Where("telegram", "c", "ada"))


@pytest.mark.parametrize(
    ("before", "line", "after"),
    [
        ("", "/nietzsche 0.7 Ada", ""),  # nothing is known of them when they ask for it
        ("/nietzsche", "/ladder", ""),
        ("/nietzsche", "/continue", ""),
        ("/nietzsche", "/again", "/nietzsche 1.5 Anew"),
    ],
)
async def test_a_text_is_not_saved_for_a_user_whom_another_bot_has_forgotten(
    address: Secret, generator: ThreadedGenerator, before: str, line: str, after: str
) -> None:
    settings = BotSection(length=60, cooldown=0.0)
    slow = SlowGenerator(generator)
    async with Store.open(address) as one, Store.open(address) as other:
        first, second = Commands(voices_of(slow), one, settings), Commands(voices_of(generator), other, settings)
        if before:
            await say(second, before)
        text = asyncio.create_task(say(first, line))
        await slow.wanted.wait()
        assert (
            "everything I kept" in (await second.handle(ForgetMe(confirmed=True), Where("telegram", "c", "ada"))).text
        )
        if after:
            await say(second, after)
        kept = await last_text(other, "telegram", "c", "ada")
        slow.done.set()
        reply = await text
        assert reply.kind is Kind.TEXT
        assert english("not-saved") in reply.notice
        assert await last_text(other, "telegram", "c", "ada") == kept
        assert (await other.user_id("telegram", "ada") is not None) == bool(after)
        assert english("not-saved") not in (await say(first, "/nietzsche")).notice


async def test_an_error_repeats_no_value_of_a_row(postgres: PostgresServer, address: Secret) -> None:
    async with Store.open(address) as store:
        postgres.run("ALTER TABLE lstmega.conversations ADD CHECK (tail <> 'TYPED')", name(address))
        with pytest.raises(StoreError) as caught:
            await keep(store, "telegram", "c", "ADA", saved_text("TYPED"))
    assert "the database failed (23514)" in str(caught.value)
    assert "ADA" not in str(caught.value)
    assert caught.value.__suppress_context__


WITHOUT_LIBRARY = (
    "import sys; sys.modules['asyncpg'] = None; from bot.cli.main import main; sys.exit(main(sys.argv[1:]))"
)


@pytest.mark.parametrize("command", ["chat", "check", "run", "backup copy"])
def test_without_asyncpg_the_extra_is_named(
    command: str, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    environment = {
        "LSTMEGA_STORE__URL": "postgresql://lstmega:hush@127.0.0.1/lstmega",
        "LSTMEGA_GENERATOR__WEIGHTS": str(tiny_folder),
        "LSTMEGA_TELEGRAM__TOKEN": ":".join(("123456789", "x" * 35)),
        "LSTMEGA_HTTP__PORT": "0",
        "HOME": str(tmp_path),
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_LIBRARY, *command.split()],
        env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    said = f"postgresql://127.0.0.1/lstmega: needs asyncpg, which is not installed; {how_to_install('postgres')}"
    assert said in done.stdout + done.stderr
    assert hides_the_password(done.stdout + done.stderr)
    assert done.returncode == (1 if command == "check" else 2)


@pytest.fixture
async def bots(tiny_folder: Path, tmp_path: Path) -> AsyncIterator[list[Installation]]:
    """Two, each with its own Telegram, and one database for both."""
    async with TelegramServer() as one, TelegramServer() as other:
        (tmp_path / "1").mkdir()
        (tmp_path / "2").mkdir()
        found = [Installation(tiny_folder, tmp_path / "1", one), Installation(tiny_folder, tmp_path / "2", other)]
        yield found
        for bot in found:
            bot.check_what_was_logged()
            assert hides_the_password("\n".join(bot.logged))


async def test_two_processes_share_a_database_and_survive_its_restart(
    bots: list[Installation], postgres: PostgresServer, address: Secret
) -> None:
    settings = {"LSTMEGA_STORE__PATH": "", "LSTMEGA_STORE__URL": address.reveal()}
    one, other = (bot.server.private(User(bot.server, 4711, "Ada")) for bot in bots)
    async with bots[0].service(**settings) as first, bots[1].service(**settings) as second:
        assert await asked(one, "/temperature 1.3") == english("temperature-own", own=1.3, default=0.7)
        assert await asked(other, "/temperature") == english("temperature-own", own=1.3, default=0.7)
        assert (await first.ready())[0] == (await second.ready())[0] == 200
        with postgres.away():
            assert not (await first.reports(503))["store"]
            assert await asked(one, "/temperature 0.4") == messages.explain(StoreError("", ""), english)
            assert await asked(one, "/nietzsche 0.7 Ada") not in {
                "",
                messages.explain(StoreError("", ""), english),
            }
            assert hides_the_password(str(await first.ready()))
        await asyncio.gather(first.reports(200), second.reports(200))
        assert await asked(other, "/temperature") == english("temperature-own", own=1.3, default=0.7)
        assert "Gone" in await forget_me(other, other.owner)
        assert await asked(one, "/temperature") != english("temperature-own", own=1.3, default=0.7)
        await first.stop()
        await second.stop()


async def test_the_command_line_describes_the_database(
    bots: list[Installation], postgres: PostgresServer, address: Secret, tmp_path: Path
) -> None:
    settings = {"LSTMEGA_STORE__PATH": "", "LSTMEGA_STORE__URL": address.reveal()}
    place = f"postgresql://127.0.0.1:{postgres.port}/{name(address)}"
    status, out, err = await bots[0].command("check", **settings)
    assert f"ok     database         {place}: PostgreSQL " in out
    assert "the first start makes it" in out
    status, out, err = await bots[0].command("backup", str(tmp_path / "copy"), **settings)
    assert (status, out) == (2, "")
    assert f"{place}: nothing of the bot's is there, so there is nothing to copy" in err
    wrong = settings | {"LSTMEGA_STORE__URL": postgres.address("nowhere").reveal()}
    for command in ("check", "run"):
        status, out, err = await bots[0].command(command, **wrong)
        assert "there is no such database" in out + err
        assert hides_the_password(out + err)
        assert status == (1 if command == "check" else 2)
    away = settings | {"LSTMEGA_STORE__URL": f"postgresql://lstmega:hush@127.0.0.1:{unused_port()}/lstmega"}
    status, _, err = await bots[0].command("run", **away)
    assert "does not answer; see that PostgreSQL runs there" in err
    assert status == 1, "systemd tries it again later, unlike after 2"
