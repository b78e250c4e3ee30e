"""Dockerfile and compose.yaml name what is really there. docs/operations.md says how they were run."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path, PurePosixPath
from typing import Any, get_args

import pytest
import yaml

from bot.cli.main import main
from bot.config.loader import load
from bot.config.schema import KEYS, HttpSection, Secret
from bot.service.app import CLOSE_SECONDS, DRAIN_SECONDS

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
ARM = [f"--platform=manylinux{tag}_aarch64" for tag in ("2014", "_2_17", "_2_26", "_2_27", "_2_28")]


def instructions() -> list[tuple[str, str]]:
    """The lines of the Dockerfile, continued ones joined, without comments."""
    text = re.sub(r"^ *#.*\n", "", (ROOT / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in text.replace("\\\n", "").splitlines() if line]


def given(name: str) -> list[str]:
    return [text for instruction, text in instructions() if instruction == name]


@pytest.fixture
def bot() -> dict[str, Any]:
    (service,) = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"].values()
    assert isinstance(service, dict)
    return service


def test_the_image_is_built_from_files_that_are_sent_to_the_builder() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    sent = {line[1:] for line in ignored if line.startswith("!")}
    copied = {source for line in given("COPY") if "--from" not in line for source in line.split()[:-1]}
    assert sent == copied
    assert "*" in ignored
    assert all((ROOT / name).exists() for name in copied)
    wanted = {PROJECT["readme"], *PROJECT["license-files"], "pyproject.toml", "bot", "generator", "weights"}
    assert wanted <= copied


def test_the_image_runs_a_supported_python_without_root() -> None:
    pythons = {line.split()[0] for line in given("FROM")}
    assert len(pythons) == 1
    (minor,) = re.findall(r"^python:3\.(\d+)-slim$", pythons.pop())
    assert int(minor) >= int(PROJECT["requires-python"].removeprefix(">=3."))
    assert [int(number) > 0 for number in given("USER")[0].split(":")] == [True, True]
    assert given("USER")[0].split(":")[0] in given("RUN")[-1]  # who owns the state


def test_the_image_starts_the_service_in_exec_form() -> None:
    (entry_point,) = map(yaml.safe_load, given("ENTRYPOINT"))
    (command,) = map(yaml.safe_load, given("CMD"))
    assert entry_point == list(PROJECT["scripts"])
    with pytest.raises(SystemExit, match="0"):
        main([*command, "--help"])


def test_the_image_keeps_its_state_in_the_volume(bot: dict[str, Any]) -> None:
    environment = dict(re.findall(r"(\w+)=(\S+)", given("ENV")[0]))
    config = load(None, environment)
    (volume,) = given("VOLUME")
    assert config.folder == Path(volume)
    assert [place.split(":")[1] for place in bot["volumes"]] == [volume]
    assert config.http.host == "0.0.0.0"  # noqa: S104 - of the container
    (health,) = given("HEALTHCHECK")
    port = HttpSection().port
    assert f"'127.0.0.1', {port}" in health
    assert "'/healthz'" in health
    assert given("EXPOSE") == [str(port)]
    assert bot["ports"] == [f"127.0.0.1:{port}:{port}"]


def test_compose_gives_each_token_as_a_file_and_no_right_that_is_not_needed(bot: dict[str, Any]) -> None:
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    tokens = {f"{section}_{key}" for (section, key), kind in KEYS.items() if get_args(kind)[0] is Secret}
    assert set(bot["secrets"]) == set(compose["secrets"]) <= tokens
    for name, source in compose["secrets"].items():
        section, key = name.split("_", 1)
        assert bot["environment"][f"LSTMEGA_{section}__{key}_FILE".upper()] == f"/run/secrets/{name}"
        # git and the image leave them out
        assert subprocess.run(["git", "check-ignore", "-q", source["file"]], cwd=ROOT, check=False).returncode == 0
    assert bot["read_only"] is True
    assert bot["cap_drop"] == ["ALL"]
    assert bot["init"] is True
    assert int(bot["stop_grace_period"].removesuffix("s")) > DRAIN_SECONDS + CLOSE_SECONDS
    assert set(compose["volumes"]) == {place.split(":")[0] for place in bot["volumes"]}
    assert PurePosixPath(given("WORKDIR")[-1]) == PurePosixPath("/etc/lstmega")  # where a config.toml is mounted


@pytest.mark.parametrize("version", ["3.11", "3.14"])
def test_every_dependency_has_a_wheel_for_64_bit_arm(version: str, tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    index = subprocess.run([*pip, "index", "versions", "numpy"], capture_output=True, text=True, check=False)
    if index.returncode:
        pytest.skip(f"no package index can be reached: {index.stderr.strip()[-100:]}")
    wheels = ["--only-binary=:all:", f"--python-version={version}", *ARM, f"--target={tmp_path}"]
    dry = [*pip, "install", "--dry-run", "--ignore-installed", *wheels, *PROJECT["dependencies"]]
    # Where a wheel is missing, pip may try one older version after another for very long.
    found = subprocess.run(dry, capture_output=True, text=True, check=False, timeout=300)
    assert found.returncode == 0, found.stderr


def test_the_image_keeps_the_locales_of_the_bot_s_languages() -> None:
    languages = {folder.name.partition("-")[0] for folder in (ROOT / "bot/core/locales").iterdir() if folder.is_dir()}
    assert set(re.findall(r"! -name '(\w+)\*'", given("RUN")[0])) == languages
