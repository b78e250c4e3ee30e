"""A package that is not installed: each program says in one line how to install it here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from generator import dependencies

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str, path: Path | None = None) -> tuple[int, str]:
    """Runs a program, with `path` before everything else to import from; returns exit status and standard error."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (path and str(path), str(ROOT))))}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120,
        stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("-m", "bot", "chat"),
        ("-m", "bot", "generate"),
        ("-m", "generator", "serve"),
        ("train.py",),
        ("-m", "benchmarks.generation"),
        ("-m", "benchmarks.service"),
    ],
)
def test_a_python_without_packages_gets_one_line(arguments: tuple[str, ...]) -> None:
    status, error = run("-S", *arguments)  # without site-packages, as the system's Python
    assert status == 1
    assert error.count("\n") == 1
    assert " is not installed; " in error


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("onnx", ("-m", "benchmarks.generation")),
        ("tensorflow", ("-m", "benchmarks.lineage")),
        ("rich", ("train.py", "--corpus", "README.md", "--out", "{folder}")),
        ("ray", ("-m", "generator", "serve")),
        ("aiosqlite", ("-m", "bot", "chat")),
    ],
)
def test_a_missing_extra_is_named_with_the_command_that_installs_it(
    module: str, arguments: tuple[str, ...], tmp_path: Path
) -> None:
    # To Python it is then as if it were not there, for `import` and for `find_spec`.
    blocked = f"import sys; sys.modules[{module!r}] = None"
    (tmp_path / "sitecustomize.py").write_text(blocked)
    status, error = run(*(argument.format(folder=tmp_path) for argument in arguments), path=tmp_path)
    assert status in {1, 2}
    assert error.count("\n") == 1, error
    assert "is not installed; " in error


@pytest.mark.parametrize(
    ("extra", "venv", "markers", "expected"),
    [
        ("", "", (), "run `make chat`"),
        ("train", "", (".bot",), "run `make .venv/.dev`, then use .venv/bin/python"),
        ("train", "", (".bot", ".dev"), "it is in this clone's environment: use .venv/bin/python"),
        ("", "", (".bot",), "it is in this clone's environment: use .venv/bin/python"),
        ("cluster", "", (".bot", ".dev"), "run `make .venv/.cluster`, then use .venv/bin/python"),
        ("", "env", (), "run `python3 -m pip install --editable .`"),
        ("train", "env", (), "run `python3 -m pip install --editable '.[train]'`"),
    ],
)
def test_in_a_clone_it_is_what_the_makefile_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, extra: str, venv: str, markers: tuple[str, ...], expected: str
) -> None:
    (tmp_path / "Makefile").touch()
    (tmp_path / ".venv").mkdir()
    for marker in markers:
        (tmp_path / ".venv" / marker).touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(dependencies, "_ROOT", tmp_path)
    monkeypatch.setattr(sys, "prefix", venv or sys.base_prefix)
    monkeypatch.setattr(sys, "executable", "python3")
    assert dependencies.how_to_install(extra) == expected


def test_installed_it_is_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dependencies, "_ROOT", tmp_path)
    monkeypatch.setattr(sys, "executable", "python3")
    assert dependencies.how_to_install() == "run `python3 -m pip install lstmega`"
    assert dependencies.how_to_install("train") == "run `python3 -m pip install 'lstmega[train]'`"
