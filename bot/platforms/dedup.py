"""Deduplicates events: a platform delivers one again when it has not heard that it arrived.

The identifiers are kept in memory alone. After a kill Telegram repeats only the updates that it was not asked to go on
from, which the next request for updates does at once; Discord repeats nothing to a new session.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

_MAX_IDS: Final = 4096
"""A batch of Telegram's has at most 100 updates, and Discord repeats what a lost connection has cut off."""


class Deduplicator:
    """The identifiers of the last few thousand events."""

    def __init__(self) -> None:
        self._ids: OrderedDict[int, None] = OrderedDict()

    def add(self, event_id: int) -> bool:
        """Remembers an event; returns whether it is new."""
        if event_id in self._ids:
            return False
        self._ids[event_id] = None
        if len(self._ids) > _MAX_IDS:
            self._ids.popitem(last=False)
        return True
