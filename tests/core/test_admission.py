"""Who gets a text when many want one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from bot.core import admission as admissions
from bot.core.admission import (
    FEWEST_ROWS,
    MAX_USER_REQUESTS,
    MAX_WAIT_SECONDS,
    TARGET_LATENCY_SECONDS,
    Admission,
)
from bot.core.clock import Clock
from bot.core.reply import Passing
from generator import Overloaded
from testing.clock import ManualClock, settle

TYPICAL = 100.0
"""Characters of an ordinary text here."""
FAST = 1000 * TYPICAL / TARGET_LATENCY_SECONDS
"""Characters per second at which a thousand ordinary texts are in time."""


def in_time(texts: float) -> float:
    """The speed at which so many ordinary texts are in time."""
    return texts * TYPICAL / TARGET_LATENCY_SECONDS


class World:
    """An admission, and users who hold their slots until `done`; `began` notes whose text began, in order."""

    def __init__(self, rows: int = 1, queue: int = 100, cooldown: float = 0.0, speed: float = FAST) -> None:
        self.clock = ManualClock()
        self.rows = rows
        self.speed = speed
        self.admission = Admission(
            lambda: self.rows, queue, cooldown, typical=TYPICAL, speed=lambda: self.speed, clock=self.clock
        )
        self.began: list[str] = []
        self.done = asyncio.Event()

    def slot(self, chat: str, user: str, rows: int = 1, length: float = TYPICAL) -> asyncio.Task[None]:
        return asyncio.create_task(self.hold(chat, user, rows, length))

    async def hold(self, chat: str, user: str, rows: int = 1, length: float = TYPICAL) -> None:
        async with self.entered(chat, user, rows, length):
            self.began.append(user)
            await self.done.wait()

    @asynccontextmanager
    async def entered(
        self, chat: str, user: str, rows: int = 1, length: float = TYPICAL, *, trusted: bool = False, late: float = 0.0
    ) -> AsyncIterator[None]:
        asked_at = self.clock.time() - late
        characters = rows * length
        async with self.admission.slot(
            chat, user, characters=characters, rows=rows, trusted=trusted, asked_at=asked_at
        ):
            yield


# ---- turns --------------------------------------------------------------------------------------------------------


async def test_chats_take_turns_however_much_one_of_them_asks_for() -> None:
    world = World()
    tasks = []
    for chat, user in [*(("loud", f"loud {number}") for number in range(6)), ("quiet", "quiet"), ("shy", "shy")]:
        tasks.append(world.slot(chat, user))
        await settle()
    world.done.set()
    await asyncio.gather(*tasks)
    assert world.began == ["loud 0", "loud 1", "quiet", "shy", *(f"loud {number}" for number in range(2, 6))]


async def test_a_pool_that_has_grown_is_used_as_wide_as_it_is() -> None:
    world = World(rows=24)
    tasks = [world.slot(f"chat {number}", f"user {number}") for number in range(60)]
    await settle()
    assert len(world.began) == 24
    world.rows = 48  # another replica
    tasks.append(world.slot("chat 60", "user 60"))
    await settle()
    for task in tasks[:24]:
        task.cancel()
    await settle()
    assert len(world.began) == 24 + 37
    world.done.set()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_one_chat_has_an_eighth_of_the_rows_and_the_others_the_rest() -> None:
    world = World(rows=16)
    loud = [world.slot("loud", f"loud {number}") for number in range(10)]
    await settle()
    assert world.began == ["loud 0", "loud 1"]
    quiet = [world.slot(f"quiet {number}", f"quiet {number}") for number in range(6)]
    await settle()
    assert world.began[2:] == [f"quiet {number}" for number in range(6)]
    world.done.set()
    await asyncio.gather(*loud, *quiet)
    assert world.began[8:] == [f"loud {number}" for number in range(2, 10)]


async def test_a_chat_s_share_counts_the_rows_of_ladders() -> None:
    world = World(rows=24)
    ladders = [world.slot("loud", f"ladder {number}", rows=5) for number in range(3)]
    await settle()
    assert world.began == ["ladder 0"]
    world.done.set()
    await asyncio.gather(*ladders)


async def test_ladders_never_hold_more_rows_than_there_are() -> None:
    world = World(rows=24)
    ladders = [world.slot(f"chat {number}", f"{number}", rows=5) for number in range(24)]
    await settle()
    assert len(world.began) == 4
    assert world.admission.waiting == 100
    world.done.set()
    await asyncio.gather(*ladders)


async def test_a_ladder_that_waits_for_rows_is_not_overtaken_for_ever() -> None:
    world = World(rows=5)
    first = [world.slot(f"{number}", f"{number}") for number in range(5)]
    await settle()
    ladder = world.slot("ladder", "ladder", rows=5)
    await settle()
    first[0].cancel()
    later = world.slot("later", "later")
    await settle()
    assert world.began == ["0", "1", "2", "3", "4"]
    world.done.set()
    await asyncio.gather(*first[1:], ladder, later)
    assert world.began[5:] == ["ladder", "later"]


async def test_long_texts_leave_rows_for_ordinary_ones() -> None:
    world = World(rows=24)
    long = [world.slot(f"chat {number}", f"long {number}", length=10 * TYPICAL) for number in range(24)]
    await settle()
    assert len(world.began) == 7
    ordinary = [world.slot(f"other {number}", f"other {number}") for number in range(17)]
    await settle()
    assert len(world.began) == 24
    world.done.set()
    await asyncio.gather(*long, *ordinary)


# ---- refusals -----------------------------------------------------------------------------------------------------


async def test_a_full_queue_makes_room_for_a_chat_that_has_less_in_it() -> None:
    world = World(queue=3)
    loud = [world.slot("loud", f"loud {number}") for number in range(4)]
    await settle()
    with pytest.raises(Overloaded) as refused:
        await world.hold("loud", "loud 4")
    assert refused.value.retry_after == pytest.approx(4 * TYPICAL / FAST)

    quiet = world.slot("quiet", "quiet")
    await settle()
    with pytest.raises(Overloaded):
        await loud[3]  # the newest of the chat that had most
    world.done.set()
    await asyncio.gather(*loud[:3], quiet)
    assert world.began == ["loud 0", "loud 1", "quiet", "loud 2"]
    assert world.admission.waiting == 0
    assert world.admission.refused == 2


async def test_a_request_that_would_be_refused_may_be_cancelled_at_the_same_moment() -> None:
    """The newcomer got an InvalidStateError: "Something broke"."""
    world = World(queue=2)
    running, first, second = world.slot("a", "a"), world.slot("b", "b 1"), world.slot("b", "b 2")
    await settle()
    newcomer = world.slot("c", "c")
    second.cancel()
    await settle()
    world.done.set()
    await asyncio.gather(running, first, newcomer)
    assert world.began == ["a", "b 1", "c"]
    assert world.admission.refused == 0


@pytest.mark.parametrize(
    ("texts", "begun", "answered"), [(10, 4, 10), (5, 4, 5), (0.01, 4, 4)], ids=["fast", "slower", "slow"]
)
async def test_as_many_wait_as_will_be_in_time_and_none_on_a_slow_machine(
    texts: float, begun: int, answered: int
) -> None:
    world = World(rows=4, speed=in_time(texts))
    tasks = [world.slot(f"chat {number}", f"{number}") for number in range(15)]
    await settle()
    assert world.began == [str(number) for number in range(begun)]
    world.done.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    refusals = [result for result in results if isinstance(result, Overloaded)]
    assert len(world.began) == answered == 15 - len(refusals)
    assert world.admission.refused == len(refusals)
    assert refusals[0].retry_after == pytest.approx(answered / texts * TARGET_LATENCY_SECONDS)


@pytest.mark.parametrize(
    ("texts", "slowness", "begun"), [(100, 1.0, 24), (12.5, 1.0, 14), (25, 2.0, 14), (1, 1.0, FEWEST_ROWS)]
)
async def test_as_many_run_at_once_as_will_be_in_time(texts: float, slowness: float, begun: int) -> None:
    """A text that runs may take 0.7 s; where 12.5 texts are written in 0.6 s, that is 14."""
    world = World(rows=24, speed=in_time(texts))
    world.admission._slowness = slowness
    tasks = [world.slot(f"chat {number}", f"{number}") for number in range(30)]
    await settle()
    assert len(world.began) == begun
    world.done.set()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_long_texts_do_not_make_a_machine_a_slow_one() -> None:
    """Where `[bot] length` is 4,000, a batch of such texts takes seconds, and all rows of it are used."""
    world = World(rows=24, speed=20_000.0)
    world.admission.configure(100, 0.0, typical=4_600.0)
    tasks = [world.slot(f"chat {number}", f"{number}", length=4_600.0) for number in range(30)]
    await settle()
    assert len(world.began) == 24
    world.done.set()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_without_a_speed_requests_are_refused_not_failed() -> None:
    world = World(rows=0, speed=0.0)
    async with world.entered("first", "first"):
        with pytest.raises(Overloaded) as refusal:
            await world.hold("second", "second")
    assert refusal.value.retry_after == MAX_WAIT_SECONDS


async def test_fewer_texts_are_admitted_where_they_take_longer_than_computed() -> None:
    world = World(rows=24, speed=in_time(30))

    async def crowd(slowness: float) -> int:
        """How many of a crowd are admitted, whose texts are all finished `slowness` times later than computed."""
        world.done = asyncio.Event()
        tasks = [world.slot(f"chat {number}", f"user {number}") for number in range(60)]
        await settle()
        admitted = sum(not task.done() for task in tasks)
        await world.clock.advance(slowness * admitted / 30 * TARGET_LATENCY_SECONDS)
        world.done.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        return admitted

    async def crowds(slowness: float) -> int:
        return [await crowd(slowness) for _ in range(20)][-1]

    assert await crowd(1.0) == 30
    assert await crowds(2.0) == 15
    assert await crowds(100.0) == FEWEST_ROWS  # these need not wait
    assert await crowds(0.5) == 30


@pytest.mark.parametrize(("last", "admitted"), [(0.8, {29, 30}), (1.2, {FEWEST_ROWS, FEWEST_ROWS + 1})])
async def test_a_few_texts_that_take_a_second_make_it_admit_fewer(last: float, admitted: set[int]) -> None:
    """The others are early enough for the mean to be in time."""
    world = World(rows=24, speed=in_time(30))

    async def crowd() -> int:
        done = [asyncio.Event(), asyncio.Event()]
        tasks = []
        for number in range(60):
            world.done = done[number % 10 == 0]
            tasks.append(world.slot(f"chat {number}", f"user {number}"))
            await settle()
        waiting = sum(not task.done() for task in tasks)
        await world.clock.advance(0.4)
        done[False].set()
        await settle()
        await world.clock.advance(last - 0.4)
        done[True].set()
        await asyncio.gather(*tasks, return_exceptions=True)
        return waiting

    assert [await crowd() for _ in range(20)][-1] in admitted


async def test_when_the_machine_becomes_slower_what_runs_stays_and_what_comes_is_refused() -> None:
    world = World(rows=24, speed=in_time(30))
    running = [world.slot(f"chat {number}", f"{number}") for number in range(24)]
    await settle()
    world.speed = in_time(10)
    for number in range(3):
        with pytest.raises(Overloaded):
            await world.hold(f"late {number}", f"late {number}")
    world.done.set()
    await asyncio.gather(*running)
    assert len(world.began) == 24


async def test_what_waits_stays_when_the_machine_becomes_slower_and_what_comes_is_refused_at_once() -> None:
    """Half of those who waited were refused late, with each estimate that was a little lower."""
    world = World(rows=4, speed=in_time(10))
    admitted = [world.slot(f"chat {number}", f"{number}") for number in range(10)]
    await settle()
    world.speed = in_time(5)
    with pytest.raises(Overloaded):
        await world.hold("late", "late")
    world.done.set()
    await asyncio.gather(*admitted)
    assert len(world.began) == 10


async def test_whoever_waits_with_a_longer_prompt_is_not_refused_in_place_of_the_newcomer() -> None:
    world = World(rows=1, speed=in_time(3))
    running, longer = world.slot("a", "a"), world.slot("b", "b", length=1.3 * TYPICAL)
    await settle()
    with pytest.raises(Overloaded):
        await world.hold("c", "c")
    world.done.set()
    await asyncio.gather(running, longer)


async def test_what_waits_is_counted_in_characters() -> None:
    """Where ten texts are in time, so are four and one that is six times as long, and nothing beside them."""
    world = World(rows=4, speed=in_time(10))
    running = [world.slot(f"chat {number}", f"{number}") for number in range(4)]
    await settle()
    six = world.slot("ladder", "ladder", rows=4, length=1.5 * TYPICAL)
    await settle()
    with pytest.raises(Overloaded):
        await world.hold("other", "other", length=10 * TYPICAL)
    world.done.set()
    await asyncio.gather(*running, six)


async def test_on_a_slow_machine_a_request_that_can_start_at_once_is_not_refused() -> None:
    world = World(rows=4, queue=1, speed=0.01)
    world.done.set()
    for _ in range(3):
        await asyncio.gather(*(world.hold(f"chat {number}", f"{number}") for number in range(4)))
    assert world.admission.refused == 0


async def test_a_request_is_refused_once_it_has_waited_for_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    first = world.slot("here", "ada")
    await settle()
    with pytest.raises(Overloaded):  # it came long ago, and waited elsewhere
        async with world.entered("there", "bob", late=MAX_WAIT_SECONDS + 0.2):
            pass
    monkeypatch.setattr(admissions, "MAX_WAIT_SECONDS", 0.05)
    waiting = [world.slot(f"chat {number}", f"{number}") for number in range(5)]
    refusals = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(refusal) for refusal in refusals} == {Overloaded}
    assert world.admission.waiting == 0
    assert world.admission.refused == 6
    world.done.set()
    await first
    await world.hold("here", "bob")  # no slot is lost
    assert world.began == ["ada", "bob"]


def virtual_time(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Lets the running loop's timers come due as soon as nothing else is to do; returns the clock that they follow."""
    loop: Any = asyncio.get_running_loop()
    clock, select, now = Clock(), loop._selector.select, loop.time()

    def jump(timeout: float | None) -> object:
        nonlocal now
        now += timeout or 0.0
        return select(0)

    monkeypatch.setattr(loop._selector, "select", jump)
    for timed in (loop, clock):
        monkeypatch.setattr(timed, "time", lambda: now)
    return clock


