"""The generator as the bot uses it, from asyncio: open, generate, reload, cancel, leave."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from test_worker import LONG, Stepped, with_network

from generator import Continuation, GenerationRequest, InvalidRequest, Overloaded, ShuttingDown, WeightsError
from generator.prose import ends_sentence
from generator.serving import generator as serving
from generator.serving.generator import ThreadedGenerator
from generator.serving.loading import load_model
from generator.serving.scheduler import MAX_BATCH_SIZE, Scheduler
from generator.weights.versions import activate

AddVersion = Callable[[Path, str, int], Path]


def generator_threads() -> int:
    return sum(thread.name.startswith("generator") for thread in threading.enumerate())


def opened_by_hand(folder: Path, waiting: int) -> tuple[ThreadedGenerator, Scheduler, Stepped]:
    """A generator whose network waits before each step until the test lets it pass."""
    model = load_model(folder)
    network = Stepped(model.network)
    worker = Scheduler(with_network(model, network), waiting)
    return ThreadedGenerator(folder, None, worker), worker, network


async def test_a_text_is_written_with_the_current_weights(tiny_folder: Path) -> None:
    async with ThreadedGenerator.open(tiny_folder, threads=1) as generator:
        assert generator.weights.manifest.version == "tiny-1"
        generation = await generator.generate(GenerationRequest(100, seed=1))
        assert generation.version == "tiny-1"
        assert generator.status().texts == 1
        with pytest.raises(InvalidRequest):
            await generator.generate(GenerationRequest(10, seed=1, prompt="é"))


async def test_a_version_can_be_opened_by_name(tiny_folder: Path, add_tiny_version: AddVersion) -> None:
    add_tiny_version(tiny_folder, "tiny-2", 2)
    async with ThreadedGenerator.open(tiny_folder, version="tiny-2", threads=1) as generator:
        assert (await generator.generate(GenerationRequest(10, seed=1))).version == "tiny-2"
        assert (await generator.reload()).manifest.version == "tiny-2", "a reload must not leave the version asked for"


async def test_texts_asked_for_together_are_the_texts_asked_for_one_by_one(tiny_folder: Path) -> None:
    requests = [GenerationRequest(20 + seed, seed, prompt="Why " * (seed % 3)) for seed in range(40)]
    async with ThreadedGenerator.open(tiny_folder, threads=2) as generator:
        together = await asyncio.gather(*map(generator.generate, requests))
        one_by_one = [await generator.generate(request) for request in requests]
    assert together == one_by_one


async def test_a_text_goes_on_after_a_restart_as_if_there_had_been_none(tiny_folder: Path) -> None:
    async with ThreadedGenerator.open(tiny_folder, threads=1) as generator:
        first = await generator.generate(GenerationRequest(80, seed=1))
        going_on = GenerationRequest(80, seed=2, continuation=Continuation(first.state, first.text))
        expected = await generator.generate(going_on)
    async with ThreadedGenerator.open(tiny_folder, threads=2) as generator:
        assert await generator.generate(going_on) == expected


async def test_weights_that_cannot_be_served_are_told_at_the_door_and_leave_no_thread(tiny_folder: Path) -> None:
    (tiny_folder / "tiny-1" / "model.onnx").write_bytes(b"")
    before = generator_threads()
    with pytest.raises(WeightsError, match=r"model\.onnx"):
        async with ThreadedGenerator.open(tiny_folder):
            pytest.fail("it opened")
    assert generator_threads() == before


async def test_cancelling_frees_the_place(tiny_folder: Path) -> None:
    generator, worker, network = opened_by_hand(tiny_folder, waiting=0)
    try:
        tasks = [
            asyncio.create_task(generator.generate(GenerationRequest(LONG, seed))) for seed in range(MAX_BATCH_SIZE)
        ]
        while await asyncio.to_thread(network.arrived) < MAX_BATCH_SIZE:
            network.let_one_pass()
        with pytest.raises(Overloaded) as caught:
            await generator.generate(GenerationRequest(10, seed=99))
        assert caught.value.retry_after > 0
        tasks[5].cancel()
        with pytest.raises(asyncio.CancelledError):
            await tasks[5]
        for _ in range(2):
            network.let_one_pass()
            assert await asyncio.to_thread(network.arrived) == MAX_BATCH_SIZE - 1
        instead = asyncio.create_task(generator.generate(GenerationRequest(10, seed=99)))
        for task in tasks:
            task.cancel()
        network.release()
        assert (await instead).seed == 99
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(result) for result in results] == [asyncio.CancelledError] * MAX_BATCH_SIZE
    finally:
        network.release()
        await asyncio.to_thread(worker.close, 0)


@pytest.mark.parametrize(("weights", "least"), [("tiny", 1), ("shipped", 16)])
async def test_a_text_that_is_told_sentence_by_sentence_is_the_same_text(
    tiny_folder: Path, weights_folder: Path, weights: str, least: int
) -> None:
    folder = tiny_folder if weights == "tiny" else weights_folder
    requests = [GenerationRequest(400, seed, prompt="Why " * (seed % 2)) for seed in range(80, 96)]
    async with ThreadedGenerator.open(folder, threads=1) as generator:
        expected = await asyncio.gather(*map(generator.generate, requests))
        told: list[list[str]] = [[] for _ in requests]
        heard = [generator.generate(request, so_far.append) for request, so_far in zip(requests, told, strict=True)]
        assert await asyncio.gather(*heard) == expected
    for generation, so_far in zip(expected, told, strict=True):
        assert so_far == sorted(set(so_far), key=len)
        for beginning in so_far:
            assert generation.text.startswith(beginning)
            assert len(beginning) < len(generation.text)
            assert ends_sentence(beginning)
    assert sum(map(len, told)) >= least


async def test_sentences_come_while_the_text_is_generated_and_none_after_it_is_cancelled(tiny_folder: Path) -> None:
    generator, worker, network = opened_by_hand(tiny_folder, waiting=0)
    told: asyncio.Queue[str] = asyncio.Queue()
    try:
        task = asyncio.create_task(generator.generate(GenerationRequest(LONG, seed=2), told.put_nowait))
        while told.empty():
            network.let_one_pass()
            await asyncio.to_thread(network.arrived)
        assert not task.done()
        assert ends_sentence(told.get_nowait())
        network.release()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        while not told.empty():
            told.get_nowait()
        assert (await generator.generate(GenerationRequest(10, seed=2))).text
        assert told.empty()
    finally:
        network.release()
        await asyncio.to_thread(worker.close, 0)


async def test_a_text_that_is_given_up_after_a_while_frees_the_place(tiny_folder: Path) -> None:
    generator, worker, network = opened_by_hand(tiny_folder, waiting=0)
    try:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await generator.generate(GenerationRequest(LONG, seed=1))
        network.release()
        assert await generator.generate(GenerationRequest(10, seed=2))
        assert generator.status().running == 0
    finally:
        network.release()
        await asyncio.to_thread(worker.close, 0)


# ---- new weights ----------------------------------------------------------------------------------------------------


async def test_new_weights_are_taken_up_while_a_text_ends_on_the_old(
    tiny_folder: Path, add_tiny_version: AddVersion
) -> None:
    request = GenerationRequest(100, seed=1)
    async with ThreadedGenerator.open(tiny_folder, threads=1) as undisturbed:
        expected = await undisturbed.generate(request)
    add_tiny_version(tiny_folder, "tiny-2", 2)
    generator, worker, network = opened_by_hand(tiny_folder, waiting=8)
    try:
        running = asyncio.create_task(generator.generate(request))
        await asyncio.to_thread(network.arrived)
        activate(tiny_folder, "tiny-2")
        assert (await generator.reload()).manifest.version == "tiny-2"
        assert generator.weights.manifest.version == "tiny-2"
        assert not running.done()
        following = asyncio.create_task(generator.generate(request))
        network.release()
        assert await running == expected
        assert (await following).version == "tiny-2"
    finally:
        network.release()
        await asyncio.to_thread(worker.close, 0)


@pytest.mark.parametrize("current", ["tiny-2", "tiny-9", "../tiny-1", ""], ids=repr)
async def test_bad_new_weights_are_refused_and_the_old_go_on_serving(
    tiny_folder: Path, add_tiny_version: AddVersion, current: str
) -> None:
    (add_tiny_version(tiny_folder, "tiny-2", 2) / "model.onnx").write_bytes(b"damaged")
    request = GenerationRequest(50, seed=1)
    async with ThreadedGenerator.open(tiny_folder, threads=1) as generator:
        before = await generator.generate(request)
        (tiny_folder / "CURRENT").write_text(current)
        with pytest.raises(WeightsError):
            await generator.reload()
        assert generator.weights.manifest.version == "tiny-1"
        assert await generator.generate(request) == before
        add_tiny_version(tiny_folder, "tiny-3", 3)
        activate(tiny_folder, "tiny-3")
        await generator.reload()
        assert (await generator.generate(request)).version == "tiny-3"


async def test_many_reloads_at_once_end_on_the_current_version(tiny_folder: Path, add_tiny_version: AddVersion) -> None:
    add_tiny_version(tiny_folder, "tiny-2", 2)
    async with ThreadedGenerator.open(tiny_folder, threads=1) as generator:
        activate(tiny_folder, "tiny-2")
        loaded = await asyncio.gather(*(generator.reload() for _ in range(5)))
        assert {weights.manifest.version for weights in loaded} == {"tiny-2"}
        assert generator.weights.manifest.version == "tiny-2"


# ---- leaving --------------------------------------------------------------------------------------------------------


async def test_leaving_finishes_the_texts_in_progress(tiny_folder: Path) -> None:
    requests = [GenerationRequest(30, seed) for seed in range(MAX_BATCH_SIZE + 10)]
    before = generator_threads()
    async with ThreadedGenerator.open(tiny_folder, threads=1) as generator:
        tasks = [asyncio.create_task(generator.generate(request)) for request in requests]
        await asyncio.sleep(0)  # each task runs until it waits for its text
    assert [generation.seed for generation in await asyncio.gather(*tasks)] == list(range(MAX_BATCH_SIZE + 10))
    assert generator_threads() == before
    with pytest.raises(ShuttingDown):
        await generator.generate(GenerationRequest(10, seed=1))


async def test_leaving_without_patience_ends_the_rest_with_closing(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "DRAIN_SECONDS", 0.0)
    async with ThreadedGenerator.open(tiny_folder, threads=1) as generator:
        tasks = [
            asyncio.create_task(generator.generate(GenerationRequest(LONG, seed)))
            for seed in range(MAX_BATCH_SIZE + 60)
        ]
        await asyncio.sleep(0)  # as above
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(result) for result in results} == {ShuttingDown}


async def test_a_cancelled_program_leaves_no_thread_behind(tiny_folder: Path) -> None:
    before = generator_threads()
    opened = asyncio.Event()

    async def program() -> None:
        async with ThreadedGenerator.open(tiny_folder, threads=1):
            opened.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(program())
    await opened.wait()
    assert generator_threads() == before + 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert generator_threads() == before
