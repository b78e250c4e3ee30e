"""Benchmarks say on what they ran, and whether anything else ran beside them."""

from __future__ import annotations

import subprocess
import sys

from benchmarks import machine
from generator.cores import cores


def test_a_run_beside_other_work_says_that_it_is_not_valid() -> None:
    assert machine.verdict([0.0, 0.01, 0.05]) == ""
    assert machine.verdict([0.0, 0.4, 0.01]).startswith("NOT VALID: other work took up to 40%")


def test_busy_processes_are_measured() -> None:
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * cores())]
    try:
        assert max(machine.disturbance() for _ in range(10)) > machine.MAX_DISTURBANCE
    finally:
        for process in busy:
            process.kill()
            process.wait()


def test_the_machine_is_described_by_its_cores_and_its_instruction_set() -> None:
    description = machine.describe()
    assert description.startswith(f"{cores()} core")
    assert description.endswith(machine.instruction_set())
    assert machine.instruction_set()
