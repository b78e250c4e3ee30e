"""Strangers at it for as long as one likes: `make fuzz MINUTES=30`. Prints what went wrong, and how to see it again.

    python tests/fuzz.py --minutes 30 --seed 7 --on telegram

Each world (a platform, its people, a bot) has a seed of its own, which `--seed` and `--worlds 1` bring back.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # `testing` is no part of the installed package

import hostile_discord
import hostile_telegram
from conftest import add_random_version
from hostile import printable

from generator.weights.versions import activate

STEPS: Final = {"telegram": 60, "discord": 400}
"""In one world: rounds of sixteen people, and single doings."""
WORST: Final = 20
"""Troubles after which a world is given up."""


async def telegram(folder: Path, seed: int) -> tuple[int, list[str]]:
    """Doings in one world, and what went wrong."""
    troubles: list[str] = []
    async with hostile_telegram.strangers(folder, random.Random(seed)) as strangers:
        for number in range(STEPS["telegram"]):
            found = await strangers.round()
            troubles += [f"telegram {seed}, round {number}: {trouble}" for trouble in found]
            if len(troubles) >= WORST:
                break
    return (number + 1) * hostile_telegram.PEOPLE, troubles


async def discord(folder: Path, seed: int) -> tuple[int, list[str]]:
    """As `telegram`."""
    troubles: list[str] = []
    async with hostile_discord.strangers(folder, random.Random(seed)) as strangers:
        for number in range(STEPS["discord"]):
            found = await strangers.step()
            troubles += [f"discord {seed}, step {number}: {trouble}; they did: {strangers.did}" for trouble in found]
            if len(troubles) >= WORST:
                break
    return number + 1, troubles


WORLDS: Final = {"telegram": telegram, "discord": discord}


def run(names: list[str], seed: int, seconds: float, worlds: int) -> int:
    """World after world, until so many seconds of the processor are spent or so many worlds; returns the status."""
    doings: Counter[str] = Counter()
    troubles = 0
    began = time.process_time()
    last = seed + worlds if worlds else sys.maxsize
    while time.process_time() - began < seconds and seed < last:
        for name in names:
            with tempfile.TemporaryDirectory() as place:
                folder = Path(place)
                add_random_version(folder, "tiny-1", seed=1)
                activate(folder, "tiny-1")
                done, found = asyncio.run(WORLDS[name](folder, seed))
            doings[name] += done
            troubles += len(found)
            for trouble in found:
                print(printable(trouble), flush=True)
        seed += 1
        spent = time.process_time() - began
        told = ", ".join(f"{count:,} on {name}" for name, count in doings.items())
        print(f"{spent / 60:.1f} minutes of the processor: {told}; {troubles} troubles; next seed {seed}", flush=True)
    return 1 if troubles else 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Strangers, at random.")
    parser.add_argument("--minutes", type=float, default=30.0, help="of the processor's time")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--worlds", type=int, default=0, help="end after so many seeds")
    parser.add_argument("--on", choices=WORLDS, help="one platform alone")
    options = parser.parse_args()
    return run([options.on] if options.on else list(WORLDS), options.seed, options.minutes * 60, options.worlds)


if __name__ == "__main__":
    sys.exit(main())
