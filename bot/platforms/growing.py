"""A text that takes long grows by sentence in the chat, until the whole reply takes its place."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final, TypeVar

from bot.core.clock import MONOTONIC, Clock
from bot.core.reply import Reply

GROW_AFTER_SECONDS: Final = 2.0
"""After a request. A text that is there sooner comes whole."""
EDIT_EVERY_SECONDS: Final = 3.0
"""Between edits: 20 a minute, which Telegram allows in a group (`telegram.rate_limit.Limits`). Discord names its limits
in headers alone (https://discord.com/developers/docs/topics/rate-limits); 5 messages of a channel in 5 s are usual."""
Message = TypeVar("Message")
log = logging.getLogger(__name__)


class TextSoFar:
    """The newest part of a text that is being written."""

    def __init__(self) -> None:
        self._newest: Callable[[], Reply] | None = None
        self._changed = asyncio.Event()

    def take(self, part: Callable[[], Reply]) -> None:
        """Keeps a part, in place of the one before. It is rendered when it is shown: most parts never are."""
        self._newest = part
        self._changed.set()

    async def changed(self) -> None:
        """Returns when there is a part that was not shown."""
        await self._changed.wait()

    async def grow(
        self,
        working: asyncio.Task[Reply],
        messages_of: Callable[[Reply], Sequence[Message]],
        show: Callable[[Message], Awaitable[None]],
        errors: tuple[type[Exception], ...],
        clock: Clock = MONOTONIC,
    ) -> None:
        """Shows the newest part now and then while the work is done, until it needs more than one message or `show`
        raises one of the `errors`: the whole text comes all the same."""
        while not working.done():
            await either(working, self.changed())
            if self._newest is None or working.done():
                return
            self._changed.clear()
            message, *further = messages_of(self._newest())
            if further:
                return
            try:
                await show(message)
            except errors as error:
                log.debug("growing.failed error=%s", type(error).__name__)
                return
            await either(working, clock.sleep(EDIT_EVERY_SECONDS))


async def either(working: asyncio.Task[Reply], other: Coroutine[Any, Any, object]) -> None:
    """Returns when the work or the other is done. The other is then cancelled."""
    waiting = asyncio.ensure_future(other)
    try:
        await asyncio.wait({working, waiting}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
