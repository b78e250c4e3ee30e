"""The bot as it is run: a process, Telegram on the loopback interface, signals, other weights, a kill."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import english
from service_process import PATIENCE, ROOT, TYPED, Installation, asked, people, unused_port

from generator.weights.versions import activate
from testing.telegram import Chat

DISCORD_TOKEN = ".".join(("MTIzNDU2Nzg5MDEyMzQ1Njc4", "GabcdE", "hush-hush_" * 4))
SLACK_SECONDS = 3.0
"""For a machine that does other things as well."""
Add = Callable[[Path, str, int], Path]


async def test_somebody_gets_a_text_and_sigterm_ends_the_process_well(bot: Installation) -> None:
    (alice,) = people(bot, 1)
    async with bot.service("--log-format", "json") as service:
        assert (await asked(alice, f"/nietzsche 0,7 {TYPED}")).startswith(TYPED)
        assert await service.ready() == (
            200,
            dict.fromkeys(("service", "telegram", "weights", "generator", "store"), True),
        )
        assert (
            'lstmega_requests_total{command="nietzsche",outcome="text",platform="telegram"} 1.0'
            in await service.get("/metrics")
        )
        await service.stop()
    told = [json.loads(line) for line in service.log.lines]
    (answered,) = [line for line in told if "command=nietzsche" in line["message"]]
    assert answered["request"]
    assert told[-1]["message"] == "service.stopped"


async def test_sigterm_in_the_middle_of_texts_loses_nobodys_answer(bot: Installation) -> None:
    server, (slow, late, *others) = bot.server, people(bot, 22)
    async with bot.service(LSTMEGA_BOT__LENGTH="2000") as service:
        held = server.hold(chat=slow, method="sendMessage")
        with server.gathered():
            for chat in (slow, *others):
                await chat.send(f"/nietzsche 0.7 {TYPED}")
        await others[0].next_message(PATIENCE)  # the first is done, so all have begun
        service.tell(signal.SIGTERM)
        await service.log.next("service.stopping")
        assert await asked(late, "/nietzsche") == english("restarting")
        await held.met()
        held.release()
        assert await service.ended() == 0, "\n".join(service.log.lines)
    texts = [await chat.next_message() for chat in (slow, *others[1:])]
    assert all(sent.text.startswith(TYPED) for sent in texts)
    assert server.pending == 0


IN_A_HURRY = """
import sys
from bot.service import app
from bot.cli.main import main
app.DRAIN_SECONDS, app.CLOSE_SECONDS = 1.0, 3.0
sys.exit(main(["run", *sys.argv[1:]]))
"""
"""`python -m bot run`, which has little time to end."""


async def test_a_telegram_that_hangs_does_not_keep_the_process_from_ending(bot: Installation) -> None:
    (alice,) = people(bot, 1)
    async with bot.service(program=("-c", IN_A_HURRY)) as service:
        await asked(alice, "/start")
        held = bot.server.hold()  # from now on nothing is answered at all
        await alice.send("/nietzsche")
        await held.met()
        await service.log.next("platform=telegram command=nietzsche outcome=text")
        began = time.monotonic()
        await service.stop()
    assert time.monotonic() - began < 4.0 + SLACK_SECONDS
    assert any("service.drain_timeout drain_s=1" in line for line in service.log.lines)


ON_A_DISK_THAT_HANGS = """
import time
from bot.service import reload as reloading
read = reloading.current_version
def hanging(folder):
    if (folder / "hangs").exists():
        time.sleep(3600)
    return read(folder)
