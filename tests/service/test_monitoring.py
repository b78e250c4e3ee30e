"""The HTTP endpoints: health, readiness, metrics."""

from __future__ import annotations

import asyncio
import json
import logging
import resource
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from aiohttp import ClientSession
from conftest import english
from hostile_http import survives
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from scripted_platform import ScriptedPlatform, refused
from voice_support import voices_of

from bot.config.loader import ConfigError
from bot.config.schema import BotSection, HttpSection
from bot.core.ask import Where
from bot.core.commands import Commands, parse
from bot.logs import Redaction
from bot.service import monitoring
from bot.service.monitoring import Metrics, Status
from bot.service.reload import Reloading
from bot.service.supervisor import Supervised, serve
from bot.store.store import Store
from generator import Generation, ShuttingDown, Timing
from generator.backoff import Backoff
from generator.serving.generator import ThreadedGenerator

SECRET = "987654321:" + "hush" * 9


@dataclass
class Site:
    """A service without signals and socket."""

    url: str
    port: int
    platform: ScriptedPlatform
    supervised: Sequence[Supervised]
    generator: ThreadedGenerator
    store: Store
    status: Status
    metrics: Metrics
    commands: Commands
    web: ClientSession

    async def get(self, path: str) -> tuple[int, str]:
        async with self.web.get(self.url + path) as response:
            return response.status, await response.text()

    async def ready(self) -> tuple[int, dict[str, tuple[bool, str]]]:
        status, text = await self.get("/readyz")
        parts = [json.loads(line) for line in text.splitlines()]
        return status, {part["part"]: (part["ready"], part["detail"]) for part in parts}

    async def figures(self) -> dict[str, float]:
        status, text = await self.get("/metrics")
        assert status == 200
        return {
            sample.name + "".join(f" {value}" for _, value in sorted(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if not sample.name.endswith(("_bucket", "_created"))
        }


def requests(figures: dict[str, float]) -> dict[str, float]:
    """The number of requests by command, outcome and platform."""
    return {name.partition(" ")[2]: count for name, count in figures.items() if name.startswith("lstmega_requests")}


@asynccontextmanager
async def served(
    tiny_folder: Path, tmp_path: Path, *platforms: ScriptedPlatform, host: str = "127.0.0.1"
) -> AsyncIterator[Site]:
    async with (
        asyncio.timeout(30),
        Store.open(tmp_path / "db.sqlite3") as store,
        ThreadedGenerator.open(tiny_folder, threads=1) as generator,
    ):
        metrics = Metrics()
        reloading = Reloading(generator, partial(metrics.reloaded, "nietzsche"))
        settings = BotSection(length=40, cooldown=0.0, operators=("telegram:boss",))
        commands = Commands(
            voices_of(generator), store, settings, observer=metrics, reload=lambda: reloading.reload("/reload")
        )
        platform = ScriptedPlatform("telegram", commands=commands)
        always = platforms or (platform,)
        backoff = Backoff(first=0.001, longest=0.001)
        supervised = [Supervised(each, backoff, metrics.platform_failed) for each in always]
        status = Status(commands, supervised, lambda: {"nietzsche": reloading.refusal})
        metrics.registry.register(status)
        section = HttpSection(host=host, port=0)
        async with (
            monitoring.serving(section, status, metrics, Redaction([SECRET])) as url,
            ClientSession() as session,
            asyncio.TaskGroup() as group,
        ):
            serving = group.create_task(serve(supervised))
            await always[0].up.wait()
            supervised[0].poll()
            port = int(url.rpartition(":")[2])
            here = f"http://127.0.0.1:{port}"
            yield Site(here, port, platform, supervised, generator, store, status, metrics, commands, session)
            serving.cancel()


@pytest.fixture
async def site(tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    monkeypatch.setattr("bot.service.monitoring.CHECK_SECONDS", 0.0)
    async with served(tiny_folder, tmp_path) as site:
        yield site


async def test_a_voice_that_is_not_loaded_is_not_ready(site: Site) -> None:
    site.status.problems = lambda: {"gone": "gone/CURRENT: no such file"}
    status, text = await site.get("/readyz")
    lines = [line for line in map(json.loads, text.splitlines()) if line.get("voice") == "gone"]
    detail = "not loaded, so the others serve without it: gone/CURRENT: no such file"
    assert (status, lines) == (503, [{"part": "weights", "ready": False, "detail": detail, "voice": "gone"}])


async def test_a_healthy_service(site: Site) -> None:
    assert await site.get("/healthz") == (200, "alive\n")
    assert await site.ready() == (
        200,
        {
            "service": (True, "running"),
            "telegram": (True, "connected"),
            "weights": (True, "tiny-1"),
            "generator": (True, "threads: 1 work"),
            "store": (True, "reads and writes"),
        },
    )
    assert (await site.get("/"))[0] == 404


async def test_a_platform_that_is_down_is_named(site: Site) -> None:
    site.platform.lose()
    status, parts = await site.ready()
    assert status == 503
    assert parts["telegram"] == (False, "down")  # the platform knows it, before the supervisor has looked
    site.supervised[0].poll()
    assert (await site.ready())[1]["telegram"] == (False, "down: connection lost")
    assert (await site.get("/healthz"))[0] == 200
    site.platform.connect()
    assert (await site.ready())[0] == 200


async def test_a_rejected_token_is_reported_without_the_token(tiny_folder: Path, tmp_path: Path) -> None:
    discord, telegram = ScriptedPlatform("discord"), refused("telegram")
    telegram.failures[0].args = (f"the token {SECRET} was rejected",)
    async with served(tiny_folder, tmp_path, discord, telegram) as site:
        await telegram.attempts.get()
        status, parts = await site.ready()
        assert status == 503
        assert parts["discord"] == (True, "connected")
        assert parts["telegram"] == (False, "refused: the token *** was rejected")


async def test_a_service_that_stops_is_not_ready(site: Site) -> None:
    site.commands.closing = True
    status, parts = await site.ready()
    assert (status, parts["service"]) == (503, (False, "stopping"))


async def test_a_database_that_cannot_be_read_is_reported(site: Site) -> None:
    await site.store._database._writer.run("DROP TABLE preferences")
    status, parts = await site.ready()
    assert status == 503
    ready, detail = parts["store"]
    assert not ready
    assert "db.sqlite3" in detail


async def test_a_read_only_database_is_reported(site: Site) -> None:
    await site.store._database._writer.read("PRAGMA query_only = ON")
    status, parts = await site.ready()
    assert status == 503
    assert "cannot be written" in parts["store"][1]
    await site.store._database._writer.read("PRAGMA query_only = OFF")
    assert (await site.ready())[0] == 200


async def test_a_full_disk_is_reported(site: Site) -> None:
    """No file of this process may grow: SQLite meets that at the write that reaches the disk, and at no earlier."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = site.store._database.path.with_name(f"{site.store._database.path.name}-wal").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        status, parts = await site.ready()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert status == 503
    assert "disk" in parts["store"][1]
    assert (await site.ready())[0] == 200


async def test_a_database_that_another_program_holds_is_told_soon(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.service.monitoring.TIMEOUT_SECONDS", 0.2)
    other = sqlite3.connect(site.store._database.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    began = asyncio.get_running_loop().time()
    status, parts = await site.ready()
    took = asyncio.get_running_loop().time() - began
    assert (status, took < 2) == (503, True)
    assert parts["store"][1] == "no answer within 0.2 s"
    # What people do waits as long as ever.
    saving = asyncio.create_task(site.store.set_preference("telegram", "alice", "temperature", 0.5))
    await asyncio.sleep(0.3)
    assert not saving.done()
    other.execute("ROLLBACK")
    other.close()
    await saving
    assert (await site.ready())[0] == 200


async def test_a_long_change_does_not_delay_the_answer(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.service.monitoring.TIMEOUT_SECONDS", 0.05)
    async with site.store._database.transaction():
        assert (await site.ready())[1]["store"] == (False, "no answer within 0.05 s")
    assert (await site.ready())[0] == 200


async def test_the_database_is_written_once_however_often_its_state_is_requested(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anyone who reaches the port may request it, and every check writes to the disk."""
    monkeypatch.setattr("bot.service.monitoring.CHECK_SECONDS", 60.0)
    checks: list[None] = []
    probe = site.store.check_writable

    async def counted() -> None:
        checks.append(None)
        await probe()

    monkeypatch.setattr(site.store, "check_writable", counted)
    for status, parts in await asyncio.gather(*(site.ready() for _ in range(20))):
        assert (status, parts["store"]) == (200, (True, "reads and writes"))
    assert len(checks) == 1


async def test_a_database_that_does_not_answer_is_reported(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.service.monitoring.TIMEOUT_SECONDS", 0.05)

    async def never(*_: str) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(site.store, "preferences", never)
    assert (await site.ready())[1]["store"] == (False, "no answer within 0.05 s")


async def test_requests_are_counted(site: Site) -> None:
    await site.platform.type("nietzsche", "0.7 The")
    await site.platform.type("nietzsche", "99")
    await site.platform.type("about")
    await site.platform.type("my-secret-words")
    await site.platform.type("reload")
    await site.commands.press("no such button", Where("telegram", "chat", "alice"))
    site.commands.closing = True
    await site.platform.type("nietzsche")
    figures = await site.figures()
    assert requests(figures) == {
        "nietzsche text telegram": 1,
        "nietzsche refused telegram": 1,
        "nietzsche restarting telegram": 1,
        "about answer telegram": 1,
        "unknown refused telegram": 2,
        "button refused telegram": 1,
    }
    assert figures["lstmega_request_seconds_count nietzsche"] == 3
    assert figures["lstmega_texts_total nietzsche"] == 2, "with the sentence that /about shows"
    for name in ("queue_wait_seconds{}", "time_to_first_character_seconds{} nietzsche"):
        assert figures["lstmega_" + name.format("_count")] == 1
    assert figures["lstmega_time_per_character_seconds_count nietzsche"] == 1
    waited = figures["lstmega_queue_wait_seconds_sum"]
    assert 0 < waited < figures["lstmega_time_to_first_character_seconds_sum nietzsche"]
    assert figures["lstmega_characters_total nietzsche"] > 20
    assert figures["lstmega_queue_length"] == figures["lstmega_batch_size nietzsche"] == 0
    assert figures["lstmega_weights_info none lstm tiny-1 nietzsche"] == 1
    assert figures["lstmega_platform_connected telegram"] == 1
    assert figures["process_resident_memory_bytes"] > 1e6


async def test_failures_are_counted_apart_from_refusals(
    site: Site, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(site.generator, "generate", broken)
    await site.platform.type("nietzsche")
    await site.store._database._writer.run("DROP TABLE preferences")
    await site.platform.type("temperature", "0.5")
    (tiny_folder / "CURRENT").write_text("gone\n")
    await site.platform.type("reload", person="boss")
    await site.platform.type("nietzsche", "99")
    figures = await site.figures()
    assert requests(figures) == {
        "nietzsche failed telegram": 1,
        "temperature failed telegram": 1,
        "reload failed telegram": 1,
        "nietzsche refused telegram": 1,
    }


async def test_a_generator_that_closes_is_counted_as_a_restart(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def closing(*_: object) -> None:
        raise ShuttingDown

    monkeypatch.setattr(site.generator, "generate", closing)
    assert (await site.platform.type("nietzsche")).text == english("restarting")
    assert (await site.figures())["lstmega_requests_total nietzsche restarting telegram"] == 1


async def test_a_reload_by_command_is_counted_as_any_other(site: Site, tiny_folder: Path) -> None:
    assert "serves already" in (await site.platform.type("reload", person="boss")).text
    (tiny_folder / "CURRENT").write_text("gone\n")
    assert "stay as they were" in (await site.platform.type("reload", person="boss")).text
    figures = await site.figures()
    reloads = "lstmega_weights_reloads_total"
    assert figures[f"{reloads} unchanged nietzsche"] == figures[f"{reloads} refused nietzsche"] == 1


async def test_an_undelivered_answer_is_counted(site: Site) -> None:
    site.commands.observer.platform_failed("telegram")
    assert (await site.figures())["lstmega_platform_errors_total telegram"] == 1


async def test_a_cancelled_text_is_counted_as_cancelled(site: Site) -> None:
    task = asyncio.create_task(
        site.commands.handle(parse("ladder", "A long way to go " * 50), Where("telegram", "chat", "alice"))
    )
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    assert (await site.figures())["lstmega_requests_total ladder cancelled telegram"] == 1


async def test_durations_are_shown_in_seconds(site: Site) -> None:
    timing = Timing(queue_wait=0.125, first_character=0.25, writing=2.0)
    for text in ("x" * 400, ""):
        site.metrics.text_written("melville", Generation(text, b"", "tiny-1", 7, timing), waited=0.125)
    site.metrics.loop_lag.observe(0.125)
    site.metrics.platform_failed("discord")
    figures = await site.figures()
    assert figures["lstmega_queue_wait_seconds_sum"] == 0.5
    assert figures["lstmega_time_to_first_character_seconds_sum melville"] == 0.75
    assert figures["lstmega_time_per_character_seconds_sum melville"] == 0.005
    assert figures["lstmega_time_per_character_seconds_count melville"] == 1
    assert figures["lstmega_event_loop_lag_seconds_sum"] == 0.125
    assert figures["lstmega_platform_errors_total discord"] == 1


async def test_two_services_in_one_process_count_separately() -> None:
    one, other = Metrics(), Metrics()
    one.answered("telegram", "about", "answer", 0.1)
    assert b'command="about"' in generate_latest(one.registry)
    assert b'command="about"' not in generate_latest(other.registry)


async def test_a_defect_behind_an_endpoint_is_logged_and_the_others_answer(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: object) -> bytes:
        raise KeyError("marked")

    monkeypatch.setattr(monitoring, "generate_latest", broken)
    assert (await site.get("/metrics"))[0] == 500
    [logged] = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert "KeyError" in logged
    assert "broken" in logged
    assert (await site.get("/healthz"))[0] == 200


async def test_nothing_can_be_changed_over_http(site: Site) -> None:
    """Health and metrics may be open to other machines; a reload is requested on the socket."""
    for path in ("/reload", "/healthz", "/readyz", "/metrics"):
        async with site.web.post(site.url + path, headers={"X-LSTMega": "1"}) as response:
            assert response.status in {404, 405}
            assert "Access-Control-Allow-Origin" not in response.headers
    assert "lstmega_weights_reloads_total" not in str(await site.figures())


async def test_the_port_survives_random_requests(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    pages = [f"GET {page} HTTP/1.1\r\nHost: x\r\n".encode() for page in ("/healthz", "/readyz", "/metrics", "/marked")]
    post = b"POST /readyz HTTP/1.1\r\nHost: x\r\n"
    chunked = post + b"Transfer-Encoding: chunked\r\n\r\n6\r\nmarked\r\n0\r\n\r\n"
    requests = (*(page + b"\r\n" for page in pages), post + b"Content-Length: 6\r\n\r\nmarked", chunked)
    await survives(site.port, requests, lambda: pages[0] + b"Connection: close\r\n\r\n", caplog)


async def test_a_port_in_use_is_reported_in_one_line(site: Site) -> None:
    parts = (site.status, site.metrics, Redaction())
    with pytest.raises(ConfigError, match=rf"\[http\] cannot listen on 127.0.0.1, port {site.port}: .* already in use"):
        async with monitoring.serving(HttpSection(port=site.port), *parts):
            pass
    with pytest.raises(ConfigError, match=r"\[http\] cannot listen on no\.such\.host\.invalid"):
        async with monitoring.serving(HttpSection(host="no.such.host.invalid"), *parts):
            pass
