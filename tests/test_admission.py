"""Who gets a text when many want one."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

import pytest

from bot.core import admission as admissions
from bot.core.admission import PROMPT, Admission, StillWriting, TooLate, TooSoon
from generator import Overloaded


def admission(places: int = 1, queue: int = 100, rest: float = 0.0) -> Admission:
    return Admission(places, queue, rest, patience=lambda texts: PROMPT / 1000 * texts)


class Chat:
    """People of one chat who want a text each; `began` notes whose began, in order."""

    def __init__(self, door: Admission, began: list[str]) -> None:
        self.door = door
        self.began = began
        self.done = asyncio.Event()

    async def text(self, chat: str, person: str) -> None:
        async with self.door.text(chat, person, trusted=False):
            self.began.append(person)
            await self.done.wait()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_chats_take_turns_however_much_one_of_them_asks_for() -> None:
    chat = Chat(admission(), [])
    async with asyncio.TaskGroup() as group:
        for number in range(6):
            group.create_task(chat.text("loud", f"loud {number}"))
            await settle()
        for name in ("quiet", "shy"):
            group.create_task(chat.text(name, name))
            await settle()
        chat.done.set()
    assert chat.began == ["loud 0", "loud 1", "quiet", "shy", *(f"loud {number}" for number in range(2, 6))]


async def test_a_full_queue_makes_room_for_a_chat_that_has_less_in_it() -> None:
    door = admission(queue=3)
    chat = Chat(door, [])
    loud = [asyncio.create_task(chat.text("loud", f"loud {number}")) for number in range(4)]
    await settle()
    with pytest.raises(Overloaded) as refused:
        await chat.text("loud", "loud 4")
    assert refused.value.retry_after == pytest.approx(3 * PROMPT / 1000)

    quiet = asyncio.create_task(chat.text("quiet", "quiet"))
    await settle()
    with pytest.raises(Overloaded):
        await loud[3]  # the newest of the chat that had most
    chat.done.set()
    await asyncio.gather(*loud[:3], quiet)
    assert chat.began == ["loud 0", "loud 1", "quiet", "loud 2"]
    assert door.queued == 0


async def test_nobody_waits_longer_than_is_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admissions, "LONGEST_WAIT", 0.1)
    door = Admission(1, 100, 0.0, patience=lambda waiting: 0.01 * waiting)
    chat = Chat(door, [])
    first = asyncio.create_task(chat.text("here", "ada"))
    await settle()
    began = time.monotonic()
    waiting = [asyncio.create_task(chat.text(f"chat {number}", f"{number}")) for number in range(5)]
    async with asyncio.timeout(10):
        refusals = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(refusal) for refusal in refusals} == {TooLate}
    assert time.monotonic() - began >= 0.1
    assert door.queued == 0
    with pytest.raises(TooLate):  # it came long ago, and waited elsewhere
        async with door.text("there", "bob", trusted=False, asked=time.monotonic() - 0.2):
            pass
    chat.done.set()
    await first
    await chat.text("here", "bob")  # nobody's place is lost
    assert chat.began == ["ada", "bob"]


async def crowd(door: Admission, people: int) -> tuple[list[str], list[float], Chat]:
    """So many ask, each in a chat of their own: who began, what the refused are told, and what ends the texts."""
    chat = Chat(door, [])
    refused: list[float] = []

    async def ask(person: str) -> None:
        try:
            await chat.text(f"chat of {person}", person)
        except Overloaded as busy:
            refused.append(busy.retry_after)

    tasks = [asyncio.create_task(ask(str(number))) for number in range(people)]
    await settle()
    began = list(chat.began)
    chat.done.set()
    await asyncio.gather(*tasks)
    return began, refused, chat


async def test_as_many_are_let_in_as_will_have_their_text_promptly_and_the_others_hear_so_at_once() -> None:
    door = Admission(4, 100, 0.0, patience=lambda texts: PROMPT / 10 * texts)
    began, refused, chat = await crowd(door, 15)
    assert began == ["0", "1", "2", "3"]
    assert chat.began == [str(number) for number in range(10)]
    assert refused == [pytest.approx(0.6 * PROMPT)] * 5  # six are before them


async def test_on_a_slow_machine_people_wait_for_a_turn() -> None:
    door = Admission(4, 100, 0.0, patience=lambda texts: 20.0 * texts)
    began, refused, chat = await crowd(door, 12)
    assert began == ["0", "1", "2", "3"]
    assert len(chat.began) == 7
    assert len(refused) == 5


async def test_on_a_slow_machine_nobody_is_refused_who_finds_a_place() -> None:
    door = Admission(4, 1, 0.0, patience=lambda texts: 1000.0 * texts)
    for _ in range(3):
        began, refused, _ = await crowd(door, 4)
        assert len(began) == 4
        assert not refused


async def test_one_chat_has_an_eighth_of_the_places_and_the_others_the_rest() -> None:
    door = admission(places=16)
    chat = Chat(door, [])
    loud = [asyncio.create_task(chat.text("loud", f"loud {number}")) for number in range(10)]
    await settle()
    assert chat.began == ["loud 0", "loud 1"]
    quiet = [asyncio.create_task(chat.text(f"quiet {number}", f"quiet {number}")) for number in range(6)]
    await settle()
    assert chat.began[2:] == [f"quiet {number}" for number in range(6)]
    chat.done.set()
    await asyncio.gather(*loud, *quiet)
    assert chat.began[8:] == [f"loud {number}" for number in range(2, 10)]


async def test_when_more_is_asked_for_than_can_be_written_everybody_hears_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A flood of a few seconds, a thousandfold faster: 20 ask in the time of 10 texts, each again without waiting."""
    monkeypatch.setattr(admissions, "LONGEST_WAIT", 0.3)
    door = Admission(2, 200, 0.0, patience=lambda _: 0.0)  # an estimate that is no help
    waits: list[float] = []
    texts = 0

    async def ask(person: int, previous: asyncio.Task[None] | None, asked: float) -> None:
        nonlocal texts
        if previous is not None:
            await asyncio.wait({previous})  # as the adapters do: what one asks first is done first
        with suppress(TooLate):
            async with door.text("here", str(person), trusted=False, asked=asked):
                await asyncio.sleep(0.02)
                texts += 1
        waits.append(time.monotonic() - asked)

    last: dict[int, asyncio.Task[None]] = {}
    async with asyncio.TaskGroup() as group:
        for number in range(300):
            person = number % 10
            last[person] = group.create_task(ask(person, last.get(person), time.monotonic()))
            await asyncio.sleep(0.004)
    assert len(waits) == 300
    assert 50 < texts < 300
    assert max(waits) < 0.3 + 0.5


