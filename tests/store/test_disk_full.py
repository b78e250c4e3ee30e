# ruff: noqa: ASYNC240, PT012 - what blocks here is a small file; how many changes still fit, SQLite decides
"""A full disk, a real one of two megabytes: what is refused, what keeps working, and what recovers with space."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import add_random_version, english, keep, last_text
from msgspec.structs import replace
from service_process import Installation, asked

import train
from bot.store import store as store_module
from bot.store.errors import StoreError
from bot.store.store import Conversation, Store
from generator.weights.versions import add_version, load_weights
from testing.telegram import TelegramServer


@contextmanager
def mounted(place: Path, size: str) -> Iterator[Path]:
    """An empty file system."""
    place.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], capture_output=True, text=True, check=False
    )
    if mount.returncode:
        pytest.skip(f"no small disk without root (try: unshare -rm make test): {mount.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Of 2 MB."""
    with mounted(tmp_path / "disk", "2m") as place:
        yield place


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """Not one byte is free while the block runs."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while file.write(bytes(size)) == size:
                    pass
            except OSError:
                continue
    try:
        yield
    finally:
        filler.unlink()


@contextmanager
def leaving(disk: Path, free: int) -> Iterator[None]:
    """So many bytes are free while the block runs."""
    filler = disk / "filler"
    filler.write_bytes(bytes(shutil.disk_usage(disk).free - free))
    try:
        yield
    finally:
        filler.unlink()


def conversation(text: str) -> Conversation:
    return Conversation("The", 0.7, "v1", os.urandom(9000), text)


async def test_a_full_disk_refuses_changes_and_nothing_else(disk: Path) -> None:
    async with Store.open(disk / "db.sqlite3") as store:
        await store.set_preference("console", "ada", "temperature", 0.9)
        with full(disk):
            with pytest.raises(StoreError, match="the disk is full; make room on it"):
                for number in range(1000):
                    await keep(store, "console", str(number), "ada", conversation("lost"))
            assert (await store.preferences("console", "ada")).temperature == 0.9
            while store._erasing:  # noqa: ASYNC110 - nothing is written then, and there is no event for its end
                await asyncio.sleep(0)
            with pytest.raises(StoreError):
                for _ in range(1000):
                    await store.check_writable()
        await keep(store, "console", "c", "ada", conversation("kept"))
        await store.check_writable()
        await Store.inspect(disk / "db.sqlite3")


async def test_after_a_full_disk_the_bytes_of_a_forgotten_user_are_erased(
    disk: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(store_module, "MAINTENANCE_SECONDS", 0.05)
    async with Store.open(disk / "db.sqlite3") as store:
        await keep(store, "console", "c", "ada", conversation("SECRET" * 20))
        for number in range(12):
            await keep(store, "console", "c", str(number), conversation("another"))
        spare = disk / "spare"
        spare.write_bytes(bytes(1 << 16))  # room for the deletion, not for a second copy of everything
        with full(disk):
            spare.unlink()
            assert await store.forget("console", "ada") == 2
            assert await last_text(store, "console", "c", "ada") is None
            assert "store.erase_failed" in caplog.text
        await erased(store)
        assert not any(
            b"SECRET" in file.read_bytes() for file in disk.glob("db.sqlite3*") if file.suffix != ".sqlite3-shm"
        )


async def erased(store: Store) -> None:
    async with asyncio.timeout(20):
        while await store.setting("scrub"):  # noqa: ASYNC110 - it is done in the background
            await asyncio.sleep(0.02)


def test_a_version_that_does_not_fit_leaves_nothing_behind(disk: Path) -> None:
    add_random_version(disk, "tiny-1", seed=1)
    weights = load_weights(disk, "tiny-1")
    files = {name: (weights.folder / name).read_bytes() for name in weights.manifest.files}
    with full(disk):
        before = sorted(disk.iterdir())
        with pytest.raises(OSError, match="No space left on device"):
            add_version(disk, files, replace(weights.manifest, version="tiny-2"))
        assert sorted(disk.iterdir()) == before
    add_version(disk, files, replace(weights.manifest, version="tiny-2"))
    assert (load_weights(disk, "tiny-2").folder / "model.onnx").read_bytes() == files["model.onnx"]


@pytest.fixture
async def server() -> AsyncIterator[TelegramServer]:
    async with TelegramServer() as server:
        yield server


async def test_the_service_keeps_generating_and_saves_again_when_there_is_space(
    disk: Path, tiny_folder: Path, server: TelegramServer
) -> None:
    bot = Installation(tiny_folder, disk, server)
    ada = server.private(server.user("Ada"))
    async with bot.service() as service:
        assert await asked(ada, "/temperature 0.9") == english("temperature-own", own=0.9, default=0.7)
        with full(disk):
            for _ in range(1000):  # until what SQLite has room for is used up
                text = await asked(ada, "/temperature 0.5")
                if text != english("temperature-own", own=0.5, default=0.7):
                    break
            assert "Try again in a minute" in text
            assert "command=temperature" in await service.log.next("the disk is full; make room on it")
            assert english("not-saved") in await asked(ada, "/nietzsche 0.7 Ada")
            parts = await service.reports(503)
            assert (parts["store"], parts["weights"]) == (False, True)
        assert await asked(ada, "/temperature 0.3") == english("temperature-own", own=0.3, default=0.7)
        await service.reports(200)
        await service.stop()


def test_training_reports_a_full_disk_and_resumes_when_there_is_space(
    book: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with mounted(tmp_path / "large-disk", "12m") as weights:
        run = weights / ".training" / "cats"
        command = ["--corpus", str(book), "--preset", "small", "--dtype", "float32", "--epochs", "1", "--name", "cats"]
        with leaving(weights, 1 << 20):  # a checkpoint takes more
            assert train.main([*command, "--out", str(weights)]) == 1
        said = capsys.readouterr().err.splitlines()[-1]
        assert said.startswith("train.py: ")
        assert "no space left on device; fix that, and finished epochs are saved: continue with --resume cats" in said
        assert [path.name for path in run.iterdir()] == ["settings.json"]

        with leaving(weights, 3 << 19):  # enough for the checkpoint, but not for the version as well
            assert train.main(["--resume", "--out", str(weights)]) == 1
        said = capsys.readouterr().err.splitlines()[-1]
        assert said.startswith("train.py: ")
        assert "no space left on device; fix that, and finished epochs are saved: continue with --resume cats" in said
        assert {path.name for path in weights.iterdir()} == {".training"}

        assert train.main(["--resume", "--out", str(weights)]) == 0
        assert load_weights(weights).manifest.version == "cats"
