"""The machine that a benchmark runs on: its instruction set, and how much else it does meanwhile."""

from __future__ import annotations

import hashlib
import platform
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from generator.cores import cores

MAX_DISTURBANCE: Final = 0.05
"""Share of the processor time that others may take in a valid run."""
_INSTRUCTION_SETS: Final = {
    "amx_int8": "AMX",
    "avx512_vnni": "AVX-512 VNNI",
    "avx512f": "AVX-512",
    "avx_vnni": "AVX-VNNI",
    "avx2": "AVX2",
    "i8mm": "I8MM",
    "asimddp": "NEON with dot products",
    "asimd": "NEON",
}
"""Flags of /proc/cpuinfo, fastest first for products of 8-bit integers. onnxruntime uses the first that
the processor has."""
_PROBE_SECONDS: Final = 0.1
_BLOCK: Final = bytes(1 << 20)


def instruction_set() -> str:
    """Returns the name of the instruction set, or of the architecture where the system does not say."""
    try:
        flags = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    except OSError:
        flags = set()
    return next((name for flag, name in _INSTRUCTION_SETS.items() if flag in flags), platform.machine())


def describe() -> str:
    """Returns cores and instruction set, so that figures of different machines are not mixed."""
    number = cores()
    return f"{number} {'core' if number == 1 else 'cores'}, {instruction_set()}"


def disturbance() -> float:
    """Measures the share of the processor time that others take now: how long threads on all cores wait.

    The lesser of two measurements: during the first, the system may still run two of the threads on one core.
    """
    with ThreadPoolExecutor(cores()) as pool:
        return min(max(pool.map(lambda _: _waiting(), range(cores()))) for _ in range(2))


def _waiting() -> float:
    began, worked = time.perf_counter(), time.thread_time()
    while time.perf_counter() - began < _PROBE_SECONDS:
        hashlib.sha256(_BLOCK).digest()  # without the GIL
    return 1 - min(1.0, (time.thread_time() - worked) / (time.perf_counter() - began))


def verdict(measured: list[float]) -> str:
    """Says whether a run is valid, by `disturbance` measured several times during it."""
    worst = max(measured)
    if worst <= MAX_DISTURBANCE:
        return ""
    return f"NOT VALID: other work took up to {worst:.0%} of the processors. Run this again when they are idle."
