"""Texts from a pool on Ray Serve: a real cluster of real processes on this machine."""

from __future__ import annotations

import asyncio
import copy
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from conftest import add_random_version
from pool_cluster import PATIENCE, Cluster, cluster, processes, replicas_of, title, until
from service_process import Installation, asked, people, unused_port
from trapped_weights import TRAP, add_trapped_version, endless
from weights_server import weights_server

from generator import (
    Continuation,
    Generation,
    GenerationRequest,
    GeneratorError,
    InvalidRequest,
    Overloaded,
    SamplingParams,
    ScoringRequest,
    ShuttingDown,
    Unavailable,
    WeightsError,
)
from generator.cluster.client import Pool
from generator.cluster.replica import Replica
from generator.serving.generator import ThreadedGenerator
from generator.weights.versions import activate
from testing.telegram import TelegramServer

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed: pip install 'lstmega[cluster]'"
)
HANGING = """
import asyncio, os, sys
from generator import GenerationRequest
from generator.cluster.replica import Replica

async def main():
    replica = Replica(threads=1)
    await replica.reconfigure({"weights": sys.argv[1], "version": "trapped"})
    await replica.check_health()
    text = asyncio.create_task(replica.generate(GenerationRequest(10, 1, prompt=sys.argv[2])))
    try:
        while not text.done():
            await asyncio.sleep(1)
            await replica.check_health()
    except RuntimeError as error:
        print(error, flush=True)
    os._exit(0)

asyncio.run(main())
"""
"""A replica on weights with a trap: a step that never ends."""


