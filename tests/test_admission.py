"""Who gets a text when many want one."""

from __future__ import annotations

import asyncio

import pytest

from bot.admission import Admission, StillWriting, TooSoon
from generator import Busy


def admission(places: int = 1, queue: int = 100, rest: float = 0.0) -> Admission:
    return Admission(places, queue, rest, patience=lambda waiting: 2.0 * waiting)


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
    with pytest.raises(Busy) as refused:
        await chat.text("loud", "loud 4")
    assert refused.value.retry_after == 6.0

    quiet = asyncio.create_task(chat.text("quiet", "quiet"))
    await settle()
    with pytest.raises(Busy):
        await loud[3]  # the newest of the chat that had most
    chat.done.set()
    await asyncio.gather(*loud[:3], quiet)
    assert chat.began == ["loud 0", "loud 1", "quiet", "loud 2"]
    assert door.queued == 0


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
    tasks = [asyncio.create_task(chat.text("here", str(number))) for number in range(3)]
    await settle()
    assert chat.began == ["0", "1"]
    chat.done.set()
    await asyncio.gather(*tasks)
