"""The generator in a child process: requests, reloads, crashes, hangs, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from service_process import PATIENCE, ROOT, has_ended
from trapped_weights import TRAP, add_trapped_version, endless, not_a_number

from generator import (
    Continuation,
    GenerationRequest,
    InvalidRequest,
    ModelError,
    Overloaded,
    ScoringRequest,
    ShuttingDown,
    Unavailable,
    WeightsError,
)
from generator.backoff import Backoff
from generator.process import client
from generator.process import generator as module
from generator.process.generator import ProcessGenerator
from generator.serving.generator import ThreadedGenerator
from generator.weights.versions import activate

Add = Callable[[Path, str, int], Path]
LONG = GenerationRequest(4000, seed=2)
PARENT = """
import asyncio, sys
from pathlib import Path
from generator import GenerationRequest
from generator.process.generator import ProcessGenerator

async def main():
    async with ProcessGenerator.open(Path(sys.argv[1]), threads=1) as generator:
        print(generator.status().process_id, flush=True)
        while True:
            await generator.generate(GenerationRequest(4000, 1))

asyncio.run(main())
"""


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker may take long to start on a busy machine."""
    monkeypatch.setattr(module, "RESTART_WAIT_SECONDS", PATIENCE)


@pytest.fixture
async def generator(tiny_folder: Path) -> AsyncIterator[ProcessGenerator]:
    async with ProcessGenerator.open(tiny_folder, threads=1) as generator:
        yield generator


def process_of(generator: ProcessGenerator) -> int:
    number = generator.status().process_id
    assert number is not None
    return number


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - another process makes it true
            await asyncio.sleep(0.01)


@asynccontextmanager
async def in_flight(generator: ProcessGenerator, request: GenerationRequest = LONG) -> AsyncIterator[asyncio.Task]:
    """A text that is being generated when the block begins."""
    before = generator.status().running
    task = asyncio.create_task(generator.generate(request))
    await until(lambda: generator.status().running > before)
    yield task
    await asyncio.gather(task, return_exceptions=True)


async def test_results_are_those_of_the_threads_in_this_process(generator: ProcessGenerator, tiny_folder: Path) -> None:
    async with ThreadedGenerator.open(tiny_folder, threads=1) as local:
        requests = [GenerationRequest(60, seed, prompt="Why " * (seed % 3)) for seed in range(40)]
        here = await asyncio.gather(*map(local.generate, requests))
        assert await asyncio.gather(*map(generator.generate, requests)) == here
        last = here[-1]
        next_text = GenerationRequest(60, 7, continuation=Continuation(last.state, last.text[-20:]))
        assert await generator.generate(next_text) == await local.generate(next_text)
        written = ScoringRequest("Abc", last.text, 5)
        assert await generator.score(written) == await local.score(written)
    assert generator.weights.manifest.version == "tiny-1"
    assert generator.status().texts == 41


async def test_sentences_come_from_the_worker_as_they_come_in_this_process(
    generator: ProcessGenerator, tiny_folder: Path
) -> None:
    here, there = list[str](), list[str]()
    async with ThreadedGenerator.open(tiny_folder, threads=1) as local:
        expected = await local.generate(LONG, here.append)
    assert await generator.generate(LONG, there.append) == expected
    assert there == here
    assert len(here) > 1


async def test_no_sentence_comes_before_the_request_wants_it(generator: ProcessGenerator) -> None:
    told = list[str]()
    expected = await generator.generate(LONG)
    assert await generator.generate(replace(LONG, stream_after=PATIENCE), told.append) == expected
    assert not told
    await generator.generate(replace(LONG, stream_after=1e-9), told.append)
    assert told


async def test_no_sentence_comes_after_a_request_is_cancelled(generator: ProcessGenerator) -> None:
    told: asyncio.Queue[str] = asyncio.Queue()
    task = asyncio.create_task(generator.generate(LONG, told.put_nowait))
    async with asyncio.timeout(PATIENCE):
        assert await told.get()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    count = told.qsize()
    assert await generator.generate(GenerationRequest(10, 1))  # everything that was sent before has come by now
    assert told.qsize() == count


async def test_errors_keep_their_types(tiny_folder: Path) -> None:
    async with ProcessGenerator.open(tiny_folder, threads=1, queue=0) as generator:
        with pytest.raises(InvalidRequest, match="not in the vocabulary"):
            await generator.generate(GenerationRequest(10, 1, prompt="ø"))
        tasks = [asyncio.create_task(generator.generate(LONG)) for _ in range(60)]
        results = await asyncio.gather(*tasks, return_exceptions=True)
        refusals = [result for result in results if isinstance(result, Overloaded)]
        assert len(refusals) == generator.status().refused > 0
        assert all(refusal.retry_after >= 1 for refusal in refusals)
    with pytest.raises(ShuttingDown):
        await generator.generate(LONG)


