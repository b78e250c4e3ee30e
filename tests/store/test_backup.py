"""A backup while people type, its restoring in a new place, and the way back to older weights."""

# ruff: noqa: ASYNC240 - what blocks here is a small folder
from __future__ import annotations

import asyncio
import shutil
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from conftest import english
from service_process import Installation, asked

from generator.weights.versions import activate
from testing.telegram import Chat, TelegramServer

Add = Callable[[Path, str, int], Path]


@pytest.fixture
async def server() -> AsyncIterator[TelegramServer]:
    async with TelegramServer() as server:
        yield server


async def test_a_backup_under_load_holds_everything_that_was_answered_before_it(
    tiny_folder: Path, tmp_path: Path, server: TelegramServer
) -> None:
    bot = Installation(tiny_folder, tmp_path, server)
    people = [server.private(server.user(f"Person {number}")) for number in range(8)]
    known: dict[Chat, float] = {}
    done = asyncio.Event()

    async def person(chat: Chat) -> None:
        value = 0.1
        while not done.is_set():
            value = round(value + 0.01, 2) if value < 1.9 else 0.1
            answer = await asked(chat, f"/temperature {value}")
            assert answer in {english("temperature-own", own=value, default=0.7), english("overloaded")}
            if answer != english("overloaded"):
                known[chat] = value
            await asked(chat, "/nietzsche 0.7 Ada")

    copy = tmp_path / "copy.sqlite3"
    async with bot.service() as service:
        async with asyncio.TaskGroup() as group:
            for chat in people:
                group.create_task(person(chat))
            while len(known) < len(people):  # noqa: ASYNC110 - everybody has been answered once
                await asyncio.sleep(0.01)
            before = dict(known)
            status, out, err = await bot.command("backup", str(copy))
            assert (status, err) == (0, "")
            assert out.startswith(f"{copy}: ")
            after = dict(known)
            done.set()
        await service.stop()
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.glob("*copy*")) == ["copy.sqlite3"]

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    weights = shutil.copytree(tiny_folder, elsewhere / "weights")
    shutil.copy(copy, elsewhere / "db.sqlite3")
    restored = Installation(weights, elsewhere, server)
    async with restored.service() as service:
        for chat in people:
            answer = await asked(chat, "/temperature")
            # What was answered while the copy was made may be in it or not.
            assert answer in {
                english("temperature-own", own=value, default=0.7)
                for value in (
                    round(before[chat] + step / 100, 2) for step in range(round((after[chat] - before[chat]) * 100) + 2)
                )
            }
        assert await asked(people[0], "/continue") != english("no-text")
        await service.stop()


async def test_a_backup_that_fails_says_why(tiny_folder: Path, tmp_path: Path, server: TelegramServer) -> None:
    bot = Installation(tiny_folder, tmp_path, server)
    copy = tmp_path / "copy.sqlite3"
    status, _, err = await bot.command("backup", str(copy))
    assert (status, copy.exists()) == (2, False)
    assert err == f"python -m bot backup: {tmp_path / 'db.sqlite3'}: there is no such file\n"
    copy.write_text("another")
    assert "is there already" in (await bot.command("backup", str(copy)))[2]
    assert copy.read_text() == "another"


async def test_an_operator_returns_to_older_weights(
    tiny_folder: Path, tmp_path: Path, server: TelegramServer, add_tiny_version: Add
) -> None:
    """A text of the newer weights can be continued by the older ones."""
    bot = Installation(tiny_folder, tmp_path, server)
    ada = server.private(server.user("Ada"))
    add_tiny_version(tiny_folder, "tiny-2", 2)
    activate(tiny_folder, "tiny-2")
    async with bot.service() as service:
        await asked(ada, "/nietzsche 0.7 Ada")
        (tiny_folder / "CURRENT").write_text("tiny-1\n")  # as `echo tiny-1 > weights/CURRENT` does
        await service.log.next("reload.done trigger='CURRENT' version=tiny-1 before=tiny-2")
        assert "tiny-1" in await asked(ada, "/about")
        assert await asked(ada, "/continue") not in {english("no-text"), ""}
        await service.stop()


async def test_restore_puts_a_backup_in_the_place_of_the_database(
    tiny_folder: Path, tmp_path: Path, server: TelegramServer
) -> None:
    """Also in that of a damaged one, but not under a running bot."""
    bot, backups = Installation(tiny_folder, tmp_path, server), tmp_path / "backups"
    ada, database = server.private(server.user("Ada")), tmp_path / "db.sqlite3"
    backups.mkdir()
    for day in range(1, 10):
        (backups / f"lstmega-2026-01-0{day}T050000Z.sqlite3").touch()
    async with bot.service() as service:
        await asked(ada, "/temperature 0.9")
        assert (await bot.command("backup", str(backups), "--keep", "3"))[0] == 0
        *older, backup = sorted(backups.iterdir())
        assert [path.name[8:18] for path in older] == ["2026-01-08", "2026-01-09"]
        await asked(ada, "/temperature 1.1")
        status, _, err = await bot.command("restore", str(backup))
        assert (status, "is locked by another program; stop that program" in err) == (2, True)
        assert "1.1" in await asked(ada, "/temperature")
        await service.stop()

    status, out, _ = await bot.command("restore", str(backup))
    assert (status, out) == (
        0,
        f"{database}: restored from {backup}; what was there is in {database}.before-restore\n",
    )
    database.write_bytes(b"no database at all" * 1000)
    assert (await bot.command("restore", str(older[0])))[0] == 2  # an empty file
    assert (await bot.command("restore", str(backup)))[0] == 0
    async with bot.service() as service:
        assert "0.9" in await asked(ada, "/temperature")
        await service.stop()
    assert stat.S_IMODE(database.stat().st_mode) == 0o600
    status, _, err = await bot.command("backup", str(tmp_path / "new"), "--keep", "3")
    assert (status, "--keep is for a folder" in err) == (2, True)
