"""A database that the code of an earlier commit wrote: upgrade, the way back, and the copies that make it possible."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from bot.store.migrations import MIGRATIONS
from bot.store.sqlite import COPY_SECONDS
from bot.store.store import Store

ROOT, DATA = Path(__file__).parents[2], Path(__file__).parents[1] / "data"
EARLIER = "bfd28d4549267165d231ab69dec0555a950dcaed"
"""The last commit whose database has schema 5."""


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """The program of that commit."""
    archive = ["git", "-C", str(ROOT), "archive", EARLIER, "bot", "generator"]
    program = subprocess.run(archive, capture_output=True, check=False)
    if program.returncode:
        pytest.skip(f"the history of this clone has no {EARLIER}")
    folder = tmp_path / "earlier"
    folder.mkdir()
    subprocess.run(["tar", "-xf", "-", "-C", folder], input=program.stdout, check=True)
    return folder


def run(program: Path, weights: Path, state: Path, *arguments: str, typed: str = "") -> tuple[int, str]:
    """The exit status, and everything that was printed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LSTMEGA_")} | {
        "LSTMEGA_GENERATOR__WEIGHTS": str(weights),
        "LSTMEGA_STORE__PATH": str(state / "db.sqlite3"),
        "LSTMEGA_BOT__COOLDOWN": "0",
        "LANG": "C.UTF-8",
    }
    # -P and the path: the program's own folder, not the one that is installed.
    command = [sys.executable, "-P", "-c", f"import sys; sys.path.insert(0, {str(program)!r})\n{MAIN}", *arguments]
    done = subprocess.run(
        command, input=typed, env=environment, cwd=state, capture_output=True, text=True, check=False, timeout=120
    )
    return done.returncode, done.stdout + done.stderr


MAIN = "from bot.cli.main import main; sys.exit(main(sys.argv[1:]))"


def schema_of(path: Path) -> int:
    with closing(sqlite3.connect(path)) as file:
        return int(file.execute("PRAGMA user_version").fetchone()[0])


def test_an_upgrade_and_the_way_back(earlier: Path, tiny_folder: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    database, kept = state / "db.sqlite3", state / f"db.sqlite3.before-schema-{len(MIGRATIONS)}"
    status, _ = run(earlier, tiny_folder, state, "chat", typed="/temperature 1.25\n/nietzsche\n")
    assert (status, schema_of(database)) == (0, 5)

    status, shown = run(ROOT, tiny_folder, state, "chat", typed="/temperature\n/continue\n")
    assert (status, "1.25" in shown) == (0, True)
    assert [schema_of(path) for path in (database, kept)] == [len(MIGRATIONS), 5]
    assert kept.stat().st_mode & 0o077 == 0

    status, shown = run(earlier, tiny_folder, state, "chat", typed="/temperature\n")
    assert status == 2
    assert f"{database}: is from a newer version of LSTMega (schema {len(MIGRATIONS)}; this one knows 5)" in shown
    status, shown = run(earlier, tiny_folder, state, "check")
    assert (status, "newer version" in shown) == (1, True)

    status, shown = run(ROOT, tiny_folder, state, "restore", str(kept))
    assert (status, f"what was there is in {database}.before-restore" in shown) == (0, True)
    status, shown = run(earlier, tiny_folder, state, "chat", typed="/temperature\n")
    assert (status, "1.25" in shown) == (0, True)


@pytest.mark.parametrize("schema", range(1, len(MIGRATIONS)))
async def test_a_migration_keeps_a_copy(tmp_path: Path, schema: int) -> None:
    """It stays for 30 days, or until a user wants their data deleted."""
    path, kept = tmp_path / "db.sqlite3", tmp_path / f"db.sqlite3.before-schema-{len(MIGRATIONS)}"
    shutil.copy(DATA / f"schema-{schema}.sqlite3", path)
    async with Store.open(path) as store:
        assert schema_of(kept) == schema
        await store.forget("telegram", "nobody known")
        assert kept.exists()
        await store.forget("telegram", "4711")
        assert not kept.exists()
    kept.touch()
    os.utime(kept, (0, time.time() - COPY_SECONDS - 60))
    async with Store.open(path) as store:
        await store._erase()  # as every minute
        assert not kept.exists()