reloading.current_version = hanging
"""


async def test_a_disk_that_hangs_does_not_keep_the_process_from_ending(bot: Installation) -> None:
    """CURRENT cannot be read, as on a network file system whose server is gone: a thread waits for ever."""
    async with bot.service(program=("-c", ON_A_DISK_THAT_HANGS + IN_A_HURRY)) as service:
        (bot.weights / "hangs").touch()
        activate(bot.weights, "tiny-1")
        await asyncio.sleep(1)  # it is told of the change, and reads
        began = time.monotonic()
        await service.stop()
    assert 4.0 - SLACK_SECONDS < time.monotonic() - began < 4.0 + SLACK_SECONDS
    assert "shutdown.timeout limit_s=4" in service.log.lines[-1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_ends_it_at_once(bot: Installation, number: signal.Signals) -> None:
    (alice,) = people(bot, 1)
    async with bot.service() as service:
        held = bot.server.hold(chat=alice, method="sendMessage")
        await alice.send("/nietzsche")
        await held.met()
        service.tell(signal.SIGTERM)
        await service.log.next("service.stopping")
        service.tell(number)
        assert await service.ended() == -number


async def test_after_a_kill_people_find_what_they_left(bot: Installation) -> None:
    (alice,) = people(bot, 1)
    async with bot.service() as service:
        assert await asked(alice, "/temperature 0.3") == english("temperature-own", own=0.3, default=0.7)
        await asked(alice, f"/nietzsche {TYPED}")
        service.tell(signal.SIGKILL)
        assert await service.ended() == -signal.SIGKILL
    async with bot.service() as service:
        assert await asked(alice, "/temperature") == english("temperature-own", own=0.3, default=0.7)
        assert await asked(alice, "/continue") != english("no-text")
        await service.stop()


async def test_other_weights_by_current_by_signal_and_by_asking(bot: Installation, add_tiny_version: Add) -> None:
    (alice,) = people(bot, 1)
    assert await bot.command("reload") == (
        2,
        "",
        f"python -m bot reload: no service is running with its state in {bot.weights.parent}"
        f" and [http] port {bot.port}; in a running `chat`, type /reload\n",
    )
    async with bot.service() as service:
        add_tiny_version(bot.weights, "tiny-2", 2)
        activate(bot.weights, "tiny-2")
        await service.log.next("reload.done trigger='CURRENT' version=tiny-2 before=tiny-1")
        assert "tiny-2" in await asked(alice, "/about")

        service.tell(signal.SIGHUP)
        await service.log.next("reload.done trigger='SIGHUP' version=tiny-2 before=tiny-2")
        status, out, err = await bot.command("reload")
        assert (status, out.splitlines()[0], err) == (0, "tiny-2 serves already; CURRENT names no other.", "")

        (add_tiny_version(bot.weights, "bad", 3) / "model.onnx").write_bytes(b"no network")
        (bot.weights / "CURRENT").write_text("bad\n")
        why = "model.onnx: its sha256 is not the one that manifest.json gives"
        assert why in await service.log.next("reload.refused trigger='CURRENT'")
        status, out, err = await bot.command("reload")
        assert (status, out) == (1, "")
        assert why in err
        assert "tiny-2" in await asked(alice, "/about")
        assert (await service.ready())[0] == 200

        activate(bot.weights, "tiny-2")
        # A second service on the same port says so and leaves the first alone.
        async with bot.service(until="") as second:
            assert await second.ended() == 2
        assert second.log.lines[-1].startswith(
            f"python -m bot run: [http] cannot listen on 127.0.0.1, port {bot.port}:"
        )
        assert "address already in use" in second.log.lines[-1]
        await service.stop()


async def test_training_ends_while_twenty_people_type(bot: Installation, tmp_path: Path) -> None:
    words = ["the", "cat", "sat", "on", "a", "mat", "and", "slept", "all", "day", "while", "rain", "fell", "over"]
    draw = random.Random(7)
    book = tmp_path / "cats.txt"
    book.write_text("\n".join(" ".join(draw.choices(words, k=11)).capitalize() + "." for _ in range(120)))
    done = asyncio.Event()
    everybody = people(bot, 20)
    answers: list[str] = []

    async def person(chat: Chat) -> None:
        while not done.is_set():
            answers.append(await asked(chat, "/nietzsche 0.7 The cat"))
        answers.append(await asked(chat, "/continue"))
        answers.append(await asked(chat, "/nietzsche 0.7 The cat"))

    async with bot.service() as service:
        async with asyncio.TaskGroup() as group:
            for chat in everybody:
                group.create_task(person(chat))
            try:
                training = await asyncio.create_subprocess_exec(
                    sys.executable, str(ROOT / "train.py"), "--corpus", str(book), "--preset", "small", "--epochs", "1",
                    "--dtype", "float32", "--out", str(bot.weights), "--name", "cats", cwd=ROOT,
                    stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
                )  # fmt: skip
                async with asyncio.timeout(2 * PATIENCE):
                    said, _ = await training.communicate()
                assert training.returncode == 0, said.decode()
                await service.log.next("reload.done trigger='CURRENT' version=cats before=tiny-1")
            finally:
                done.set()
        assert "cats" in await asked(everybody[0], "/about")
        assert (await service.ready())[0] == 200
        assert 'version="cats"' in await service.get("/metrics")
        await service.stop()
    assert len(answers) > 60
    for answer in answers:
        assert answer.startswith("The cat") or answer.strip()
        assert not answer.startswith(("I am restarting", "Something went wrong", "That text went wrong", "Too many"))
    assert not [line for line in service.log.lines if " error " in line or " warning " in line]


async def test_a_telegram_that_is_down_at_the_start_comes_up_later(bot: Installation) -> None:
    (alice,) = people(bot, 1)
    await bot.server.down()
    async with bot.service(until="platform.down platform=telegram") as service:
        status, parts = await service.ready()
        assert (status, parts["telegram"], parts["weights"]) == (503, False, True)
        assert await service.get("/healthz")
        await bot.server.up()
        await service.log.next("platform.connected platform=telegram")
        assert await asked(alice, f"/nietzsche 0.7 {TYPED}")
        assert (await service.ready())[0] == 200
        await service.stop()
    assert len([line for line in service.log.lines if "platform.down" in line]) == 1


async def test_a_token_that_telegram_refuses_ends_with_one_line(bot: Installation) -> None:
    bot.server.revoke("123456789:" + "another-key" * 4)
    async with bot.service(until="", LSTMEGA_LOG__LEVEL="error") as service:
        assert await service.ended() == 2
    (line,) = service.log.lines
    assert line.startswith("python -m bot run: no platform is left: telegram: Telegram refuses the token")


async def test_an_address_with_the_token_in_it_by_mistake_is_told_without(bot: Installation) -> None:
    address = f"http://[{bot.server.token}"
    async with bot.service(until="", LSTMEGA_TELEGRAM__API_URL=address, LSTMEGA_LOG__LEVEL="warning") as service:
        assert await service.ended() == 2
    (told,) = service.log.lines
    assert "LSTMEGA_TELEGRAM__API_URL: must be an address" in told
    assert bot.server.token not in told


async def test_sync_needs_a_token_and_a_discord(bot: Installation) -> None:
    status, out, err = await bot.command("sync")
    assert (status, out) == (2, "")
    assert err == "python -m bot sync: Discord has no token: set LSTMEGA_DISCORD__TOKEN\n"
    nowhere = f"http://127.0.0.1:{unused_port()}"
    status, out, err = await bot.command("sync", LSTMEGA_DISCORD__TOKEN=DISCORD_TOKEN, LSTMEGA_DISCORD__API_URL=nowhere)
    assert (status, out) == (1, "")
    assert err.splitlines()[-1].startswith("python -m bot sync: Discord was not told: ClientConnectorError: Cannot")
    assert "hush" not in err
