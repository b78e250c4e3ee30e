"""The service as a whole, in this process: how it starts, what it does on signals, how it stops."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from conftest import english
from scripted_platform import ScriptedPlatform, refused
from service_process import unused_port

from bot.cli.commands import request_reload
from bot.cli.errors import USAGE
from bot.config.loader import ConfigError, load
from bot.config.schema import Config
from bot.core.commands import Commands
from bot.core.reply import Kind
from bot.platforms.base import Platform
from bot.service import app, supervisor
from bot.service.supervisor import ALIVE, PERIOD_SECONDS, READY, STOPPING, heartbeat, notify
from bot.store.errors import StoreError
from generator import WeightsError
from generator.backoff import Backoff
from generator.serving.generator import DRAIN_SECONDS as GENERATOR_DRAIN_SECONDS
from generator.weights.versions import activate

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def environment(tiny_folder: Path, tmp_path: Path) -> dict[str, str]:
    return {
        "LSTMEGA_TELEGRAM__TOKEN": "123456789:" + "hush" * 9,
        "LSTMEGA_GENERATOR__WEIGHTS": str(tiny_folder),
        "LSTMEGA_GENERATOR__THREADS": "1",
        "LSTMEGA_STORE__PATH": str(tmp_path / "db.sqlite3"),
        "LSTMEGA_HTTP__PORT": str(unused_port()),
        "LSTMEGA_BOT__LENGTH": "60",
        "LSTMEGA_BOT__COOLDOWN": "0",
    }


@pytest.fixture
def config(environment: dict[str, str]) -> Config:
    return load(None, environment)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "BACKOFF", Backoff(first=0.001, longest=0.001))


@pytest.fixture(autouse=True)
def _signals_as_they_were(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)]
    with caplog.at_level(logging.INFO, "bot"):
        yield
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)] == before


class Told(logging.Handler):
    """What the service logs, to wait for."""

    def __init__(self) -> None:
        super().__init__()
        self._unread: asyncio.Queue[str] = asyncio.Queue()

    def emit(self, record: logging.LogRecord) -> None:
        self._unread.put_nowait(record.getMessage())

    async def line(self, part: str) -> str:
        """The next line that holds `part`."""
        async with asyncio.timeout(20):
            while part not in (line := await self._unread.get()):
                pass
        return line


@pytest.fixture
def told() -> Iterator[Told]:
    handler = Told()
    logging.getLogger("bot").addHandler(handler)
    yield handler
    logging.getLogger("bot").removeHandler(handler)


class Platforms:
    """Makes the platforms of a service: these ones, which know its commands then."""

    def __init__(self, *platforms: ScriptedPlatform) -> None:
        self.platforms = platforms

    def __call__(self, _config: Config, commands: Commands) -> Sequence[Platform]:
        for platform in self.platforms:
            platform.commands = commands
        return self.platforms


@asynccontextmanager
async def running(config: Config, *platforms: ScriptedPlatform) -> AsyncIterator[asyncio.Task[None]]:
    """The service, with the first platform connected. It has to end inside the block, or the test fails."""
    async with asyncio.timeout(30):
        task = asyncio.create_task(app.run(config, Platforms(*platforms)))
        await asyncio.wait({task, asyncio.ensure_future(platforms[0].up.wait())}, return_when="FIRST_COMPLETED")
        yield task
        await task


def tell(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_serves_until_it_is_told_to_stop(
    config: Config, number: signal.Signals, caplog: pytest.LogCaptureFixture
) -> None:
    platform = ScriptedPlatform("telegram")
    async with running(config, platform):
        assert (await platform.type("nietzsche", "0.7")).kind is Kind.TEXT
        tell(number)
    assert platform.drained
    assert platform.cancelled
    events = [message.split()[0] for message in caplog.messages]
    assert [event for event in events if event.startswith("service.")] == [
        "service.ready", "service.stopping", "service.stopped",
    ]  # fmt: skip


async def test_stopping_finishes_what_runs_and_tells_late_comers(
    environment: dict[str, str], told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "DRAIN_SECONDS", 25.0)  # for a busy machine
    config = load(None, environment | {"LSTMEGA_BOT__LENGTH": "400"})
    platform = ScriptedPlatform("telegram")
    platform.answers_due.clear()
    async with running(config, platform) as task:
        writing = [
            asyncio.create_task(platform.type("nietzsche", person=f"person {n}")) for n in range(8)
        ]  # on any machine
        await asyncio.sleep(0)  # all have asked
        tell(signal.SIGTERM)
        await told.line("service.stopping")
        late = await platform.type("help", person="late")
        assert (late.text, late.private) == (english("restarting"), True)
        assert {(await reply).kind for reply in writing} == {Kind.TEXT}
        assert not platform.cancelled
        assert not task.done()
        platform.answers_due.set()
    assert platform.drained


async def test_what_takes_too_long_is_given_up(
    config: Config, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(app, "DRAIN_SECONDS", 0.1)
    platform = ScriptedPlatform("telegram")
    platform.answers_due.clear()
    async with running(config, platform):
        tell(signal.SIGTERM)
    assert platform.cancelled
    assert "service.drain_timeout drain_s=0.1" in caplog.text


async def test_it_stops_while_a_platform_is_down(config: Config) -> None:
    down = ScriptedPlatform("telegram", *[OSError("down")] * 100_000)
    other = ScriptedPlatform("discord")
    async with running(config, other, down):
        await down.attempts.get()
        tell(signal.SIGTERM)
    assert other.drained
    assert down.drained


async def test_a_signal_during_the_start_ends_it(config: Config, caplog: pytest.LogCaptureFixture) -> None:
    platform = ScriptedPlatform("telegram")
    async with asyncio.timeout(30):
        task = asyncio.create_task(app.run(config, Platforms(platform)))
        await asyncio.sleep(0)  # it opens the database
        tell(signal.SIGTERM)
        await task
    assert platform.attempts.empty()
    assert "service.stopped" in caplog.messages
    assert not any(message.startswith("service.ready") for message in caplog.messages)


async def test_whoever_runs_it_may_cancel_it(config: Config) -> None:
    platform = ScriptedPlatform("telegram")
    with pytest.raises(asyncio.CancelledError):
        async with running(config, platform) as task:
            task.cancel()
    assert platform.cancelled


async def test_sighup_takes_up_other_weights(
    config: Config, tiny_folder: Path, add_tiny_version: Callable[[Path, str, int], Path], told: Told
) -> None:
    platform = ScriptedPlatform("telegram")
    add_tiny_version(tiny_folder, "tiny-2", 2)
    async with running(config, platform):
        tell(signal.SIGHUP)
        await told.line("reload.done trigger='SIGHUP' version=tiny-1 before=tiny-1")
        (tiny_folder / "CURRENT").write_text("tiny-2\n")
        tell(signal.SIGHUP)
        await told.line("reload.done trigger='SIGHUP' version=tiny-2")
        assert "tiny-2" in (await platform.type("about")).text
        tell(signal.SIGTERM)


async def test_weights_that_the_configuration_pins_stay(
    environment: dict[str, str], tiny_folder: Path, add_tiny_version: Callable[[Path, str, int], Path]
) -> None:
    environment["LSTMEGA_GENERATOR__WEIGHTS"] = str(tiny_folder / "tiny-1")
    config = load(None, environment)
    platform = ScriptedPlatform("telegram")
    async with running(config, platform):
        add_tiny_version(tiny_folder, "tiny-2", 2)
        activate(tiny_folder, "tiny-2")
        answer = await request_reload(config)
        assert answer.message.startswith(
            "tiny-1 serves already; CURRENT names no other.\nThe configuration was read too"
        )
        tell(signal.SIGTERM)


async def test_when_every_platform_refuses_there_is_nothing_to_serve(config: Config) -> None:
    with pytest.raises(ConfigError) as caught:
        async with running(config, refused("discord"), refused("telegram")):
            pass
    (problem,) = caught.value.problems
    assert problem.startswith("no platform is left: discord: discord refuses the token; copy it again; telegram: ")


async def test_a_start_that_cannot_work_says_why_and_leaves_nothing_open(
    config: Config, environment: dict[str, str], tiny_folder: Path, tmp_path: Path
) -> None:
    async with asyncio.timeout(60):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            with pytest.raises(ConfigError, match=rf"\[http\] cannot listen on 127\.0\.0\.1, port {port}: "):
                await app.run(load(None, environment | {"LSTMEGA_HTTP__PORT": port}), Platforms())
        folder = environment | {"LSTMEGA_STORE__PATH": str(tmp_path)}
        with pytest.raises(StoreError, match="is a folder"):
            await app.run(load(None, folder), Platforms())
        (tiny_folder / "CURRENT").write_text("gone\n")
        with pytest.raises(WeightsError, match="gone"):
            await app.run(config, Platforms())


class SystemdSocket:
    """The socket that systemd listens on; `received` is every state, in order."""

    def __init__(self, path: str) -> None:
        self.received: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(path)

    async def until(self, state: str) -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(20):
            while state not in self.received:
                self.received += (await loop.sock_recv(self._socket, 65536)).decode().split("\n")

    def close(self) -> None:
        self._socket.close()


async def test_systemd_is_notified_of_start_life_and_stop(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = SystemdSocket(str(tmp_path / "notify"))
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    platform = ScriptedPlatform("telegram")
    async with running(config, platform):
        await listener.until(READY)
        await listener.until(ALIVE)
        tell(signal.SIGTERM)
        await listener.until(STOPPING)
    listener.close()
    assert listener.received.index(READY) < listener.received.index(STOPPING)
    assert any(
        state.startswith("STATUS=weights tiny-1") and "http://127.0.0.1:" in state for state in listener.received
    )


async def test_a_systemd_that_does_not_listen_does_not_stop_the_service(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    platform = ScriptedPlatform("telegram")
    async with running(config, platform):
        assert (await platform.type("nietzsche")).kind is Kind.TEXT
        tell(signal.SIGTERM)
    assert caplog.text.count("systemd.notify_failed") == 1


def test_an_abstract_socket_is_notified_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.settimeout(5)
        name = f"lstmega-{os.getpid()}-{tmp_path.name}"
        listener.bind(f"\0{name}")
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        notify(READY, "STATUS=two\nlines")
        assert listener.recv(1000) == b"READY=1\nSTATUS=two lines"
    monkeypatch.delenv("NOTIFY_SOCKET")
    notify(READY)


async def test_the_heartbeat_measures_the_lag_of_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "PERIOD_SECONDS", 0.01)
    lags: asyncio.Queue[float] = asyncio.Queue()
    checks: list[None] = []
    beating = asyncio.create_task(heartbeat(lags.put_nowait, lambda: checks.append(None)))
    async with asyncio.timeout(20):
        for _ in range(3):
            await lags.get()
        held = asyncio.get_running_loop().time() + 0.3
        while asyncio.get_running_loop().time() < held:  # blocks the loop
            pass
        while (lag := await lags.get()) < 0.2:
            pass
        assert lag < 5
    beating.cancel()
    assert len(checks) >= 4


def unit_settings() -> dict[str, str]:
    """The unit's settings by name, the last one of a name that stands there twice."""
    lines = (ROOT / "contrib" / "lstmega.service").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def test_the_unit_gives_the_service_the_time_that_it_takes() -> None:
    unit = unit_settings()
    assert app.CLOSE_SECONDS > GENERATOR_DRAIN_SECONDS
    assert int(unit["TimeoutStopSec"]) > app.DRAIN_SECONDS + app.CLOSE_SECONDS
    assert int(unit["WatchdogSec"]) > 10 * PERIOD_SECONDS
    assert unit["RestartPreventExitStatus"] == str(USAGE)
    assert unit["SuccessExitStatus"] == "130 143"
    assert (unit["KillMode"], unit["OOMPolicy"]) == ("mixed", "continue")  # the generator is a child process
    state = load(None, {"XDG_STATE_HOME": unit["Environment"].removeprefix("XDG_STATE_HOME=")}).database
    assert state.parent == Path("/var/lib") / unit["StateDirectory"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
def test_systemd_finds_nothing_wrong_with_the_unit() -> None:
    command = ["systemd-analyze", "verify", "--man=no", str(ROOT / "contrib" / "lstmega.service")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


async def test_a_reload_takes_over_who_may_use_the_bot(environment: dict[str, str], tmp_path: Path, told: Told) -> None:
    file = tmp_path / "config.toml"
    file.write_text("")
    config = load(file, environment)
    platform = ScriptedPlatform("telegram")
    platforms = Platforms(platform)
    async with asyncio.timeout(30):
        service = asyncio.create_task(app.run(config, platforms, read=lambda: load(file, environment)))
        await platform.up.wait()
        assert (await platform.type("nietzsche", person="7")).kind is Kind.TEXT
        file.write_text('[access]\nallow = ["telegram:8"]\n[telegram]\nwebhook_port = 1\n[log]\nlevel = "debug"\n')
        tell(signal.SIGHUP)
        line = await told.line("config.read")
        assert line == "config.read differs=access,telegram,log needs_restart=telegram,log"
        assert (await platform.type("nietzsche", person="7")).text == english("not-allowed")
        file.write_text('[bot]\noperators = ["telegram:7"]\n[access]\nallow = ["telegram:8"]\n')
        assert (await request_reload(config)).reloaded
        assert (await platform.type("stats", person="7")).kind is Kind.ANSWER
        file.write_text('[access]\nallow = ["telegram:ada"]\n')
        answer = await request_reload(config)
        assert not answer.reloaded
        assert "[access] allow: must be a list such as" in answer.message
        assert "[access] allow: must be" in (await platform.type("reload", person="7")).text
        assert (await platform.type("nietzsche", person="9")).text == english("not-allowed"), "the old rules hold"
        tell(signal.SIGTERM)
        await service