async def test_a_person_has_one_text_at_a_time_in_all_chats() -> None:
    chat = Chat(admission(places=5), [])
    first = asyncio.create_task(chat.text("here", "ada"))
    await settle()
    with pytest.raises(StillWriting):
        await chat.text("there", "ada")
    chat.done.set()
    await first
    await chat.text("there", "ada")


async def test_a_person_rests_after_a_text_unless_they_are_trusted() -> None:
    door = admission(rest=60.0)
    async with door.text("here", "ada", trusted=False):
        pass
    with pytest.raises(TooSoon) as refused:
        async with door.text("here", "ada", trusted=False):
            pass
    assert 59.0 < refused.value.retry_after <= 60.0
    async with door.text("here", "ada", trusted=True):
        pass


async def test_a_place_is_never_lost_when_people_give_up_at_any_moment() -> None:
    door = admission(places=2)
    chat = Chat(door, [])
    for cancel_after in range(12):
        tasks = [asyncio.create_task(chat.text(f"chat {n % 3}", f"{n}")) for n in range(8)]
        for _ in range(cancel_after):
            await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        chat.done.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        chat.done.clear()
        assert door.queued == 0
    # Both places are there still.
    chat.began.clear()
    tasks = [asyncio.create_task(chat.text(f"chat {number}", str(number))) for number in range(3)]
    await settle()
    assert chat.began == ["0", "1"]
    chat.done.set()
    await asyncio.gather(*tasks)
