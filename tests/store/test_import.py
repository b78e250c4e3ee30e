"""`import` and `backup` between a real SQLite file and a real PostgreSQL: all rows are copied, or none."""

# ruff: noqa: ASYNC110, S608 - the tests wait for another process; statements are put together from constants
from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import asyncpg
import pytest
from conftest import english, keep, last_text
from postgres_server import PASSWORD, PostgresServer
from service_process import PATIENCE, ROOT, Installation, asked, unused_port

from bot.cli.main import main
from bot.config.schema import Secret
from bot.store import backup
from bot.store.migrations import MIGRATIONS, statements
from bot.store.store import Conversation, Store
from generator.types import MAX_SEED, ScoringRequest

TABLES = ("people", "preferences", "conversations", "moved_chats", "usage", "notes")
ODD = "a\"b'c\\d\te\nf\x01g\x7f é 😀 \u202e $1 %s \\N NULL ,;"
SECRET = "SECRET"  # noqa: S105 - what a person typed
Rows = dict[str, list[tuple[object, ...]]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Of a file in which two people have a text, and one a temperature."""
    path = tmp_path / "old" / "lstmega.sqlite3"

    async def fill() -> None:
        async with Store.open(path) as store:
            await store.set_preference("telegram", SECRET, "temperature", 0.1 + 0.2)
            await keep(store, "telegram", "c", SECRET, Conversation(SECRET, 0.6, "v1", b"\0\1", SECRET))
            await keep(store, "telegram", "c", "bob", Conversation("", 0.6, "v1", b"", ""))

    asyncio.run(fill())
    return path


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An empty folder and a configuration that names a server which does not run; the second can be changed."""
    for name in list(os.environ):
        if name.startswith("LSTMEGA_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("LSTMEGA_STORE__URL", f"postgresql://lstmega:hush@127.0.0.1:{unused_port()}/lstmega")
    monkeypatch.chdir(tmp_path)
    return monkeypatch


@pytest.fixture
def address(postgres: PostgresServer, environment: pytest.MonkeyPatch) -> Secret:
    """Of an empty database, which the configuration names."""
    address = postgres.new_database()
    environment.setenv("LSTMEGA_STORE__URL", address.reveal())
    return address


def database(address: Secret) -> str:
    return address.reveal().rpartition("/")[2]


def in_file(path: Path) -> Rows:
    with closing(sqlite3.connect(path)) as file:
        return {table: sorted(file.execute(f"SELECT * FROM {table}"), key=repr) for table in TABLES}


async def _in_postgres(address: Secret) -> Rows:
    async with Store.open(address) as store:
        found: Rows = {}
        for table in TABLES:
            rows = await store._database.read(f"SELECT * FROM {table}")
            found[table] = sorted((tuple(row) for row in rows), key=repr)
        return found


def in_postgres(address: Secret) -> Rows:
    return asyncio.run(_in_postgres(address))


def without_write_check(rows: Rows) -> Rows:
    """The write check of an open database saves the time."""
    return rows | {"notes": [note for note in rows["notes"] if note[0] != "probe"]}


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Returns the exit status and the output, which must hold no secret."""
    status = main(arguments)
    out, err = capsys.readouterr()
    assert (err == "") == (status == 0)
    assert len(err.splitlines()) <= 1
    assert_no_secrets(out + err)
    return status, out + err


def assert_no_secrets(said: str) -> None:
    assert not any(part in said for part in (SECRET, PASSWORD, "hush", "%2F"))


def refused(capsys: pytest.CaptureFixture[str], path: Path, because: str) -> None:
    before = path.read_bytes() if path.is_file() else None
    status, said = run(capsys, "import", str(path))
    assert status == 2
    assert because in said
    assert (path.read_bytes() if path.is_file() else None) == before


def fill(path: Path, people: int) -> None:
    """With everything that a bot may have kept, in numbers that go over in several parts."""
    draw = random.Random(11)

    def text() -> str:
        return "".join(draw.choices(ODD, k=draw.randrange(60)))

    async def live() -> None:
        async with Store.open(path) as store:
            for number in range(30):
                person, platform = f"-{number % 9}", draw.choice(("telegram", "discord"))
                await store.set_preference(platform, person, "temperature", draw.choice((draw.random(), 1.0, None)))
                written = ScoringRequest(text(), text(), draw.choice((None, 0, MAX_SEED)))
                conversation = Conversation(text(), draw.random(), "v1", bytes(range(256)), text(), written)
                await keep(store, platform, f"-{number % 5}", person, conversation)
                await store.forget("discord", f"-{number % 4}")
            for old, new in (("-1", "-100"), ("-2", ODD)):
                await store.move_chat("telegram", old, new)
            await store.set_setting("discord.commands", ODD)

    asyncio.run(live())
    with closing(sqlite3.connect(path)) as file, file:
        known = range(1000, 1000 + people)
        file.executemany("INSERT INTO people VALUES (?, 'telegram', ?)", ((i, f"{i}{ODD}") for i in known))
        file.executemany(
            "INSERT INTO preferences VALUES (?, ?, ?, 'pt-BR', NULL, 'moby')", ((i, 1 / i, i) for i in known)
        )
        file.executemany(
            "INSERT INTO conversations VALUES (?, ?, ?, 1e-300, 'v', ?, ?, ?, NULL, NULL, NULL, 1, 1, 'nietzsche')",
            ((i, ODD, text(), draw.randbytes(40), text(), i) for i in known),
        )
        file.execute("INSERT INTO usage VALUES ('0a', 40000, 3, 900)")  # of a day to come, or it would be deleted


def test_import_and_backup_copy_everything(capsys: pytest.CaptureFixture[str], address: Secret, tmp_path: Path) -> None:
    path, copy = tmp_path / "here" / "db.sqlite3", tmp_path / "copy.sqlite3"
    fill(path, people=1203)
    before = in_file(path)
    assert all(before.values())
    status, said = run(capsys, "import", str(path))
    assert status == 0
    for table in ("people", "preferences"):
        assert f"{table} {len(before[table]):,}" in said
    assert "delete it" in said
    assert without_write_check(in_postgres(address)) == before
    assert in_file(path) == before

    status, said = run(capsys, "backup", str(copy))
    assert status == 0
    assert said.startswith(f"{copy}: ")
    assert copy.stat().st_mode & 0o777 == 0o600
    assert without_write_check(in_file(copy)) == before

    async def go_on(place: Path | Secret) -> None:
        async with Store.open(place) as store:
            await Store.inspect(place)
            await store.set_preference("telegram", "new user", "temperature", 0.8)
            assert (await store.preferences("telegram", "new user")).temperature == 0.8
            assert (await store.preferences("telegram", f"1200{ODD}")).temperature == 1 / 1200

    for place in (copy, address):
        asyncio.run(go_on(place))


def test_every_table_is_compared() -> None:
    with closing(sqlite3.connect(":memory:")) as file:
        for statement in statements(0):
            file.execute(statement)
        assert {name for (name,) in file.execute("SELECT name FROM sqlite_master WHERE sql LIKE '%TABLE%'")} == {
            *TABLES
        }


@pytest.mark.parametrize("schema", range(1, len(MIGRATIONS)))
def test_a_file_of_an_older_version(
    capsys: pytest.CaptureFixture[str], address: Secret, tmp_path: Path, schema: int
) -> None:
    path = tmp_path / "db.sqlite3"
    with closing(sqlite3.connect(path)) as file, file:
        for statement in statements(0, schema):
            file.execute(statement)
        file.execute("INSERT INTO people VALUES (7, 'telegram', 'ada')")
        file.execute("INSERT INTO preferences (person_id, temperature) VALUES (7, 0.4)")
        columns, values = (", number, slot", ", 1, 1") if schema > 5 else ("", "")
        file.execute(
            "INSERT INTO conversations"
            f" (person_id, chat, opening, temperature, version, state, tail, updated_at{columns})"
            f" VALUES (7, 'c', 'The', 0.6, 'v', x'0001', 'tail', 5{values})"
        )
    before = path.read_bytes()
    status, _ = run(capsys, "import", str(path))
    assert status == 0
    found = in_postgres(address)
    assert found["people"] == [(7, "telegram", "ada")]
    assert found["preferences"] == [(7, 0.4, None, None, None, None)]
    text = (7, "c", "The", 0.6, "v", b"\0\1", "tail", 5, None, None, None, 1, 1, "nietzsche")
    assert found["conversations"] == [text]
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_backup_of_an_older_postgres_keeps_its_schema(
    capsys: pytest.CaptureFixture[str], postgres: PostgresServer, address: Secret, path: Path, tmp_path: Path
) -> None:
    """For an operator who makes a backup before starting the newer version."""
    assert run(capsys, "import", str(path))[0] == 0
    for column in ("written", "preceding", "seed", "number", "slot", "voice"):
        postgres.run(f"ALTER TABLE lstmega.conversations DROP {column}", database(address))
    for column in ("length", "language", "access", "voice"):
        postgres.run(f"ALTER TABLE lstmega.preferences DROP {column}", database(address))
    postgres.run("DROP INDEX lstmega.conversations_by_age", database(address))
    postgres.run("DROP TABLE lstmega.usage", database(address))
    postgres.run("UPDATE lstmega.schema_version SET number = 3", database(address))
    assert run(capsys, "backup", "copy.sqlite3")[0] == 0
    assert postgres.run("SELECT number FROM lstmega.schema_version", database(address)) == "3"

    async def go_on() -> None:
        async with Store.open(tmp_path / "copy.sqlite3") as store:
            assert (await store.preferences("telegram", SECRET)).temperature == 0.1 + 0.2
            assert await last_text(store, "telegram", "c", SECRET) is not None

    asyncio.run(go_on())


def test_import_includes_the_write_ahead_log_of_a_killed_bot(
    capsys: pytest.CaptureFixture[str], address: Secret, path: Path, tmp_path: Path
) -> None:
    async def killed() -> Path:
        async with Store.open(path) as store:
            await store.set_preference("telegram", "late", "temperature", 1.9)
            return shutil.copytree(path.parent, tmp_path / "left") / path.name

    left = asyncio.run(killed())
    assert left.with_name(f"{left.name}-wal").stat().st_size
    assert run(capsys, "import", str(left))[0] == 0
    assert in_postgres(address)["people"][-1][1:] == ("telegram", "late")
    assert in_file(left) == in_file(path)


async def test_a_backup_of_a_postgres_is_consistent_during_changes(
    address: Secret, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "ROWS", 1)
    copy = tmp_path / "copy.sqlite3"
    async with Store.open(address) as store:
        await asyncio.gather(
            *(store.set_preference("telegram", str(number), "temperature", 0.5) for number in range(150))
        )
        making = asyncio.create_task(backup.back_up(address, copy))
        came = 0
        while not making.done():
            await keep(store, "telegram", "c", f"new {came}", Conversation("", 0.6, "v1", b"", ""))
            await store.forget("telegram", str(came))
            came += 1
        await making
        assert came > 1
    async with Store.open(copy) as store:
        await Store.inspect(copy)


def test_import_into_a_database_with_users_is_refused(
    capsys: pytest.CaptureFixture[str], address: Secret, path: Path
) -> None:
    assert run(capsys, "import", str(path))[0] == 0
    before = without_write_check(in_postgres(address))
    refused(capsys, path, "holds people's data already")
    assert without_write_check(in_postgres(address)) == before


def test_import_replaces_the_settings_of_a_database_without_users(
    capsys: pytest.CaptureFixture[str], address: Secret, path: Path
) -> None:
    async def run_bots() -> None:
        for place in (path, address):
            async with Store.open(place) as store:
                await store.set_setting("discord.commands", f"registered {place}")

    asyncio.run(run_bots())
    assert run(capsys, "import", str(path))[0] == 0
    assert without_write_check(in_postgres(address)) == in_file(path)


def is_missing(path: Path) -> None:
    path.unlink()


def is_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def is_no_database(path: Path) -> None:
    path.write_bytes(f"Dear diary, {SECRET} ".encode() * 500)


def changed_by(*statements: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        with closing(sqlite3.connect(path)) as file, file:
            for statement in statements:
                file.execute(statement)

    return change


def is_overwritten(path: Path) -> None:
    content = bytearray(path.read_bytes())
    for page in range(2, len(content) // 4096):
        content[page * 4096 : page * 4096 + 200] = random.Random(page).randbytes(200)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("spoil", "because"),
    [
        (is_missing, "there is no such file"),
        (is_a_folder, "cannot be opened"),
        (is_no_database, "is not an SQLite database"),
        (changed_by("PRAGMA application_id = 7"), "is the database of another program"),
        (changed_by("PRAGMA user_version = 99"), "is from a newer version of LSTMega (schema 99"),
        (is_overwritten, "is damaged"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("environment")
def test_a_file_that_cannot_be_imported(
    capsys: pytest.CaptureFixture[str], path: Path, spoil: Callable[[Path], None], because: str
) -> None:
    """Found out before PostgreSQL is asked."""
    spoil(path)
    refused(capsys, path, because)


@pytest.mark.parametrize(
    ("spoil", "because"),
    [
        (changed_by("UPDATE people SET person = person || char(0)"), "does not accept a value as it is"),
        (changed_by("UPDATE preferences SET temperature = 'SECRET'"), "does not accept a value as it is"),
        (changed_by("UPDATE conversations SET tail = tail || cast(x'c3' AS TEXT)"), "is damaged"),
    ],
)
def test_a_value_that_postgres_rejects_ends_the_import_and_is_not_logged(
    capsys: pytest.CaptureFixture[str], postgres: PostgresServer, address: Secret, path: Path, *,
    spoil: Callable[[Path], None], because: str,
) -> None:  # fmt: skip
    spoil(path)
    refused(capsys, path, because)
    found = in_postgres(address)
    assert [found[table] for table in TABLES[:-1]] == [[], [], [], [], []]
    assert SECRET not in postgres.log()


def test_import_without_a_postgres_is_refused(
    capsys: pytest.CaptureFixture[str], path: Path, environment: pytest.MonkeyPatch
) -> None:
    status, said = run(capsys, "import", str(path))
    assert status == 1
    assert "does not answer; see that PostgreSQL runs there" in said
    environment.delenv("LSTMEGA_STORE__URL")
    refused(capsys, path, "no PostgreSQL is configured to copy into: set [store] url")


def test_a_backup_of_a_postgres_that_fails_says_why(
    capsys: pytest.CaptureFixture[str], postgres: PostgresServer, address: Secret, tmp_path: Path
) -> None:
    status, said = run(capsys, "backup", "copy.sqlite3")
    assert status == 2
    assert f"{database(address)}: nothing of the bot's is there" in said
    assert postgres.run("SELECT count(*) FROM pg_namespace WHERE nspname = 'lstmega'", database(address)) == "0"
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "copy.sqlite3").write_text("another")
    assert "is there already" in run(capsys, "backup", "copy.sqlite3")[1]
    assert (tmp_path / "copy.sqlite3").read_text() == "another"


@asynccontextmanager
async def import_halfway(
    address: Secret, path: Path
) -> AsyncIterator[tuple[asyncio.subprocess.Process, asyncpg.Connection]]:
    """An `import` that has brought people and temperatures, and waits before their texts until the block ends."""
    async with Store.open(address):
        pass
    other = await asyncpg.connect(address.reveal())
    try:
        await other.execute("BEGIN; LOCK lstmega.conversations IN EXCLUSIVE MODE")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bot", "import", str(path), env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        try:
            async with asyncio.timeout(PATIENCE):
                while not await other.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
                    await asyncio.sleep(0.02)
            assert await other.fetchval("SELECT count(*) FROM lstmega.people") == 0, "no reader sees half of it"
            yield process, other
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    finally:
        await other.close()


async def assert_no_users(address: Secret) -> None:
    """As soon as PostgreSQL has noticed; a transaction that runs alone waits for that."""
    async with Store.open(address) as store:
        await store.move_chat("telegram", "-1", "-100")
        await store.forget("telegram", "-100")
    found = await _in_postgres(address)
    assert [found[table] for table in TABLES[:-1]] == [[], [], [], [], []]


async def test_a_killed_import_copies_nothing_and_can_be_repeated(
    capsys: pytest.CaptureFixture[str], address: Secret, path: Path
) -> None:
    before = in_file(path)
    async with import_halfway(address, path) as (process, _):
        process.send_signal(signal.SIGKILL)
        assert await process.wait() == -signal.SIGKILL
    await assert_no_users(address)
    assert in_file(path) == before
    status, _ = await asyncio.to_thread(run, capsys, "import", str(path))
    assert status == 0
    assert without_write_check(await _in_postgres(address)) == before


async def test_an_import_that_loses_its_connection_copies_nothing(address: Secret, path: Path) -> None:
    async with import_halfway(address, path) as (process, other):
        await other.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE NOT granted")
        out, _ = await process.communicate()
        assert process.returncode == 1
        assert b"does not answer; see that PostgreSQL runs there" in out
        assert_no_secrets(out.decode())
    await assert_no_users(address)


async def test_an_import_stopped_by_ctrl_c_copies_nothing(address: Secret, path: Path) -> None:
    async with import_halfway(address, path) as (process, _):
        process.send_signal(signal.SIGINT)
        assert await process.communicate() == (b"", None)
        assert process.returncode == 130
    await assert_no_users(address)


async def test_an_operator_moves_from_a_file_to_a_postgres(bot: Installation, address: Secret, tmp_path: Path) -> None:
    ada = bot.server.private(bot.server.user("Ada"))
    path = tmp_path / "db.sqlite3"
    there = {"LSTMEGA_STORE__PATH": "", "LSTMEGA_STORE__URL": address.reveal(), "LSTMEGA_LOG__LEVEL": "info"}
    async with bot.service() as service:
        assert await asked(ada, "/temperature 1.3") == english("temperature-own", own=1.3, default=0.7)
        await asked(ada, "/nietzsche Ada")
        status, _, err = await bot.command("import", str(path), **there)
        assert status == 2
        assert f"{path}: is locked by another program; stop that program" in err
        await service.stop()
    status, out, err = await bot.command("import", str(path), **there)
    assert (status, err) == (0, "")
    assert "people 1, notes 0, moved_chats 0, conversations 1, preferences 1" in out
    assert_no_secrets(out)
    async with bot.service(**there) as service:
        assert await asked(ada, "/temperature") == english("temperature-own", own=1.3, default=0.7)
        assert await asked(ada, "/continue") not in {english("no-text"), ""}
        await service.stop()
