"""The store on real SQLite files and, where both behave alike, on a real PostgreSQL: saving, forgetting, expiry, and
every way the file can be wrong. `test_postgres` has what is special to PostgreSQL."""

# ruff: noqa: ASYNC240 - what blocks here is a small file
from __future__ import annotations

import asyncio
import itertools
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path

import pytest
from conftest import keep, last_text

from bot.config.schema import Secret
from bot.store import store as store_module
from bot.store.backup import back_up
from bot.store.errors import StoreError
from bot.store.migrations import APPLICATION_ID, MIGRATIONS
from bot.store.sqlite import Connection, Database, rehearse
from bot.store.store import EXPIRY_BATCH, KEPT_TEXTS, Conversation, Preferences, Store
from generator.types import ScoringRequest

DAY = 86_400
DATA = Path(__file__).resolve().parents[1] / "data"
ROOT = Path(__file__).resolve().parents[2]


def saved_text(tail: str = "and so on.", *, state: bytes = b"\0\1\2state") -> Conversation:
    return Conversation(prompt="The philosopher", temperature=0.6, version="v1", state=state, tail=tail)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "lstmega.sqlite3"


async def test_a_temperature_is_kept_until_it_is_cleared(place: Path | Secret) -> None:
    async with Store.open(place) as store:
        assert (await store.preferences("console", "ada")).temperature is None
        await store.set_preference("console", "ada", "temperature", 0.9)
        await store.set_preference("console", "ada", "temperature", 0.4)
        await store.set_preference("discord", "ada", "temperature", 1.1)
    async with Store.open(place) as store:
        assert (await store.preferences("console", "ada")).temperature == 0.4
        assert (await store.preferences("discord", "ada")).temperature == 1.1
        assert (await store.preferences("console", "bob")).temperature is None
        await store.set_preference("console", "ada", "temperature", None)
        assert (await store.preferences("console", "ada")).temperature is None


async def test_each_chat_of_a_user_has_its_own_last_text(place: Path | Secret) -> None:
    async with Store.open(place) as store:
        await keep(store, "telegram", "here", "ada", saved_text("one"))
        await keep(store, "telegram", "there", "ada", saved_text("two"))
        await keep(store, "telegram", "here", "ada", saved_text("three", state=bytes(range(256))))
    async with Store.open(place) as store:
        assert await last_text(store, "telegram", "here", "ada") == saved_text("three", state=bytes(range(256)))
        assert await last_text(store, "telegram", "there", "ada") == saved_text("two")
        assert await last_text(store, "telegram", "here", "bob") is None
        assert await last_text(store, "discord", "here", "ada") is None


async def test_a_users_last_ten_texts_in_a_chat_are_kept(place: Path | Secret) -> None:
    texts = [saved_text(f"text {number}", state=bytes([number])) for number in range(23)]
    async with Store.open(place) as store:
        for count, text in enumerate(texts, 1):
            await keep(store, "telegram", "here", "ada", text)
            kept = await store.conversations("telegram", "here", "ada")
            assert kept == texts[max(0, count - KEPT_TEXTS) : count][::-1], "the newest first"
        await keep(store, "telegram", "there", "ada", saved_text())
        await keep(store, "telegram", "here", "bob", saved_text())
        # One that takes the place of another, as in an inline message, is no newer than that was.
        await keep(store, "telegram", "here", "ada", replace(saved_text("instead"), number=kept[4].number))
        assert await store.conversations("telegram", "here", "ada") == [*kept[:4], saved_text("instead"), *kept[5:]]
        assert await last_text(store, "telegram", "here", "ada") == texts[-1]
        await store.move_chat("telegram", "here", "-100")
        assert await store.conversations("telegram", "-100", "ada", 4) == kept[:4]
        assert await store.forget("telegram", "ada") == 10 + 1 + 1 + 0
        assert await store.conversations("telegram", "-100", "ada") == []


