"""Redaction: replaces the secrets of the configuration, and whatever has the shape of a token, in a text."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote, unquote, urlsplit

import msgspec

from bot.config.schema import Config, Secret

HIDDEN: Final = "***"
_MIN_SECRET: Final = 8
"""Characters. A shorter one occurs in ordinary words, so hiding it would spoil the log and reveal it by the gaps."""
_MIN_PART: Final = 16
"""Characters: a part of a token that is this long is as secret as the whole."""
_TOKENS: Final = re.compile(
    # https://core.telegram.org/bots/api#authorizing-your-bot, in addresses with the colon encoded
    r"(?<!\d)\d{5,}(?::|%3[Aa])[\w-]{30,}"
    # account, time and signature in URL-safe base64
    r"|[\w-]{18,}\.[\w-]{5,}\.[\w-]{20,}"
    # the token of an interaction lets its owner answer for the bot for 15 minutes
    r"|(?P<before>/(?:webhooks|interactions)/\d+/)[\w.-]+"
)


class Redaction:
    """Hides `secrets`, also URL-encoded and in their long parts, and everything that has the shape of a token."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        hidden: set[str] = set()
        for secret in filter(None, secrets):
            parts = [part for part in re.split(r"[:.]", secret) if len(part) >= _MIN_PART]
            hidden |= {form for text in (secret, *parts) for form in (text, quote(text), quote(text, safe=""))}
        longest_first = sorted(hidden, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, longest_first))) if hidden else None

    @classmethod
    def of(cls, config: Config) -> Redaction:
        """Returns a redaction of every secret of a configuration that is not too short."""
        sections = [getattr(config, section.name) for section in msgspec.structs.fields(config)]
        values = [getattr(section, key.name) for section in sections for key in msgspec.structs.fields(section)]
        secrets = [value.reveal() for value in values if isinstance(value, Secret) and value is not config.store.url]
        password = urlsplit(config.store.url.reveal()).password or ""
        delimited = f":{password}@" if password else ""  # safe to hide, however short
        return cls([*(secret for secret in (*secrets, unquote(password)) if len(secret) >= _MIN_SECRET), delimited])

    def __call__(self, text: str) -> str:
        """Returns `text` without the secrets."""
        if self._known is not None:
            text = self._known.sub(HIDDEN, text)
        return _TOKENS.sub(lambda match: (match["before"] or "") + HIDDEN, text)
