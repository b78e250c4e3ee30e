"""The command line: what is printed where, and with which exit status."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from bot.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
TOKEN = ":".join(("123456789", "hush" * 9))


@pytest.fixture(autouse=True)
def place(tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, a small network, a state folder that does not exist yet; no terminal."""
    for name in list(os.environ):
        if name.startswith("LSTMEGA_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("LSTMEGA_GENERATOR__WEIGHTS", str(tiny_folder))
    monkeypatch.setenv("LSTMEGA_BOT__LENGTH", "60")
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    return here


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(capsys)


class Run:
    """Runs the program in this process: (exit status, standard output, standard error)."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        try:
            status = main(arguments)
        except SystemExit as leaving:  # argparse leaves this way
            status = int(leaving.code or 0)
        out, err = self._capsys.readouterr()
        return status, out, err

    def text(self, *arguments: str) -> str:
        """What a run prints that must go well and say nothing on standard error."""
        status, out, err = self(*arguments)
        assert (status, err) == (0, "")
        return out

    def refusal(self, *arguments: str) -> str:
        """The one line that a run says which must refuse."""
        status, out, err = self(*arguments)
        assert (status, out) == (2, "")
        assert err.count("\n") == 1, err
        assert err.startswith("python -m bot")
        return err


def test_generate_prints_the_text_and_nothing_else(run: Run) -> None:
    out = run.text("generate", "--prompt", "The philosopher", "--temperature", "0,5", "--length", "80")
    assert out.startswith("The philosopher")
    assert out.endswith("\n")
    assert len(out) > 45


def test_the_same_seed_and_options_give_the_same_text(run: Run) -> None:
    options = ("generate", "--seed", "7", "--temperature", "1.3", "--top-p", "0.9", "--min-p", "0.01")
    first = run.text(*options)
    assert run.text(*options) == first
    assert run.text("generate", "--seed", "8", *options[3:]) != first
    assert run.text(*options, "--prompt", "The") != first
    assert run.text("generate", "--seed", "7", "--temperature", "1.3") != first
    assert run.text("generate") != run.text("generate")


def test_the_prompt_may_stand_alone(run: Run) -> None:
    expected = run.text("generate", "--seed", "7", "--prompt", "The soul")
    assert expected.startswith("The soul")
    assert run.text("generate", "The soul", "--seed", "7") == expected
    assert run.text("generate", "--seed", "7", "The", "soul") == expected


def test_top_k_is_applied(run: Run) -> None:
    options = ("generate", "--seed", "7", "--temperature", "1.9")
    assert run.text(*options, "--top-k", "3") != run.text(*options)


def test_the_version(run: Run) -> None:
    assert run.text("--version").startswith("lstmega ")


def test_the_seed_can_be_shown_and_used_again(run: Run) -> None:
    status, first, err = run("generate", "--verbose")
    assert status == 0
    seed, used = err.strip().removeprefix("seed ").split(", ")
    assert used == "temperature 0.7"
    assert run.text("generate", "--seed", seed) == first


def test_what_was_left_out_of_the_prompt_is_reported_on_standard_error(run: Run) -> None:
    status, out, err = run("generate", "--prompt", " The 😀 café ")
    assert status == 0
    assert out.startswith("The cafe")
    assert "left out 😀" in err
    assert "e for é" in err
    assert "its last 1,000 characters" in run("generate", "--prompt", "a" * 1001)[2]


def test_the_configuration_gives_what_the_options_do_not(run: Run, place: Path) -> None:
    (place / "config.toml").write_text("[bot]\ntemperature = 1.9\ntop_p = 0.5\n")
    explicit = run.text("generate", "--seed", "1", "--temperature", "1.9", "--top-p", "0.5", "--length", "60")
    assert run.text("generate", "--seed", "1") == explicit
    (place / "other.toml").write_text("[bot]\ntemperature = 0.2\n")
    assert run.text("generate", "--seed", "1", "--config", "other.toml") != explicit


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--temperature", "3"], "temperature must be a number from 0.1 to 2.0, not 3.0"),
        (["--temperature", "nan"], "temperature must be a number from 0.1 to 2.0, not nan"),
        (["--temperature", "-1"], "temperature must be a number from 0.1 to 2.0, not -1.0"),
        (["--temperature", "hot"], "--temperature: invalid number value: 'hot'"),
        (["--length", "0"], "length must be a whole number from 1 to 4000, not 0"),
        (["--length", "4001"], "length must be a whole number from 1 to 4000, not 4001"),
        (["--length", "ten"], "--length: invalid int value: 'ten'"),
        (["--length", "1.5"], "invalid int value: '1.5'"),
        (["--seed", "-1"], "seed must be a whole number from 0"),
        (["--seed", "9" * 30], "seed must be a whole number from 0"),
        (["--seed", "9" * 9000], "--seed: invalid int value"),
        (["--top-p", "0"], "top_p must be a number above 0"),
        (["--top-p", "nan"], "top_p must be a number"),
        (["--min-p", "1.5"], "min_p must be a number from 0.0 to 1.0"),
        (["--min-p", "x"], "--min-p: invalid number value: 'x'"),
        (["--weights", "/nowhere"], "/nowhere/CURRENT: no such file"),
        (["--config", "missing.toml"], "missing.toml: cannot be read: no such file"),
        (["--frobnicate"], "unrecognized arguments: --frobnicate; see python -m bot generate --help"),
        (["--top-k", "-1"], "top_k must be a whole number from 0"),
        (["--prompt", "The \udcff"], "--prompt: the byte 0xff is not utf-8 text"),
        (["The \udcff"], "TEXT: the byte 0xff is not utf-8 text"),
        (["The", "--prompt", "The"], "give the prompt once"),
    ],
)
def test_a_bad_value_gets_one_line(run: Run, arguments: list[str], said: str) -> None:
    assert said in run.refusal("generate", *arguments)


def test_without_a_command_or_with_an_unknown_one(run: Run) -> None:
    assert "COMMAND" in run.refusal()
    assert "'frob'" in run.refusal("frob")


@pytest.mark.parametrize("command", ["chat", "run", "generate", "check", "reload"])
def test_every_command_has_help_and_takes_a_configuration(run: Run, command: str) -> None:
    out = run.text(command, "--help")
    assert "--config FILE" in out
    assert command in run.text("--help")
    assert "missing.toml: cannot be read" in run.refusal(command, "--config", "missing.toml")


def test_every_mistake_in_the_configuration_is_reported(run: Run, place: Path) -> None:
    (place / "config.toml").write_text("[bot]\ntemperature = 9\nlenght = 3\n")
    status, out, err = run("generate")
    assert (status, out) == (2, "")
    assert [line.partition(": ")[2].split(":")[0] for line in err.splitlines()] == ["config.toml"] * 2


def test_weights_may_be_a_folder_of_versions_or_of_one(run: Run, tiny_folder: Path) -> None:
    text = run.text("generate", "--seed", "1")
    assert run.text("generate", "--seed", "1", "--weights", str(tiny_folder)) == text
    (tiny_folder / "CURRENT").unlink()
    assert run.text("generate", "--seed", "1", "--weights", str(tiny_folder / "tiny-1")) == text
    relative = os.path.relpath(tiny_folder / "tiny-1")
    assert run.text("generate", "--seed", "1", "--weights", relative) == text
    assert "CURRENT" in run.refusal("generate", "--weights", str(tiny_folder))
    (tiny_folder / "tiny-1" / "model.onnx").write_bytes(b"nonsense")
    assert "model.onnx" in run.refusal("generate", "--weights", str(tiny_folder / "tiny-1"))


def test_the_weights_that_ship_are_the_default(run: Run, weights_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LSTMEGA_GENERATOR__WEIGHTS")
    text = run.text("generate", "--seed", "1", "--prompt", "The philosopher")
    assert run.text("generate", "--seed", "1", "--prompt", "The philosopher", "--weights", str(weights_folder)) == text


def test_run_without_a_token_names_the_variables(run: Run) -> None:
    said = run.refusal("run")
    assert "LSTMEGA_DISCORD__TOKEN" in said
    assert "LSTMEGA_TELEGRAM__TOKEN" in said


def test_reload_says_that_no_service_runs(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("LSTMEGA_HTTP__PORT", str(free.getsockname()[1]))
        said = run.refusal("reload")
    assert "no service is running" in said
    assert "in a running `chat`, type /reload" in said


def test_chat_with_a_database_that_cannot_be_used(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "state" / "lstmega" / "lstmega.sqlite3"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"Dear diary, " * 500)
    assert f"{path}: is not an SQLite database; move it away" in run.refusal("chat")
    path.unlink()
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA user_version = 99")
    other.close()
    run.refusal("chat")


def test_chat_with_weights_that_cannot_be_used(run: Run, tiny_folder: Path) -> None:
    (tiny_folder / "CURRENT").write_text("gone\n")
    assert "gone/manifest.json" in run.refusal("chat")


def test_generate_loads_no_library_that_it_does_not_need() -> None:
    code = (
        "import sys; from bot.cli.main import main; main(['generate', '--seed', '1']);"
        "print({'aiosqlite', 'prompt_toolkit', 'tensorflow', 'keras', 'onnx'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "set()"


def test_when_the_reader_is_gone_it_ends_silently() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "bot", "generate"], env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=writing,
        stderr=subprocess.PIPE, timeout=60, check=False,
    )  # fmt: skip
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("command", ["generate", "check", "chat"])
def test_a_full_disk_is_reported_in_one_line(command: str) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "bot", command], env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=full,
            stderr=subprocess.PIPE, input=b"/about\n", timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.decode() == f"python -m bot {command}: cannot write the output: no space left on device\n"


def test_a_terminal_with_few_characters_gets_question_marks() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bot", "chat"],
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"},
        input=b"/temperature hot\n", capture_output=True, timeout=60, check=True,
    )  # fmt: skip
    assert b"/nietzsche 0.7 hot ?" in done.stdout
