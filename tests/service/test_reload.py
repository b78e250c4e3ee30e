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
from generator import GenerationRequest
from generator.serving.generator import ThreadedGenerator
from generator.weights.versions import activate

Add = Callable[[Path, str, int], Path]


@pytest.fixture(autouse=True)
def _often_and_logged(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(module, "POLL_SECONDS", 0.05)
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
async def watching(reloading: Reloading, folder: Path) -> AsyncIterator[None]:
    task = asyncio.create_task(reloading.watch(folder))
    yield
    task.cancel()
    await asyncio.wait({task})


@asynccontextmanager
async def reloadable(folder: Path) -> AsyncIterator[tuple[Reloading, ThreadedGenerator, Outcomes]]:
    outcomes = Outcomes()
    async with ThreadedGenerator.open(folder, threads=1) as generator:
        yield Reloading(generator, outcomes), generator, outcomes


def serving(generator: ThreadedGenerator) -> str:
    return generator.weights.manifest.version


async def test_when_current_changes_the_new_version_serves(tiny_folder: Path, add_tiny_version: Add) -> None:
    async with reloadable(tiny_folder) as (reloading, generator, outcomes), watching(reloading, tiny_folder):
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
    tiny_folder: Path, add_tiny_version: Add, caplog: pytest.LogCaptureFixture
) -> None:
    bad = add_tiny_version(tiny_folder, "bad", 2)
    (bad / "model.onnx").write_bytes(b"no network")
    async with reloadable(tiny_folder) as (reloading, generator, outcomes), watching(reloading, tiny_folder):
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
) -> None:
    elsewhere = add_tiny_version(tmp_path / "elsewhere", "tiny-2", 2)
    async with reloadable(tiny_folder) as (reloading, generator, outcomes), watching(reloading, tiny_folder):
        (tiny_folder / "CURRENT").write_text("tiny-2\n")
        assert await outcomes.next() == "refused"
        (tiny_folder / "tiny-2").mkdir()
        shutil.copy(elsewhere / "model.onnx", tiny_folder / "tiny-2")
        assert await outcomes.next() == "refused"
        assert reloading.refusal.endswith("tiny-2/manifest.json: no such file or directory; copy the version again")
        for name in ("weights.safetensors", "manifest.json"):
            shutil.copy(elsewhere / name, tiny_folder / "tiny-2")
        while await outcomes.next() != "loaded":
            pass
        assert serving(generator) == "tiny-2"
        assert reloading.refusal == ""


async def test_a_current_that_disappears_is_logged_and_found_again(
    tiny_folder: Path, add_tiny_version: Add, caplog: pytest.LogCaptureFixture
) -> None:
    add_tiny_version(tiny_folder, "tiny-2", 2)
    async with reloadable(tiny_folder) as (reloading, generator, outcomes), watching(reloading, tiny_folder):
        (tiny_folder / "CURRENT").unlink()
        assert await outcomes.next() == "refused"
        assert "CURRENT: no such file" in caplog.text
        activate(tiny_folder, "tiny-2")
        assert await outcomes.next() == "loaded"
        assert serving(generator) == "tiny-2"


async def test_a_change_just_before_the_watching_is_seen(tiny_folder: Path, add_tiny_version: Add) -> None:
    async with reloadable(tiny_folder) as (reloading, generator, outcomes):
        add_tiny_version(tiny_folder, "tiny-2", 2)
        activate(tiny_folder, "tiny-2")
        async with watching(reloading, tiny_folder):
            assert await outcomes.next() == "loaded"
            assert serving(generator) == "tiny-2"


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
        await reloading.reload("test")
        assert (await generator.generate(GenerationRequest(10, seed=0))).version == "tiny-2"
        assert [await text for text in texts] == expected
