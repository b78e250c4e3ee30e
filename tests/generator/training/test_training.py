"""Training, from the command line as a person types it, on a small text that the tests write themselves."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import train
from bot.cli import main as bot
from generator.serving.loading import load_model
from generator.serving.scoring import bits_per_character
from generator.training import publish
from generator.training import run as runs
from generator.training.corpus import read_corpus
from generator.training.presets import PRESETS
from generator.weights.versions import activate, current_version, load_weights, shipped_folder

ROOT = Path(train.__file__).parent


def run(book: Path, out: Path, *more: str) -> int:
    return train.main(["--corpus", str(book), "--preset", "small", "--out", str(out), "--dtype", "float32", *more])


def test_a_run_ends_with_a_version_that_is_current_and_whole_and_as_good_as_its_manifest_says(
    book: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(book, tmp_path, "--epochs", "3", "--name", "cats") == 0

    assert current_version(tmp_path) == "cats"
    model = load_model(tmp_path)
    manifest = model.weights.manifest
    corpus = read_corpus(book)
    for split, characters in zip(("valid", "test"), corpus.splits[1:], strict=True):
        assert bits_per_character(model.network, characters) == pytest.approx(
            manifest.metrics[f"{split}_bits_per_character"], abs=1e-4
        )
        lost = manifest.metrics[f"{split}_bits_per_character"] - manifest.metrics[f"float_{split}_bits_per_character"]
        assert abs(lost) < 0.01
    assert manifest.corpus.characters == len(corpus.text)
    assert manifest.hard_wrapped
    assert manifest.sentence_length == round(len(corpus.text) / len(re.findall(r"[.!?](?=\s)", corpus.text)))
    assert manifest.training["epochs"] == 3
    rows = list(csv.DictReader((tmp_path / "cats" / "history.csv").read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    validated = [float(row["valid_bits_per_character"]) for row in rows]
    assert validated[-1] < validated[0]
    assert manifest.training["best_epoch"] == validated.index(min(validated)) + 1
    assert (tmp_path / "cats" / "curve.png").read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr()
    assert printed.out == f"{tmp_path / 'cats'}: now the current version\n"
    assert printed.err.count("\n1.2 ") == 3  # a sample at the highest temperature after each epoch
    assert f"{manifest.metrics['test_bits_per_character']:.4f}" in printed.err


def test_a_run_that_is_killed_and_gone_on_with_gives_the_same_network(book: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert run(book, whole, "--epochs", "4", "--name", "cats") == 0

    command = [sys.executable, str(ROOT / "train.py"), "--corpus", str(book), "--preset", "small", "--dtype", "float32"]
    command += ["--out", str(killed), "--epochs", "4", "--name", "cats"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        while not list(killed.glob(".training/cats/checkpoint.safetensors")):
            assert process.poll() is None, "training ended before its first checkpoint"
            time.sleep(0.01)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert not (killed / "cats").exists()

    assert train.main(["--resume", "--out", str(killed)]) == 0
    for file in ("model.onnx", "weights.safetensors"):
        assert (killed / "cats" / file).read_bytes() == (whole / "cats" / file).read_bytes()


def test_an_earlier_version_and_other_texts_give_a_network_a_start_whatever_their_characters(
    book: Path, tmp_path: Path
) -> None:
    assert run(book, tmp_path, "--epochs", "3", "--name", "first") == 0
    other = tmp_path / "other.txt"
    other.write_text(book.read_text().replace("cat", "dog").replace("mat", "Ω"), encoding="utf-8")

    version = str(tmp_path / "first")
    assert run(other, tmp_path, "--epochs", "1", "--name", "second", "--from", version, "--no-activate") == 0
    assert run(other, tmp_path, "--epochs", "1", "--name", "alone", "--no-activate") == 0
    assert run(other, tmp_path, "--epochs", "1", "--name", "read-before", "--pretrain", str(book), "--no-activate") == 0

    assert current_version(tmp_path) == "first"
    figures = {
        name: load_weights(tmp_path, name).manifest.metrics["valid_bits_per_character"]
        for name in ("second", "alone", "read-before")
    }
    assert figures["second"] < figures["alone"]
    assert figures["read-before"] < figures["alone"]
    assert load_weights(tmp_path, "read-before").manifest.training["pretrain"] == ["cats.txt"]


def test_a_book_of_ones_own_starts_from_the_shipped_network_unless_it_is_the_book_that_one_knows(
    book: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "DEFAULT", "small")
    monkeypatch.setattr(runs, "BASE", "base")
    assert run(book, tmp_path, "--epochs", "1", "--name", "base") == 0
    own = tmp_path / "own.txt"
    own.write_text(book.read_text().replace("mat", "Ω"), encoding="utf-8")
    capsys.readouterr()

    assert run(own, tmp_path, "--epochs", "1", "--name", "on-top") == 0
    told = capsys.readouterr().err
    assert "starts from base; characters new to it: Ω\n" in told
    assert "takes roughly 1 min on this machine" in told
    assert run(own, tmp_path, "--epochs", "1", "--name", "from-nothing", "--from-scratch") == 0
    assert run(book, tmp_path, "--epochs", "1", "--name", "again") == 0

    began = {
        name: load_weights(tmp_path, name).manifest.training["start_from"]
        for name in ("base", "on-top", "from-nothing", "again")
    }
    assert began == {"base": None, "on-top": "base", "from-nothing": None, "again": None}


def test_a_text_with_many_letters_new_to_the_start_is_learnt_at_the_rate_of_a_new_network(
    book: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(book, tmp_path, "--epochs", "1", "--name", "base") == 0
    other = tmp_path / "other.txt"
    other.write_text(book.read_text().replace("mat", "Ω"), encoding="utf-8")
    start = "--epochs", "1", "--from", str(tmp_path / "base")
    for corpus, name, rate, options in (
        (other, "foreign", 0.01, ()),
        (other, "asked-for", 0.002, ("--set", "fine_tuning.learning_rate=0.002")),
        (book, "known", PRESETS["small"].fine_tuning.learning_rate, ()),
    ):
        assert run(corpus, tmp_path, *start, "--name", name, *options) == 0
        assert ("learning rate 0.01, as from random numbers: " in capsys.readouterr().err) == (name == "foreign")
        assert load_weights(tmp_path, name).manifest.training["learning_rate"] == rate


def test_the_bot_talks_from_the_best_epoch_so_far_and_the_curve_is_drawn_while_training_goes_on(
    book: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / ".training" / "cats"
    spoken: list[str] = []
    preview = publish.preview

    def talk_meanwhile(*arguments: Any) -> str:
        shown = preview(*arguments)
        assert (folder / "curve.png").read_bytes().startswith(b"\x89PNG")
        capsys.readouterr()
        options = ["--seed", "0", "--temperature", "0.7", "--min-p", "0.06", "--length", "280"]
        assert bot.main(["generate", "--weights", str(folder), *options]) == 0
        spoken.append(capsys.readouterr().out.strip())
        assert shown in {"", spoken[-1]}
        return shown

    monkeypatch.setattr(publish, "preview", talk_meanwhile)
    assert run(book, tmp_path, "--epochs", "3", "--name", "cats") == 0
    assert len(set(spoken)) == 3
    assert f"as the bot writes it, at 0.7:\n{spoken[-1][:40]}" in capsys.readouterr().err
    assert sorted(path.name for path in folder.glob("epoch-*")) == ["epoch-2", "epoch-3"]
    assert current_version(folder) == "epoch-3"

    chat = [sys.executable, "-m", "bot", "chat", "--weights", str(folder)]
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state")}
    talk = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": ROOT, "env": environment}
    with subprocess.Popen(chat, **talk) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write("/about\n")
        process.stdin.flush()
        while "Weights:" not in (line := process.stdout.readline()):
            assert line
        assert "epoch-3" in line
        activate(folder, "epoch-2")
        while "epoch-2" not in line:
            process.stdin.write("/about\n")
            process.stdin.flush()
            while "Weights:" not in (line := process.stdout.readline()):
                assert line
        process.stdin.close()
        process.stdout.read()


def test_a_run_that_is_stopped_before_its_first_epoch_can_be_talked_to_goes_on(
    book: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(publish, "activate", stop)
        assert run(book, tmp_path, "--epochs", "2", "--name", "cats") == 130
    folder = tmp_path / ".training" / "cats"
    assert [path.name for path in folder.glob("epoch-*")] == ["epoch-1"]
    assert train.main(["--resume", "--out", str(tmp_path)]) == 0
    assert current_version(folder) == "epoch-2"


def test_training_stops_when_validation_no_longer_improves_and_keeps_the_best_epoch(
    book: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    small = PRESETS["small"]
    standing = replace(small.training, learning_rate=0.0, patience=2)
    monkeypatch.setitem(PRESETS, "small", replace(small, training=standing))
    assert run(book, tmp_path, "--epochs", "9", "--name", "cats") == 0
    rows = (tmp_path / "cats" / "history.csv").read_text().splitlines()
    assert len(rows) == 1 + 3
    assert load_weights(tmp_path, "cats").manifest.training["best_epoch"] == 1
    assert "validation has not improved since epoch 1: that one is kept" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "0 characters are too few"),
        (b" \n\n ", "0 characters are too few"),
        (b"Too short to learn from.", "24 characters are too few"),
        (b"\x7fELF\x00\x01\x00binary\x00\x00" * 1000, "a binary file"),
        (b"a" * 4000, "'a' is its only character; there is nothing to learn"),
        ("".join(map(chr, range(0x20000, 0x20000 + 20_001))).encode(), "20,001 different characters are more than"),
    ],
)
def test_a_text_that_cannot_be_learnt_gets_one_line_that_says_why(
    content: bytes, complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.txt"
    path.write_bytes(content)
    assert run(path, tmp_path) == 2
    line = capsys.readouterr().err
    assert complaint in line
    assert str(path) in line
    assert line.count("\n") == 1


def test_other_wrong_arguments_get_one_line_each(
    book: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for typed, complaint in [
        (["--corpus", str(tmp_path / "missing.txt")], "no such file"),
        (["--corpus", str(tmp_path)], "no text in this folder"),
        (["--corpus", str(book), "--speaker", "Ann"], "--speaker is for chat exports"),
        (["--corpus", str(book), "--encoding", "utf-99"], "--encoding utf-99: unknown"),
        (["--corpus", str(book), "--name", "../up"], "use letters, digits"),
        (["--corpus", str(book), "--from", str(tmp_path / "nothing")], "nothing: no such version"),
        (["--corpus", str(book), "--from", str(shipped_folder() / "nothing")], "; there are nietzsche-best, "),
        (["--corpus", str(book), "--preset", "small", "--set", "steps=9000"], "shorter than one sequence of 9000"),
        (["--corpus", str(book), "--pretrain", str(tmp_path / "nothing")], "no such file"),
        (["--resume"], "no run to resume"),
        (["--resume", "nobody"], "no such run, or its settings cannot be read; no run to resume"),
    ]:
        assert train.main([*typed, "--out", str(tmp_path / "out")]) == 2
        line = capsys.readouterr().err
        assert complaint in line
        assert line.count("\n") == 1


def test_a_version_of_that_name_is_never_overwritten(
    book: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cats").mkdir()
    assert run(book, tmp_path, "--name", "cats") == 2
    assert "versions never change" in capsys.readouterr().err


def test_help_names_every_recipe_and_option() -> None:
    shown = subprocess.run(
        [sys.executable, str(ROOT / "train.py"), "--help"], capture_output=True, text=True, check=True
    ).stdout
    for word in (
        "--corpus",
        "--pretrain",
        "--from",
        "--from-scratch",
        "--resume",
        "--no-activate",
        "--set",
        "--plan",
        *PRESETS,
    ):
        assert word in shown


def test_the_manifest_is_plain_json_that_names_the_libraries(book: Path, tmp_path: Path) -> None:
    assert run(book, tmp_path, "--epochs", "1", "--name", "cats") == 0
    manifest = json.loads((tmp_path / "cats" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["format"] == 1
    assert manifest["training"]["libraries"].keys() >= {"keras", "tensorflow", "onnxruntime"}


def test_hyperparameters_can_be_overridden_and_a_resumed_run_keeps_them(book: Path, tmp_path: Path) -> None:
    settings = ["--set", "units=24", "learning_rate=5e-3", "pretraining.epochs=2"]
    assert run(book, tmp_path, "--epochs", "1", "--name", "cats", *settings) == 0
    manifest = load_weights(tmp_path, "cats").manifest
    assert manifest.architecture.endswith("LSTM 24")
    assert manifest.training["learning_rate"] == 0.005
    stored = json.loads((tmp_path / ".training" / "cats" / "settings.json").read_text())
    assert stored["overrides"] == {"units": "24", "learning_rate": "5e-3", "pretraining.epochs": "2"}
    small = PRESETS["small"].overridden(stored["overrides"])
    assert (small.units, small.pretraining.epochs, small.training.epochs) == (24, 2, PRESETS["small"].training.epochs)
    assert {small.training.learning_rate, small.fine_tuning.learning_rate, small.pretraining.learning_rate} == {0.005}


@pytest.mark.parametrize(
    ("assignment", "complaint"),
    [
        ("unit=3", "--set unit: no such hyperparameter; there are accuracy, batch,"),
        ("units=many", "Expected `int`"),
        ("units=0", "`int` >= 1"),
        ("hidden_dropout=1.5", "`float` < 1.0"),
        ("name=x", "no such hyperparameter"),
        ("tuning.epochs=2", "no such hyperparameter"),
    ],
)
def test_a_wrong_hyperparameter_is_named(
    assignment: str, complaint: str, book: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(book, tmp_path, "--set", assignment) == 2
    line = capsys.readouterr().err
    assert complaint in line
    assert line.count("\n") == 1
    assert not (tmp_path / ".training").exists()


@pytest.mark.parametrize(
    ("typed", "complaint"),
    [
        (["--seed", "-1"], "`int` >= 0 - at `--seed`"),
        (["--seed", "4294967296"], "`int` <= 4294967295 - at `--seed`"),
        (["--epochs", "0"], "`int` >= 1 - at `--epochs`"),
        (["--temperatures", "nan"], "`float` > 0.0 - at `--temperatures"),
        (["--set", "units"], "not NAME=VALUE"),
        (["--resume", "x", "--epochs", "3", "--from", "y"], "leave out --epochs, --from"),
        (["--resume", "--set", "units=3"], "leave out --set"),
    ],
)
def test_a_wrong_command_line_is_refused_at_once(
    typed: list[str], complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        train.main([*typed, "--out", str(tmp_path)])
    assert ended.value.code == 2
    assert complaint in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_version_of_another_shape_is_refused_before_a_run_exists(
    book: Path, tmp_path: Path, weights_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    version = str(weights_folder / current_version(weights_folder))
    assert run(book, tmp_path, "--from", version) == 2
    line = capsys.readouterr().err
    assert "its network has another shape than --preset small" in line
    assert "use --preset ngram" in line
    assert not (tmp_path / ".training").exists()


def test_help_and_plan_load_no_tensorflow(book: Path, tmp_path: Path) -> None:
    program = (
        "import sys, train; status = train.main(sys.argv[1:]); sys.exit(3 if 'tensorflow' in sys.modules else status)"
    )
    for arguments in (["--plan", "--corpus", str(book), "--out", str(tmp_path)], ["--help"]):
        shown = subprocess.run(
            [sys.executable, "-c", program, *arguments], capture_output=True, text=True, cwd=ROOT, check=False
        )
        assert shown.returncode == 0, shown.stderr
    shown = subprocess.run(
        [sys.executable, "-c", program, "--plan", "--corpus", str(book), "--out", str(tmp_path)],
        capture_output=True, text=True, cwd=ROOT, check=True,
    )  # fmt: skip
    assert "starts from nietzsche-wide-3\n" in shown.stdout
    assert "takes roughly" in shown.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_resumed_run_finds_a_text_that_moved_and_refuses_another(
    book: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "text.txt"
    text.write_bytes(book.read_bytes())
    out = tmp_path / "weights"
    assert run(text, out, "--epochs", "1", "--name", "cats") == 0
    shutil.rmtree(out / "cats")
    text.rename(tmp_path / "moved.txt")
    resume = ["--resume", "--out", str(out), "--no-activate"]
    assert train.main(resume) == 2
    assert "--resume --corpus FILE" in capsys.readouterr().err
    other = tmp_path / "other.txt"
    other.write_text(book.read_text() + "More.")
    assert train.main([*resume, "--corpus", str(other)]) == 2
    assert "not the text that the run started with" in capsys.readouterr().err
    assert train.main([*resume, "--corpus", str(tmp_path / "moved.txt")]) == 0
    assert (out / "cats" / "manifest.json").exists()


def test_a_folder_that_cannot_be_written_is_named_before_tensorflow_is_loaded(
    book: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "train", None)  # which would load it
    (tmp_path / "file").write_text("no folder")
    assert run(book, tmp_path / "file" / "weights", "--name", "cats") == 2
    assert f"{tmp_path / 'file'}: is no folder; choose another with --out" in capsys.readouterr().err
    monkeypatch.setattr(os, "access", lambda place, _: place != tmp_path)
    assert run(book, tmp_path / "new" / "weights", "--name", "cats") == 2
    line = capsys.readouterr().err
    assert f"{tmp_path}: cannot be written; choose another folder with --out" in line
    assert line.count("\n") == 1


def test_a_failed_run_never_hides_another(book: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("done", "good", "broken"):
        (tmp_path / ".training" / name).mkdir(parents=True)
        (tmp_path / ".training" / name / "settings.json").write_text("{}")
    (tmp_path / ".training" / "broken" / "settings.json").write_text('{"seed": -1}')
    (tmp_path / "done").mkdir()
    for typed, complaint in [
        (["--resume", "broken"], "its settings cannot be read; there are good\n"),
        (["--resume", "other"], "no such run, or its settings cannot be read; there are good\n"),
        (["--resume", "done"], "done: is finished; there are good\n"),
        (["--resume", "--corpus", str(book)], "not the text that the run started with"),  # it continues with good
        (["--corpus", str(book), "--name", "good"], "this run exists; continue it with --resume good"),
    ]:
        assert train.main([*typed, "--out", str(tmp_path)]) == 2
        line = capsys.readouterr().err
        assert complaint in line
        assert line.count("\n") == 1


def test_ctrl_c_while_the_program_itself_is_loading_has_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "msgspec.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    command = [sys.executable, str(ROOT / "train.py"), "--plan"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")


def test_ctrl_c_while_tensorflow_is_loading_ends_in_one_line(book: Path, tmp_path: Path) -> None:
    (tmp_path / "keras.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    command = [sys.executable, str(ROOT / "train.py"), "--corpus", str(book), "--out", str(tmp_path / "weights")]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    ended = subprocess.run(
        [*command, "--preset", "small"], capture_output=True, text=True, env=environment, check=False
    )
    assert ended.returncode == 130
    assert ended.stderr == "\ntrain.py: stopped while TensorFlow was loading; nothing was begun: start it again\n"
    assert not (tmp_path / "weights").exists()
