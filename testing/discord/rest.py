"""The REST API: commands, answers to interactions, messages in channels; and faults of the network."""

from __future__ import annotations

import json
from typing import Any, Final

from aiohttp import web

from testing.discord.payloads import APPLICATION, BOT, LOADING, TOKEN, message

# https://discord.com/developers/docs/topics/opcodes-and-status-codes#json-json-error-codes
ALREADY_ACKNOWLEDGED: Final = 40060
_UNKNOWN_CHANNEL: Final = 10003
_MESSAGE_RESPONSE: Final = 4
"""Type of an initial response that is a message; the other one says "thinking"."""


def json_response(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """Returns an answer as Discord gives it: discord.py knows JSON by exactly this content type, without a charset."""
    return web.Response(body=json.dumps(body).encode(), status=status, headers=headers, content_type="application/json")


class RestApi:
    """Carries out requests and records them.

    `answers`: path prefix -> (status, body, headers), each given once instead of the real answer. `faults`: parts of
    paths and what happens, each once, to a request whose path holds it: "cut" before it is carried out, "cut after", or
    a status that is given instead of the result.
    """

    gateway_url: str

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, Any]] = []
        self.answers: dict[str, list[tuple[int, dict[str, Any], dict[str, str]]]] = {}
        self.faults: list[tuple[str, str | int]] = []
        self.shown: list[list[str]] = []
        """What users see, as [interaction or message that is answered, text]. An interaction has one initial response,
        and a message with a nonce is posted once."""
        self._acknowledged: dict[str, list[str] | None] = {}
        """By interaction, what its original response shows; `None` while that says "thinking"."""
        self._nonces: dict[str, list[str]] = {}

    def sent(self, method: str, path: str) -> list[Any]:
        """Returns the bodies of the requests with a method to paths that contain `path`."""
        return [body for verb, where, body in self.requests if verb == method and path in where]

    async def handle(self, request: web.Request) -> web.Response:
        """Answers one request."""
        path = "/" + request.match_info["path"]
        body = await request.json() if request.content_type == "application/json" and request.can_read_body else None
        self.requests.append((request.method, path, body))
        for prefix, answers in self.answers.items():
            if path.startswith(prefix) and answers:
                status, given, headers = answers.pop(0)
                return json_response(given, status=status, headers=headers)
        fault = next((fault for fault in self.faults if fault[0] in f"{request.method} {path}"), None)
        if fault is not None:
            self.faults.remove(fault)
            return self._failed(request, path, body, fault[1])
        signed = path.startswith(("/interactions/", "/webhooks/"))  # by the token of the interaction
        if not signed and request.headers.get("Authorization") != f"Bot {TOKEN}":
            return json_response({"code": 0, "message": "401: Unauthorized"}, status=401)
        return self.answer(request.method, path, body)

    def _failed(self, request: web.Request, path: str, body: Any, fault: str | int) -> web.Response:
        if fault != "cut":
            self.answer(request.method, path, body)
        if isinstance(fault, int):
            return json_response({}, status=fault)
        if request.transport is not None:
            request.transport.abort()
        return web.Response()

    def answer(self, method: str, path: str, body: Any) -> web.Response:  # noqa: PLR0911 - a table of paths
        """Carries out a request that is authorised."""
        match method, path.strip("/").split("/"):
            case _, ["users", "@me"]:
                return json_response(BOT)
            case _, ["oauth2", "applications", "@me"]:
                return json_response(APPLICATION)
            case _, ["gateway", "bot"]:
                limits = {"total": 1000, "remaining": 999, "reset_after": 1, "max_concurrency": 1}
                return json_response({"url": self.gateway_url, "shards": 1, "session_start_limit": limits})
            case "PUT", [*_, "commands"]:
                ids = {"application_id": BOT["id"], "version": "1"}
                return json_response([ids | {"id": str(number)} | one for number, one in enumerate(body)])
            case _, ["interactions", number, _, "callback"]:
                return self._acknowledge(number, body)
            case _, ["webhooks", _, token, *_]:
                return self._webhook(method, token.rpartition("-")[2], body)
            case "POST", ["channels", _, "messages"]:
                return self._post(body)
        return json_response({"code": _UNKNOWN_CHANNEL, "message": "Unknown Channel"}, status=404)

    def _acknowledge(self, number: str, body: Any) -> web.Response:
        if number in self._acknowledged:
            error = {"code": ALREADY_ACKNOWLEDGED, "message": "Interaction has already been acknowledged."}
            return json_response(error, status=400)
        said = [number, body["data"]["content"]] if body["type"] == _MESSAGE_RESPONSE else None
        self._acknowledged[number] = said
        if said is not None:
            self.shown.append(said)
        return json_response({"interaction": {"id": number, "type": 2, "response_message_id": "50"}})

    def _webhook(self, method: str, number: str, body: Any) -> web.Response:
        """Reads or edits the original response, or posts a follow-up."""
        said = self._acknowledged.get(number)
        if method == "PATCH" and said is not None:
            said[1] = body["content"]
        elif method != "GET":
            said = [number, body["content"]]
            self.shown.append(said)
            if method == "PATCH":
                self._acknowledged[number] = said
        return json_response(message("50", said[1] if said else "", flags=0 if said else LOADING))

    def _post(self, body: Any) -> web.Response:
        said = [str(body.get("message_reference", {}).get("message_id", "")), body["content"]]
        if body["nonce"] not in self._nonces or not body.get("enforce_nonce"):
            self._nonces[body["nonce"]] = said
            self.shown.append(said)
        return json_response(message("51", body["content"]))
