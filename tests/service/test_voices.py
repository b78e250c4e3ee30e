"""Several voices: opened, reloaded and closed each on its own."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from conftest import add_random_version
from service_process import TYPED, Installation, asked

from bot.config.loader import ConfigError, load
from bot.config.schema import Config
from bot.service import reload as module
from bot.service import voices as opening
from bot.service.voices import VoiceManager
from generator import GenerationRequest, WeightsError
from generator.process.client import WorkerClient
from generator.weights.versions import activate


class Site:
    """A configuration file, and the weights folders beside it."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.file = place / "config.toml"
        self.outcomes: list[tuple[str, str]] = []
        self.changes = 0

    def add(self, folder: str, version: str, seed: int = 1) -> None:
        """Adds a version to a weights folder, and makes it current."""
        add_random_version(self.place / folder, version, seed)
        activate(self.place / folder, version)

    def configure(self, *sections: str, threads: int = 1) -> None:
        self.file.write_text(f"[generator]\nthreads = {threads}\n" + "\n".join(sections))

    def read(self) -> Config:
        return load(self.file, {"HOME": "/home/ada"})

    @asynccontextmanager
    async def open(self, *, child: bool = False) -> AsyncIterator[VoiceManager]:
        async def changed() -> None:
            self.changes += 1

        def outcome(voice: str, how: str) -> None:
            self.outcomes.append((voice, how))

        async with asyncio.timeout(60), VoiceManager.open(self.read(), self.read, outcome, child=child) as voices:
            voices.on_change = changed
            yield voices


CONFIGURED = "The configuration was read too: [voices], [bot] and [access] are in force."
NIETZSCHE = "[voices.nietzsche]\nweights = 'beyond'"
MELVILLE = "[voices.melville]\nweights = 'moby'\ntitle = 'Moby-Dick'"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Site:
    monkeypatch.setattr(module, "POLL_SECONDS", 1000.0)
    caplog.set_level(logging.INFO)
    site = Site(tmp_path)
    site.add("beyond", "beyond-1")
    site.add("moby", "moby-1", seed=2)
    site.configure(NIETZSCHE, MELVILLE)
    return site


def serving(voices: VoiceManager) -> dict[str, str]:
    """The version that serves under each command."""
    return {voice.command: voice.manifest.version for voice in voices.by_name.values()}


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - a process of its own
        await asyncio.sleep(0.02)


async def test_each_voice_has_its_weights_and_its_title(site: Site) -> None:
    async with site.open() as voices:
        assert serving(voices) == {"nietzsche": "beyond-1", "melville": "moby-1"}
        assert [voice.title for voice in voices.by_name.values()] == ["", "Moby-Dick"]


async def test_several_voices_share_the_cores(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "cores", lambda: 5)
    site.configure(NIETZSCHE, MELVILLE, threads=0)
    async with site.open(child=True) as voices:
        assert [voice.generator.status().threads for voice in voices.by_name.values()] == [2, 2]


async def test_one_is_reloaded_when_its_current_changes_and_the_others_serve_on(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "POLL_SECONDS", 0.05)
    async with site.open(child=True) as voices:
        kept = voices.by_name["nietzsche"].generator.status().process_id
        site.add("moby", "moby-2", seed=3)
        await until(lambda: serving(voices)["melville"] == "moby-2")
        assert serving(voices)["nietzsche"] == "beyond-1"
        assert voices.by_name["nietzsche"].generator.status().process_id == kept
    assert site.outcomes == [("melville", "loaded")]


async def test_a_worker_that_ends_is_restarted_and_the_others_serve_on(site: Site) -> None:
    async with site.open(child=True) as voices:
        nietzsche, melville = (voice.generator for voice in voices.by_name.values())
        for worker in melville._running:
            worker.kill("the test wants it so")
        await until(lambda: melville.status().unavailable != "")
        assert nietzsche.status().unavailable == ""
        assert (await nietzsche.generate(GenerationRequest(20, seed=1))).version == "beyond-1"
        await until(lambda: melville.status().unavailable == "")
        assert (await melville.generate(GenerationRequest(20, seed=1))).version == "moby-1"
        assert (nietzsche.status().faults, melville.status().faults) == (0, 1)