async def test_of_ten_texts_those_that_are_old_expire(place: Path | Secret, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Store.open(place) as store:
        for now in range(1, 15):
            monkeypatch.setattr(time, "time", lambda now=now: now)
            await keep(store, "console", "c", "ada", saved_text(f"{now}"))
        assert await store.expire(9) == 4
        for now in (15, 16):
            await keep(store, "console", "c", "ada", saved_text(f"{now}"))
        kept = await store.conversations("console", "c", "ada")
        assert [text.tail for text in kept] == [f"{now}" for now in range(16, 8, -1)]


async def test_preferences_are_kept_one_by_one(place: Path | Secret) -> None:
    async with Store.open(place) as store:
        wanted = Preferences(0.3, 800, "pt-BR", "administrators", "moby")
        for name, value in reversed(asdict(wanted).items()):
            await store.set_preference("discord", "ada", name, value)
        assert await store.preferences("discord", "ada") == wanted
        for name in ("temperature", "language", "access", "voice"):
            await store.set_preference("discord", "ada", name, None)
        assert await store.preferences("discord", "ada") == Preferences(length=800)
        await store.set_preference("discord", "ada", "length", None)
        assert await store.preferences("discord", "ada") == Preferences()
        assert await store.forget("discord", "ada") == 1, "nothing is left but the user"


async def test_a_chat_whose_id_changed_keeps_its_texts(place: Path | Secret) -> None:
    async with Store.open(place) as store:
        await keep(store, "telegram", "-1", "ada", saved_text("ada's"))
        await keep(store, "telegram", "-1", "bob", saved_text("bob's"))
        await keep(store, "telegram", "-1", "-1", saved_text("the group's own"))
        await store.set_preference("telegram", "-1", "temperature", 0.9)
        await keep(store, "telegram", "-2", "ada", saved_text("elsewhere"))
        await keep(store, "discord", "-1", "ada", saved_text("on Discord"))
        await keep(store, "telegram", "-100", "bob", saved_text("bob's newer one"))
        for _ in range(2):  # Telegram reports it twice
            await store.move_chat("telegram", "-1", "-100")
    async with Store.open(place) as store:
        for chat in ("-1", "-100"):  # a button under an old text still stands in the old chat
            assert await last_text(store, "telegram", chat, "ada") == saved_text("ada's")
            assert await last_text(store, "telegram", chat, "bob") == saved_text("bob's newer one")
            for person in ("-1", "-100"):
                assert await last_text(store, "telegram", chat, person) == saved_text("the group's own")
        assert (await store.preferences("telegram", "-100")).temperature == 0.9
        assert await last_text(store, "telegram", "-2", "ada") == saved_text("elsewhere")
        assert await last_text(store, "discord", "-1", "ada") == saved_text("on Discord")
        # A text that was being written meanwhile is kept under the new name.
        await keep(store, "telegram", "-1", "ada", saved_text("late"))
        assert await last_text(store, "telegram", "-100", "ada") == saved_text("late")
        assert await store.forget("telegram", "ada") == 4
        assert await store.forget("telegram", "-100") == 4
        await Store.inspect(place)


async def test_a_group_that_wrote_under_both_ids_is_one_user(place: Path | Secret) -> None:
    async with Store.open(place) as store:
        await store.set_preference("telegram", "-1", "temperature", 0.5)
        await store.set_preference("telegram", "-100", "temperature", 0.9)
        await store.move_chat("telegram", "-1", "-100")
        assert (await store.preferences("telegram", "-100")).temperature == 0.9
        assert await store.forget("telegram", "-1") == 3  # under either ID


async def test_a_request_under_a_groups_old_id_is_about_the_group(place: Path | Secret) -> None:
    """The old code set a temperature under the old ID, where neither the new one nor /forgetme found it."""
    async with Store.open(place) as store:
        await store.move_chat("telegram", "-1", "-100")
        await store.set_preference("telegram", "-1", "temperature", 0.9)
        assert (await store.preferences("telegram", "-100")).temperature == 0.9
        assert (await store.preferences("telegram", "-1")).temperature == 0.9
        await store.set_preference("telegram", "-1", "temperature", None)
        assert (await store.preferences("telegram", "-100")).temperature is None
        await store.set_preference("telegram", "-1", "temperature", 0.8)
        assert await store.forget("telegram", "-100") == 3
        assert await store.user_id("telegram", "-1") is None


@pytest.mark.parametrize("asks_as", ["-4711000815", "-1004711000815"])
async def test_a_moved_group_is_forgotten_under_both_ids(path: Path, asks_as: str) -> None:
    old, new = "-4711000815", "-1004711000815"
    async with Store.open(path) as store:
        await keep(store, "telegram", old, old, saved_text())
        await store.move_chat("telegram", old, new)
        await store.move_chat("telegram", "-1", "-100")
        await keep(store, "telegram", "-1", "ada", saved_text("ada's"))
        assert await store.forget("telegram", asks_as) == 3
        assert await last_text(store, "telegram", "-1", "ada") == saved_text("ada's")
        content = b"".join(file.read_bytes() for file in path.parent.iterdir())
        assert old.removeprefix("-").encode() not in content
    assert old.removeprefix("-").encode() not in path.read_bytes()


async def test_forgetting_a_group_keeps_its_members_texts(place: Path | Secret) -> None:
    async with Store.open(place) as store:
        await keep(store, "telegram", "-1", "ada", saved_text("ada's"))
        await store.move_chat("telegram", "-1", "-100")
        assert await store.forget("telegram", "-100") == 1
        assert await last_text(store, "telegram", "-100", "ada") == saved_text("ada's")
        assert await last_text(store, "telegram", "-1", "ada") is None


async def test_a_write_check_leaves_settings_as_they_were(place: Path | Secret) -> None:
    async with Store.open(place) as store:
        await store.set_setting("discord.commands", "registered")
        for _ in range(3):
            await store.check_writable()
        assert await store.setting("discord.commands") == "registered"
        await Store.inspect(place)


async def test_forgetting_counts_every_row_and_affects_no_other_user(place: Path | Secret) -> None:
    async with Store.open(place) as store:
        await store.set_preference("console", "ada", "temperature", 0.9)
        await keep(store, "console", "a", "ada", saved_text())
        await keep(store, "console", "b", "ada", saved_text())
        await keep(store, "console", "a", "bob", saved_text("bob's"))
        await store.set_preference("discord", "ada", "temperature", 1.5)
        assert await store.forget("console", "ada") == 4
        assert await store.forget("console", "ada") == 0
        assert (await store.preferences("console", "ada")).temperature is None
        assert await last_text(store, "console", "a", "ada") is None
        assert await last_text(store, "console", "a", "bob") == saved_text("bob's")
        assert (await store.preferences("discord", "ada")).temperature == 1.5


async def test_no_byte_of_a_forgotten_user_stays_in_the_files(path: Path) -> None:
    """With this seed and these sizes `secure_delete` alone leaves a copy behind, at step 239."""
    draw = random.Random(0)
    async with Store.open(path) as store:
        for step in range(300):
            who = draw.randrange(90)
            chat, state, length = draw.randrange(3), draw.randbytes(20), draw.randint(1, 20)
            conversation = Conversation("The", 0.6, "v1", state, f"TAIL{who:04d}" * length)
            await keep(store, "console", f"CHAT{who:04d}-{chat}", f"PERSON{who:04d}", conversation)
            if step % 60 == 59:
                gone = draw.randrange(90)
                await store.forget("console", f"PERSON{gone:04d}")
                for file in path.parent.iterdir():
                    if file.suffix != ".sqlite3-shm":
                        content = file.read_bytes()
                        for mark in ("TAIL", "CHAT", "PERSON"):
                            assert f"{mark}{gone:04d}".encode() not in content, (file.name, mark, step)
        assert path.with_name(path.name + "-wal").exists(), "otherwise this test reads the wrong files"


def spoil_every_page_after(path: Path, first: int) -> None:
    content = bytearray(path.read_bytes())
    for page in range(first + 1, len(content) // 4096):
        content[page * 4096 : page * 4096 + 200] = os.urandom(200)
    path.write_bytes(content)


def files_hold(path: Path, mark: bytes) -> bool:
    return any(mark in file.read_bytes() for file in path.parent.iterdir() if file.suffix != ".sqlite3-shm")


async def erased(store: Store) -> None:
    async with asyncio.timeout(20):
        while await store.setting("scrub"):  # noqa: ASYNC110 - it is done in the background
            await asyncio.sleep(0.02)


async def fill(path: Path, users: int) -> None:
    """Adds users with a last text of the usual size, in one transaction."""
    async with Store.open(path):
        pass
    draw = random.Random(0)
    text = "x" * 400
    with sqlite3.connect(path) as file:
        for user in range(1, users + 1):
            file.execute("INSERT INTO people VALUES (?, 'telegram', ?)", (user, f"USER{user:05d}"))
            file.execute(
                "INSERT INTO conversations VALUES (?, ?, 'The', 0.7, 'v', ?, ?, ?, ?, '', 1, 1, 1, 'nietzsche')",
                (user, f"CHAT{user:05d}", draw.randbytes(10_240), f"TAIL{user:05d}", user, text),
            )
    file.close()


@pytest.fixture
def vacuums(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every `VACUUM` that is executed, during which changes wait."""
    found: list[str] = []

    async def recorded(self: Connection, statement: str, *values: object) -> list[sqlite3.Row]:
        found.extend([statement] if statement == "VACUUM" else [])
        return await read(self, statement, *values)

    read = Connection.read
    monkeypatch.setattr(Connection, "read", recorded)
    return found


async def test_forgetting_in_a_large_database_delays_no_other_user(
    path: Path, monkeypatch: pytest.MonkeyPatch, vacuums: list[str]
) -> None:
    """With 20,000 saved texts, the old code rewrote the file for 4 s while every change waited; this takes 0.03 s."""
    monkeypatch.setattr(store_module, "NIGHT_HOUR", -1)
    await fill(path, users=1000)
    async with Store.open(path) as store:
        for user in range(100, 1000, 100):
            assert await store.forget("telegram", f"USER{user:05d}") == 2
        assert vacuums == []
        for user in range(100, 1000, 100):
            assert not files_hold(path, f"TAIL{user:05d}".encode()), "zeroed at once, also in the write-ahead log"
        assert await store.setting("scrub"), "the copies that SQLite may have left are erased at night"


async def test_a_large_database_is_vacuumed_at_night_and_stays_readable(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(path, users=1000)
    monkeypatch.setattr(store_module, "MAINTENANCE_SECONDS", 0.2)
    monkeypatch.setattr(store_module, "NIGHT_HOUR", -1)
    async with Store.open(path) as store:
        await store.set_preference("console", "ada", "temperature", 0.9)
        assert await store.forget("telegram", "USER00007") == 2
        assert await store.setting("scrub")
        monkeypatch.setattr(store_module, "NIGHT_HOUR", datetime.now().astimezone().hour)
        during = 0
        async with asyncio.timeout(20):
            while await store.setting("scrub"):
                assert (await store.preferences("console", "ada")).temperature == 0.9
                if store._erasing:
                    during += 1
                    await store.check_writable()  # does not wait for the vacuum
        assert during
        assert not files_hold(path, b"USER00007")


async def test_concurrent_forgetting_shares_one_vacuum(path: Path, vacuums: list[str]) -> None:
    async with Store.open(path) as store:
        for i in range(40):
            await keep(store, "console", "c", f"PERSON{i:04d}", saved_text(f"TAIL{i:04d}" * 50))
        assert await asyncio.gather(*(store.forget("console", f"PERSON{i:04d}") for i in range(40))) == [2] * 40
        assert not files_hold(path, b"TAIL")
        assert not files_hold(path, b"PERSON")
    assert 1 <= len(vacuums) <= 3


async def test_an_erasure_blocked_by_a_reader_is_retried(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Another program reads the old rows: the bot forgets them at once, and the file when that program has ended."""
    monkeypatch.setattr(store_module, "MAINTENANCE_SECONDS", 0.05)
    async with Store.open(path, busy_timeout=0.05) as store:
        await keep(store, "console", "c", "ada", saved_text("SECRET" * 30))
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN")
        other.execute("SELECT * FROM people").fetchall()
        assert await store.forget("console", "ada") == 2
        assert await last_text(store, "console", "c", "ada") is None
        assert "store.erase_failed" in caplog.text
        assert "SECRET" not in caplog.text
        assert files_hold(path, b"SECRET")
        other.execute("ROLLBACK")
        other.close()
        await erased(store)
        assert not files_hold(path, b"SECRET")


async def test_any_failure_of_an_erasure_is_logged_and_retried(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The old code's task ended, and every later /forgetme waited for ever."""

    async def fails(_: Database, **__: bool) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(store_module, "MAINTENANCE_SECONDS", 0.05)
    async with Store.open(path) as store:
        await keep(store, "console", "c", "ada", saved_text("SECRET" * 30))
        await keep(store, "console", "c", "bob", saved_text("SECRET" * 30))
        with monkeypatch.context() as patched:
            patched.setattr(Database, "erase_deleted", fails)
            assert await store.forget("console", "ada") == 2
        assert "store.erase_failed retry_seconds=0.05 error=a defect" in caplog.text
        assert await store.forget("console", "bob") == 2
        await erased(store)
        assert not files_hold(path, b"SECRET")


async def test_the_next_start_finishes_the_erasure_of_a_killed_process(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def killed(_: Database, **__: bool) -> None:
        raise StoreError(path, "the process ended here")

    async with Store.open(path) as store:
        await keep(store, "console", "c", "ada", saved_text("SECRET" * 30))
        with monkeypatch.context() as patched:
            patched.setattr(Database, "erase_deleted", killed)
            await store.forget("console", "ada")
        assert files_hold(path, b"SECRET")
        left = shutil.copytree(path.parent, path.parents[1] / "left") / path.name
    async with Store.open(left) as store:
        await erased(store)
        assert not files_hold(left, b"SECRET")


async def test_a_replaced_text_is_zeroed_in_the_file(path: Path) -> None:
    async with Store.open(path) as store:
        await keep(store, "console", "c", "ada", saved_text("the first words " * 60))
        for _ in range(KEPT_TEXTS):
            await keep(store, "console", "c", "ada", saved_text("other"))
    assert b"first words" not in path.read_bytes()


async def test_concurrent_users_do_not_disturb_each_other(place: Path | Secret) -> None:
    async with Store.open(place) as store:
        await asyncio.gather(
            *(store.set_preference("console", str(i), "temperature", 0.1 + i / 100) for i in range(40))
        )
        found = await asyncio.gather(*(store.preferences("console", str(i)) for i in range(40)))
    assert found == [Preferences(0.1 + i / 100) for i in range(40)]


async def test_a_group_that_is_forgotten_while_it_is_upgraded_leaves_no_row(place: Path | Secret) -> None:
    """Beside a text that is being written for it; in every order."""
    async with Store.open(place) as store:
        for number, order in enumerate(itertools.permutations(range(3))):
            old, new = f"-{number + 1}", f"-100{number + 1}"
            await keep(store, "telegram", old, old, saved_text())
            await store.set_preference("telegram", old, "temperature", 0.5)
            user_id = await store.user_id("telegram", old)
            assert user_id is not None
            changes = (
                store.move_chat("telegram", old, new),
                store.forget("telegram", old),
                store.save_conversation("telegram", old, old, user_id, saved_text("late")),
            )
            await asyncio.gather(*(changes[place] for place in order))
            for name in (old, new):
                assert await store.user_id("telegram", name) is None
                assert await store.conversations("telegram", name, old) == []
            assert await store.forget("telegram", new) <= 1  # at most the group's new name


async def test_a_cancelled_change_is_rolled_back_and_the_next_one_works(place: Path | Secret) -> None:
    async with Store.open(place) as store:
        for _ in range(30):
            task = asyncio.create_task(keep(store, "console", "c", "ada", saved_text("cancelled")))
            for _ in range(random.randrange(8)):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await keep(store, "console", "c", "ada", saved_text("kept"))
        assert await last_text(store, "console", "c", "ada") == saved_text("kept")
        await Store.inspect(place)


@pytest.mark.parametrize("schema", [1, 2, 3, 4, 5, 6])
async def test_a_database_of_an_older_version_opens_silently(
    path: Path, schema: int, caplog: pytest.LogCaptureFixture
) -> None:
    """The files were written by the code of that time; 1 and 3 by that of the next version, stopped half-way."""
    path.parent.mkdir()
    shutil.copy(DATA / f"schema-{schema}.sqlite3", path)
    before = path.read_bytes()
    assert await Store.inspect(path) == f"intact; will be migrated from {schema} to {len(MIGRATIONS)} at the next start"
    assert path.read_bytes() == before, "inspecting changes nothing"
    assert list(path.parent.iterdir()) == [path]
    async with Store.open(path) as store:
        assert (await store.preferences("telegram", "4711")).temperature == 0.9
        assert (await store.preferences("discord", "4711")).temperature == 1.25
        written = ScoringRequest("\n", "The text, and so on.", 7) if schema >= 4 else None
        assert await last_text(store, "telegram", "-815", "4711") == Conversation(
            "The philosopher", 0.6, "nietzsche-best", bytes(range(256)) * 4, "and so on.", written
        )
        assert await store.setting("discord.commands") == ("registered" if schema > 1 else None)
        assert await store.forget("telegram", "4711") == 3
        assert await store.forget("telegram", "-10042") == (1 if schema >= 4 else 0)
        assert await Store.inspect(path) == "intact"
    assert not caplog.records


async def test_inspecting_a_database_in_use_changes_nothing(path: Path) -> None:
    async with Store.open(path) as store:
        await store.set_preference("console", "ada", "temperature", 0.9)
        before = {file.name: file.read_bytes() for file in path.parent.iterdir() if file.suffix != ".sqlite3-shm"}
        assert await Store.inspect(path) == "intact"
        assert {name: path.with_name(name).read_bytes() for name in before} == before


async def test_texts_expire_and_temperatures_stay(place: Path | Secret, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_800_000_000
    async with Store.open(place) as store:
        monkeypatch.setattr(time, "time", lambda: now - 91 * DAY)
        await keep(store, "console", "old", "ada", saved_text())
        await keep(store, "console", "old", "bob", saved_text())
        await store.set_preference("console", "ada", "temperature", 0.9)
        monkeypatch.setattr(time, "time", lambda: now - 89 * DAY)
        await keep(store, "console", "newer", "ada", saved_text("newer"))
        assert await store.expire(now - 90 * DAY) == 2
        assert await store.expire(now - 90 * DAY) == 0
        assert await last_text(store, "console", "old", "ada") is None
        assert await last_text(store, "console", "newer", "ada") == saved_text("newer")
        assert (await store.preferences("console", "ada")).temperature == 0.9
        assert await store.user_id("console", "bob") is None, "nothing else is known of him"


async def test_old_texts_expire_in_the_background_in_small_batches(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(store_module, "EXPIRY_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(store_module, "MAINTENANCE_SECONDS", 0.0)
    await fill(path, users=EXPIRY_BATCH * 4 + 1)
    batches: list[int] = []
    expired = asyncio.Event()

    async def expire(self: Store, before: float) -> int:
        if not batches:
            batches.append(0)
            raise RuntimeError("a defect")  # the next search goes on
        batches.append(await delete(self, before))
        if not batches[-1]:
            expired.set()
        return batches[-1]

    delete = Store.expire
    monkeypatch.setattr(Store, "expire", expire)
    async with Store.open(path, keep_days=90) as store, asyncio.timeout(20):
        await expired.wait()
        assert await store.user_id("telegram", "USER00001") is None
    assert batches[:7] == [0, *[EXPIRY_BATCH] * 4, 1, 0]
    assert "store.expiry_failed" in caplog.text


async def test_a_start_does_not_read_the_whole_of_a_large_database(path: Path) -> None:
    """A page of a text is spoilt; the start does not see it, and `inspect` does."""
    await fill(path, users=1000)
    spoil_every_page_after(path, 1500)
    async with Store.open(path) as store:
        await store.set_setting("key", "value")
    with pytest.raises(StoreError, match="is damaged"):
        await Store.inspect(path)


@pytest.mark.parametrize("existing", [False, True])
async def test_the_files_are_private_to_their_owner(tmp_path: Path, existing: bool) -> None:  # noqa: FBT001
    """Whatever the umask, and in a folder that everybody may read."""
    path = tmp_path / "lstmega.sqlite3"
    tmp_path.chmod(0o755)
    umask = os.umask(0)
    try:
        if existing:
            for name in ("", "-wal", "-shm"):
                path.with_name(path.name + name).touch(0o644)
        async with Store.open(path) as store:
            await store.set_preference("console", "ada", "temperature", 0.9)
            assert {file.name: oct(file.stat().st_mode & 0o777) for file in tmp_path.iterdir()} == {
                "lstmega.sqlite3": "0o600", "lstmega.sqlite3-wal": "0o600", "lstmega.sqlite3-shm": "0o600",
            }  # fmt: skip
            await back_up(path, tmp_path / "copy.sqlite3")
            assert (tmp_path / "copy.sqlite3").stat().st_mode & 0o777 == 0o600
    finally:
        os.umask(umask)


async def test_the_file_uses_write_ahead_logging_and_has_an_application_id(path: Path) -> None:
    async with Store.open(path):
        with sqlite3.connect(path) as other:
            assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            assert other.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
            assert other.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        other.close()


async def test_several_bots_can_create_a_database_concurrently(place: Path | Secret) -> None:
    async def start(name: str) -> None:
        async with Store.open(place) as store:
            await store.set_preference("console", name, "temperature", 0.5)

    await asyncio.gather(*(start(str(i)) for i in range(6)))
    async with Store.open(place) as store:
        assert [(await store.preferences("console", str(i))).temperature for i in range(6)] == [0.5] * 6


async def refusal(path: Path) -> str:
    with pytest.raises(StoreError) as caught:
        async with Store.open(path, busy_timeout=0.1):
            pass
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


async def test_a_file_that_is_no_database(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"Dear diary, " * 500)
    assert "is not an SQLite database; move it away" in await refusal(path)
    assert path.read_bytes().startswith(b"Dear diary"), "the file is unchanged"


async def test_a_damaged_database(path: Path) -> None:
    async with Store.open(path) as store:
        for i in range(60):
            await keep(store, "console", str(i), "ada", saved_text("x" * 900))
    spoil_every_page_after(path, 1)
    assert "is damaged; move it away" in await refusal(path)


async def test_a_truncated_database(path: Path) -> None:
    async with Store.open(path) as store:
        for i in range(60):
            await keep(store, "console", str(i), "ada", saved_text("x" * 900))
    path.write_bytes(path.read_bytes()[:9000])
    assert "is damaged; move it away" in await refusal(path)


async def test_a_database_from_a_newer_version(path: Path) -> None:
    async with Store.open(path):
        pass
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA user_version = 99")
    other.close()
    message = await refusal(path)
    assert "newer version of LSTMega (schema 99" in message
    assert "update LSTMega" in message


async def test_the_database_of_another_program_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE recipes (name TEXT)")
    other.close()
    before = path.read_bytes()
    assert "another program" in await refusal(path)
    assert path.read_bytes() == before


async def test_a_database_locked_by_another_program(path: Path) -> None:
    async with Store.open(path):
        pass
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert "is locked by another program; stop that program" in await refusal(path)
    with pytest.raises(StoreError, match="is locked by another program"):  # which `check` says too
        rehearse(path, path.parent, busy_timeout=0.0)
    other.close()
    rehearse(path, path.parent, busy_timeout=0.0)


async def test_a_database_that_is_locked_later_recovers(path: Path) -> None:
    async with Store.open(path, busy_timeout=0.1) as store:
        await store.set_preference("console", "ada", "temperature", 0.5)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="is locked by another program"):
            await store.set_preference("console", "ada", "temperature", 0.6)
        assert (await store.preferences("console", "ada")).temperature == 0.5, "reading still works"
        other.execute("ROLLBACK")
        other.close()
        await store.set_preference("console", "ada", "temperature", 0.7)
        assert (await store.preferences("console", "ada")).temperature == 0.7


async def test_a_folder_in_place_of_the_file(tmp_path: Path) -> None:
    assert "is a folder, not a file" in await refusal(tmp_path)


async def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert "cannot be written (not a directory)" in await refusal(tmp_path / "file" / "deeper" / "lstmega.sqlite3")


OPEN_AS_NOBODY = """
import asyncio, concurrent.futures.thread, os, sys
from pathlib import Path
from bot.store import sqlite as database
from bot.store.errors import StoreError
from bot.store.store import Store
if os.geteuid() == 0:  # root may write everywhere; what is imported stays usable
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
async def main():
    async with Store.open(Path(sys.argv[1]), busy_timeout=0.1):
        print("opened")
try:
    asyncio.run(main())
except StoreError as error:
    print(error)
"""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users can reach, unlike pytest's."""
    folder = Path(tempfile.mkdtemp(prefix="lstmega-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def open_as_nobody(path: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", OPEN_AS_NOBODY, str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout


async def test_a_read_only_database(open_folder: Path) -> None:
    path = open_folder / "lstmega.sqlite3"
    async with Store.open(path):
        pass
    path.chmod(0o444)
    open_folder.chmod(0o555)
    message = open_as_nobody(path)
    open_folder.chmod(0o755)
    assert message.startswith(f"{path}: cannot be ")
    assert "this user" in message


async def test_a_folder_that_is_not_writable(open_folder: Path) -> None:
    open_folder.chmod(0o555)
    new_file = open_as_nobody(open_folder / "lstmega.sqlite3")
    new_folder = open_as_nobody(open_folder / "state" / "lstmega.sqlite3")
    open_folder.chmod(0o755)
    assert "cannot be opened; see that its folder exists and this user may write there" in new_file
    assert "cannot be written (permission denied)" in new_folder


WRITE_FOR_EVER = """
import asyncio, sys
from pathlib import Path
from bot.config.schema import Secret
from bot.store.store import Conversation, Store
place = sys.stdin.read()
async def main():
    async with Store.open(Secret(place) if "://" in place else Path(place)) as store:
        known = await store.ensure_user("console", "ada")
        number = 0
        while True:
            conversation = Conversation("", 0.7, "v", bytes(9000), str(number))
            await store.save_conversation("console", "c", "ada", known, conversation)
            print(number, flush=True)
            number += 1
asyncio.run(main())
"""


def write_until_killed(place: Path | Secret, lines: int) -> int:
    """Kills a writer after it printed `lines` changes; returns the last one that it printed."""
    command = [sys.executable, "-c", WRITE_FOR_EVER]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(place.reveal() if isinstance(place, Secret) else str(place))
        process.stdin.close()
        for _ in range(lines):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        printed = [lines - 1, *map(int, process.stdout.read().split())][-1]
        assert process.wait(10) == -signal.SIGKILL
    return printed


@pytest.mark.parametrize("lines", [1, 7, 60])
async def test_a_kill_loses_at_most_the_change_in_flight(place: Path | Secret, lines: int) -> None:
    printed = write_until_killed(place, lines)
    async with Store.open(place) as store:
        await Store.inspect(place)
        kept = await last_text(store, "console", "c", "ada")
    assert kept is not None
    assert int(kept.tail) in {printed, printed + 1}
