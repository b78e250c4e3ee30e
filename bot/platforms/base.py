"""What every adapter to a chat platform provides."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Final, NamedTuple, Protocol

from bot.core.clock import MONOTONIC, Clock

MAX_RECENT: Final = 1024
"""Events that an adapter remembers, in memory alone, since a platform repeats one that seemed lost to it.
A batch of Telegram's has at most 100 updates, and Discord repeats what a lost connection has cut off."""
REFUSE_EVERY_SECONDS: Final = 60.0
"""Between two messages that say to the same user in a chat why nothing is written, unless they typed a command."""


class Recent:
    """What happened within the last `REFUSE_EVERY_SECONDS`, so that it is not said again and again."""

    def __init__(self, clock: Clock = MONOTONIC) -> None:
        self._clock = clock
        self._times: OrderedDict[Hashable, float] = OrderedDict()
        """When each thing happened, the latest at the end."""

    def is_first(self, key: Hashable) -> bool:
        """Returns whether that did not happen just now; from now on it did."""
        now = self._clock.time()
        while self._times and next(iter(self._times.values())) <= now - REFUSE_EVERY_SECONDS:
            self._times.popitem(last=False)
        is_first = key not in self._times
        self._times.setdefault(key, now)
        return is_first

    def forget(self, key: Hashable) -> None:
        """Makes the next time the first."""
        self._times.pop(key, None)


class BadToken(Exception):
    """The platform refuses the token: a retry changes nothing."""


class CommandSyncError(Exception):
    """The platform could not be told about the commands; one line that says why."""


class Finding(NamedTuple):
    """What `check --online` found out about a platform. `right`: `None` if it may be changed, but need not be."""

    name: str
    detail: str
    right: bool | None = True


class Platform(Protocol):
    """An adapter to a chat platform: turns events into `Ask`s, and shows `Reply`s."""

    name: str
    """Prefix of users' and operators' names: "discord", "telegram"."""

    @property
    def connected(self) -> bool:
        """Whether it receives events at this moment."""

    @property
    def problem(self) -> str:
        """Why it does not, where the platform knows; else empty."""

    async def serve(self) -> None:
        """Connects and serves until it is cancelled. Raises `BadToken`, or anything else when a retry makes sense."""

    async def update_commands(self) -> None:
        """Tells the platform which commands there are now, if it is connected. Raises nothing; a failure is logged."""

    async def drain(self) -> None:
        """Returns when every event that was received is answered."""
