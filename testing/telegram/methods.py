"""The methods of the Bot API that the bot calls."""

from __future__ import annotations

from typing import Any

from testing.telegram.api import (
    ACTIONS,
    MAX_ALERT,
    MAX_CAPTION,
    MAX_TEXT,
    NOT_MODIFIED,
    QUERY_TOO_OLD,
    SCOPES,
    ApiError,
    Json,
    Params,
    checked_buttons,
    checked_text,
)
from testing.telegram.people import Chat, InlineQuery, Press, Sent
from testing.telegram.world import World


class Methods(World):
    """Each takes the parameters of a request and returns the result, or raises `ApiError`."""

    async def _get_me(self, _: Params) -> Json:
        return self.me()

    async def _set_my_commands(self, params: Params) -> bool:
        commands = params.json("commands", "commands") or []
        if len(commands) > 100:
            raise ApiError(400, "BOT_COMMANDS_TOO_MUCH")
        for command in commands:
            name, description = command.get("command", ""), command.get("description", "")
            if not (1 <= len(name) <= 32 and name == name.lower() and name.replace("_", "a").isalnum()):
                raise ApiError(400, "BOT_COMMAND_INVALID")
            if not 1 <= len(description) <= 256:
                raise ApiError(400, "BOT_COMMAND_DESCRIPTION_INVALID")
        self.commands[self._menu(params)] = commands
        return True

    async def _get_my_commands(self, params: Params) -> list[Json]:
        return self.commands.get(self._menu(params), [])

    async def _set_my_description(self, params: Params) -> bool:
        return self._describe(params, "description", 512)

    async def _get_my_description(self, params: Params) -> Json:
        return {"description": self.profile.get(("description", params.text("language_code")), "")}

    async def _set_my_short_description(self, params: Params) -> bool:
        return self._describe(params, "short_description", 120)

    async def _get_my_short_description(self, params: Params) -> Json:
        return {"short_description": self.profile.get(("short_description", params.text("language_code")), "")}

    def _describe(self, params: Params, what: str, limit: int) -> bool:
        if len(params.text(what)) > limit:
            raise ApiError(400, f"{what} is too long")
        self.profile[what, params.text("language_code")] = params.text(what)
        return True

    def _menu(self, params: Params) -> tuple[str, str]:
        scope = params.json("scope", "BotCommandScope") or {"type": "default"}
        if scope.get("type") not in SCOPES:
            raise ApiError(400, "can't parse BotCommandScope: Unsupported type specified")
        return str(scope["type"]), params.text("language_code")

    def _chat(self, params: Params) -> Chat:
        if not params.text("chat_id"):
            raise ApiError(400, "chat_id is empty")
        chat = self.chats.get(params.integer("chat_id"))
        if chat is None:
            raise ApiError(400, "chat not found")
        if chat.upgraded_to:
            raise ApiError(400, "group chat was upgraded to a supergroup chat", migrate_to_chat_id=chat.upgraded_to)
        if chat.barred:
            raise ApiError(403, chat.barred)
        return chat

    async def _get_chat_administrators(self, params: Params) -> list[Json]:
        administrators = self._chat(params).administrators
        return [{"status": "creator", "user": user.json(), "is_anonymous": False} for user in administrators]

    async def _send_message(self, params: Params) -> Json:
        chat = self._chat(params)
        return self._post(chat, params, checked_text(params, "text", MAX_TEXT, "message is too long"))

    async def _send_photo(self, params: Params) -> Json:
        chat = self._chat(params)
        photo = params.raw.get("photo")
        if not photo:
            raise ApiError(400, "there is no photo in the request")
        if isinstance(photo, bytes) and not photo.startswith((b"\x89PNG", b"\xff\xd8")):
            raise ApiError(400, "IMAGE_PROCESS_FAILED")
        return self._post(chat, params, _caption(params), photo if isinstance(photo, bytes) else b"")

    async def _send_document(self, params: Params) -> Json:
        chat = self._chat(params)
        document = params.raw.get("document")
        if not document:
            raise ApiError(400, "there is no document in the request")
        return self._post(
            chat, params, _caption(params), document if isinstance(document, bytes) else b"", is_document=True
        )

    def _post(
        self, chat: Chat, params: Params, text: str, photo: bytes | None = None, *, is_document: bool = False
    ) -> Json:
        buttons = checked_buttons(params)
        thread = params.integer("message_thread_id") or None
        if thread is not None and thread not in chat.topics:
            raise ApiError(400, "message thread not found")
        reply = params.json("reply_parameters", "reply parameters") or {}
        reply_to = reply.get("message_id")
        if reply_to is not None and reply_to not in chat.typed and reply_to not in chat.sent:
            if not reply.get("allow_sending_without_reply"):
                raise ApiError(400, "message to be replied not found")
            reply_to = None
        sent = Sent(
            id=self.number(),
            chat=chat,
            text=text,
            buttons=buttons,
            silent=params.flag("disable_notification"),
            preview_options=params.json("link_preview_options", "link preview options") or {},
            entities=params.json("entities", "entities") or params.json("caption_entities", "entities") or [],
            reply_to=reply_to,
            thread=thread,
            photo=photo,
            is_document=is_document,
            at=self._clock.time(),
        )
        chat.sent[int(sent.id)] = sent
        chat.messages.put(sent)
        return chat.message_json(sent)

    async def _send_chat_action(self, params: Params) -> bool:
        chat = self._chat(params)
        if params.text("action") not in ACTIONS:
            raise ApiError(400, "wrong parameter action in request")
        chat.actions.put(params)
        return True

    def _edited(self, params: Params) -> Sent:
        if params.text("inline_message_id"):
            sent = self.inline_messages.get(params.text("inline_message_id"))
            if sent is None:
                raise ApiError(400, "MESSAGE_ID_INVALID")
            return sent
        chat = self._chat(params)
        sent = chat.sent.get(params.integer("message_id"))
        if sent is None:
            mine = params.integer("message_id") in chat.typed
            raise ApiError(400, "message can't be edited" if mine else "message to edit not found")
        return sent

    async def _edit_message_text(self, params: Params) -> Any:
        sent = self._edited(params)
        text, buttons = checked_text(params, "text", MAX_TEXT, "MESSAGE_TOO_LONG"), checked_buttons(params)
        if sent.photo is not None:
            raise ApiError(400, "there is no text in the message to edit")
        if (text, buttons) == (sent.text, sent.buttons):
            raise ApiError(400, NOT_MODIFIED)
        sent.text, sent.buttons = text, buttons
        sent.preview_options = params.json("link_preview_options", "link preview options") or {}
        sent.entities = params.json("entities", "entities") or []
        sent.edited = True
        sent.edits.put(text)
        return True if sent.chat is None else sent.chat.message_json(sent)

    async def _edit_message_reply_markup(self, params: Params) -> Any:
        sent, buttons = self._edited(params), checked_buttons(params)
        if buttons == sent.buttons:
            raise ApiError(400, NOT_MODIFIED)
        sent.buttons, sent.edited = buttons, True
        sent.edits.put(sent.text)
        return True if sent.chat is None else sent.chat.message_json(sent)

    async def _answer_callback_query(self, params: Params) -> bool:
        query = self.queries.get(params.text("callback_query_id"))
        if not isinstance(query, Press) or query.expired:
            raise ApiError(400, QUERY_TOO_OLD)
        if len(params.text("text")) > MAX_ALERT:
            raise ApiError(400, "MESSAGE_TOO_LONG")
        query.answers.put(params)
        return True

    async def _answer_inline_query(self, params: Params) -> bool:
        query = self.queries.get(params.text("inline_query_id"))
        if not isinstance(query, InlineQuery):
            raise ApiError(400, QUERY_TOO_OLD)
        results = params.json("results", "inline query results")
        if not isinstance(results, list):
            raise ApiError(400, "expected an Array of inline query results")
        if len(results) > 50:
            raise ApiError(400, "too many inline query results specified")
        for result in results:
            content = Params(result.get("input_message_content", {}))
            if not 1 <= len(str(result.get("id", "")).encode()) <= 64 or not result.get("title"):
                raise ApiError(400, "RESULT_ID_INVALID" if result.get("title") else "ARTICLE_TITLE_EMPTY")
            checked_text(content, "message_text", MAX_TEXT, "message is too long")
            checked_buttons(Params(result))
        query.results, query.button = results, params.json("button", "button") or {}
        query.answers.put(params)
        return True


def _caption(params: Params) -> str:
    if not params.text("caption"):
        return ""
    return checked_text(params, "caption", MAX_CAPTION, "message caption is too long")
