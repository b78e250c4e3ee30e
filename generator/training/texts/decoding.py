"""From bytes to text. What is sure is read; a guess is named with the command that takes it."""

from __future__ import annotations

import codecs
from typing import Final

from generator.training import TrainingError

_MARKS: Final = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # begins as the mark of UTF-16 does
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_OTHER_FORMATS: Final = {
    b"%PDF": ("a PDF", "pdftotext FILE NEW.txt"),
    b"{\\rtf": ("a rich text file (RTF)", "pandoc FILE -t plain -o NEW.txt"),
    b"\xd0\xcf\x11\xe0": ("an old Word file", "soffice --headless --convert-to txt:Text FILE"),
}
_WESTERN: Final = (
    "àâæçèéêëîïôœùûüÿ", "äöüßé", "áéíñóúü", "àáâãçéêíóôõúü", "àèéìòùî", "åäæéöøü", "áéèëïóöü"
)  # fmt: skip
"""Accented letters of French, German, Spanish, Portuguese, Italian, Scandinavian, Dutch: statistics confuse some short
texts with those of central Europe, and say nothing of English with a few quotation marks."""
_MARKS_OF_CP1252: Final = frozenset("‘’‚“”„–—…•«»‹›¡¿§°·©®ªº×½\xa0")
_MOST: Final = 0.97
_USUAL: Final = ("cp1252", "iso8859_2", "cp1251", "mac_roman", "euc_jp", "big5", "gb18030")
"""The encoding to name where several give the same text."""
_CONTROLS: Final = bytes({*range(32)} - {*b"\t\n\v\f\r\b\x1b"})
_MOST_CONTROLS: Final = 0.1
"""Share of control characters above which a file is binary."""
_SAMPLE: Final = 65_536


def decode(content: bytes, name: str, encoding: str | None = None) -> tuple[str, str]:
    """Returns the text, and what the user should know of how it was read, or an empty string.

    Raises `TrainingError`: not a text, or in another encoding, with the one that it probably has.
    """
    if encoding is not None:
        return _decoded(content, name, encoding), f"read as {encoding}"
    for mark, codec in _MARKS.items():
        if content.startswith(mark):
            return _decoded(content, name, codec), "" if codec == "utf-8-sig" else "UTF-16 or UTF-32, by its mark"
    if found := next((found for magic, found in _OTHER_FORMATS.items() if content.startswith(magic)), None):
        raise TrainingError(f"{name}: {found[0]}; take its text out first: {found[1]}")
    sample = content[:_SAMPLE]
    for codec, zeros, others in (("utf-16-le", sample[1::2], sample[::2]), ("utf-16-be", sample[::2], sample[1::2])):
        if zeros.count(0) > 0.4 * len(zeros) and others.count(0) < 0.05 * len(others):
            return _decoded(content, name, codec), "UTF-16 without a mark, by its zero bytes"
    if sum(map(sample.count, _CONTROLS)) > _MOST_CONTROLS * len(sample):
        raise TrainingError(f"{name}: a binary file, not a text")
    try:
        return content.decode(), ""
    except UnicodeDecodeError as error:
        if error.end == len(content) and error.reason == "unexpected end of data":
            return content[: error.start].decode(), "cut in its last character, which is left out"
        raise TrainingError(f"{name}: not UTF-8 text; {_guess(content)}") from error


def _decoded(content: bytes, name: str, encoding: str) -> str:
    try:
        return content.decode(encoding)
    except LookupError as error:
        raise TrainingError(f"--encoding {encoding}: unknown; such names are cp1252, utf-16, shift_jis") from error
    except UnicodeDecodeError as error:
        raise TrainingError(f"{name}: not {encoding} text (byte {error.start:,}: {error.reason})") from error


def _guess(content: bytes) -> str:
    from charset_normalizer import from_bytes  # noqa: PLC0415 - for files that are not UTF-8 only

    others: list[str] = []
    encoding = "cp1252"
    if not _is_western(content.decode(encoding, "replace")):
        matches = from_bytes(content)
        if (best := matches.best()) is None:
            return "its encoding is unknown; name it with --encoding, or convert it to UTF-8"
        same = best.could_be_from_charset
        encoding = next((usual for usual in _USUAL if usual in same), best.encoding)
        others = [match.encoding for match in matches if match.encoding not in same][:2]
    text = content.decode(encoding, "replace")
    place = next(i for i, character in enumerate(text) if not character.isascii())
    sample = " ".join(text[max(0, place - 30) : place + 30].split())
    known = "Windows-1252 or ISO 8859-1, " if encoding == "cp1252" else ""
    instead = f"; if that is wrong, try {' or '.join(others)}" if others else ""
    return f"probably {known}--encoding {encoding}, which reads “{sample}”{instead}"


def _is_western(text: str) -> bool:
    characters = [c for c in text.lower() if not c.isascii() and c not in _MARKS_OF_CP1252]
    return any(sum(c in letters for c in characters) >= _MOST * len(characters) for letters in _WESTERN)
