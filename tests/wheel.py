"""Installs a wheel in an empty environment of each Python that it supports, and uses it: `tests/wheel.py WHEEL`.

`python3.14` and so on are looked for on the path and in pyenv; what is not there is skipped with a line.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

VERSIONS = ("3.11", "3.12", "3.13", "3.14")
COMMANDS = {
    ("generate", "--length", "80", "--seed", "1"): "",
    ("check",): "ok     weights",
    ("chat",): "The philosopher",
    ("--version",): "lstmega ",
}
"""What is run, and what its output holds."""


def python_of(version: str) -> str | None:
    """The command of an interpreter that runs; a shim of pyenv may not."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions").glob(f"{version}.*/bin/python")
    for candidate in (f"python{version}", *map(str, sorted(pyenv))):
        try:
            subprocess.run([candidate, "-c", "import venv, ensurepip"], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        return candidate
    return None


def try_out(python: str, wheel: Path, folder: Path) -> list[str]:
    """What went wrong. Nothing of the clone, of the user's home or of the environment's settings is seen."""
    subprocess.run([python, "-m", "venv", folder / "venv"], check=True)
    programs = folder / "venv" / "bin"
    subprocess.run([programs / "python", "-m", "pip", "install", "--quiet", wheel], check=True)
    kept: Mapping[str, str] = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    problems = []
    for program in ([programs / "lstmega"], [programs / "python", "-m", "bot"]):
        for arguments, wanted in COMMANDS.items():
            run = subprocess.run(
                [*program, *arguments], input="/nietzsche 0.7 The philosopher\n", cwd=folder, check=False,
                env={**kept, "HOME": str(folder), "LSTMEGA_HTTP__PORT": "0"}, capture_output=True, text=True,
            )  # fmt: skip
            if run.returncode or not run.stdout.strip() or wanted not in run.stdout:
                problems.append(f"{arguments[0]}: status {run.returncode}: {run.stdout[-300:]}{run.stderr[-1000:]}")
    return problems


def main() -> int:
    wheel, failed = Path(sys.argv[1]).resolve(), False
    for version in VERSIONS:
        if (python := python_of(version)) is None:
            print(f"Python {version}: skipped, it is not installed here", flush=True)
            continue
        with tempfile.TemporaryDirectory(prefix="lstmega-wheel-") as folder:
            problems = try_out(python, wheel, Path(folder))
        print(f"Python {version}: " + ("\n".join(problems) or "chat, check and generate work"), flush=True)
        failed = failed or bool(problems)
    return failed


if __name__ == "__main__":
    sys.exit(main())
