"""Remembers recent keys: events, say, since a platform delivers one again when it has not heard that it arrived.

They are kept in memory alone. After a kill Telegram repeats only the updates that it was not asked to continue from,
which the next request for updates does at once; Discord repeats nothing to a new session.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Hashable
from typing import Final

from bot.core.clock import MONOTONIC, Clock

_MAX_KEYS: Final = 4096
"""A batch of Telegram's has at most 100 updates, and Discord repeats what a lost connection has cut off."""


class RecentKeys:
    """The keys that were added last: at most `size`, and for `seconds` at most."""

    def __init__(self, size: int = _MAX_KEYS, seconds: float = math.inf, clock: Clock = MONOTONIC) -> None:
        self._size = size
        self._seconds = seconds
        self._clock = clock
        self._added: OrderedDict[Hashable, float] = OrderedDict()

    def add(self, key: Hashable) -> bool:
        """Remembers a key; returns whether it is new."""
        is_new = key not in self
        self._added[key] = self._clock.time()
        self._added.move_to_end(key)
        return is_new

    def discard(self, key: Hashable) -> bool:
        """Forgets a key; returns whether it was remembered."""
        return self._added.pop(key, None) is not None

    def __contains__(self, key: Hashable) -> bool:
        return len(self) > 0 and key in self._added

    def __len__(self) -> int:
        oldest = self._clock.time() - self._seconds
        while self._added and (len(self._added) > self._size or next(iter(self._added.values())) <= oldest):
            self._added.popitem(last=False)
        return len(self._added)
