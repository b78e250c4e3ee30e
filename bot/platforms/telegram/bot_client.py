"""The library's bot, set up so that it logs neither the token nor what users write."""

from __future__ import annotations

import logging
import os
from operator import itemgetter
from typing import Any, Final

import aiohttp
from telegram import Bot
from telegram.error import NetworkError, TimedOut
from telegram.request import BaseRequest, RequestData

from bot.config.schema import TelegramSection
from generator.connector import Connector, ProxyError

CONNECT_SECONDS: Final = 5.0
POOL_SECONDS: Final = 30.0
"""To wait for a connection while all are in use."""
READ_SECONDS: Final = 20.0
"""To wait for an answer, or to send a picture; the library's 5 are too few when Telegram is slow."""
POLL_SECONDS: Final = 30
"""How long the server may hold a poll open; its own limit is 50 (`LONG_POLL_MAX_TIMEOUT`)."""
WANTED: Final = (
    "message",
    "edited_message",
    "callback_query",
    "inline_query",
    "chosen_inline_result",
    "my_chat_member",
)
"""The kinds of updates that the bot requests."""

# The library is moving to `timedelta`s; without this opt-in each RetryAfter comes with a DeprecationWarning.
os.environ.setdefault("PTB_TIMEDELTA", "1")


class Transport(BaseRequest):
    """The library's requests, sent by aiohttp, with the same timeouts for all; see `BaseRequest`.

    httpx, the library's default, takes 2.6 ms of processor time for a request where this takes 0.6, and with 30 in
    flight 3.6 where this takes 0.4 (measured), all of it on the event loop's thread. No error repeats the token.
    """

    def __init__(self, *, connections: int, proxy: str = "", read_seconds: float) -> None:
        self._connector = Connector(proxy, limit=connections)
        self._session = aiohttp.ClientSession(
            connector=self._connector,
            headers={"User-Agent": self.USER_AGENT},
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(
                POOL_SECONDS + READ_SECONDS + read_seconds,  # there is none for sending alone
                connect=POOL_SECONDS,
                sock_connect=CONNECT_SECONDS,
                sock_read=read_seconds,
            ),
        )

    @property
    def read_timeout(self) -> float | None:
        """See `BaseRequest`. In seconds."""
        return self._session.timeout.sock_read

    async def initialize(self) -> None:
        """See `BaseRequest`."""

    async def shutdown(self) -> None:
        """See `BaseRequest`."""
        await self._session.close()

    async def do_request(
        self, url: str, method: str, request_data: RequestData | None = None, *_: object, **_timeouts: object
    ) -> tuple[int, bytes]:
        """Returns the status and the body of the answer; see `BaseRequest`.

        Raises `TimedOut` when the request was sent and no answer came: a second attempt could repeat what it did.
        Raises `NetworkError` for anything else, a proxy's page in place of the Bot API's answer included.
        """
        data = request_data or RequestData()
        body: dict[str, Any] = {"json": data.parameters}
        if data.contains_files:  # then as a form: https://core.telegram.org/bots/api#making-requests
            body = {"data": aiohttp.FormData(data.json_parameters)}
            for name, (file_name, content, kind) in data.multipart_data.items():
                body["data"].add_field(name, content, filename=file_name, content_type=kind)
        try:
            async with self._session.request(method, url, allow_redirects=False, **body) as response:
                status, answer = response.status, await response.read()
        except aiohttp.ConnectionTimeoutError:
            raise NetworkError("Timed out waiting for a connection") from None
        except TimeoutError:
            raise TimedOut("Timed out waiting for the answer") from None
        except (aiohttp.ClientConnectorError, ProxyError) as error:
            raise NetworkError(str(error)) from None  # names the host, and what the system says
        except aiohttp.ClientError as error:
            raise NetworkError(type(error).__name__) from None
        if not answer.startswith(b"{"):  # the library would take any 404 for a rejected token
            source = self._connector.proxy_of(response.url) or "[telegram] api_url"
            raise NetworkError(f"HTTP {status}, and not from the Bot API: look at {source}")
        return status, answer


class BotClient(Bot):
    """The library's bot, which leaves updates unread: one that the library cannot read must not stop the others."""

    def __init__(self, settings: TelegramSection, proxy: str = "") -> None:
        logging.getLogger("telegram").setLevel(logging.CRITICAL + 1)  # it logs texts, at DEBUG and above
        super().__init__(
            settings.token.reveal(),
            base_url=f"{settings.address}/bot",
            request=Transport(connections=256, proxy=proxy, read_seconds=READ_SECONDS),
            get_updates_request=Transport(connections=2, proxy=proxy, read_seconds=POLL_SECONDS + READ_SECONDS),
        )

    async def updates(self, *, offset: int, wait: int) -> list[dict[str, Any]]:
        """Returns the next updates by their number; the server holds the request open for up to `wait` seconds."""
        data = {"offset": offset, "timeout": wait, "allowed_updates": WANTED}
        return sorted(await self._post("getUpdates", data), key=itemgetter("update_id"))