async def test_a_cancelled_request_frees_its_slot(tiny_folder: Path) -> None:
    async with ProcessGenerator.open(tiny_folder, threads=1, queue=0) as generator:
        tasks = [asyncio.create_task(generator.generate(LONG)) for _ in range(24)]
        await until(lambda: generator.status().running == 24)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert generator.status().running == 0
        while True:  # at the next character
            with contextlib.suppress(Overloaded):
                assert await generator.generate(GenerationRequest(10, 1))
                break


async def test_a_reload_finishes_running_texts_on_the_old_worker_which_then_exits(
    generator: ProcessGenerator, tiny_folder: Path, add_tiny_version: Add
) -> None:
    add_tiny_version(tiny_folder, "tiny-2", 2)
    activate(tiny_folder, "tiny-2")
    old = process_of(generator)
    async with in_flight(generator) as running:
        assert (await generator.reload()).manifest.version == "tiny-2"
        assert (await generator.generate(GenerationRequest(10, 1))).version == "tiny-2"
        assert (await running).version == "tiny-1"
    await until(lambda: has_ended(old))
    assert process_of(generator) != old
    assert (generator.status().faults, generator.status().restarts) == (0, 0)


@pytest.mark.parametrize("current", ["tiny-2", "tiny-9", "../tiny-1", ""], ids=repr)
async def test_a_refused_reload_leaves_the_old_worker_alone(
    generator: ProcessGenerator, tiny_folder: Path, add_tiny_version: Add, current: str
) -> None:
    (add_tiny_version(tiny_folder, "tiny-2", 2) / "model.onnx").write_bytes(b"damaged")
    old = process_of(generator)
    (tiny_folder / "CURRENT").write_text(current)
    with pytest.raises(WeightsError, match=str(tiny_folder) if current != "../tiny-1" else "not the name"):
        await generator.reload()
    assert process_of(generator) == old
    assert (await generator.generate(GenerationRequest(10, 1))).version == "tiny-1"


async def test_a_start_on_bad_weights_is_refused_and_leaves_no_process(tiny_folder: Path) -> None:
    (tiny_folder / "tiny-1" / "model.onnx").write_bytes(b"")
    with pytest.raises(WeightsError, match=r"model\.onnx: its sha256"):
        async with ProcessGenerator.open(tiny_folder):
            pytest.fail("it opened")


async def test_a_crash_fails_what_is_in_flight_and_a_new_worker_starts(
    generator: ProcessGenerator, caplog: pytest.LogCaptureFixture
) -> None:
    await generator.generate(GenerationRequest(10, 1))
    async with in_flight(generator) as running:
        os.kill(process_of(generator), signal.SIGSEGV)
        with pytest.raises(ModelError, match="killed by SIGSEGV"):
            await running
    assert "restarting: the worker process was killed by SIGSEGV" in generator.status().unavailable
    assert await generator.generate(GenerationRequest(10, 2))  # it waits for the new one
    status = generator.status()
    assert (status.unavailable, status.faults, status.restarts, status.threads) == ("", 1, 1, 1)
    counts = generator.status()
    assert (counts.texts, counts.failed) == (2, 1)
    assert caplog.text.count("worker.ended") == 1


async def test_the_restart_takes_the_version_that_served(
    generator: ProcessGenerator, tiny_folder: Path, add_tiny_version: Add
) -> None:
    """CURRENT may name one that was refused."""
    add_tiny_version(tiny_folder, "tiny-2", 2)
    activate(tiny_folder, "tiny-2")
    os.kill(process_of(generator), signal.SIGKILL)
    await until(lambda: generator.status().faults == 1)
    assert (await generator.generate(GenerationRequest(10, 1))).version == "tiny-1"


async def test_restarts_that_fail_are_repeated_and_a_reload_ends_them(
    tiny_folder: Path, add_tiny_version: Add, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "RESTART_WAIT_SECONDS", 0.05)
    caplog.set_level(logging.DEBUG, module.__name__)
    monkeypatch.setattr(module, "BACKOFF", Backoff(first=0.01, longest=0.01))
    async with ProcessGenerator.open(tiny_folder, threads=1) as generator:
        (tiny_folder / "tiny-1").rename(tiny_folder / "away")
        os.kill(process_of(generator), signal.SIGKILL)
        await until(lambda: caplog.text.count("worker.start_failed") >= 2)
        with pytest.raises(Unavailable, match="restarting"):
            await generator.generate(GenerationRequest(10, 1))
        assert "tiny-1/manifest.json: no such file" in generator.status().unavailable
        add_tiny_version(tiny_folder, "tiny-2", 2)
        activate(tiny_folder, "tiny-2")
        await generator.reload()
        assert (await generator.generate(GenerationRequest(10, 1))).version == "tiny-2"
        assert generator.status().unavailable == ""


