"""That `benchmarks.service` runs: a few texts on each platform, for a moment. Its figures mean nothing here."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks.service import __main__ as benchmark
from benchmarks.service import parts


def test_every_part_measures_something(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(parts, "RATE", 5.0)
    monkeypatch.setattr(parts, "WARM_UP", 0.2)
    monkeypatch.setattr(parts, "MIXED_RATE", 5.0)
    monkeypatch.setattr(parts, "KEPT", 200)
    monkeypatch.setattr(parts, "OVERLOAD", 0.02)
    monkeypatch.setattr(parts, "ROUNDS", 1)
    written = tmp_path / "figures.json"
    measured = "load,engine,bare,fairness,mixed,memory,idle"
    options = ["--only", measured, "--weights", str(tiny_folder), "--json", str(written)]
    monkeypatch.setattr(sys, "argv", ["service", *options, "--seconds", "2", "--texts", "60", "--length", "60"])
    assert benchmark.main() == 0
    figures = json.loads(written.read_text())
    for name in ("load_discord", "load_telegram", "load_both", "bare", "fairness_quiet", "fairness_busy", "mixed"):
        assert figures[f"{name}_texts_per_second"] > 0
        assert figures[f"{name}_unanswered"] == 0
    assert figures["memory_after_60_texts_mb"] > 50
    assert figures["idle_share_of_a_core"] >= 0
    assert figures["engine_discord"] > 0
    assert figures["engine_telegram"] > 0
    assert "at most doubles" in capsys.readouterr().out