async def test_when_more_is_asked_for_than_can_be_written_everybody_hears_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A flood of a few seconds, a thousandfold faster: 20 ask in the time of 10 texts, each again without waiting."""
    monkeypatch.setattr(admissions, "MAX_WAIT_SECONDS", 0.3)
    clock = virtual_time(monkeypatch)
    admission = Admission(
        lambda: 2, 200, 0.0, typical=1.0, speed=lambda: 1e9, clock=clock
    )  # an estimate that is no help
    waits: list[float] = []
    texts = 0

    async def ask(user: int, asked_at: float) -> None:
        nonlocal texts
        with suppress(Overloaded, Passing):
            async with (
                admission.one_at_a_time(user),
                admission.slot("here", str(user), characters=1.0, asked_at=asked_at),
            ):
                await asyncio.sleep(0.02)
                texts += 1
        waits.append(clock.time() - asked_at)

    async with asyncio.TaskGroup() as group:
        for number in range(300):
            group.create_task(ask(number % 10, clock.time()))
            await asyncio.sleep(0.004)
    assert len(waits) == 300
    assert 50 < texts < 300
    assert max(waits) < 0.3 + 0.5


# ---- users --------------------------------------------------------------------------------------------------------


async def test_requests_of_a_user_run_one_after_another_and_only_so_many_wait() -> None:
    world = World()
    most = running = 0

    async def request() -> None:
        nonlocal most, running
        async with world.admission.one_at_a_time("ada"):
            running += 1
            most = max(most, running)
            await asyncio.sleep(0)
            running -= 1

    results = await asyncio.gather(*(request() for _ in range(200)), return_exceptions=True)
    assert results.count(None) == MAX_USER_REQUESTS
    assert all(isinstance(result, Passing) for result in results if result is not None)
    assert most == 1
    await request()


async def test_a_user_has_a_cooldown_after_a_text_unless_they_are_trusted() -> None:
    world = World(cooldown=60.0)
    async with world.entered("here", "ada"):
        pass
    with pytest.raises(Passing) as refused:
        async with world.entered("here", "ada"):
            pass
    assert refused.value.values == {"seconds": 60}
    async with world.entered("here", "ada", trusted=True):
        pass
    await world.clock.advance(60.0)
    async with world.entered("here", "ada"):
        pass


async def test_a_refusal_or_a_failed_text_costs_no_cooldown() -> None:
    world = World(queue=1, cooldown=60.0)
    running, waiting = world.slot("a", "a"), world.slot("b", "b")
    await settle()
    with pytest.raises(Overloaded):
        await world.hold("b", "ada")
    world.done.set()
    await asyncio.gather(running, waiting)
    with pytest.raises(RuntimeError):
        async with world.entered("b", "ada"):
            raise RuntimeError
    async with world.entered("b", "ada"):
        pass


async def test_cooldowns_that_are_over_are_forgotten() -> None:
    world = World(cooldown=60.0)
    for number in range(100):
        async with world.entered("here", f"{number}"):
            pass
        await world.clock.advance(1.0)
    assert len(world.admission._cooldowns) <= 60


async def test_a_slot_is_never_lost_when_users_give_up_at_any_moment() -> None:
    world = World(rows=2)
    for cancel_after in range(12):
        tasks = [world.slot(f"chat {n % 3}", f"{n}", rows=1 + n % 2) for n in range(8)]
        for _ in range(cancel_after):
            await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        world.done.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        world.done.clear()
        assert world.admission.waiting == 0
    # Both rows are there still.
    world.began.clear()
    tasks = [world.slot(f"chat {number}", str(number)) for number in range(3)]
    await settle()
    assert world.began == ["0", "1"]
    world.done.set()
    await asyncio.gather(*tasks)
