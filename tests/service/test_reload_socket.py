"""`python -m bot reload`: the service's socket, and who may use it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bot.cli.commands import request_reload
from bot.cli.doctor import is_running
from bot.cli.errors import UsageError
from bot.config.schema import Config, HttpSection, StoreSection
from bot.logs import Redaction
from bot.service.reload import Answer, Reloading, listening, socket_path
from generator import WeightsError
from generator.serving.generator import ThreadedGenerator

SECRET = "987654321:" + "hush" * 9


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return configured(tmp_path)


def configured(state: Path, port: int = 8080) -> Config:
    return Config(http=HttpSection(port=port), store=StoreSection(path=state / "db.sqlite3"))


@asynccontextmanager
async def service(config: Config, reload: Callable[[], object]) -> AsyncIterator[list[None]]:
    """Yields a list with one item for each reload."""
    reloads: list[None] = []

    async def counted() -> object:
        reloads.append(None)
        return reload()

    async with asyncio.timeout(20), listening(config, counted, Redaction([SECRET])):
        yield reloads


async def request(config: Config, seconds: float = 10.0) -> Answer:
    return await request_reload(config, seconds)


async def test_it_says_what_came_of_the_reload(
    config: Config, tiny_folder: Path, add_tiny_version: Callable[[Path, str, int], Path]
) -> None:
    async with ThreadedGenerator.open(tiny_folder, threads=1) as generator:
        reloading = Reloading(generator)

        async def reload() -> str:
            await reloading.reload("reload")
            return f"{generator.weights.manifest.version} serves now"

        async with listening(config, reload, Redaction()):
            add_tiny_version(tiny_folder, "tiny-2", 2)
            (tiny_folder / "CURRENT").write_text("tiny-2\n")
            assert await request(config) == Answer(reloaded=True, message="tiny-2 serves now")
            (tiny_folder / "CURRENT").write_text("gone\n")
            refused = await request(config)
        assert not refused.reloaded
        assert "gone/manifest.json" in refused.message
        assert generator.weights.manifest.version == "tiny-2"


async def test_a_refusal_holds_no_secret(config: Config) -> None:
    def refuse() -> None:
        raise WeightsError(f"the token {SECRET}")

    async with service(config, refuse):
        assert (await request(config)).message == "the token ***"


async def test_only_the_service_s_user_may_connect(config: Config) -> None:
    async with service(config, str):
        assert socket_path(config).stat().st_mode & 0o777 == 0o600
    assert not socket_path(config).exists()


async def test_looking_whether_it_runs_reloads_nothing(config: Config) -> None:
    async with service(config, str) as reloads:
        assert await asyncio.to_thread(is_running, config)
        with socket.socket(socket.AF_UNIX) as other:
            other.connect(str(socket_path(config)))
            other.sendall(b"GET / HTTP/1.1\r\n")
            assert await asyncio.to_thread(other.recv, 100) == b""
        assert reloads == []
    assert not is_running(config)


async def test_a_socket_that_a_killed_process_left_is_replaced(config: Config) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(socket_path(config)))
    assert not is_running(config)
    async with service(config, lambda: "done"):
        assert (await request(config)).message == "done"


async def test_two_services_that_share_a_folder_are_told_apart_by_their_ports(config: Config, tmp_path: Path) -> None:
    other = configured(tmp_path, port=8081)
    async with service(config, lambda: "one"), service(other, lambda: "other"):
        assert (await request(config)).message == "one"
        assert (await request(other)).message == "other"


async def test_without_a_socket_the_service_runs_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    async with service(configured(Path("/proc/no/such/folder")), str):
        pass
    assert "reload.no_socket" in caplog.text


async def test_a_defect_is_reported(config: Config) -> None:
    def broken() -> None:
        raise KeyError("broken")

    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    async with service(config, broken):
        with pytest.raises(UsageError, match="the service failed; its log says why"):
            await request(config)


async def test_a_service_that_does_not_answer(config: Config) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(socket_path(config)))
        silent.listen()
        with pytest.raises(UsageError, match=r"has not answered for 0\.1 s"):
            await request(config, seconds=0.1)


async def test_without_a_service(config: Config) -> None:
    with pytest.raises(UsageError, match=r"no service is running with its state in .* type /reload"):
        await request_reload(config)
