"""A blocked event loop: the log says for how long, a metric shows it, and systemd hears nothing meanwhile."""

from __future__ import annotations

import asyncio
import signal
import socket
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from service_process import PATIENCE, TYPED, Installation, ServiceProcess, heard

ALIVE = b"WATCHDOG=1"
BLOCKABLE = """
import signal, sys, time
from bot.cli.main import main

def held_up_here(*_):
    "The fault: the loop's thread does nothing else for eight seconds."
    time.sleep(8)

signal.signal(signal.SIGUSR1, held_up_here)
sys.exit(main(["run", *sys.argv[1:]]))
"""
"""`python -m bot run`, with a way to block its event loop from outside."""


async def lags(service: ServiceProcess, above: float) -> float:
    """How many beats came later than so many seconds."""
    families = text_string_to_metric_families(await service.get("/metrics"))
    (lag,) = [family for family in families if family.name == "lstmega_event_loop_lag_seconds"]
    buckets = {s.labels["le"]: s.value for s in lag.samples if s.name.endswith("_bucket")}
    return buckets["+Inf"] - buckets[str(above)]


async def test_a_loop_that_is_held_up_is_told_of_and_shown_and_systemd_hears_nothing(
    bot: Installation, tmp_path: Path
) -> None:
    alice = bot.server.private(bot.server.user("Alice"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.setblocking(False)
        more = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        async with bot.service(program=("-c", BLOCKABLE), **more) as service:
            assert await lags(service, 5.0) == 0
            service.tell(signal.SIGUSR1)
            await asyncio.sleep(1)
            assert ALIVE in heard(systemd)
            await alice.send(f"/nietzsche {TYPED}")
            await asyncio.sleep(1)
            assert not heard(systemd)
            line = await service.log.next("event_loop.lagged")
            assert 5 < float(line.split("seconds=")[1].split()[0]) < PATIENCE
            assert (await alice.next_message(PATIENCE)).text.startswith(TYPED)
            assert await lags(service, 5.0) == 1
            assert ALIVE in heard(systemd)
            await service.stop()


async def test_a_process_that_was_stopped_and_goes_on_works_at_once_and_blames_nobody(bot: Installation) -> None:
    """As a laptop that was shut or a virtual machine that was paused: monotonic clocks went on meanwhile."""
    alice, bob = (bot.server.private(bot.server.user(name)) for name in ("Alice", "Bob"))
    async with bot.service(LSTMEGA_BOT__LENGTH="4000") as service:
        await alice.send(f"/nietzsche {TYPED}")
        service.tell(signal.SIGSTOP)
        await asyncio.sleep(20)
        await bob.send(f"/nietzsche {TYPED}")
        service.tell(signal.SIGCONT)
        for chat in (alice, bob):
            assert (await chat.next_message(PATIENCE)).text.startswith(TYPED)
        line = await service.log.next("event_loop.lagged")
        assert 15 < float(line.split("seconds=")[1].split()[0]) < PATIENCE
        status, parts = await service.ready()
        assert status == 200, parts
        assert 'lstmega_generator_faults_total{voice="nietzsche"} 0.0' in await service.get("/metrics")
        polls = len(bot.server.calls_of("getUpdates"))
        await asyncio.sleep(2)
        assert len(bot.server.calls_of("getUpdates")) - polls < 3  # no storm
        await service.stop()
    assert not any("hangs" in line for line in service.log.lines)
    assert len(bot.server.calls_of("sendMessage")) == len(alice.sent) + len(bob.sent)
