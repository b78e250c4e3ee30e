"""That the fuzzer of `make fuzz-guided` has something to begin with, and that what it looks for holds there."""

from __future__ import annotations

import random

import guided
import guided_targets
import pytest


@pytest.mark.parametrize("name", guided.TARGETS)
def test_what_the_fuzzer_begins_with_holds(name: str) -> None:
    target = guided_targets.TARGETS[name]()
    draw = random.Random(1)
    assert target.seeds
    for seed in target.seeds:
        target.holds(seed)
        target.holds(draw.randbytes(draw.randrange(60)))


def test_the_targets_take_all_of_the_time() -> None:
    assert sum(make().share for make in guided_targets.TARGETS.values()) == pytest.approx(1)
    assert set(guided.TARGETS) == set(guided_targets.TARGETS)
