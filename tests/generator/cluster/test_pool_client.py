"""The bot's end of a pool, with a side-car that needs no cluster."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from conftest import add_random_version
from service_process import PATIENCE

from generator import GenerationRequest, Unavailable, WeightsError
from generator.backoff import Backoff
from generator.cluster.client import Pool
from generator.process import generator
from generator.process.client import WorkerClient

TESTS = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the side-car reads."""

    async def start(pool: Pool, version: str) -> WorkerClient:  # noqa: ARG001
        return await WorkerClient.start(pool._folder, "fake_sidecar", str(tmp_path), str(pool._folder))

    monkeypatch.setenv("PYTHONPATH", str(TESTS))
    monkeypatch.setenv("LSTMEGA_TELEGRAM__TOKEN", "hush")
    monkeypatch.setattr(Pool, "_start_worker", start)
    monkeypatch.setattr(generator, "BACKOFF", Backoff(first=0.01, longest=0.01))
    for number in (1, 2):
        add_random_version(tmp_path / "weights", f"tiny-{number}", seed=number)
    (tmp_path / "version").write_text("tiny-1")
    return tmp_path


@pytest.fixture
async def pool(folder: Path) -> AsyncIterator[Pool]:
    async with Pool.open(str(folder)) as pool:
        yield pool


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - another process makes it true
            await asyncio.sleep(0.01)


async def test_the_side_car_knows_no_token(pool: Pool) -> None:
    assert (await pool.generate(GenerationRequest(10, 7))).text == "for 7"


async def test_a_pool_says_what_it_serves_and_how_much_at_once(
    pool: Pool, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    assert (await pool.reload()).manifest.version == "tiny-1"
    assert pool.weights.beside("curve.png") == b"picture"
    assert (pool.weights.folder / "curve.png").is_file()
    assert pool.weights.beside("history.csv") is None
    assert (pool.status().threads, pool.status().slots) == (2, 48)
    assert pool.status().running == 3
    (folder / "version").write_text("tiny-2")
    await until(lambda: pool.weights.manifest.version == "tiny-2")
    assert (await pool.generate(GenerationRequest(10, 1))).version == "tiny-2"
    assert caplog.text.count("worker.weights_changed version=tiny-2") == caplog.text.count("weights_changed") == 1


async def test_a_pool_that_is_away_is_unavailable_until_it_is_back(
    pool: Pool, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    (folder / "away").touch()
    await until(lambda: "the test wants it away" in pool.status().unavailable)
    with pytest.raises(Unavailable, match="the test wants it away"):
        await pool.generate(GenerationRequest(10, 1))
    with pytest.raises(WeightsError, match="the pool is away"):
        await pool.reload()
    assert pool.status().failed == pool.status().faults == 1
    assert caplog.text.count("worker.ended reason=the test wants it away") == 1
    (folder / "away").unlink()
    await until(lambda: not pool.status().unavailable)
    assert await pool.generate(GenerationRequest(10, 1))


async def test_a_side_car_that_ends_is_replaced(pool: Pool) -> None:
    process = pool.status().process_id
    assert process is not None
    os.kill(process, signal.SIGKILL)
    await until(lambda: pool.status().restarts == 1)
    assert await pool.generate(GenerationRequest(10, 1))


async def test_a_pool_that_does_not_come_is_given_up(folder: Path) -> None:
    (folder / "away").touch()
    with pytest.raises(Unavailable, match=f"the pool at {folder} is not there: the test wants it away"):
        async with Pool.open(str(folder), start_seconds=8.0):
            pass
