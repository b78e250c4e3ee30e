"""Updates on their way to the bot: by long polling, or to its webhook."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from aiohttp import ClientError, ClientSession, ClientTimeout

from bot.core.clock import Clock
from testing.inbox import PATIENCE, Inbox
from testing.telegram.api import MAX_POLL_SECONDS, OTHER_POLLER, SECRET_HEADER, WEBHOOK_ACTIVE, ApiError, Json, Params

WEBHOOK_RETRY_SECONDS: Final = 0.05
"""The real one waits a second and more before it delivers an update again."""


@dataclass(frozen=True)
class Webhook:
    """The parameters of setWebhook; an empty address means none."""

    url: str = ""
    secret: str = ""
    max_connections: int = 40


class Updates:
    """The updates that wait for the bot.

    `webhook_statuses`: HTTP status of each delivery, 0 for no connection. `webhook_blocked`: none gets through.
    """

    def __init__(self, clock: Clock) -> None:
        self.webhook = Webhook()
        self.webhook_blocked = False
        self.webhook_statuses: Inbox[int] = Inbox("delivery to the webhook")
        self.allowed_updates: list[str] = []
        self._clock = clock
        self._last_error: Json = {}
        self._update_ids = itertools.count(700_000_001)
        self._pending: list[Json] = []
        self._again: list[Json] = []
        self._past: dict[int, Json] = {}
        self._gathering = False
        self._poller: asyncio.Future[None] | None = None
        self._courier: asyncio.Task[None] | None = None
        self._parcels = asyncio.Event()

    async def add_update(self, kind: str, payload: Json) -> None:
        """Queue an update, unless the bot did not ask for its kind."""
        if self.allowed_updates and kind not in self.allowed_updates:
            return
        number = next(self._update_ids)
        update = self._past[number] = {"update_id": number, kind: payload}
        self._pending.append(update)
        self._wake()

    @property
    def last_update_id(self) -> int:
        return max(self._past)

    @property
    def pending(self) -> int:
        """The number of updates that the bot has not confirmed."""
        return len(self._pending)

    def forget_updates(self) -> None:
        """Drop the updates that were delivered: none of them can come again."""
        self._past.clear()

    def redeliver(self, update_id: int) -> None:
        """Deliver an update that was delivered before."""
        self._again.append(self._past[update_id])
        self._wake()

    @contextmanager
    def gathered(self, *, reverse: bool = False) -> Iterator[None]:
        """Deliver what happens in the block as one batch; in the wrong order if `reverse`."""
        self._gathering = True
        before = len(self._pending)
        try:
            yield
        finally:
            self._gathering = False
            if reverse:
                self._pending[before:] = self._pending[before:][::-1]
            self._wake()

    def _wake(self) -> None:
        if self._gathering:
            return
        self._parcels.set()
        if self._poller is not None and not self._poller.done():
            self._poller.set_result(None)

    async def _get_updates(self, params: Params) -> list[Json]:
        if self.webhook.url:
            raise ApiError(409, WEBHOOK_ACTIVE)
        if params.raw.get("allowed_updates") is not None:
            self.allowed_updates = params.json("allowed_updates", "allowed_updates")
        offset, limit = params.integer("offset"), min(100, max(1, params.integer("limit", 100)))
        timeout = min(MAX_POLL_SECONDS, max(0, params.integer("timeout")))
        if offset > 0:  # every update below it is confirmed and forgotten
            self._pending = [update for update in self._pending if update["update_id"] >= offset]
        elif offset < 0:
            self._pending = self._pending[offset:]
        if self._poller is not None and not self._poller.done():
            self._poller.set_exception(ApiError(409, OTHER_POLLER))
        if (self._gathering or not (self._pending or self._again)) and not await self._next_update(timeout):
            return []
        again, self._again = self._again, []
        return (again + self._pending)[:limit]

    async def _next_update(self, seconds: int) -> bool:
        """Wait for an update; returns whether one came within `seconds`."""
        poller = self._poller = asyncio.get_running_loop().create_future()
        timer = asyncio.ensure_future(self._clock.sleep(seconds))
        try:
            await asyncio.wait({poller, timer}, return_when=asyncio.FIRST_COMPLETED)
            if not poller.done():
                return False
            await poller
            return True
        finally:
            timer.cancel()
            if self._poller is poller:
                self._poller = None

    def hang_up(self) -> None:
        """Cut the open poll, if there is one."""
        if self._poller is not None and not self._poller.done():
            self._poller.cancel()

    async def _set_webhook(self, params: Params) -> bool:
        url, secret = params.text("url"), params.text("secret_token")
        if not url:
            return await self._delete_webhook(params)
        # The public server wants https; a local Bot API server (--local), which this is, takes http as well.
        if not url.startswith(("https://", "http://")):
            raise ApiError(400, "invalid webhook URL specified")
        if len(secret) > 256:
            raise ApiError(400, "secret token is too long")
        if not secret.replace("-", "a").replace("_", "a").isalnum() and secret:
            raise ApiError(400, "secret token contains unallowed characters")
        if params.raw.get("allowed_updates") is not None:
            self.allowed_updates = params.json("allowed_updates", "allowed_updates")
        if self._poller is not None and not self._poller.done():
            self._poller.set_exception(ApiError(409, "terminated by setWebhook request"))
        await self.stop_courier()
        self._last_error = {}
        self.webhook = Webhook(url, secret, params.integer("max_connections", 40))
        self._courier = asyncio.create_task(self._deliver(self.webhook))
        return True

    async def _delete_webhook(self, params: Params) -> bool:
        await self.stop_courier()
        self.webhook = Webhook()
        if params.flag("drop_pending_updates"):
            self._pending.clear()
        return True

    async def _get_webhook_info(self, _: Params) -> Json:
        info = {"url": self.webhook.url, "has_custom_certificate": False, "pending_update_count": self.pending}
        if not self.webhook.url:
            return info
        info |= {"max_connections": self.webhook.max_connections, "allowed_updates": self.allowed_updates}
        return info | self._last_error

    async def _deliver(self, webhook: Webhook) -> None:
        headers = {SECRET_HEADER: webhook.secret} if webhook.secret else {}
        async with ClientSession(headers=headers, timeout=ClientTimeout(total=PATIENCE)) as session:
            while True:
                if self._gathering or not (self._pending or self._again):
                    self._parcels.clear()
                    await self._parcels.wait()
                    continue
                queue = self._again or self._pending
                update = queue[0]
                try:
                    if self.webhook_blocked:
                        raise TimeoutError
                    async with session.post(webhook.url, json=update) as response:
                        status = response.status
                except (ClientError, TimeoutError):
                    status = 0
                self.webhook_statuses.put(status)
                if 200 <= status < 300:
                    queue.remove(update)
                else:
                    problem = f"Wrong response from the webhook: {status}" if status else "Connection refused"
                    self._last_error = {"last_error_date": int(time.time()), "last_error_message": problem}
                    await asyncio.sleep(WEBHOOK_RETRY_SECONDS)

    async def stop_courier(self) -> None:
        if self._courier is not None:
            self._courier.cancel()
            await asyncio.wait({self._courier})
            self._courier = None
