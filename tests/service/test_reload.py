"""Hot reload."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bot.service import reload as module
from bot.service.reload import Reloading
from generator import GenerationRequest, ThreadedGenerator, WeightsError
from generator.weights.versions import activate

Add = Callable[[Path, str, int], Path]


@pytest.fixture(autouse=True)
def _info(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.INFO, "bot.service.reload"):
        yield


class Outcomes:
    """How the attempts ended, as they end."""

    def __init__(self) -> None:
        self._ended: asyncio.Queue[str] = asyncio.Queue()

    def __call__(self, outcome: str) -> None:
        self._ended.put_nowait(outcome)

    async def next(self) -> str:
        async with asyncio.timeout(20):
            return await self._ended.get()

    @property
    def more(self) -> bool:
        return not self._ended.empty()


@asynccontextmanager
async def reloadable(folder: Path) -> AsyncIterator[tuple[Reloading, ThreadedGenerator, Outcomes]]:
    outcomes = Outcomes()
    async with ThreadedGenerator.open(folder, threads=1) as generator:
        yield Reloading(generator, outcomes), generator, outcomes


def serving(generator: ThreadedGenerator) -> str:
    return generator.weights.manifest.version


async def test_when_current_changes_the_new_version_serves(tiny_folder: Path, add_tiny_version: Add) -> None:
    async with reloadable(tiny_folder) as (reloading, generator, outcomes), reloading.watching(tiny_folder):
        for number in (2, 3):
            add_tiny_version(tiny_folder, f"tiny-{number}", number)
            activate(tiny_folder, f"tiny-{number}")
            assert await outcomes.next() == "loaded"
            assert serving(generator) == f"tiny-{number}"
        (tiny_folder / "notes.txt").write_text("no weights")
        activate(tiny_folder, "tiny-1")
        assert await outcomes.next() == "loaded"
        assert not outcomes.more


async def test_a_bad_version_changes_nothing_and_is_logged_once(
    tiny_folder: Path, add_tiny_version: Add, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "POLL_SECONDS", 0.05)  # CURRENT is read again and again meanwhile
    bad = add_tiny_version(tiny_folder, "bad", 2)
    (bad / "model.onnx").write_bytes(b"no network")
    async with reloadable(tiny_folder) as (reloading, generator, outcomes), reloading.watching(tiny_folder):
        (tiny_folder / "CURRENT").write_text("bad\n")
        assert await outcomes.next() == "refused"
        assert (await generator.generate(GenerationRequest(40, seed=1))).version == "tiny-1"
        add_tiny_version(tiny_folder, "good", 3)
        activate(tiny_folder, "good")
        assert await outcomes.next() == "loaded"
    (line,) = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert line.startswith("reload.refused trigger='CURRENT' serving=tiny-1 reason=")
    assert "model.onnx: its sha256 is not the one" in line


async def test_a_version_that_was_still_being_copied_is_tried_again(
    tiny_folder: Path,
    tmp_path: Path,
    add_tiny_version: Add,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "POLL_SECONDS", 0.05)
    elsewhere = add_tiny_version(tmp_path / "elsewhere", "tiny-2", 2)
    async with reloadable(tiny_folder) as (reloading, generator, outcomes), reloading.watching(tiny_folder):
        (tiny_folder / "CURRENT").write_text("tiny-2\n")
        assert await outcomes.next() == "refused"
        (tiny_folder / "tiny-2").mkdir()
        shutil.copy(elsewhere / "model.onnx", tiny_folder / "tiny-2")
        assert await outcomes.next() == "refused"  # the same, so it is not logged as an error again
        assert reloading.refusal.endswith("tiny-2/manifest.json: no such file or directory; copy the version again")
        for name in ("weights.safetensors", "manifest.json"):
            shutil.copy(elsewhere / name, tiny_folder / "tiny-2")
        while await outcomes.next() != "loaded":
            pass
        assert serving(generator) == "tiny-2"
        assert reloading.refusal == ""
    assert 1 <= len([record for record in caplog.records if record.levelno == logging.ERROR]) <= 2


async def test_a_current_that_disappears_is_logged_and_found_again(
    tiny_folder: Path, add_tiny_version: Add, caplog: pytest.LogCaptureFixture
) -> None:
    add_tiny_version(tiny_folder, "tiny-2", 2)
    async with reloadable(tiny_folder) as (reloading, generator, outcomes), reloading.watching(tiny_folder):
        (tiny_folder / "CURRENT").unlink()
        assert await outcomes.next() == "refused"
        assert "CURRENT: no such file" in caplog.text
        activate(tiny_folder, "tiny-2")
        assert await outcomes.next() == "loaded"
        assert serving(generator) == "tiny-2"


async def test_where_no_change_is_reported_it_is_seen_all_the_same(
    tiny_folder: Path, add_tiny_version: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a network file system; and when CURRENT changed just before the watching began."""
    monkeypatch.setattr(module, "POLL_SECONDS", 0.05)
    async with reloadable(tiny_folder) as (reloading, generator, outcomes):
        add_tiny_version(tiny_folder, "tiny-2", 2)
        activate(tiny_folder, "tiny-2")
        async with reloading.watching(tiny_folder):
            assert await outcomes.next() == "loaded"
            assert serving(generator) == "tiny-2"


