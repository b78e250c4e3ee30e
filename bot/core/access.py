"""Who may use the bot, and how many texts in a day: the rules of `[access]`.

A day is one of UTC. What is counted is stored under a hash of the day and the user or chat, so that no row names one,
and is deleted after the day; /forgetme therefore does not start the day anew.
"""

from __future__ import annotations

import hashlib
import logging
import math
import time
from typing import Final

from bot.config.schema import AccessSection
from bot.core.ask import Where
from bot.core.reply import Refused
from bot.store.errors import StoreError
from bot.store.store import Store

_DAY_SECONDS: Final = 86_400
log = logging.getLogger(__name__)


def allows(rules: AccessSection, where: Where) -> bool:
    """Returns whether the lists allow a request: nothing of it is denied, and something is allowed if anything is."""
    names = {f"{where.platform}:{name}" for name in (where.user, where.chat, *where.within, "*")}
    return not names.intersection(rules.deny) and (not rules.allow or bool(names.intersection(rules.allow)))


class Quotas:
    """The quotas of one request: `check` before it is done, `count` afterwards. `rules` without any cost nothing.

    Texts that run at the same time are each checked before any of them is counted.
    """

    def __init__(self, rules: AccessSection, store: Store, where: Where) -> None:
        self._rules = rules
        self._store = store
        self._day, passed = divmod(time.time(), _DAY_SECONDS)
        self._left = _DAY_SECONDS - passed
        names = {"user": where.user_key, "chat": where.queue_key}
        days = {scope: f"{self._day:.0f} {name}".encode() for scope, name in names.items()}
        self._keys = {scope: hashlib.sha256(text).hexdigest()[:32] for scope, text in days.items()}

    async def check(self, texts: int, characters: int) -> None:
        """Raises `Refused`. Without the database no user is refused: a text needs it for nothing else."""
        if not self._rules.has_quotas:
            return
        try:
            used = await self._store.usage(*self._keys.values())
        except StoreError as error:
            log.error("quota.not_checked reason=%s", error)
            return
        for scope, key in self._keys.items():
            amounts = zip(("texts", "characters"), (texts, characters), used.get(key, (0, 0)), strict=True)
            for unit, asked, before in amounts:
                limit = getattr(self._rules, f"{scope}_{unit}")
                if limit and before + asked > limit:
                    left, hours, minutes = max(0, limit - before), round(self._left / 3600), math.ceil(self._left / 60)
                    raise Refused("quota", scope=scope, unit=unit, limit=limit, left=left, hours=hours, minutes=minutes)

    async def count(self, texts: int, characters: int) -> None:
        """Counts what was written."""
        if self._rules.has_quotas:
            try:
                await self._store.add_usage(int(self._day), texts, characters, *self._keys.values())
            except StoreError as error:
                log.error("quota.not_counted reason=%s", error)
