"""Pauses between attempts."""

from __future__ import annotations

from generator.backoff import Backoff


def test_backoff_doubles_up_to_the_longest_with_full_jitter() -> None:
    longest = Backoff(draw=lambda: 1.0)
    assert [longest.pause(failures) for failures in range(1, 12)] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    assert longest.pause(10_000) == 300
    assert Backoff(draw=lambda: 0.0).pause(9) == 0
    assert Backoff(first=2.0, draw=lambda: 0.25).pause(3) == 2.0
    drawn = {Backoff().pause(9) for _ in range(50)}
    assert len(drawn) == 50
    assert all(0 <= pause <= 256 for pause in drawn)