def requests(count: int, length: int = 60) -> list[GenerationRequest]:
    return [GenerationRequest(length, seed, SamplingParams(0.5 + seed % 5 / 10), prompt="Abc") for seed in range(count)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights folder of one untrained version."""
    folder = tmp_path_factory.mktemp("pool") / "weights"
    add_random_version(folder, "tiny-1", seed=1)
    activate(folder, "tiny-1")
    return folder


@pytest.fixture(scope="module")
def running(folder: Path) -> Iterator[Cluster]:
    """A cluster with a pool of two replicas."""
    with cluster() as running:
        served = running.serve("--replicas", "2", "--weights", str(folder))
        assert served.returncode == 0, served.stderr
        assert "tiny-1 serves on 2 replicas" in served.stdout
        yield running


@pytest.fixture
async def pool(running: Cluster, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pool]:
    """A bot's view of that pool."""
    monkeypatch.setenv("RAY_ADDRESS", running.address)
    async with Pool.open("auto") as pool:
        yield pool


async def same_as_local(pool: Pool, folder: Path, version: str | None = None) -> None:
    async with ThreadedGenerator.open(folder, version=version, threads=1) as local:
        for request in requests(6):
            here, there = await asyncio.gather(local.generate(request), pool.generate(request))
            assert there == here
        continuation = Continuation(here.state, here.text[-20:])
        going_on = GenerationRequest(60, 7, continuation=continuation)
        assert await pool.generate(going_on) == await local.generate(going_on)
        written = ScoringRequest("Abc", here.text, 5)
        bits, again = await asyncio.gather(local.score(written), pool.score(written))
        assert bits.bits == again.bits


async def leaving_frees_the_rows(pool: Pool, tasks: list[asyncio.Task[Generation]]) -> None:
    """Whoever waits changes their mind: the rows are free long before the texts would have been written."""
    await until(lambda: pool.status().running > 0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await until(lambda: not pool.status().running, 10.0)
    assert await pool.generate(requests(1)[0])


@needs_ray
async def test_where_no_cluster_runs_one_is_started_which_lasts_until_ctrl_c(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # where Ray leaves the token of a cluster that it starts by itself
    monkeypatch.setenv("RAY_TMPDIR", tempfile.mkdtemp(prefix="lstmega-"))  # a short name, as in `cluster`
    if any("/gcs_server" in title(process) for process in processes(1)):
        pytest.skip("a Ray cluster runs on this machine, which would be taken")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    serving = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "generator", "serve", "--weights", str(folder),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert serving.stdout is not None
        async with asyncio.timeout(PATIENCE):
            assert await serving.stdout.readline() == b"tiny-1 serves on 1 replica\n"
            assert b"Ctrl-C ends it" in await serving.stdout.readline()
        started = processes(serving.pid)
        async with Pool.open("auto") as pool:
            await same_as_local(pool, folder)
            serving.send_signal(signal.SIGINT)
            async with asyncio.timeout(PATIENCE):
                assert await serving.wait() == 0
            await until(lambda: bool(pool.status().unavailable))
        await until(lambda: not any("ray" in title(process) for process in started))
    finally:
        if serving.returncode is None:
            serving.kill()
        shutil.rmtree(os.environ["RAY_TMPDIR"], ignore_errors=True)


@needs_ray
async def test_more_replicas_than_cores_are_waited_for_until_ctrl_c(running: Cluster, pool: Pool, folder: Path) -> None:
    serving = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "generator", "serve", "--replicas", "5", "--weights", str(folder),
        env=running.environment, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert serving.stderr is not None
    async with asyncio.timeout(PATIENCE):
        assert await serving.stderr.readline() == b"cores needed: 5, free: 4; waiting for more\n"
        await until(lambda: pool.status().threads == 4)
        serving.send_signal(signal.SIGINT)
        told = (await serving.stderr.read()).decode()
        assert await serving.wait() == 130
    assert "interrupted" in told
    assert "Traceback" not in told
    assert (await pool.generate(requests(1)[0])).version == "tiny-1"
    served = await asyncio.to_thread(running.serve, "--replicas", "2", "--weights", str(folder))
    assert served.returncode == 0, served.stderr
    await until(lambda: len(running.replicas()) == 2)


@needs_ray
def test_an_address_at_which_nobody_listens_is_said_at_once(running: Cluster) -> None:
    for address, variable in ((f"127.0.0.1:{unused_port()}", ""), ("auto", f"127.0.0.1:{unused_port()}")):
        told = subprocess.run(
            (sys.executable, "-m", "generator", "serve", "--address", address),
            env=running.environment | {"RAY_ADDRESS": variable}, capture_output=True, text=True, check=False,
            timeout=30,
        )  # fmt: skip
        assert told.returncode == 1
        assert f"no Ray cluster at {variable or address}: " in told.stderr
        assert "Traceback" not in told.stderr


@needs_ray
async def test_a_text_is_the_same_as_from_the_local_worker(pool: Pool, folder: Path) -> None:
    await same_as_local(pool, folder)
    assert pool.weights.manifest.version == "tiny-1"
    assert pool.status().threads == 2
    assert pool.status().texts == 7


@needs_ray
async def test_a_machine_outside_the_cluster_comes_through_its_client_port(running: Cluster, folder: Path) -> None:
    async with Pool.open(f"ray://127.0.0.1:{running.client_port}") as pool:
        await same_as_local(pool, folder)
        await leaving_frees_the_rows(pool, [asyncio.create_task(pool.generate(ask)) for ask in requests(90, 4000)])


@needs_ray
async def test_a_prompt_that_the_network_does_not_know_is_refused_as_by_the_local_worker(pool: Pool) -> None:
    with pytest.raises(InvalidRequest, match="not in the vocabulary"):
        await pool.generate(GenerationRequest(10, 1, prompt="ø"))


@needs_ray
async def test_who_comes_to_a_full_pool_is_told_when_to_come_back(pool: Pool) -> None:
    tasks = [asyncio.create_task(pool.generate(request)) for request in requests(400, 4000)]
    done, _ = await asyncio.wait(tasks, timeout=30, return_when=asyncio.FIRST_EXCEPTION)
    refusals = [task.exception() for task in done if task.exception() is not None]
    assert refusals
    for refusal in refusals:
        assert isinstance(refusal, Overloaded)
        assert refusal.retry_after >= 1.0
    await leaving_frees_the_rows(pool, tasks)


@needs_ray
async def test_a_text_that_comes_too_late_is_refused(running: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", running.address)
    async with Pool.open("auto", request_seconds=0.0) as pool:
        with pytest.raises(Overloaded):
            await pool.generate(requests(1)[0])


async def test_a_replica_that_refuses_other_weights_serves_the_old_ones(folder: Path) -> None:
    replica = Replica(threads=1)
    await replica.reconfigure({"weights": str(folder), "version": "tiny-1"})
    with pytest.raises(WeightsError, match="absent"):
        await replica.reconfigure({"weights": str(folder), "version": "absent"})
    assert isinstance(await replica.generate(requests(1)[0]), Generation)
    assert isinstance(await replica.generate(GenerationRequest(10, 1, prompt="ø")), InvalidRequest)
    assert (await replica.status())[0] == "tiny-1"
    await replica.check_health()


def test_a_replica_whose_thread_hangs_fails_its_health_check(folder: Path) -> None:
    add_trapped_version(folder, "trapped", endless)
    told = subprocess.run(
        (sys.executable, "-c", HANGING, str(folder), TRAP),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert told.stdout == "a step of the network hangs\n", told.stderr


@needs_ray
async def test_every_text_arrives_when_a_replica_is_killed_in_the_middle(
    running: Cluster, pool: Pool, folder: Path
) -> None:
    tasks = [asyncio.create_task(pool.generate(request)) for request in requests(50, 1500)]
    await asyncio.sleep(0.3)
    before = running.replicas()
    assert not all(task.done() for task in tasks)
    os.kill(before[0], signal.SIGKILL)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        assert isinstance(result, Generation | GeneratorError), result
    written = {result.seed: result for result in results if isinstance(result, Generation)}
    assert len(written) == 50, [result for result in results if not isinstance(result, Generation)]
    async with ThreadedGenerator.open(folder, threads=1) as local:
        for request in requests(50, 1500)[::10]:
            assert written[request.seed] == await local.generate(request)
    await until(lambda: len(running.replicas()) == 2 and before[0] not in running.replicas())


@needs_ray
async def test_fifty_chats_of_three_bots_are_all_answered_when_a_replica_is_killed(
    running: Cluster, folder: Path, tmp_path: Path
) -> None:
    """Allowed are the text that was asked for, or one sentence that says what to do instead; one of them, in each chat,
    before what bot and pool give a text altogether is over: 30 s for its turn, 30 s and a grace of 2 to be written."""
    async with AsyncExitStack() as stack:
        chats = []
        bots = []
        for length in ("300", "3000", "3000"):  # when a text of the first bot is there, the others' are under way
            place = Path(tempfile.mkdtemp(dir=tmp_path))
            bot = Installation(folder, place, await stack.enter_async_context(TelegramServer()))
            there = {"LSTMEGA_GENERATOR__ADDRESS": "auto", "RAY_ADDRESS": running.address}
            service = await stack.enter_async_context(bot.service(LSTMEGA_BOT__LENGTH=length, **there))
            chats += people(bot, 17)
            bots.append((bot, service))
        del chats[50:]
        asking = [asyncio.create_task(asked(chat, "/nietzsche 0.7 Abc")) for chat in chats]
        await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
        os.kill(running.replicas()[0], signal.SIGKILL)
        assert sum(answer.done() for answer in asking) <= 17
        async with asyncio.timeout(62):
            answers = await asyncio.gather(*asking)
        texts = [answer for answer in answers if answer.startswith("Abc")]
        refusals = [answer for answer in answers if "Try again in" in answer]
        assert len(texts) + len(refusals) == 50, answers
        assert len(texts) >= 25, answers  # one of two replicas went on
        assert all(len(chat.messages.all) == 1 for chat in chats)
        for bot, service in bots:
            assert (await service.ready())[1]["generator"]
            assert (await asked(people(bot, 1)[0], "/nietzsche 0.7 Abc")).startswith("Abc")
            await service.stop()
            bot.check_what_was_logged()
    await until(lambda: len(running.replicas()) == 2)


@needs_ray
async def test_a_replica_that_hangs_costs_its_own_texts_alone_and_is_replaced(running: Cluster, pool: Pool) -> None:
    async with Pool.open("auto", request_seconds=10.0) as impatient:
        tasks = [asyncio.create_task(impatient.generate(request)) for request in requests(50, 4000)]
        await until(lambda: pool.status().running > 10)
        hanging = running.replicas()[0]
        os.kill(hanging, signal.SIGSTOP)
        try:
            async with asyncio.timeout(10 + 5):
                results = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(result, Generation | Overloaded) for result in results), results
            assert any(isinstance(result, Generation) for result in results)
            assert any(isinstance(result, Overloaded) for result in results)
            while len(running.replicas()) < 3:  # until another stands beside it
                await pool.generate(requests(1)[0])
                assert not pool.status().unavailable
        finally:
            os.kill(hanging, signal.SIGKILL)
    await until(lambda: len(running.replicas()) == 2 and pool.status().threads == 2)


@needs_ray
async def test_other_weights_are_rolled_out_while_texts_are_written(running: Cluster, pool: Pool, folder: Path) -> None:
    add_random_version(folder, "tiny-2", seed=2)
    activate(folder, "tiny-2")
    long = asyncio.create_task(pool.generate(GenerationRequest(4000, 1)))
    rolling = asyncio.create_task(asyncio.to_thread(running.serve, "--replicas", "2", "--weights", str(folder)))
    seen = set()
    while not rolling.done():
        seen.add((await pool.generate(requests(1)[0])).version)
    served = rolling.result()
    assert served.returncode == 0, served.stderr
    assert (await long).version == "tiny-1"
    assert "tiny-1" in seen
    await until(lambda: pool.weights.manifest.version == "tiny-2")
    assert (await pool.reload()).manifest.version == "tiny-2"
    await same_as_local(pool, folder)


@needs_ray
async def test_a_version_that_fails_its_self_test_is_not_rolled_out(running: Cluster, pool: Pool, folder: Path) -> None:
    before = pool.weights.manifest.version
    broken = add_random_version(folder, "broken", seed=3)
    (broken / "model.onnx").write_bytes(b"no network")
    served = await asyncio.to_thread(running.serve, "--replicas", "2", "--weights", str(broken))
    assert served.returncode == 1
    assert "broken" in served.stderr
    assert "nothing was changed" in served.stderr
    assert (await pool.generate(requests(1)[0])).version == before


@needs_ray
async def test_weights_come_from_a_url(running: Cluster, pool: Pool, folder: Path) -> None:
    add_random_version(folder, "tiny-3", seed=4)
    activate(folder, "tiny-3")
    served = await asyncio.to_thread(running.serve, "--replicas", "2", "--weights", f"file://{folder}")
    assert served.returncode == 0, served.stderr
    await until(lambda: pool.weights.manifest.version == "tiny-3")
    add_random_version(folder, "tiny-4", seed=5)
    activate(folder, "tiny-4")
    with weights_server(folder) as server:
        served = await asyncio.to_thread(running.serve, "--replicas", "2", "--weights", server.url)
        assert served.returncode == 0, served.stderr
        assert server.given["/tiny-4/model.onnx"] == 3  # the trial, and each replica
    await until(lambda: pool.weights.manifest.version == "tiny-4")
    await same_as_local(pool, folder)


@needs_ray
async def test_a_url_that_does_not_give_the_weights_is_named_and_changes_nothing(
    running: Cluster, pool: Pool, folder: Path
) -> None:
    before = pool.weights.manifest.version
    for path in ("/CURRENT", f"/{before}/model.onnx"):
        with weights_server(folder) as server:
            server.times, server.status = {path: 0}, 403
            served = await asyncio.to_thread(running.serve, "--replicas", "2", "--weights", server.url)
        assert served.returncode == 1
        assert f"{server.url}{path}: cannot be read" in served.stderr
        assert "Traceback" not in served.stderr
    assert (await pool.generate(requests(1)[0])).version == before


@needs_ray
async def test_a_version_that_the_replicas_cannot_load_although_the_trial_could_stops_the_roll_out(
    running: Cluster, pool: Pool, folder: Path
) -> None:
    before = pool.weights.manifest.version
    add_random_version(folder, "lost", seed=6)
    with weights_server(folder) as server:
        server.times = {"/lost/model.onnx": 1}
        deploying = asyncio.create_task(
            asyncio.to_thread(running.serve, "--replicas", "2", "--weights", server.url, "--version", "lost")
        )
        while not deploying.done():
            assert (await pool.generate(requests(1)[0])).version == before
        served = deploying.result()
        assert served.returncode == 1, served.stdout
        assert f"lost: the roll-out stopped: {server.url}/lost/model.onnx: cannot be read" in served.stderr
        assert "Traceback" not in served.stderr
        assert (await pool.generate(requests(1)[0])).version == before
    served = await asyncio.to_thread(running.serve, "--replicas", "2", "--weights", str(folder), "--version", before)
    assert served.returncode == 0, served.stderr
    await until(lambda: pool.status().threads == 2)
    assert (await pool.generate(requests(1)[0])).version == before


@needs_ray
async def test_a_text_that_nobody_waits_for_is_not_written_to_its_end(
    running: Cluster, pool: Pool, tmp_path: Path
) -> None:
    # A network so large that these texts would take two threads for minutes.
    add_random_version(tmp_path, "slow-1", seed=1, units=2048)
    served = await asyncio.to_thread(running.serve, "--replicas", "2", "--weights", str(tmp_path / "slow-1"))
    assert served.returncode == 0, served.stderr
    await until(lambda: pool.weights.manifest.version == "slow-1")
    tasks = [asyncio.create_task(pool.generate(GenerationRequest(4000, seed))) for seed in range(90)]
    await leaving_frees_the_rows(pool, tasks)


@needs_ray
async def test_when_there_is_much_to_do_another_replica_comes(running: Cluster, pool: Pool, folder: Path) -> None:
    for more in ((), ("--most", "2")):  # from a number that stands fixed
        options = ("--replicas", "1", *more, "--weights", str(folder), "--version", "tiny-1")
        served = await asyncio.to_thread(running.serve, *options)
        assert served.returncode == 0, served.stderr
    await until(lambda: len(running.replicas()) == 1)
    enough = asyncio.Event()
    written: dict[int, set[str]] = {seed: set() for seed in range(30)}

    async def ask_again_and_again(seed: int) -> None:
        while not enough.is_set():
            written[seed].add((await pool.generate(GenerationRequest(300, seed))).text)

    async with asyncio.TaskGroup() as group:
        for seed in written:
            group.create_task(ask_again_and_again(seed))
        await until(lambda: pool.status().threads == 2)
        enough.set()
    assert len(running.replicas()) == 2
    assert all(len(texts) == 1 for texts in written.values())
    await same_as_local(pool, folder, "tiny-1")


@needs_ray
async def test_a_whole_node_is_lost_and_the_other_goes_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with cluster(cores=1) as two:
        node = two.join(cores=1)
        served = two.serve("--replicas", "2", "--weights", str(folder), "--version", "tiny-1")
        assert served.returncode == 0, served.stderr
        assert len(replicas_of(node)) == 1
        assert len(two.replicas()) == 2
        monkeypatch.setenv("RAY_ADDRESS", two.address)
        async with Pool.open("auto") as pool:
            tasks = [asyncio.create_task(pool.generate(request)) for request in requests(50, 4000)]
            await asyncio.wait(tasks, timeout=0.5)
            assert not all(task.done() for task in tasks)
            two.end_node(node)
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(result, Generation | Overloaded) for result in results), results
            assert sum(isinstance(result, Generation) for result in results) >= 25
            await until(lambda: pool.status().threads == 1)
            for request in requests(20):
                assert await pool.generate(request)
            await asyncio.to_thread(two.join, cores=1)
            await until(lambda: pool.status().threads == 2)
            assert pool.status().faults == 0  # it was never away


@needs_ray
async def test_the_pool_goes_and_comes_back(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with cluster() as other:
        assert other.serve("--weights", str(folder), "--version", "tiny-1").returncode == 0
        monkeypatch.setenv("RAY_ADDRESS", other.address)
        async with Pool.open("auto") as pool:
            first = await pool.generate(requests(1)[0])
            long = asyncio.create_task(pool.generate(GenerationRequest(4000, 1)))
            await asyncio.sleep(0.1)
            other.end()
            await until(lambda: bool(pool.status().unavailable))
            with pytest.raises(Unavailable):
                await pool.generate(requests(1)[0])
            [ended] = await asyncio.gather(long, return_exceptions=True)
            assert isinstance(ended, Generation | GeneratorError)
            await asyncio.to_thread(other.start)
            served = await asyncio.to_thread(other.serve, "--weights", str(folder), "--version", "tiny-1")
            assert served.returncode == 0, served.stderr
            await until(lambda: not pool.status().unavailable)
            assert await pool.generate(requests(1)[0]) == first


@needs_ray
async def test_people_are_told_when_the_pool_is_away_and_have_texts_again_when_it_is_back(
    bot: Installation, folder: Path
) -> None:
    with cluster() as other:
        assert other.serve("--weights", str(folder), "--version", "tiny-1").returncode == 0
        there = {"LSTMEGA_GENERATOR__ADDRESS": "auto", "RAY_ADDRESS": other.address}
        async with bot.service(**there) as service:
            [chat] = people(bot, 1)
            assert (await asked(chat, "/nietzsche 0.7 Abc")).startswith("Abc")
            assert "tiny-1" in await asked(chat, "/about")
            assert (await service.ready())[0] == 200
            other.end()
            await service.log.next("worker.ended")
            status, parts = await service.ready()
            assert status == 503
            assert not parts["generator"]
            assert "cannot be reached" in await asked(chat, "/nietzsche 0.7 Abc")
            assert 'lstmega_generator_threads{voice="nietzsche"} 0.0' in await service.get("/metrics")
            await asyncio.to_thread(other.start)
            served = await asyncio.to_thread(other.serve, "--weights", str(folder), "--version", "tiny-1")
            assert served.returncode == 0, served.stderr
            await service.log.next("worker.ready")
            assert (await asked(chat, "/nietzsche 0.7 Abc")).startswith("Abc")
            assert (await service.ready())[0] == 200
            await service.stop()


@needs_ray
async def test_each_voice_is_a_pool_of_its_own(bot: Installation, folder: Path) -> None:
    with cluster(cores=2) as two:
        for options in (("--weights", str(folder), "--version", "tiny-1"), ("--voice", "classic")):
            served = await asyncio.to_thread(two.serve, *options)
            assert served.returncode == 0, served.stderr
        there = {
            "LSTMEGA_GENERATOR__ADDRESS": "auto",
            "RAY_ADDRESS": two.address,
            "LSTMEGA_VOICES__CLASSIC__TITLE": "C",
        }
        async with bot.service(**there) as service:
            [chat] = people(bot, 1)
            assert "tiny-1" in await asked(chat, "/about")
            assert "nietzsche-lstm" in await asked(chat, "/about classic")
            add_random_version(folder, "tiny-9", seed=9)
            served = await asyncio.to_thread(two.serve, "--weights", str(folder), "--version", "tiny-9")
            assert served.returncode == 0, served.stderr
            async with asyncio.timeout(PATIENCE):
                while "tiny-9" not in await asked(chat, "/about"):  # noqa: ASYNC110 - another process makes it true
                    await asyncio.sleep(0.5)
            assert "nietzsche-lstm" in await asked(chat, "/about classic")
            assert (await asked(chat, "/nietzsche 0.7 Abc")).startswith("Abc")
            assert (await asked(chat, "/classic 0.7 Abc")).startswith("Abc")
            await service.stop()
        waiting = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "generator", "serve", "--voice", "melville", "--weights", str(folder)),
            env=two.environment, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert waiting.stderr is not None
        async with asyncio.timeout(PATIENCE):
            assert await waiting.stderr.readline() == b"cores needed: 1, free: 0; waiting for more\n"
            waiting.send_signal(signal.SIGINT)
            assert await waiting.wait() == 130


@needs_ray
async def test_without_a_cluster_it_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    with pytest.raises(Unavailable, match="is not there"):
        async with Pool.open("auto", start_seconds=5.0):
            pass


def test_errors_travel_between_processes() -> None:
    assert copy.copy(Overloaded(7.0)).retry_after == 7.0  # copies as pickling does
    assert isinstance(copy.copy(ShuttingDown()), ShuttingDown)


def test_the_command_line_of_the_pool_says_what_there_is() -> None:
    told = subprocess.run((sys.executable, "-m", "generator"), capture_output=True, text=True, check=True)
    assert "serve" in told.stdout
    for options, problem in (("--replicas 0", "whole number"), ("--voice melville", "melville needs --weights")):
        command = (sys.executable, "-m", "generator", "serve", *options.split())
        wrong = subprocess.run(command, capture_output=True, text=True, check=False)
        assert wrong.returncode == 2
        assert problem in wrong.stderr


@pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="Ray is installed")
def test_without_ray_the_extra_is_named() -> None:
    told = subprocess.run((sys.executable, "-m", "generator", "serve"), capture_output=True, text=True, check=False)
    assert told.returncode == 1
    assert "Ray Serve, which is not installed; " in told.stderr
    assert "cluster" in told.stderr
