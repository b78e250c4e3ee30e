"""What can go wrong on the way to the Bot API, on request."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from bot.core.clock import Clock
from testing.inbox import Inbox
from testing.telegram.api import ApiError, Call, error_response
from testing.telegram.people import Chat


@dataclass(eq=False)
class Fault:
    """Something that goes wrong for requests of `method` about `chat`, `times` times (`None`: always)."""

    method: str | None
    chat: int | None
    times: int | None
    kind: str
    status: int = 500
    retry_after: int = 0
    result: Any = None
    hits: int = 0
    open_until: float | None = None
    _released: asyncio.Event = field(default_factory=asyncio.Event)
    _met: Inbox[Call] = field(default_factory=lambda: Inbox("request for the fault"))

    async def met(self) -> Call:
        """Waits until a request runs into it."""
        return await self._met.next()

    def release(self) -> None:
        """Ends it: requests that it holds continue."""
        self.times, self.open_until = 0, None
        self._released.set()

    def wants(self, method: str, chat: int | None) -> bool:
        if self.times is not None and self.hits >= self.times and self.open_until is None:
            return False
        return (self.method is None or self.method.lower() == method) and (self.chat is None or self.chat == chat)


class Faults:
    """The faults that a test asked for; the first that fits a request is met."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._faults: list[Fault] = []

    def flood(self, chat: Chat | None = None, *, retry_after: int, method: str | None = None) -> Fault:
        """429 to the next request, and to all that come before `retry_after` seconds are over; `hits` counts them."""
        return self._fault("flood", chat, method, 1, retry_after=retry_after)

    def fail(
        self, status: int = 502, *, chat: Chat | None = None, method: str | None = None, times: int | None = 1
    ) -> Fault:
        """An HTTP error of the server, with a page that is not JSON."""
        return self._fault("fail", chat, method, times, status=status)

    def drop(
        self,
        *,
        chat: Chat | None = None,
        method: str | None = None,
        times: int | None = 1,
        after: bool = False,
    ) -> Fault:
        """Cuts the connection before the request is carried out, or `after` it is."""
        return self._fault("drop after" if after else "drop", chat, method, times)

    def garble(self, *, chat: Chat | None = None, method: str | None = None, times: int | None = 1) -> Fault:
        """Carries the request out, and answers with half of the JSON."""
        return self._fault("garble", chat, method, times)

    def hold(self, *, chat: Chat | None = None, method: str | None = None, times: int | None = None) -> Fault:
        """Leaves requests unanswered until `release`; then they are carried out."""
        return self._fault("hold", chat, method, times)

    def answer_with(self, result: Any, *, method: str | None = None, times: int | None = 1) -> Fault:
        """Answer 200 with a result that the documentation does not promise."""
        fault = self._fault("answer", None, method, times)
        fault.result = result
        return fault

    def _fault(
        self,
        kind: str,
        chat: Chat | None,
        method: str | None,
        times: int | None,
        *,
        status: int = 500,
        retry_after: int = 0,
    ) -> Fault:
        chat_id = chat.id if chat else None
        self._faults.append(Fault(method, chat_id, times, kind, status=status, retry_after=retry_after))
        return self._faults[-1]

    def end_faults(self) -> None:
        """End every fault; requests that one holds continue."""
        for fault in self._faults:
            fault.release()

    def fault_of(self, method: str, chat: int | None) -> Fault | None:
        return next((fault for fault in self._faults if fault.wants(method, chat)), None)

    async def meet(self, fault: Fault, call: Call, request: web.Request) -> web.StreamResponse | None:
        """What the fault makes of the request; `None` when it goes its way after all."""
        now = self._clock.time()
        if fault.open_until is not None and now >= fault.open_until:
            self._faults.remove(fault)
            return None
        fault.hits += 1
        fault._met.put(call)
        if fault.kind == "flood":
            if fault.open_until is None:
                fault.open_until = now + fault.retry_after
            seconds = max(1, round(fault.open_until - now))
            return error_response(ApiError(429, f"Too Many Requests: retry after {seconds}", retry_after=seconds))
        if fault.kind == "fail":
            return web.Response(status=fault.status, text=f"<html>{fault.status}: {request.path}</html>")
        if fault.kind == "answer":
            return web.json_response({"ok": True, "result": fault.result})
        if fault.kind == "drop":
            return cut_connection(request)
        if fault.kind == "hold":
            await fault._released.wait()
        return None


def cut_connection(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()  # nobody reads it
