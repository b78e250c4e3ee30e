"""The library's bot, set up so that it logs neither the token nor what users write."""

from __future__ import annotations

import json
import logging
import os
import urllib.request
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
from telegram import Bot, Update
from telegram.error import InvalidToken, NetworkError, TelegramError, TimedOut
from telegram.request import BaseRequest, RequestData

from bot.config.schema import TelegramSection

OFFICIAL_API: Final = "https://api.telegram.org"
CONNECT_SECONDS: Final = 5.0
POOL_SECONDS: Final = 30.0
"""To wait for a connection while all are in use."""
READ_SECONDS: Final = 20.0
"""To wait for an answer; the library's 5 are too few when Telegram is slow."""
WRITE_SECONDS: Final = 20.0
"""To send a request, a picture of some hundred kilobytes included."""
_CONNECTIONS: Final = 256
"""At most; further requests wait for one."""
UNREADABLE: Final = (TypeError, ValueError, KeyError, AttributeError, OverflowError, RecursionError)
"""What the library raises for content that is not as the Bot API documents it."""
log = logging.getLogger(__name__)

# The library is moving to `timedelta`s; without this opt-in each RetryAfter comes with a DeprecationWarning.
os.environ.setdefault("PTB_TIMEDELTA", "1")


class MayHaveArrived(TimedOut):
    """The request was sent and no answer came in time: a second attempt could repeat what it did."""


class Transport(BaseRequest):
    """The library's requests, sent by aiohttp; see `BaseRequest`.

    httpx, the library's default, takes 2.6 ms of processor time for a request where this takes 0.6, and with 30 in
    flight 3.6 where this takes 0.4 (measured), all of it on the event loop's thread. No error repeats the token.
    """

    def __init__(self, token: str, *, connections: int, proxy: str | None) -> None:
        self._token = token.encode()
        self._connections = connections
        self._proxy = proxy
        self._session: aiohttp.ClientSession | None = None

    @property
    def read_timeout(self) -> float:
        """See `BaseRequest`."""
        return READ_SECONDS

    async def initialize(self) -> None:
        """See `BaseRequest`."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._connections),
                headers={"User-Agent": self.USER_AGENT},
                cookie_jar=aiohttp.DummyCookieJar(),
            )

    async def shutdown(self) -> None:
        """See `BaseRequest`."""
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    @staticmethod
    def parse_json_payload(payload: bytes) -> dict[str, Any]:
        """See `BaseRequest`. Raises `TelegramError`. The library would log the payload, which may hold anything."""
        try:
            answer: dict[str, Any] = json.loads(payload.decode("utf-8", "replace"))
        except ValueError:
            raise TelegramError("the answer is not JSON") from None
        return answer

    async def do_request(  # noqa: PLR0917 - the signature is the library's
        self,
        url: str,
        method: str,
        request_data: RequestData | None = None,
        read_timeout: object = BaseRequest.DEFAULT_NONE,
        write_timeout: object = None,  # noqa: ARG002 - the same for every request
        connect_timeout: object = None,  # noqa: ARG002
        pool_timeout: object = None,  # noqa: ARG002
    ) -> tuple[int, bytes]:
        """Returns the status and the body of the answer. Raises `TimedOut`, `MayHaveArrived` or `NetworkError`."""
        if self._session is None:
            raise RuntimeError("the bot is not initialised")
        read = read_timeout if isinstance(read_timeout, (int, float)) else READ_SECONDS
        # aiohttp has no timeout for sending alone, so the whole request has one.
        timeout = aiohttp.ClientTimeout(
            POOL_SECONDS + WRITE_SECONDS + read, connect=POOL_SECONDS, sock_connect=CONNECT_SECONDS, sock_read=read
        )
        body = _body(request_data)
        headers = {"Content-Type": "application/json"} if isinstance(body, bytes) else None
        problem: NetworkError
        try:
            async with self._session.request(
                method, url, data=body, headers=headers, timeout=timeout, proxy=self._proxy, allow_redirects=False
            ) as response:
                content = await response.read()
                # A proxy's page may repeat the address, of which the token is a part.
                return response.status, content.replace(self._token, b"<token>")
        except aiohttp.ConnectionTimeoutError:
            problem = TimedOut("Timed out waiting for a connection")
        except TimeoutError:
            problem = MayHaveArrived("Timed out waiting for the answer")
        except aiohttp.ClientConnectorError as error:
            problem = NetworkError(str(error))  # names the host, and what the system says
        except aiohttp.ClientError as error:
            problem = NetworkError(type(error).__name__)
        raise problem


class BotClient(Bot):
    """The library's bot, in which an update that the library cannot read does not stop the others."""

    async def updates(self, *, offset: int, wait: int, allowed: tuple[str, ...]) -> list[Update]:
        """Returns the next updates by their number; the server holds the request open for up to `wait` seconds."""
        data = {"offset": offset, "timeout": wait, "allowed_updates": list(allowed)}
        try:
            result: Any = await self._post("getUpdates", data, read_timeout=wait + READ_SECONDS)
            return sorted((self.parse_update(content) for content in result), key=lambda update: update.update_id)
        except UNREADABLE:
            raise TelegramError("unexpected answer to getUpdates") from None

    def parse_update(self, content: dict[str, Any]) -> Update:
        """Returns the update, without its content if the library cannot read that (a newer Bot API, say).

        Raises one of `UNREADABLE` if it has not even a number.
        """
        update_id = content["update_id"]
        if not isinstance(update_id, int):
            raise TypeError("update_id is not a number")
        try:
            return Update.de_json(content, self)
        except UNREADABLE as error:
            log.warning("update.unreadable id=%d error=%s", update_id, type(error).__name__)
            return Update(update_id)


def new_bot(settings: TelegramSection) -> BotClient:
    """Returns a bot that is not connected yet: `async with` it. Raises `InvalidToken` for what cannot be a token."""
    logging.getLogger("telegram").setLevel(logging.CRITICAL + 1)  # it logs texts, at DEBUG and above
    url = (settings.api_url or OFFICIAL_API).rstrip("/")
    token, proxy = settings.token.reveal(), proxy_for(url)
    return BotClient(
        token,
        base_url=f"{url}/bot",
        request=Transport(token, connections=_CONNECTIONS, proxy=proxy),
        get_updates_request=Transport(token, connections=2, proxy=proxy),
    )


def is_token_rejected(error: BaseException) -> bool:
    """Returns whether Telegram rejected the token. The library raises `InvalidToken` for any 404, a proxy's too."""
    cause: BaseException | None = error
    while isinstance(cause, InvalidToken):
        cause = cause.__cause__
    return isinstance(error, InvalidToken) and cause is None


def proxy_for(url: str) -> str | None:
    """Returns the proxy that the environment names for this address (`HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`, …).

    aiohttp would look it up for every request, in a thread. Raises `NetworkError` for what is not an address.
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise NetworkError(f"{url} is not an address: {error}") from error
    proxies = urllib.request.getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or urllib.request.proxy_bypass(parts.hostname or ""):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _body(data: RequestData | None) -> bytes | aiohttp.FormData | None:
    """The parameters as JSON, or as a form if there are files (https://core.telegram.org/bots/api#making-requests)."""
    if data is None or not data.contains_files:
        return data and data.json_payload
    form = aiohttp.FormData(data.json_parameters)
    for name, (file_name, content, kind) in data.multipart_data.items():
        form.add_field(name, content, filename=file_name, content_type=kind)
    return form
