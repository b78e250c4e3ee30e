"""What every chat platform has in common. An adapter turns each update into an `Ask`, and shows the `Reply`.

No rule about texts, temperatures or people lives here.
"""

from __future__ import annotations

from typing import Protocol


class BadToken(Exception):
    """The platform refuses the token: trying again changes nothing."""


class CommandSyncError(Exception):
    """The platform could not be told about the commands; one line that says why."""


class Platform(Protocol):
    """An adapter to a chat platform."""

    name: str
    """As people's and operators' names begin: "discord", "telegram"."""

    @property
    def connected(self) -> bool:
        """Whether updates arrive at this moment."""

    @property
    def problem(self) -> str:
        """Why they do not, where the platform knows; else empty."""

    async def serve(self) -> None:
        """Connects and serves until it is cancelled.

        Raises `BadToken`, or any other exception when it makes sense to try again later.
        """

    async def drain(self) -> None:
        """Returns when everything that was taken has been answered."""
