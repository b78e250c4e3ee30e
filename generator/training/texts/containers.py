"""Files that hold texts: gzip, zip, EPUB, Word's docx, HTML."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import posixpath
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import PurePath
from typing import Final, NamedTuple
from urllib.parse import unquote

from generator.training import TrainingError

TEXT_SUFFIXES: Final = frozenset({".txt", ".text", ".md", ".html", ".htm", ".xhtml", ".json", ".csv"})
SUFFIXES: Final = TEXT_SUFFIXES | {".epub", ".docx", ".zip", ".gz", ".bz2", ".xz"}
"""What is read of a folder; of a zip archive, `TEXT_SUFFIXES`."""
_PACKED: Final[dict[bytes, tuple[str, Callable[[bytes], bytes]]]] = {
    b"\x1f\x8b": ("gzip", gzip.decompress),
    b"BZh": ("bzip2", bz2.decompress),
    b"\xfd7zXZ": ("xz", lzma.decompress),
}
_HTML: Final = re.compile(
    r"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)?<(?:!doctype html|html)\b", re.IGNORECASE | re.DOTALL
)
_ELEMENT: Final = re.compile(
    r"<(p|h[1-6]|div|span|blockquote|pre|[uod]l|li|table|section|article|main|body)\b[^<>]*>.*?</\1\s*>",
    re.IGNORECASE | re.DOTALL,
)
_PARAGRAPHS: Final = re.compile("p|h[1-6]|blockquote|pre|[uod]l|table|section|article|hr|body")
_LINES: Final = re.compile("br|li|dt|dd|tr|div|figcaption|w:p|w:br|w:cr")
_HIDDEN: Final = frozenset({"script", "style", "title", "nav", "template", "w:del", "w:instrtext"})


class Part(NamedTuple):
    """A text in a file: still bytes, or already read; `found` says in what."""

    name: str
    content: bytes | str
    found: str = ""


def unpack(name: str, content: bytes) -> Iterator[Part]:
    """Yields the texts of a file in their order: itself, if it holds no others. Raises `TrainingError`."""
    try:
        for magic, (kind, decompress) in _PACKED.items():
            if content.startswith(magic):
                for part in unpack(name, decompress(content)):
                    yield part._replace(found=f"{kind} {part.found}".strip())
                return
        if not content.startswith(b"PK\x03\x04"):
            yield Part(name, content)
            return
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {member.filename: member for member in archive.infolist() if not member.is_dir()}
            if "word/document.xml" in members:
                words = _Reader(_member(archive, "word/document.xml"), only="w:t").text
                yield Part(name, "".join(words), "a Word file")
            elif "META-INF/container.xml" in members:
                yield _epub(name, archive)
            else:
                names = (each for each in members if not re.search(r"(?:^|/)(?:\.|__MACOSX/)", each))
                texts = sorted(
                    (each for each in names if PurePath(each).suffix.lower() in TEXT_SUFFIXES), key=by_number
                )
                if not texts:
                    raise TrainingError(f"{name}: no .txt in this zip archive")
                for text in texts:
                    yield Part(f"{name}/{text}", archive.read(text))
    except (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile) as error:
        raise TrainingError(f"{name}: damaged ({error}); get it again") from error
    except (RuntimeError, NotImplementedError, KeyError, UnicodeDecodeError) as error:  # a password; an unknown method
        raise TrainingError(f"{name}: cannot be read ({error}); unpack it first, and name the text in it") from error


def by_number(name: str) -> list[tuple[int, str]]:
    """Returns a key that sorts names as people do: chapter 2 before chapter 10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def is_html(text: str, name: str) -> bool:
    """Returns whether a text is HTML: by its file's name, or as a page begins, or as nearly all stands in elements."""
    if PurePath(name).suffix.lower() in {".html", ".htm", ".xhtml"} or _HTML.match(text):
        return True
    return text.lstrip()[:1] == "<" and len(_ELEMENT.sub("", text)) < len(text) / 10


def html_text(page: str) -> str:
    """Returns the text of an HTML page: a paragraph per line, with an empty line between two."""
    lines = [line.rstrip(" ") for line in "".join(_Reader(page).text).split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n") + "\n"


def _epub(name: str, archive: zipfile.ZipFile) -> Part:
    """Reads the chapters in the order of the spine, without the contents page (EPUB 3.3, section 5)."""
    package = _Reader(_member(archive, "META-INF/container.xml")).elements["rootfile"][0]["full-path"]
    book = _Reader(_member(archive, package)).elements
    items = {item["id"]: item for item in book["item"]}
    spine = [items[reference["idref"]] for reference in book["itemref"]]
    pages = [unquote(item["href"]) for item in spine if "nav" not in item.get("properties", "").split()]
    places = [posixpath.join(posixpath.dirname(package), page) for page in pages]
    chapters = [html_text(_member(archive, place)) for place in places]
    return Part(name, "\n".join(chapters), f"an EPUB of {len(chapters)} chapters")


def _member(archive: zipfile.ZipFile, name: str) -> str:
    return archive.read(name).decode("utf-8-sig")


class _Reader(HTMLParser):
    """Collects the text of HTML, or of the elements `only` of XML; and what the elements of a package say."""

    def __init__(self, markup: str, only: str = "") -> None:
        super().__init__()
        self.text: list[str] = []
        self.elements: dict[str, list[dict[str, str]]] = {}
        self._only = only
        self._open: list[str] = []
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.setdefault(tag.rpartition(":")[2], []).append({key: value or "" for key, value in attrs})
        if tag in _HIDDEN or tag in {self._only, "pre"}:
            self._open.append(tag)
        if tag == "w:tab":
            self.text.append("\t")
        elif not self._only:
            self._end_line(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self._open:
            while self._open.pop() != tag:
                pass
        if tag != "br":
            self._end_line(tag)

    def _end_line(self, tag: str) -> None:
        if _PARAGRAPHS.fullmatch(tag):
            self.text.append("\n\n")
        elif _LINES.fullmatch(tag) and (self._only or tag == "br" or (self.text and self.text[-1][-1:] != "\n")):
            self.text.append("\n")

    def handle_data(self, data: str) -> None:
        if not _HIDDEN.isdisjoint(self._open) or (self._only and self._only not in self._open):
            return
        if not self._only and "pre" not in self._open:
            data = re.sub(r"\s+", " ", data)
            if not self.text or self.text[-1][-1:] in {"\n", ""}:
                data = data.lstrip(" ")
        self.text.append(data)