async def test_asking_several_times_at_once_loads_once_and_logs_why_not(
    tiny_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with reloadable(tiny_folder) as (reloading, _, outcomes), reloading.watching(None):
        for _ in range(5):
            reloading.ask()
        assert await outcomes.next() == "unchanged"
        assert not outcomes.more
        (tiny_folder / "CURRENT").write_text("../../etc\n")
        reloading.ask()
        assert await outcomes.next() == "refused"
    assert "reload.done trigger='SIGHUP' version=tiny-1 before=tiny-1" in caplog.text
    assert "is not the name of a version" in caplog.text


async def test_texts_in_progress_finish_on_the_old_weights(tiny_folder: Path, add_tiny_version: Add) -> None:
    add_tiny_version(tiny_folder, "tiny-2", 2)
    activate(tiny_folder, "tiny-2")
    async with ThreadedGenerator.open(tiny_folder, version="tiny-1", threads=1) as alone:
        expected = [await alone.generate(GenerationRequest(600, seed=seed)) for seed in range(4)]
    activate(tiny_folder, "tiny-1")
    async with reloadable(tiny_folder) as (reloading, generator, _):
        texts = [asyncio.ensure_future(generator.generate(GenerationRequest(600, seed=seed))) for seed in range(4)]
        await asyncio.sleep(0)  # they are asked for, and the worker begins
        activate(tiny_folder, "tiny-2")
        assert await reloading.reload("test") == "tiny-2 serves now, in place of tiny-1."
        assert (await generator.generate(GenerationRequest(10, seed=0))).version == "tiny-2"
        assert [await text for text in texts] == expected


async def test_a_defect_while_loading_leaves_the_service_as_it_is(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with reloadable(tiny_folder) as (reloading, generator, outcomes), reloading.watching(None):
        tried = asyncio.Event()

        async def broken() -> None:
            tried.set()
            raise MemoryError

        with monkeypatch.context() as patched:
            patched.setattr(generator, "reload", broken)
            reloading.ask()
            await tried.wait()
        reloading.ask()
        assert await outcomes.next() == "unchanged"
    assert "reload.failed trigger='SIGHUP'" in caplog.text


async def test_a_folder_that_cannot_be_watched_is_logged_and_asking_still_works(
    tiny_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with reloadable(tiny_folder) as (reloading, _, outcomes), reloading.watching(tmp_path / "nowhere"):
        reloading.ask()
        assert await outcomes.next() == "unchanged"
    assert "reload.not_watched" in caplog.text


async def test_a_refusal_is_raised_with_its_reason(tiny_folder: Path) -> None:
    async with reloadable(tiny_folder) as (reloading, _, outcomes):
        (tiny_folder / "CURRENT").write_text("gone\n")
        with pytest.raises(WeightsError, match=r"gone/manifest\.json"):
            await reloading.reload("test")
        assert await outcomes.next() == "refused"
