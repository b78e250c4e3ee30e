"""What Discord sends, as https://discord.com/developers/docs describes it: users, messages, interactions."""

from __future__ import annotations

from typing import Any, Final

TOKEN: Final = "MTIz.secret-token.of-the-bot"  # noqa: S105 - a made-up one
BOT: Final = {"id": "100", "username": "lstmega", "discriminator": "0", "avatar": None, "bot": True}
APPLICATION: Final[dict[str, Any]] = {
    "id": BOT["id"],
    "name": "lstmega",
    "icon": None,
    "description": "",
    "bot_public": True,
    "bot_require_code_grant": False,
    "verify_key": "0",
    "flags": 0,
    "team": None,
    "owner": BOT,
}
TEXT_OPTION, NUMBER_OPTION = 3, 10
"""Types of a command's options."""
LOADING: Final = 1 << 7
"""Flag of a message that says "thinking"."""
_DIRECT_MESSAGE: Final = 1


def user(number: str, name: str = "alice") -> dict[str, Any]:
    """Returns a user."""
    return {"id": number, "username": name, "discriminator": "0", "avatar": None}


def message(
    number: str, content: str, author: dict[str, Any] | None = None, channel: str = "5", flags: int = 0
) -> dict[str, Any]:
    """Returns a message, by default one of the bot's."""
    empty: dict[str, Any] = {name: [] for name in ("mentions", "mention_roles", "attachments", "embeds", "components")}
    return empty | {
        "id": number,
        "channel_id": channel,
        "type": 0,
        "author": BOT if author is None else author,
        "content": content,
        "timestamp": "2024-01-01T00:00:00+00:00",
        "edited_timestamp": None,
        "tts": False,
        "mention_everyone": False,
        "pinned": False,
        "flags": flags,
    }


def interaction_token(number: str) -> str:
    """Returns the token of an interaction, which ends in its number."""
    return f"interaction-token-{number}"


def command(
    name: str, number: str, person: str = "7", channel: str = "5", options: dict[str, str | float] | None = None
) -> dict[str, Any]:
    """Returns an interaction: a user's slash command in a direct message."""
    author = user(person)
    return {
        "id": number,
        "application_id": BOT["id"],
        "type": 2,
        "token": interaction_token(number),
        "version": 1,
        "data": {
            "id": "1",
            "name": name,
            "type": 1,
            "options": [
                {"name": option, "type": TEXT_OPTION if isinstance(value, str) else NUMBER_OPTION, "value": value}
                for option, value in (options or {}).items()
            ],
        },
        "channel_id": channel,
        "channel": {"id": channel, "type": _DIRECT_MESSAGE, "recipients": [author], "last_message_id": None},
        "user": author,
        "locale": "en-US",
        "entitlements": [],
        "context": 1,
        "authorizing_integration_owners": {"1": person},
        "attachment_size_limit": 1,
    }
