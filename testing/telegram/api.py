"""What the Bot API takes and refuses: limits, error answers, and the parameters of a request."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

TOKEN: Final = "123456789:AAloopbackloopbackloopbackloopback0"  # noqa: S105 - opens nothing but this server
MAX_TEXT: Final = 4096
"""Characters (code points: TDLib compares `utf8_length`) of a message."""
MAX_CAPTION: Final = 1024
MAX_ALERT: Final = 200
MAX_CALLBACK_DATA: Final = 64
"""Bytes behind a button."""
MAX_POLL_SECONDS: Final = 50
"""`LONG_POLL_MAX_TIMEOUT` of telegram-bot-api."""
SECRET_HEADER: Final = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - a name
ACTIONS: Final = frozenset({"typing", "upload_photo", "record_video", "upload_video", "upload_document"})
QUERY_TOO_OLD: Final = "query is too old and response timeout expired or query ID is invalid"
WEBHOOK_ACTIVE: Final = (
    "can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first"
)
OTHER_POLLER: Final = "terminated by other getUpdates request; make sure that only one bot instance is running"
SCOPES: Final = frozenset({"default", "all_private_chats", "all_group_chats", "all_chat_administrators", "chat"})
NOT_MODIFIED: Final = (
    "message is not modified: specified new message content and reply markup are exactly the same as a current content"
    " and reply markup of the message"
)
Json = dict[str, Any]


class ApiError(Exception):
    """What the Bot API answers instead of a result."""

    def __init__(self, code: int, description: str, **parameters: int) -> None:
        super().__init__(description)
        prefix = {400: "Bad Request: ", 403: "Forbidden: ", 409: "Conflict: "}.get(code, "")
        self.code, self.parameters = code, parameters
        self.description = prefix + description


class Params:
    """The parameters of a request, however they were sent; Telegram's types arrive as JSON in a text."""

    def __init__(self, raw: dict[str, Any]) -> None:
        self.raw = raw

    def text(self, name: str, default: str = "") -> str:
        value = self.raw.get(name, default)
        return value if isinstance(value, str) else json.dumps(value)

    def integer(self, name: str, default: int = 0) -> int:
        try:
            return int(self.raw.get(name, default))
        except (TypeError, ValueError):
            return default

    def flag(self, name: str) -> bool:
        return self.text(name).strip('"').lower() in {"true", "1", "yes"}

    def json(self, name: str, what: str) -> Any:
        value = self.raw.get(name)
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value)
        except ValueError:
            raise ApiError(400, f"can't parse {what} JSON object") from None


@dataclass(frozen=True)
class Call:
    """A request that reached the server: the method as the documentation writes it, and the clock's time."""

    method: str
    params: Params
    at: float


def error_response(error: ApiError) -> web.Response:
    body: Json = {"ok": False, "error_code": error.code, "description": error.description}
    if error.parameters:
        body["parameters"] = error.parameters
    return web.json_response(body, status=error.code)


async def read_parameters(request: web.Request) -> dict[str, Any]:
    """GET query, form, multipart or JSON: the documentation allows all four. Files are their bytes."""
    values: dict[str, Any] = dict(request.query)
    if request.content_type == "application/json":
        return values | dict(await request.json())
    form = await request.post()
    files: dict[str, bytes] = {}
    for name, value in form.items():
        if isinstance(value, web.FileField):
            files[name] = value.file.read()
        else:
            values[name] = value
    for name, value in list(values.items()):
        if isinstance(value, str) and value.startswith("attach://"):
            values[name] = files[value.removeprefix("attach://")]
    return values | files


def checked_text(params: Params, name: str, limit: int, too_long: str) -> str:
    """The text as it would be shown. Raises `ApiError` for what the Bot API does not take."""
    text = params.text(name)
    if not text:
        raise ApiError(400, "message text is empty")
    if len(text.encode()) > 1 << 15:
        raise ApiError(400, "text is too long")
    _check_entities(params, text)
    text = text.strip()
    if not text:
        raise ApiError(400, "text must be non-empty")
    if len(text) > limit:
        raise ApiError(400, too_long)
    return text


def _check_entities(params: Params, text: str) -> None:
    mode = params.text("parse_mode").lower()
    if mode not in {"", "html", "markdown", "markdownv2"}:
        raise ApiError(400, "unsupported parse_mode")
    if mode == "html" and text.count("<") != text.count(">"):
        at = len(text[: text.find("<")].encode())
        raise ApiError(400, f"can't parse entities: Can't find end tag corresponding to start tag at byte offset {at}")
    for sign in "*_`" if mode.startswith("markdown") else "":
        if text.count(sign) % 2:
            at = len(text[: text.rfind(sign)].encode())
            raise ApiError(400, f"can't parse entities: Can't find end of the entity starting at byte offset {at}")
    units = text.encode("utf-16-le")
    for entity in params.json("entities", "entities") or []:
        start, end = entity.get("offset"), entity.get("offset", 0) + entity.get("length", 0)
        if not isinstance(start, int) or start < 0 or end > len(units) // 2:
            raise ApiError(400, 'can\'t parse MessageEntity: Field "offset" must be of type Number')
        for place, at in (("begins", start), ("ends", end)):
            if 0xDC <= (units[2 * at + 1] if 2 * at < len(units) else 0) <= 0xDF:
                raise ApiError(400, f"entity {place} in the middle of a UTF-16 symbol at byte offset {at}")


def checked_buttons(params: Params) -> list[list[Json]]:
    markup = params.json("reply_markup", "reply keyboard markup") or {}
    if not isinstance(markup, dict):
        raise ApiError(400, "object expected as reply markup")
    rows: list[list[Json]] = [row for row in markup.get("inline_keyboard", []) if row]
    for button in itertools.chain.from_iterable(rows):
        if not button.get("text"):
            raise ApiError(400, "inline keyboard button text is empty")
        if not ({"callback_data", "url", "switch_inline_query", "switch_inline_query_current_chat"} & button.keys()):
            raise ApiError(400, "text buttons are unallowed in the inline keyboard")
        if len(button.get("callback_data", "").encode()) > MAX_CALLBACK_DATA:
            raise ApiError(400, "BUTTON_DATA_INVALID")
    return rows
