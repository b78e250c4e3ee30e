"""Chat exports: WhatsApp's text of both systems, Telegram Desktop's `result.json`, DiscordChatExporter's JSON."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from generator.training import TrainingError

_DATE_TIME: Final = r"\d{1,4}[./-]\d{1,2}[./-]\d{1,4},?\s\d{1,2}[:.]\d{2}(?:[:.]\d{2})?(?:\s?[ap]\.?\s?m\.?)?"
_STAMP: Final = re.compile(rf"\u200e?(?:\[{_DATE_TIME}\]|{_DATE_TIME}\s[-–])\s(?P<line>.*)", re.IGNORECASE)
_SPEAKER: Final = re.compile(r"(?P<name>[^:\"“”\u200e]{1,60}): (?P<text>.*)", re.DOTALL)
"""The names of groups stand in quotation marks where a system line has a colon."""
_SYSTEM: Final = "\u200e"
"""WhatsApp on iOS begins what the system wrote with a left-to-right mark."""
_EDITED: Final = re.compile(r"\s*\u200e?<[^<>]*(?:edited|editad[ao]|bearbeitet|modifié|modificato|изменено)[^<>]*>$")
_PLACEHOLDER: Final = re.compile(
    r"<[^<>]*>|null|.*\((?:file attached|arquivo anexado|archivo adjunto|Datei angehängt|fichier joint)\)"
    r"|(?:You|Você|Du) (?:deleted|apagou|hast).{0,20}(?:message|mensagem|gelöscht)\.?"
    r"|(?:This message was deleted|Esta mensagem foi apagada|Mensagem apagada|Se eliminó este mensaje"
    r"|Eliminaste este mensaje|Diese Nachricht wurde gelöscht|Ce message a été supprimé)\.?"
)
"""Media that were left out of the export, deleted messages."""
_DISCORD_TYPES: Final = frozenset({"Default", "Reply"})
_SHOWN: Final = 8


class Message(NamedTuple):
    """A message with words. `speaker` is empty for an account that no longer exists."""

    speaker: str
    text: str


@dataclass(frozen=True)
class Chat:
    """A chat export: of which program, its messages in order, and how many entries were left out."""

    kind: str
    messages: list[Message]
    left_out: int

    def of(self, speaker: str | None, name: str) -> str:
        """Returns the messages, or one speaker's, a line each. Raises `TrainingError` for one who is not there."""
        spoken = self.messages
        if speaker is not None:
            spoken = [each for each in spoken if each.speaker.casefold() == speaker.strip().casefold()]
            if not spoken:
                people = Counter(each.speaker for each in self.messages if each.speaker).most_common(_SHOWN)
                names = ", ".join(each for each, _ in people)
                raise TrainingError(f"{name}: --speaker {speaker!r} is not in this chat; there are {names}")
        return "".join(f"{each.text}\n" for each in spoken)

    def __str__(self) -> str:
        speakers = len({message.speaker for message in self.messages if message.speaker})
        return (
            f"a {self.kind} export: {len(self.messages):,} messages of {speakers} people; names, times and "
            f"{self.left_out:,} entries of the system, media, bots, deleted or forwarded messages are left out"
        )


def parse(text: str) -> Chat | None:
    """Returns the chat that a file holds, or None when it is no export of a kind that is known."""
    if text.lstrip().startswith("{"):
        try:
            return _json(json.loads(text))
        except (ValueError, RecursionError, TypeError, AttributeError):  # no JSON, or of another form
            return None
    return _whatsapp(text)


def _whatsapp(text: str) -> Chat | None:
    if not _STAMP.match(text.lstrip("\ufeff")):
        return None
    entries: list[str] = []
    for line in text.replace("\r\n", "\n").split("\n"):
        if stamp := _STAMP.match(line.lstrip("\ufeff")):
            entries.append(stamp["line"])
        else:
            entries[-1] += "\n" + line
    messages = []
    for entry in entries:
        said = _SPEAKER.match(entry)
        if said is None or said["text"].startswith(_SYSTEM):
            continue
        words = _EDITED.sub("", said["text"].strip())
        if words and not _PLACEHOLDER.fullmatch(words):
            messages.append(Message(said["name"].lstrip("~\u202f\xa0 ").strip(), words))
    return Chat("WhatsApp", messages, len(entries) - len(messages))


def _json(export: dict[str, Any]) -> Chat | None:
    lists = [export, *export.get("chats", {}).get("list", [])]  # one chat, or all of an account
    entries = [entry for each in lists for entry in each.get("messages", ()) if isinstance(entry, dict)]
    if not entries or entries[0].keys().isdisjoint({"author", "from_id", "actor_id"}):
        return None
    kind, read = ("Discord", _discord) if "author" in entries[0] else ("Telegram", _telegram)
    messages = [message for entry in entries if (message := read(entry)) and message.text]
    return Chat(kind, messages, len(entries) - len(messages))


def _telegram(entry: dict[str, Any]) -> Message | None:
    if entry.get("type") != "message" or "forwarded_from" in entry:
        return None
    text = entry.get("text") or ""
    pieces = [text] if isinstance(text, str) else text
    words = "".join(piece if isinstance(piece, str) else piece.get("text", "") for piece in pieces)
    return Message(entry.get("from") or "", words.strip())


def _discord(entry: dict[str, Any]) -> Message | None:
    author = entry.get("author") or {}
    if entry.get("type") not in _DISCORD_TYPES or author.get("isBot"):
        return None
    return Message(author.get("nickname") or author.get("name") or "", (entry.get("content") or "").strip())
