"""A thread that writes fails, or hangs for good: it is noticed, told of, counted; nobody waits in vain; it goes on."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from pathlib import Path

from service_process import PATIENCE, TYPED, Installation, ServiceProcess, heard, people
from trapped_weights import TRAP, add_trapped_version, endless, out_of_range

from bot.core import messages
from generator.weights.versions import activate
from testing.telegram import Chat

WENT_WRONG = "That text went wrong while I wrote it. Try again."
MORTAL = """
import ctypes, signal, sys, threading
from bot.cli.main import main

def kill(*_):
    "The fault: in every thread that writes, SystemExit is raised wherever it is."
    for thread in threading.enumerate():
        if thread.name.startswith("generator"):
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit))

signal.signal(signal.SIGUSR1, kill)
sys.exit(main(["run", *sys.argv[1:]]))
"""
"""`python -m bot run`, with a way to end its threads from outside."""
HASTY = """
import sys
from bot.cli.main import main
from generator.serving import engine
engine.STUCK_LOOKS = 6
sys.exit(main(["run", *sys.argv[1:]]))
"""
"""`python -m bot run`, which takes a step of three seconds for one that hangs; else for thirty. Its door stands open to
loops: no network that it lets in ever hangs, and whatever hangs all the same has to be told of."""


async def answer(chat: Chat) -> str:
    return (await chat.next_message(PATIENCE)).text


async def until_ready(service: ServiceProcess) -> None:
    async with asyncio.timeout(PATIENCE):
        while (await service.ready())[0] != 200:  # noqa: ASYNC110 - of another process, which tells nobody
            await asyncio.sleep(0.1)


async def figure(service: ServiceProcess, name: str) -> float:
    (line,) = [line for line in (await service.get("/metrics")).splitlines() if line.startswith(f"{name} ")]
    return float(line.split()[1])


async def test_threads_that_are_killed_while_they_write_are_told_of_and_write_again(
    bot: Installation, weights_folder: Path
) -> None:
    crowd = people(bot, 8)
    more = {"LSTMEGA_GENERATOR__WEIGHTS": str(weights_folder), "LSTMEGA_GENERATOR__THREADS": "2"}
    async with bot.service(program=("-c", MORTAL), LSTMEGA_BOT__LENGTH="2000", **more) as service:
        with bot.server.gathered():
            for chat in crowd:
                await chat.send(f"/ladder {TYPED}")
        async with asyncio.timeout(PATIENCE):
            while await figure(service, "lstmega_batch_size") < 8:  # noqa: ASYNC110 - likewise
                await asyncio.sleep(0.01)
        service.tell(signal.SIGUSR1)
        await service.log.next("generator 0 failed; its texts")
        status, parts = await service.ready()
        assert (status, parts["generator"]) == (503, False)
        for chat in crowd:
            said = await answer(chat)
            assert said == WENT_WRONG or TYPED in said
        await until_ready(service)
        faults = await figure(service, "lstmega_generator_faults_total")
        assert faults >= 1
        assert await figure(service, "lstmega_generator_threads") == 2
        assert "SystemExit" in "".join(service.log.lines)
        with bot.server.gathered():
            for chat in crowd:
                await chat.send(f"/nietzsche Again {TYPED}")
        for chat in crowd:
            while not (await answer(chat)).startswith(f"Again {TYPED}"):
                pass
        assert await figure(service, "lstmega_generator_faults_total") == faults
        assert await figure(service, "lstmega_batch_size") == 0
        await service.stop()


async def test_threads_that_are_killed_while_nobody_asks_write_for_the_next_who_does(bot: Installation) -> None:
    (alice,) = people(bot, 1)
    async with bot.service(program=("-c", MORTAL)) as service:
        service.tell(signal.SIGUSR1)
        for _ in range(3):
            await alice.send(f"/nietzsche {TYPED}")
            assert (await answer(alice)).startswith(TYPED)
        await until_ready(service)
        await service.stop()
    assert len(alice.sent) == 3


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


async def test_a_step_that_never_ends_is_noticed_and_the_watchdog_hears_nothing_more(
    bot: Installation, tmp_path: Path
) -> None:
    add_trapped_version(bot.weights, "trapped", endless)
    activate(bot.weights, "trapped")
    unlucky, alice = people(bot, 2)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.setblocking(False)
        more = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "LSTMEGA_GENERATOR__THREADS": "2"}
        async with bot.service(program=("-c", HASTY), **more) as service:
            assert heard(systemd)
            await unlucky.send(f"/nietzsche {TRAP}")
            assert await answer(unlucky) == WENT_WRONG
            await service.log.next("hangs in a step")
            status, parts = await service.ready()
            assert (status, parts["generator"]) == (503, False)
            assert await figure(service, "lstmega_generator_faults_total") == 1
            assert await figure(service, "lstmega_generator_threads") == 1
            heard(systemd)
            # The other thread writes on, until somebody starts the process anew.
            await alice.send(f"/nietzsche {TYPED}")
            assert (await answer(alice)).startswith(TYPED)
            await asyncio.sleep(2)
            assert b"WATCHDOG=1" not in heard(systemd)
            began = time.monotonic()
            await service.stop()
            assert time.monotonic() - began < 10


async def test_when_all_threads_hang_people_are_told_to_come_back(bot: Installation) -> None:
    add_trapped_version(bot.weights, "trapped", endless)
    activate(bot.weights, "trapped")
    unlucky, alice = people(bot, 2)
    async with bot.service(program=("-c", HASTY), LSTMEGA_GENERATOR__THREADS="1") as service:
        await unlucky.send(f"/nietzsche {TRAP}")
        assert await answer(unlucky) == WENT_WRONG
        await alice.send(f"/nietzsche {TYPED}")
        assert await answer(alice) == messages.RESTARTING
        service.tell(signal.SIGTERM)
        await service.ended()
