"""Bytes that reach ever new lines of what reads strangers' words and files: `make fuzz-guided MINUTES=30`.

atheris (https://github.com/google/atheris), a fuzzer that is guided by coverage, changes what is there to begin with
and keeps what brings new lines to light. An input that breaks something is left in a file here, which `--again` tries
once more.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # `testing` is no part of the installed package
TARGETS: Final = ("text", "manifest", "state")
LONGEST: Final = 8_192
"""Bytes of one input."""
MOST_SECONDS: Final = 25
"""For one input, which takes milliseconds; a machine may have other things to do."""
MOST_MEGABYTES: Final = 2_048


def fuzz(name: str, minutes: float, again: Path | None) -> None:
    """Ends the process: with status 0 when the target's share of the minutes is over, else when something broke."""
    import atheris  # noqa: PLC0415 - it is not for every machine that the other tests run on

    with atheris.instrument_imports(include=["bot", "generator"]):
        import guided_targets  # noqa: PLC0415 - what it imports is to be watched

        target = guided_targets.TARGETS[name]()
    if again is not None:
        target.holds(again.read_bytes())
        sys.exit(0)
    with tempfile.TemporaryDirectory() as folder:
        for number, seed in enumerate(target.seeds):
            (Path(folder) / str(number)).write_bytes(seed)
        limits = {
            "max_total_time": round(minutes * 60 * target.share),
            "max_len": LONGEST,
            "timeout": MOST_SECONDS,
            "rss_limit_mb": MOST_MEGABYTES,
        }
        options = [f"-{limit}={number}" for limit, number in limits.items()]
        atheris.Setup([sys.argv[0], *options, f"-artifact_prefix={name}-", folder], target.holds)
        atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(description="Inputs that reach ever new lines.")
    parser.add_argument("--minutes", type=float, default=30.0, help="in all (default: 30)")
    parser.add_argument("--on", choices=TARGETS, help="one target alone, its share of the minutes")
    parser.add_argument("--again", type=Path, metavar="FILE", help="this input alone, of the target")
    options = parser.parse_args()
    if options.on:
        fuzz(options.on, options.minutes, options.again)
    failed = False
    for name in TARGETS:
        # Each in a process of its own, which the fuzzer ends.
        command = [sys.executable, __file__, "--on", name, "--minutes", str(options.minutes)]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, errors="replace", check=False)
        lines = done.stderr.splitlines()
        told = [line for line in lines if "cov: " in line][-1:] + [line for line in lines if line.startswith("Done ")]
        print(f"{name}: {'; '.join(told)}", flush=True)
        if done.returncode:
            failed = True
            print("\n".join(lines[-60:]), flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