async def test_a_voice_that_the_configuration_adds_is_there_after_a_reload(site: Site) -> None:
    site.configure(NIETZSCHE)
    async with site.open() as voices:
        assert serving(voices) == {"nietzsche": "beyond-1"}
        site.configure(NIETZSCHE, MELVILLE)
        told = await voices.reload("test")
        lines = (
            "beyond-1 serves already; CURRENT names no other.",
            "/melville is here now; moby-1 serves it.",
            CONFIGURED,
        )
        assert told == "\n".join(lines)
        assert serving(voices) == {"nietzsche": "beyond-1", "melville": "moby-1"}
        await voices.reload("test")
        assert site.changes == 1


async def test_a_reload_renames_and_removes_voices_and_follows_their_weights(site: Site) -> None:
    site.add("other", "other-1", seed=3)
    async with site.open() as voices:
        kept = voices.by_name["melville"].generator
        site.configure("[voices.nietzsche]\nweights = 'other'", f"{MELVILLE}\ncommand = 'moby'")
        await voices.reload("test")
        assert serving(voices) == {"nietzsche": "other-1", "moby": "moby-1"}
        assert voices.by_name["melville"].generator is kept
        site.configure("[voices.nietzsche]\nenabled = false", f"{MELVILLE}\ncommand = 'moby'")
        await voices.reload("test")
        assert serving(voices) == {"moby": "moby-1"}
        assert site.changes == 2


@pytest.mark.parametrize(
    ("added", "problem"),
    [
        ("[voices.about]\nweights = 'moby'", "[voices.about]: /about is a command of the bot"),
        ("[voices", "is not TOML"),
    ],
)
async def test_a_configuration_that_cannot_be_used_changes_nothing(
    site: Site, caplog: pytest.LogCaptureFixture, added: str, problem: str
) -> None:
    async with site.open() as voices:
        site.configure(NIETZSCHE, MELVILLE, added)
        with pytest.raises(ConfigError) as refused:
            await voices.reload("test")
        assert problem in str(refused.value)
        assert serving(voices) == {"nietzsche": "beyond-1", "melville": "moby-1"}
        assert (await voices.by_name["melville"].generator.generate(GenerationRequest(20, seed=1))).text
    assert "voices.refused trigger='test' reason=" in caplog.text


async def test_a_voice_whose_weights_are_refused_keeps_its_old_ones_and_the_others_are_reloaded(site: Site) -> None:
    async with site.open() as voices:
        (site.place / "beyond" / "CURRENT").write_text("gone\n")
        site.add("moby", "moby-2", seed=3)
        with pytest.raises(WeightsError, match="beyond/gone"):
            await voices.reload("test")
        assert serving(voices) == {"nietzsche": "beyond-1", "melville": "moby-2"}
        assert voices.problems().keys() == {"nietzsche"}
        assert "beyond/gone" in voices.problems()["nietzsche"]
    assert set(site.outcomes) == {("nietzsche", "refused"), ("melville", "loaded")}  # the watch may refuse it too


GONE = "[voices.gone]\nweights = 'gone'"


@pytest.mark.parametrize("child", [False, True])
async def test_the_others_start_without_a_voice_that_cannot_be_loaded_until_a_reload(
    site: Site, caplog: pytest.LogCaptureFixture, *, child: bool
) -> None:
    site.configure(NIETZSCHE, GONE, MELVILLE)
    async with site.open(child=child) as voices:
        assert serving(voices) == {"nietzsche": "beyond-1", "melville": "moby-1"}
        assert "voice.failed voice=gone reason=" in caplog.text
        assert "gone/CURRENT: no such file" in voices.problems()["gone"]
        site.add("moby", "moby-2", seed=3)
        with pytest.raises(WeightsError, match="gone/CURRENT: no such file"):
            await voices.reload("test")
        assert serving(voices) == {"nietzsche": "beyond-1", "melville": "moby-2"}, "the others are reloaded"
        site.add("gone", "found-1", seed=4)
        await voices.reload("test")
        assert [*serving(voices).items()][1] == ("gone", "found-1")
        assert (site.changes, voices.problems()) == (1, {})
    assert site.outcomes.count(("gone", "refused")) == 2


