"""Which events came before. Platforms repeat one when they have not heard that it arrived.

What is remembered ends with the process. After a kill Telegram repeats only what it was not asked to go on from, which
the next request for updates does at once; Discord repeats nothing to a new session.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

_REMEMBERED: Final = 4096
"""Events. A batch of Telegram's has at most 100, and Discord tells again what a lost connection has cut off."""


class Seen:
    """The identifiers of the last few thousand events."""

    def __init__(self) -> None:
        self._ids: OrderedDict[int, None] = OrderedDict()

    def add(self, event_id: int) -> bool:
        """Remembers it; `False` when it was there already."""
        if event_id in self._ids:
            return False
        self._ids[event_id] = None
        if len(self._ids) > _REMEMBERED:
            self._ids.popitem(last=False)
        return True
