"""What every adapter to a chat platform provides."""

from __future__ import annotations

from typing import Final, Protocol

MAX_RECENT: Final = 1024
"""Events that an adapter remembers, in memory alone, since a platform repeats one that seemed lost to it.
A batch of Telegram's has at most 100 updates, and Discord repeats what a lost connection has cut off."""


class BadToken(Exception):
    """The platform refuses the token: a retry changes nothing."""


class CommandSyncError(Exception):
    """The platform could not be told about the commands; one line that says why."""


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

    async def drain(self) -> None:
        """Returns when every event that was received is answered."""
