"""The bot in a terminal and in a pipe, as a person meets it: real processes, a real pseudo-terminal."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import TINY_VOCABULARY, add_random_version, english
from hypothesis import given
from hypothesis import strategies as st
from terminal_support import CHAT, ESCAPE, ROOT, Terminal, pipe

from bot.core.reply import Passage, Reply
from bot.platforms.terminal.pipe import lines_of, plain
from bot.platforms.terminal.prompt import PROMPT, fragments
from generator.prose import printable, wrapped
from generator.vocabulary import Vocabulary
from generator.weights.versions import activate

NEVER_ENDING = """
import asyncio, sys
from generator.serving.generator import ThreadedGenerator
async def forever(self, request, on_sentence=None):
    print("WRITING", flush=True)
    await asyncio.Event().wait()
ThreadedGenerator.generate = forever
from bot.cli.main import main
sys.exit(main(["chat"]))
"""


def test_a_command_in_a_pipe_gets_a_text(chat_environment: dict[str, str]) -> None:
    out = pipe(chat_environment, b"/nietzsche 0.7 The philosopher\n")
    assert out.startswith("The philosopher")
    assert out.endswith("\n")
    assert ESCAPE not in out
    assert "›" not in out


def test_replies_in_a_pipe_are_parted_by_a_blank_line(chat_environment: dict[str, str]) -> None:
    out = pipe(
        chat_environment,
        b"/temperature 0.9\r\n\n   \n/temperature\nTEMPERATURE\n77 hello\n/contineu\n"
        b"/forgetme now\n/help\n/forgetme\n/forgetme",
    )
    assert out.split("\n\n") == [
        "Your temperature is 0.9. /temperature default goes back to 0.7.",
        "Your temperature is 0.9. /temperature default goes back to 0.7.",
        "Your temperature is 0.9. /temperature default goes back to 0.7.",
        out.split("\n\n")[3],
        "There is no command /contineu. Did you mean /continue?",
        f"{english('forget-confirm')} {english('forget-repeat')}",
        out.split("\n\n")[6],
        f"{english('forget-confirm')} {english('forget-repeat')}",
        "Gone: 2 rows, everything I kept about you.\n",
    ]


def test_a_talk_goes_on_in_the_next_process(chat_environment: dict[str, str]) -> None:
    pipe(chat_environment, b"/nietzsche 0.7 The philosopher\n")
    assert "no text here" not in pipe(chat_environment, b"/continue\n")


def test_a_notice_follows_the_text(chat_environment: dict[str, str]) -> None:
    out = pipe(chat_environment, "/nietzsche 0.7 The 😀 philosopher\n".encode())
    assert out.startswith("The philosopher")
    assert out.rstrip().splitlines()[-1].startswith("(I left out 😀")


def test_whoever_sits_at_the_machine_is_an_operator_by_default(chat_environment: dict[str, str]) -> None:
    assert "serves already" in pipe(chat_environment, b"/reload\n")
    assert "There is no command" in pipe(chat_environment | {"LSTMEGA_BOT__OPERATORS": "discord:1"}, b"/reload\n")


async def test_a_reload_in_a_talk_takes_over_the_configuration(chat_environment: dict[str, str]) -> None:
    file = Path(chat_environment["HOME"]) / "config.toml"
    file.write_text("[bot]\nlength = 50\n")
    del chat_environment["LSTMEGA_BOT__LENGTH"]
    command, pipes = [*CHAT, "--config", str(file)], {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=chat_environment, **pipes)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"/length\n")
    assert b"about 50 characters" in await process.stdout.readline()
    file.write_text("[bot]\nlength = 70\n")
    out, _ = await process.communicate(b"/reload\n/length\n")
    assert b"about 70 characters" in out


def test_odd_input_is_no_trouble(chat_environment: dict[str, str]) -> None:
    assert pipe(chat_environment, b"") == ""
    assert "There is no command" in pipe(chat_environment, b"/\xff\xfe\x00\x1b]0;title\x07\n")
    assert ESCAPE not in pipe(chat_environment, b"\x1b[2J\x1b[31mred\n/nietzsche 0.7 \x1b[31mred\n/\x1b[31m\n")
    assert "its last 1,000 characters" in pipe(chat_environment, b"/nietzsche " + b"a" * 300_000)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_byte_order_mark_does_not_lose_the_first_command(chat_environment: dict[str, str], encoding: str) -> None:
    mark = "\ufeff" if encoding in {"utf-16-le", "utf-16-be"} else ""
    typed = f"{mark}/temperature 0.9\r\n/temperature 0,8".encode(encoding)
    assert pipe(chat_environment, typed).count("Your temperature is") == 2


@pytest.mark.parametrize("word", ["quit", "exit", "q", "/quit", " /EXIT "])
def test_words_that_leave_end_a_pipe(chat_environment: dict[str, str], word: str) -> None:
    out = pipe(chat_environment, f"/temperature 0.9\n{word}\n/temperature 0.8\n".encode())
    assert out == "Your temperature is 0.9. /temperature default goes back to 0.7.\n"


async def test_no_more_is_read_from_a_pipe_than_is_needed() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    lines = lines_of(reader)
    line = b"/temperature " * 10 + b"\n"

    async def fill() -> int:
        """Writes until something, and then nothing more, has been read; returns how many lines that were."""
        count = refusals = 0
        while not count or refusals < 20:
            try:
                os.write(writer, line)  # not longer than PIPE_BUF: whole or not at all
                count, refusals = count + 1, 0
            except BlockingIOError:
                refusals += 1
                await asyncio.sleep(0.01)
        return count

    first = asyncio.ensure_future(anext(lines))
    written = await fill()
    assert await first == line.decode().rstrip("\n")
    assert written * len(line) < 500_000
    for _ in range(written // 2):
        await anext(lines)
    assert await fill() * len(line) < 500_000
    os.close(writer)
    async for _ in lines:
        pass
    os.close(reader)


def test_input_from_a_file_and_from_nowhere(chat_environment: dict[str, str], tmp_path: Path) -> None:
    lines = tmp_path / "lines"
    lines.write_text("/temperature 0.9\n" * 3)
    command = " ".join(CHAT)
    for redirection, replies in ((f"< {lines}", 3), ("< /dev/null", 0), ("<&-", 0)):
        done = subprocess.run(  # noqa: S602 - a closed descriptor is a matter of the shell
            f"{command} {redirection}",
            shell=True,
            cwd=ROOT,
            env=chat_environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.count("Your temperature") == replies


def test_a_reply_comes_before_the_next_line_is_typed(chat_environment: dict[str, str]) -> None:
    with subprocess.Popen(
        CHAT, cwd=ROOT, env=chat_environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("/temperature\n")
        process.stdin.flush()
        assert "/temperature 0.8" in process.stdout.readline()
        process.stdin.close()
        assert process.wait(30) == 0


def test_ctrl_c_ends_a_pipe_quietly(chat_environment: dict[str, str]) -> None:
    with subprocess.Popen(
        CHAT, cwd=ROOT, env=chat_environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(b"/temperature\n")
        process.stdin.flush()
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert process.stderr.read() == b""


# ---- a terminal -----------------------------------------------------------------------------------------------------


def test_a_person_sits_down_at_the_terminal(open_terminal: Callable[..., Terminal], tmp_path: Path) -> None:
    terminal = open_terminal()
    summary = "weights tiny-1 · 6.00 bits per character · trained on none"
    terminal.sees(f"LSTMega: {summary}", "Ctrl-D leaves", "›", summary)
    terminal.types("/nietzsche 0.7 The philosopher\r")
    # Bold, then the prompt as a part of the reply rather than the echo of what was typed.
    terminal.sees("\x1b[0;1mThe philosopher\x1b[0m", "›")
    terminal.types("/contin\t")
    terminal.sees("/continue")
    terminal.types("\x15/temperature 9\r")
    terminal.sees("9 is out of range", "›")
    assert terminal.leaves() == 0
    history = tmp_path / "state" / "lstmega" / "history"
    assert "/nietzsche 0.7 The philosopher" in history.read_text()
    assert history.stat().st_mode & 0o077 == 0


def test_a_narrow_window_breaks_lines_between_words(open_terminal: Callable[..., Terminal]) -> None:
    terminal = open_terminal(columns=40)
    terminal.sees("LSTMega: weights tiny-1 · 6.00 bits per\r\r\ncharacter · trained on none")
    terminal.sees("Ctrl-D leaves", "›", "weights tiny-1 · 6.00 bits per…")
    assert terminal.leaves() == 0


def test_temperatures_are_completed(open_terminal: Callable[..., Terminal]) -> None:
    terminal = open_terminal()
    terminal.sees("›")
    terminal.types("/temperature 0.9\r")
    terminal.sees("Your temperature is 0.9", "›")
    terminal.types("/temperature \t")
    terminal.sees("0.9 — your own", "0.7 — default", "0.5 — calm")
    terminal.types("\x15\r")  # so that the next menu is drawn anew
    terminal.sees("›")
    terminal.types("/nietzsche 0.\t")
    terminal.sees("0.9 — your own", "0.5 — calm")
    terminal.types("\x15")
    assert terminal.leaves() == 0


def test_a_dumb_terminal_gets_no_escape_sequences(open_terminal: Callable[..., Terminal]) -> None:
    terminal = open_terminal(TERM="dumb", columns=40)
    terminal.sees("› ")
    terminal.types("/temperature\r")
    terminal.sees("You have no temperature of your own, so\r\nI use 0.7.", "› ")
    terminal.types("quit\r")
    assert terminal.ends() == 0
    assert ESCAPE not in str(terminal.process.before)


def test_forgetme_deletes_the_prompt_history_too(open_terminal: Callable[..., Terminal], tmp_path: Path) -> None:
    terminal = open_terminal()
    terminal.sees("›")
    terminal.types("/nietzsche 0.7 My secret\r")
    terminal.sees("My secret\x1b[0m", "›")
    state = tmp_path / "state" / "lstmega"
    assert "My secret" in (state / "history").read_text()
    terminal.types("/forgetme\r")
    terminal.sees("type /forgetme again", "›")
    terminal.types("/forgetme\r")
    terminal.sees("everything I kept about you", "›")
    for path in state.iterdir():
        assert b"My secret" not in path.read_bytes(), path.name
    terminal.types("\x1b[A\r")  # the line before, if there were one
    terminal.types("/temperature\r")
    terminal.sees("Set one: /temperature 0.8")
    assert "/forgetme" not in terminal.process.before
    terminal.sees("›")
    assert terminal.leaves() == 0
    assert "/temperature" in (state / "history").read_text()


@pytest.mark.parametrize("word", ["quit", "exit", "q", "/quit", "/exit"])
def test_words_that_leave_end_the_chat(open_terminal: Callable[..., Terminal], word: str) -> None:
    terminal = open_terminal()
    terminal.sees("›")
    terminal.types(f"{word}\r")
    assert terminal.ends() == 0


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs a shell with job control")
def test_ctrl_z_suspends_the_chat(open_terminal: Callable[..., Terminal]) -> None:
    terminal = open_terminal(["bash", "--norc", "-i"], PS1="shell> ")
    terminal.sees("shell> ")
    terminal.types(f"{shlex.join(CHAT)}\n")
    terminal.sees("›")
    terminal.types("\x1a")
    terminal.sees("Stopped", "shell> ")
    terminal.types("fg\n")
    terminal.sees("›")
    terminal.types("quit\r")
    terminal.sees("shell> ")
    terminal.types("exit\n")
    assert terminal.ends() == 0


def test_ctrl_c_stops_the_text_and_not_the_bot(open_terminal: Callable[..., Terminal]) -> None:
    terminal = open_terminal([sys.executable, "-c", NEVER_ENDING])
    terminal.sees("›")
    for command in ("/nietzsche 0.7", "/ladder"):
        terminal.types(f"{command}\r")
        terminal.sees("WRITING")
        terminal.types("\x03")
        terminal.sees("Stopped.", "›")
    terminal.types("/temperature\r")
    terminal.sees("Set one: /temperature 0.8", "›")
    terminal.types("half a line\x03")
    terminal.sees("Ctrl-D leaves", "›")
    assert terminal.leaves() == 0


# ---- what reaches the screen ----------------------------------------------------------------------------------------


def test_nothing_that_a_terminal_obeys_is_printed() -> None:
    evil = "a\x1b[2Jb\x07c\x9b31md\re\x00f\u202eg\ud800h\ti"
    assert printable(evil) == "a[2Jbc31mdefghi"
    assert plain(Reply(evil)) == printable(evil)
    parts = fragments(Reply.of_passages(Passage(f"{evil} and on", prompt=evil), notice=evil), 80)
    assert "".join(part[1] for part in parts) == f"{printable(evil)} and on\n{printable(evil)}"
    assert (PROMPT, printable(evil)) in parts


@pytest.mark.parametrize("command", ["generate", "chat"])
def test_a_control_character_that_the_network_learnt_reaches_no_terminal(
    chat_environment: dict[str, str], tmp_path: Path, command: str
) -> None:
    learnt = Vocabulary(TINY_VOCABULARY.characters.replace("a", "\x1b").replace("b", "\x07"))
    add_random_version(tmp_path / "odd", "odd-1", seed=1, likelier={"a": 5.0, "b": 5.0}, vocabulary=learnt)
    activate(tmp_path / "odd", "odd-1")
    environment = chat_environment | {"LSTMEGA_GENERATOR__WEIGHTS": str(tmp_path / "odd")}
    run = [sys.executable, "-m", "bot", command]
    done = subprocess.run(
        run, cwd=ROOT, env=environment, input="/nietzsche 1.5\n", capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip()
    assert not set("\x1b\x07") & set(done.stdout + done.stderr)


def test_a_ladder_on_the_screen_has_a_label_over_each_text() -> None:
    passages = [Passage("The end.", prompt="The", label=english("rung", temperature=t)) for t in (0.5, 0.9)]
    shown = fragments(Reply.of_passages(*passages), 80)
    assert "".join(part[1] for part in shown) == "Temperature 0.5\nThe end.\n\nTemperature 0.9\nThe end."
    assert plain(Reply.of_passages(*passages)) == "Temperature 0.5\nThe end.\n\nTemperature 0.9\nThe end."


@given(st.text(alphabet="ab \n", max_size=300), st.integers(1, 40))
def test_wrapping_turns_spaces_into_line_ends_and_nothing_else(text: str, width: int) -> None:
    result = wrapped(text, width)
    assert len(result) == len(text)
    assert all(new == old or (old, new) == (" ", "\n") for old, new in zip(text, result, strict=True))
    assert all(len(line) <= width or " " not in line.strip() for line in result.split("\n"))
