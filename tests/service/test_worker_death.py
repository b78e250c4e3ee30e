"""The worker process crashes or hangs while users type: their texts end with an error, and a new worker serves."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from pathlib import Path

from service_process import PATIENCE, TYPED, Installation, ServiceProcess, has_ended, people
from trapped_weights import TRAP, add_trapped_version, endless, not_a_number, out_of_range

from generator.weights.versions import activate
from testing.telegram import Chat

WENT_WRONG = "That text went wrong while I wrote it. Try again."
IMPATIENT = """
import sys
from bot.cli.main import main
from generator.process import remote
remote.HANG_SECONDS = 3.0
sys.exit(main(["run", *sys.argv[1:]]))
"""
"""`python -m bot run`, which waits three seconds for progress, not fifteen."""


async def answer(chat: Chat) -> str:
    return (await chat.next_message(PATIENCE)).text


async def until_ready(service: ServiceProcess) -> None:
    async with asyncio.timeout(PATIENCE):
        while (await service.ready())[0] != 200:  # noqa: ASYNC110 - another process makes it true
            await asyncio.sleep(0.1)


async def figure(service: ServiceProcess, name: str) -> float:
    (line,) = [line for line in (await service.get("/metrics")).splitlines() if line.startswith(f"{name} ")]
    return float(line.split()[1])


def worker_of(service: ServiceProcess) -> int:
    (worker,) = service.workers()
    return worker


async def test_a_worker_that_is_killed_while_it_generates_is_replaced(bot: Installation, weights_folder: Path) -> None:
    chats = people(bot, 8)
    more = {"LSTMEGA_GENERATOR__WEIGHTS": str(weights_folder), "LSTMEGA_BOT__LENGTH": "2000"}
    async with bot.service(**more) as service:
        await chats[0].send(f"/nietzsche {TYPED}")
        assert (await answer(chats[0])).startswith(TYPED)
        with bot.server.gathered():
            for chat in chats:
                await chat.send(f"/ladder {TYPED}")
        async with asyncio.timeout(PATIENCE):
            while await figure(service, "lstmega_batch_size") < 8:  # noqa: ASYNC110 - likewise
                await asyncio.sleep(0.01)
        os.kill(worker_of(service), signal.SIGSEGV)
        await service.log.next("worker.ended reason=the worker process was killed by SIGSEGV")
        status, parts = await service.ready()
        assert (status, parts["generator"]) == (503, False)
        for chat in chats:
            assert await answer(chat) == WENT_WRONG
        await until_ready(service)
        with bot.server.gathered():
            for chat in chats:
                await chat.send(f"/nietzsche Again {TYPED}")
        for chat in chats:
            assert (await answer(chat)).startswith(f"Again {TYPED}")
        assert await figure(service, "lstmega_generator_faults_total") == 1
        assert await figure(service, "lstmega_worker_restarts_total") == 1
        assert await figure(service, "lstmega_texts_total") == 9  # of both workers
        assert await figure(service, "lstmega_batch_size") == 0
        await service.stop()


async def test_a_worker_that_is_killed_while_nobody_asks_is_replaced_before_somebody_does(bot: Installation) -> None:
    (alice,) = people(bot, 1)
    async with bot.service() as service:
        for _ in range(2):
            os.kill(worker_of(service), signal.SIGKILL)
            await service.log.next("worker.ended")
            await service.log.next("worker.ready")
            await alice.send(f"/nietzsche {TYPED}")
            assert (await answer(alice)).startswith(TYPED)
        await until_ready(service)
        await service.stop()


async def test_a_text_at_which_onnxruntime_fails_ends_alone(bot: Installation) -> None:
    add_trapped_version(bot.weights, "trapped", out_of_range)
    activate(bot.weights, "trapped")
    unlucky, *others = people(bot, 6)
    async with bot.service() as service:
        with bot.server.gathered():
            await unlucky.send(f"/nietzsche {TRAP}")
            for chat in others:
                await chat.send(f"/nietzsche {TYPED}")
        assert await answer(unlucky) == WENT_WRONG
        for chat in others:
            assert (await answer(chat)).startswith(TYPED)
        assert (await service.ready())[0] == 200
        assert await figure(service, "lstmega_texts_failed_total") == 1
        assert await figure(service, "lstmega_generator_faults_total") == 0
        await service.stop()


async def test_what_the_worker_logs_about_a_text_has_its_request_id_and_its_error(bot: Installation) -> None:
    add_trapped_version(bot.weights, "trapped", not_a_number)
    activate(bot.weights, "trapped")
    unlucky, alice = people(bot, 2)
    async with bot.service("--log-format", "json") as service:
        await alice.send(f"/nietzsche {TYPED}")
        assert (await answer(alice)).startswith(TYPED)
        await unlucky.send(f"/nietzsche {TRAP}")
        assert await answer(unlucky) == WENT_WRONG
        await service.stop()
    lines = [json.loads(line) for line in service.log.lines]
    (failed,) = [line for line in lines if line["message"].startswith("text.failed")]
    ends = [line for line in lines if "command=nietzsche" in line["message"] and "outcome=text" not in line["message"]]
    assert {line["request"] for line in ends} == {failed["request"]}
    assert failed["logger"] == "generator.serving.batch"
    assert failed["error"].startswith("ModelError: the network's logits are no distribution [batch.py:")


async def test_a_step_that_never_ends_is_ended_and_the_next_text_is_generated(bot: Installation) -> None:
    add_trapped_version(bot.weights, "trapped", endless)
    activate(bot.weights, "trapped")
    unlucky, alice = people(bot, 2)
    async with bot.service(program=("-c", IMPATIENT)) as service:
        await unlucky.send(f"/nietzsche {TRAP}")
        await service.log.next("worker.ended reason=the worker process made no progress for 3 s")
        assert await answer(unlucky) == WENT_WRONG
        await alice.send(f"/nietzsche {TYPED}")
        assert (await answer(alice)).startswith(TYPED)
        assert await figure(service, "lstmega_generator_faults_total") == 1
        await until_ready(service)
        await service.stop()


async def test_a_step_that_hangs_does_not_keep_the_service_from_ending(bot: Installation) -> None:
    add_trapped_version(bot.weights, "trapped", endless)
    activate(bot.weights, "trapped")
    (unlucky,) = people(bot, 1)
    async with bot.service() as service:
        await unlucky.send(f"/nietzsche {TRAP}")
        async with asyncio.timeout(PATIENCE):
            while await figure(service, "lstmega_batch_size") < 1:  # noqa: ASYNC110 - likewise
                await asyncio.sleep(0.01)
        worker, began = worker_of(service), time.monotonic()
        await service.stop()
        assert time.monotonic() - began < 22
        assert has_ended(worker)
