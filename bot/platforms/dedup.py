"""Recent keys: events, say, since a platform delivers one again when it has not heard that it arrived.

They are kept in memory alone: after a kill Telegram repeats at most the last updates, and Discord nothing.
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
    """The keys that were added last: at most `_MAX_KEYS`, and for `seconds` at most."""

    def __init__(self, seconds: float = math.inf, clock: Clock = MONOTONIC) -> None:
        self._seconds = seconds
        self._clock = clock
        self._added: OrderedDict[Hashable, float] = OrderedDict()

    def add(self, key: Hashable) -> bool:
        """Remembers a key; returns whether it is new."""
        is_new = not self.discard(key)
        self._added[key] = self._clock.time()
        return is_new

    def discard(self, key: Hashable) -> bool:
        """Forgets a key; returns whether it was remembered."""
        return self._recent().pop(key, None) is not None

    def __contains__(self, key: Hashable) -> bool:
        return key in self._recent()

    def __len__(self) -> int:
        return len(self._recent())

    def _recent(self) -> OrderedDict[Hashable, float]:
        oldest = self._clock.time() - self._seconds
        while self._added and (len(self._added) > _MAX_KEYS or next(iter(self._added.values())) <= oldest):
            self._added.popitem(last=False)
        return self._added