async def test_a_worker_that_is_stopped_is_ended_and_replaced(
    generator: ProcessGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "HANG_SECONDS", 2.0)
    async with in_flight(generator) as running:
        os.kill(process_of(generator), signal.SIGSTOP)
        with pytest.raises(ModelError, match="made no progress"):
            await running
    assert await generator.generate(GenerationRequest(10, 1))


async def test_a_step_that_hangs_is_ended_and_the_status_says_so_before(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "HANG_SECONDS", 6.0)
    add_trapped_version(tiny_folder, "trapped", endless)
    async with ProcessGenerator.open(tiny_folder, version="trapped", threads=2) as generator:
        async with in_flight(generator, GenerationRequest(10, 1, prompt=TRAP)) as running:
            await until(lambda: generator.status().unavailable == "the worker process makes no progress")
            with pytest.raises(ModelError, match="made no progress"):
                await running
        assert await generator.generate(GenerationRequest(10, 1))


async def test_what_the_worker_logs_about_a_request_is_logged_in_its_context(
    tiny_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    user: ContextVar[str] = ContextVar("user", default="none")
    users: list[str] = []
    add_trapped_version(tiny_folder, "trapped", not_a_number)
    async with ProcessGenerator.open(tiny_folder, version="trapped", threads=1) as generator:
        caplog.handler.addFilter(lambda _record: users.append(user.get()) or True)
        user.set("Alice")
        with pytest.raises(ModelError):
            await generator.generate(GenerationRequest(10, 1, prompt=TRAP))
    (record,) = [record for record in caplog.records if record.name == "generator.serving.batch"]
    assert record.getMessage() == "text.failed"
    assert record.exc_text is not None
    assert record.exc_text.endswith("ModelError: the network's logits are no distribution")
    assert users == ["Alice"]


async def test_the_worker_gets_a_clean_environment_and_ignores_signals(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LSTMEGA_TELEGRAM__TOKEN", "hush")
    monkeypatch.setenv("SECRET_OF_THE_SHELL", "hush")
    async with ProcessGenerator.open(tiny_folder, threads=1) as generator:
        worker = process_of(generator)
        environment = await asyncio.to_thread(Path(f"/proc/{worker}/environ").read_bytes)
        assert b"hush" not in environment
        assert b"PATH=" in environment
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(worker, number)
        assert await generator.generate(GenerationRequest(10, 1))
        assert process_of(generator) == worker


@pytest.fixture
def parent(tiny_folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that generates one long text after another; it has printed the number of its worker."""
    command = (sys.executable, "-c", PARENT, str(tiny_folder))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        yield process
        process.kill()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
async def test_the_worker_ends_when_its_parent_does(parent: subprocess.Popen[str], number: signal.Signals) -> None:
    assert parent.stdout is not None
    worker = int(await asyncio.to_thread(parent.stdout.readline))
    assert not has_ended(worker)
    parent.send_signal(number)
    await until(lambda: has_ended(worker))


async def test_closing_finishes_texts_and_kills_a_worker_that_hangs(tiny_folder: Path) -> None:
    async with ProcessGenerator.open(tiny_folder, threads=1) as generator:
        running = asyncio.create_task(generator.generate(LONG))
        await until(lambda: generator.status().running == 1)
    assert (await running).seed == LONG.seed
    async with ProcessGenerator.open(tiny_folder, threads=1, drain=0.1) as generator:
        worker = process_of(generator)
        running = asyncio.create_task(generator.generate(LONG))
        await until(lambda: generator.status().running == 1)
        os.kill(worker, signal.SIGSTOP)
    assert has_ended(worker)
    with pytest.raises(ShuttingDown):
        await running


async def test_a_start_that_is_cancelled_leaves_no_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    started: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def recorded(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        started.append(popen(*arguments, **options))
        return started[-1]

    monkeypatch.setattr(client.subprocess, "Popen", recorded)
    starting = asyncio.create_task(client.WorkerClient.start(tmp_path, "generator.process.worker"))
    await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert started == []
