"""Simulated users who ask for texts, at times of their own or as soon as they have an answer, and their latency."""

from __future__ import annotations

import asyncio
import itertools
import math
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol

PATIENCE: Final = 30.0
"""Seconds. An answer, a start or an end that takes longer counts as lost."""


class Kind(Enum):
    """What the answer was."""

    TEXT = "text"
    REFUSAL = "refusal"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Answer:
    """A latency in seconds, and the answer's kind and length in characters."""

    wait: float
    characters: int
    kind: Kind


class Person(Protocol):
    """A user on one of the platforms."""

    async def ask(self) -> tuple[float, int, Kind]:
        """Asks for a text and waits; returns when the answer arrived (`time.monotonic`), its length and kind."""


async def asked(person: Person, due: float | None = None) -> Answer:
    """Asks and waits. `due`: when the request was due, if it is late already."""
    began = time.monotonic() if due is None else due
    try:
        async with asyncio.timeout(PATIENCE):
            at, characters, kind = await person.ask()
    except TimeoutError:
        return Answer(PATIENCE, 0, Kind.NOTHING)
    return Answer(at - began, characters, kind)


async def closed_loop(people: Sequence[Person], at_once: int, texts: int, *, seconds: float = math.inf) -> list[Answer]:
    """Lets `at_once` users ask at a time, each again as soon as there is an answer, in their share of the users.

    Ends after `texts` texts, or after `seconds`.
    """
    until = time.monotonic() + seconds
    tickets = iter(range(texts))
    answers: list[Answer] = []

    async def one(share: Sequence[Person]) -> None:
        for person in itertools.cycle(share):
            if time.monotonic() >= until or next(tickets, None) is None:
                return
            answers.append(await asked(person))

    async with asyncio.TaskGroup() as group:
        for number in range(at_once):
            group.create_task(one(people[number::at_once]))
    return answers


async def open_loop(people: Sequence[Person], rate: float, seconds: float, seed: int = 0) -> list[Answer]:
    """Lets users ask in turn, `rate` times per second in all, at times that are independent of the answers."""
    tasks: list[asyncio.Task[Answer]] = []
    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for after, person in zip(arrivals(rate, seconds, seed), itertools.cycle(people), strict=False):
            await asyncio.sleep(began + after - time.monotonic())
            tasks.append(group.create_task(asked(person, began + after)))
    return [task.result() for task in tasks]


def arrivals(rate: float, seconds: float, seed: int) -> list[float]:
    """Returns rising times in seconds: a Poisson process, as of independent users.

    There are exactly `rate` × `seconds` of them, so that the rate is exact.
    """
    draw = random.Random(seed)  # noqa: S311 - the same load each time
    return sorted(draw.uniform(0, seconds) for _ in range(round(rate * seconds)))
