"""How many threads the worker chooses on a machine."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generator.cores import cores
from generator.process.generator import ProcessGenerator
from generator.serving import thread_count
from generator.serving.loading import load_model
from generator.serving.thread_count import best_thread_count, fastest


@pytest.mark.parametrize(
    ("seconds", "count"),
    [
        pytest.param({1: 0.0267, 2: 0.0152}, 2, id="two cores"),
        pytest.param({1: 0.0267, 2: 0.0250}, 1, id="two threads of a core"),
        pytest.param({1: 0.0267, 2: 0.0290}, 1, id="other programs on both cores"),
        pytest.param({1: 0.040, 2: 0.021, 4: 0.012, 6: 0.009}, 6, id="six cores"),
        pytest.param({1: 0.040, 2: 0.021, 4: 0.019, 8: 0.020}, 2, id="no gain beyond two"),
        pytest.param({1: 0.040, 2: 0.032, 4: 0.025}, 4, id="four are worth it, two are not"),
    ],
)
def test_more_threads_are_chosen_where_they_are_much_faster(seconds: dict[int, float], count: int) -> None:
    assert fastest(list(seconds), seconds.__getitem__) == count


@given(st.lists(st.floats(1.0, 1.5), min_size=16, max_size=16), st.sampled_from([(0.0152, 2), (0.0250, 1)]))
def test_a_machine_that_changes_its_speed_changes_nothing(slowdowns: list[float], case: tuple[float, int]) -> None:
    two, chosen = case
    speeds = {1: iter(slowdowns), 2: iter(slowdowns)}
    assert fastest([1, 2], lambda count: {1: 0.0267, 2: two}[count] * next(speeds[count])) == chosen


def test_work_that_hides_the_gain_for_a_while_does_not_hide_it_for_good() -> None:
    measured: list[int] = []

    def beside_the_start_of_the_bot(count: int) -> float:
        measured.append(count)
        return {1: 0.0267, 2: 0.0290 if len(measured) < 10 else 0.0152}[count]

    assert fastest([1, 2], beside_the_start_of_the_bot) == 2


@pytest.mark.parametrize(("available", "tried"), [(1, []), (2, [1, 2]), (3, [1, 2, 3]), (8, [1, 2, 4, 8])])
def test_it_tries_one_thread_up_to_one_for_each_core(
    available: int, tried: list[int], tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured, measure = [], thread_count._seconds

    def record(*arguments: object) -> float:
        measured.append(arguments[1])
        return measure(*arguments)  # type: ignore[arg-type] # those of the real one

    monkeypatch.setattr(thread_count, "cores", lambda: available)
    monkeypatch.setattr(thread_count, "_seconds", record)
    assert best_thread_count(load_model(tiny_folder)) in (tried or [1])
    assert sorted(set(measured)) == tried


async def test_a_worker_without_a_number_of_threads_chooses_one(tiny_folder: Path) -> None:
    async with ProcessGenerator.open(tiny_folder) as generator:
        assert 1 <= generator.status().threads <= cores()


async def test_a_worker_has_the_threads_that_are_asked_for(tiny_folder: Path) -> None:
    async with ProcessGenerator.open(tiny_folder, threads=3) as generator:
        assert generator.status().threads == 3


async def test_later_workers_have_as_many_threads_as_the_first_has_measured(tiny_folder: Path) -> None:
    """Beside a worker that generates, one thread would seem best."""

    def asked_for(generator: ProcessGenerator) -> str:
        return Path(f"/proc/{generator.status().process_id}/cmdline").read_text().rstrip("\0").split("\0")[-2]

    async with ProcessGenerator.open(tiny_folder) as generator:
        threads = generator.status().threads
        assert asked_for(generator) == "0"
        await generator.reload()
        assert asked_for(generator) == str(threads)
        await generator.reload()
        assert generator.status().threads == threads
