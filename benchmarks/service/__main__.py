"""Runs the benchmark and prints its table."""

from __future__ import annotations

import argparse
import asyncio
import json
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Final

from benchmarks import machine
from benchmarks.service.parts import PARTS, Run
from benchmarks.service.process import Bench
from benchmarks.service.table import Table
from bot.config.schema import VoiceSection
from generator.weights.versions import load_weights, shipped_folder

LENGTH: Final = 275
"""Characters that are asked for; half of the texts are longer."""
SECONDS: Final = 60.0
TEXTS: Final = 10_000
_HELP: Final = """
Telegram and Discord are servers on the loopback interface. They and the simulated users run in this process and share
the machine with the bot, so the figures are what bot and load reach together; the table has the processor time of each.
Latency counts from the moment when a request was due until the whole answer has reached the server.
"""


def main() -> int:
    """Prints the table; writes the JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.service", description=_HELP)
    parser.add_argument(
        "--only", default=",".join(PARTS), metavar="PARTS", help=f"of {', '.join(PARTS)} (default: all)"
    )
    parser.add_argument("--weights", metavar="VERSION-OR-FOLDER", help="default: those that ship")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="how long each load lasts (default: 60)")
    parser.add_argument(
        "--length",
        type=int,
        default=LENGTH,
        help="characters that are asked for (default: 275)",
    )
    parser.add_argument(
        "--texts", type=int, default=TEXTS, metavar="N", help="of the part about memory (default: 10000)"
    )
    parser.add_argument("--under", default="", metavar="COMMAND", help="runs the bot, such as benchmarks/small")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    arguments = parser.parse_args()
    names = arguments.only.split(",")
    if unknown := [name for name in names if name not in PARTS]:
        parser.error(f"no part is called {', '.join(unknown)}; there are {', '.join(PARTS)}")

    folder, version = VoiceSection(weights=_weights(arguments.weights)).location
    weights = load_weights(folder, version)
    print(
        f"weights {weights.manifest.version}, {machine.describe()}, {arguments.seconds:g} s of each load\n", flush=True
    )
    table = Table()
    with tempfile.TemporaryDirectory(prefix="lstmega-benchmark-") as temporary:
        bench = Bench(Path(temporary), weights.folder, tuple(shlex.split(arguments.under)))
        run = Run(bench, table, weights, arguments.seconds, arguments.length, arguments.texts)
        try:
            for name in names:
                asyncio.run(PARTS[name](run))
        finally:
            if arguments.json:
                arguments.json.write_text(json.dumps(table.figures, indent=2) + "\n", encoding="utf-8")
    return 0


def _weights(named: str | None) -> Path | None:
    """Returns the folder of a shipped version, or any other."""
    if named is None:
        return None
    shipped = shipped_folder() / named
    return shipped if shipped.is_dir() else Path(named)


if __name__ == "__main__":
    sys.exit(main())
