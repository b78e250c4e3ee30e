"""No process sends anything anywhere but to the configured platforms, and none writes outside its state folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from service_process import Installation

ROOT = Path(__file__).parents[1]
SWITCHES = frozenset({"CI", "ORT_DISABLE_TELEMETRY", "RAY_USAGE_STATS_ENABLED", "XDG_STATE_HOME", "XDG_CACHE_HOME"})
"""What a machine may have set and a user has not. `CI` alone keeps onnxruntime silent."""
LOOKED_UP = "looked-up"
SITECUSTOMIZE = f"""
import os, socket
_getaddrinfo = socket.getaddrinfo
def getaddrinfo(host, *arguments, **options):
    if host not in (None, "", "127.0.0.1", "::1", "localhost"):
        with open(os.environ["{LOOKED_UP}"], "a") as file:
            print(host, file=file)
    return _getaddrinfo(host, *arguments, **options)
socket.getaddrinfo = getaddrinfo
"""
LOADS_EVERYTHING = "import discord, telegram, aiohttp, keras, tensorflow, onnx, matplotlib, generator, bot"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty home; the child notes in `looked-up` beside it which names Python looks up."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(SITECUSTOMIZE)
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def files(folder: Path) -> list[Path]:
    """Every file but Keras's own settings, which it writes down at its first import."""
    return [path for path in folder.rglob("*") if path.is_file() and path.name != "keras.json"]


def watched(home: Path, *arguments: str, stdin: str = "") -> None:
    """Runs Python as someone does who has neither CI nor an opt-out set; nothing may be written or looked up."""
    environment = {name: value for name, value in os.environ.items() if name not in SWITCHES} | {
        "HOME": str(home),
        "LSTMEGA_STORE__PATH": str(home.parent / "state" / "lstmega.sqlite3"),
        "PYTHONPATH": f"{home.parent / 'site'}{os.pathsep}{ROOT}",
        "MPLCONFIGDIR": str(home.parent / "matplotlib"),
        LOOKED_UP: str(home.parent / LOOKED_UP),
    }
    trace = home.parent / "trace"
    command = [sys.executable, *arguments]
    if strace := shutil.which("strace"):  # sees the look-ups of native code as well
        command = [strace, "-f", "-qq", "-e", "trace=connect,sendto,sendmmsg", "-o", str(trace), *command]
    done = subprocess.run(
        command, env=environment, cwd=home.parent, input=stdin, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "onnxruntime" not in done.stderr
    assert files(home) == []
    assert not (home.parent / LOOKED_UP).exists()
    if trace.exists():
        assert [line for line in trace.read_text().splitlines() if "htons(53)" in line or "nscd" in line] == []


def test_a_text_sends_nothing(home: Path) -> None:
    watched(home, "-m", "bot", "generate", "--length", "30")


def test_a_chat_sends_nothing(home: Path) -> None:
    watched(home, "-m", "bot", "chat", stdin="/nietzsche 0.7\n/temperature 0.8\n/about\n")


def test_the_check_sends_nothing(home: Path) -> None:
    watched(home, "-m", "bot", "check")


def test_training_sends_nothing(home: Path, book: Path) -> None:
    train = str(ROOT / "train.py")
    out = str(home.parent / "weights")
    watched(home, train, "--preset", "small", "--epochs", "1", "--corpus", str(book), "--out", out, "--name", "cats")


def test_no_library_that_is_loaded_sends_anything(home: Path) -> None:
    watched(home, "-c", LOADS_EVERYTHING)


@pytest.fixture
def no_switches(monkeypatch: pytest.MonkeyPatch) -> None:
    for switch in SWITCHES:
        monkeypatch.delenv(switch, raising=False)


@pytest.mark.usefixtures("no_switches")
async def test_the_service_sends_nothing(home: Path, bot: Installation) -> None:
    async with bot.service(HOME=str(home)):
        pass
    assert files(home) == []


def test_every_process_opts_out_before_the_library_is_imported() -> None:
    code = "import os, generator; print(os.environ['ORT_DISABLE_TELEMETRY'], os.environ['RAY_USAGE_STATS_ENABLED'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "1 0\n"