async def test_a_reload_names_why_a_new_voice_has_no_worker(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when a pool is missing: the operator reads the reason, where users read that the generator is unavailable."""

    async def start(*_: str) -> WorkerClient:
        raise OSError("too many processes")

    site.configure(NIETZSCHE)
    async with site.open(child=True) as voices:
        site.configure(NIETZSCHE, MELVILLE)
        with monkeypatch.context() as patched:
            patched.setattr(WorkerClient, "start", start)
            with pytest.raises(WeightsError, match="no worker process can be started: too many processes"):
                await voices.reload("test")
        assert serving(voices) == {"nietzsche": "beyond-1"}
        await voices.reload("test")
        assert serving(voices) == {"nietzsche": "beyond-1", "melville": "moby-1"}


async def test_a_voice_whose_new_folder_cannot_be_loaded_keeps_the_old_one(site: Site) -> None:
    async with site.open() as voices:
        site.configure("[voices.nietzsche]\nweights = 'gone'", MELVILLE)
        with pytest.raises(WeightsError, match="gone/CURRENT: no such file"):
            await voices.reload("test")
        assert serving(voices) == {"nietzsche": "beyond-1", "melville": "moby-1"}
        assert (await voices.by_name["nietzsche"].generator.generate(GenerationRequest(20, seed=1))).text


@pytest.mark.parametrize("child", [False, True])
async def test_a_start_without_any_voice_is_refused(
    site: Site, caplog: pytest.LogCaptureFixture, *, child: bool
) -> None:
    site.configure("[voices.nietzsche]\nenabled = false", GONE)
    with pytest.raises(WeightsError, match="gone/CURRENT: no such file"):
        async with site.open(child=child):
            pass
    assert "voice.failed" not in caplog.text, "the error says it"


async def test_several_signals_make_one_reload_and_a_refusal_is_logged(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.configure(NIETZSCHE)
    asked = asyncio.Event()
    async with site.open() as voices:
        watching = asyncio.create_task(voices.watch(asked))
        for _ in range(5):
            asked.set()
        await until(lambda: len(site.outcomes) == 1)
        (site.place / "beyond" / "CURRENT").write_text("../../etc\n")
        asked.set()
        await until(lambda: len(site.outcomes) == 2)
        watching.cancel()
    assert site.outcomes == [("nietzsche", "unchanged"), ("nietzsche", "refused")]
    assert "reload.done trigger='SIGHUP' version=beyond-1 before=beyond-1" in caplog.text
    assert "is not the name of a version" in caplog.text


async def test_a_defect_while_loading_leaves_the_service_as_it_is(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    site.configure(NIETZSCHE)
    asked = asyncio.Event()

    async def broken() -> None:
        raise MemoryError

    async with site.open() as voices:
        watching = asyncio.create_task(voices.watch(asked))
        with monkeypatch.context() as patched:
            patched.setattr(voices.by_name["nietzsche"].generator, "reload", broken)
            asked.set()
            await until(lambda: len(site.outcomes) == 1)
        asked.set()
        await until(lambda: len(site.outcomes) == 2)
        watching.cancel()
    assert site.outcomes == [("nietzsche", "refused"), ("nietzsche", "unchanged")]
    assert "reload.refused trigger='SIGHUP' serving=beyond-1 reason=MemoryError" in caplog.text


async def test_a_running_bot_gets_the_command_of_a_new_voice(bot: Installation, tmp_path: Path) -> None:
    """Its worker may die and come back, which the other voice does not notice."""
    site = Site(tmp_path / "site")
    site.place.mkdir()
    site.add("moby", "moby-1", seed=2)
    site.file.write_text("")
    options = "--config", str(site.file)
    alice = bot.server.private(bot.server.user("Alice"))
    async with bot.service(*options) as service:
        assert "no command" in await asked(alice, "/moby")
        site.file.write_text("[voices.moby]\nweights = 'moby'\ntitle = 'Moby-Dick'\n")
        status, out, _ = await bot.command("reload", *options)
        assert (status, out.splitlines()[-1]) == (0, CONFIGURED)
        assert "/moby is here now; moby-1 serves it." in out
        menu = {each["command"]: each["description"] for each in bot.server.commands["all_private_chats", ""]}
        assert "Moby-Dick" in menu["moby"]
        assert (await asked(alice, f"/moby 0.7 {TYPED}")).startswith(TYPED)
        assert 'lstmega_texts_total{voice="moby"} 1.0' in await service.get("/metrics")
        assert len(service.workers()) == 2
        os.kill(max(service.workers()), signal.SIGKILL)
        await service.log.next("worker.ended")
        assert (await asked(alice, f"/nietzsche 0.7 {TYPED}")).startswith(TYPED)
        assert (await asked(alice, f"/moby 0.7 {TYPED}")).startswith(TYPED)
        readiness = await service.get("/readyz")
        assert readiness.count('"part": "generator"') == 2
        assert '"voice": "moby"' in readiness
        await service.stop()
