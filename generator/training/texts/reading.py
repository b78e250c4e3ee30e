"""Files, folders and archives, read as one text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from generator import files
from generator.training import TrainingError
from generator.training.texts.chats import parse
from generator.training.texts.cleaning import clean
from generator.training.texts.containers import SUFFIXES, by_number, html_text, is_html, unpack
from generator.training.texts.decoding import decode

_MOST_NOTES: Final = 12
"""Lines about single files, of which a folder may have thousands."""


class Text(NamedTuple):
    """What was read. `notes`: what the user should know of it, a line each. `is_chat`: a line is a message's."""

    name: str
    text: str
    notes: tuple[str, ...]
    is_chat: bool


def read_texts(paths: Sequence[Path], *, encoding: str | None = None, speaker: str | None = None) -> Text:
    """Reads all as one text, with an empty line between two. Raises `TrainingError`."""
    notes: list[str] = []
    found: Counter[str] = Counter()
    texts: list[str] = []
    chats = 0
    for file in (file for path in paths for file in _files(path, notes)):
        try:
            content = file.read_bytes()
        except OSError as error:
            raise TrainingError(f"{file}: {files.reason(error)}; --corpus wants a text file") from error
        parts = list(unpack(str(file), content))
        if len(parts) > 1:
            notes.append(f"{file.name}: an archive of {len(parts):,} texts")
        for part in parts:
            text, note = (
                (part.content, "") if isinstance(part.content, str) else decode(part.content, part.name, encoding)
            )
            if chat := parse(text):
                chats += 1
                said = str(chat)
                text = chat.of(speaker, part.name)
            elif is_html(text, part.name):
                text, said = html_text(text), "an HTML page, read without its tags"
            else:
                said = "JSON of no chat that is known, learnt as it is" if part.name.endswith(".json") else ""
            if remarks := ", ".join(filter(None, (part.found, note, said))):
                notes.append(f"{Path(part.name).name}: {remarks}")
            texts.append(clean(text, found))
    if len(notes) > _MOST_NOTES:
        notes[_MOST_NOTES:] = [f"… and {len(notes) - _MOST_NOTES:,} more such lines"]
    if speaker is not None:
        if chats < len(texts):
            raise TrainingError("--speaker is for chat exports of WhatsApp, Telegram or Discord; this text is none")
        notes.append(f"only what {speaker} wrote: ask {speaker} first; the bot will write as they do")
    if changed := ", ".join(f"{count:,} {what}" for what, count in found.items() if count):
        notes.append(changed)
    name = paths[0].name + (f" and {len(paths) - 1} more" if len(paths) > 1 else "")
    text = texts[0] if len(texts) == 1 else "\n\n".join(text.strip("\n") for text in texts) + "\n"
    return Text(name, text, tuple(notes), chats == len(texts))


def _files(path: Path, notes: list[str]) -> Iterator[Path]:
    """The file, or those of a folder by name, hidden ones left out."""
    if not path.is_dir():
        yield path
        return
    inside = sorted((file for file in path.rglob("*") if file.is_file()), key=lambda file: by_number(str(file)))
    visible = [file for file in inside if not any(part.startswith(".") for part in file.relative_to(path).parts)]
    texts = [file for file in visible if file.suffix.lower() in SUFFIXES]
    if not texts:
        raise TrainingError(f"{path}: no text in this folder; read are {', '.join(sorted(SUFFIXES))}")
    others = f", {len(visible) - len(texts):,} others left out" if len(texts) < len(visible) else ""
    notes.append(f"{path.name}: a folder of {len(texts):,} texts{others}")
    yield from texts
